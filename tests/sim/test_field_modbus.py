"""The virtual Modbus devices, seen by somebody else's client: pysunspec2's own, in a thread."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from sunspec2.modbus.client import (  # type: ignore[import-untyped]  # it has no types
    SunSpecModbusClientDeviceTCP,
)

from dercp.model.points import Kind
from sim.field.modbus import Fault, FieldFaults, serve_modbus
from sim.field.modbus_sunspec import BASE, SunSpecBank, sunspec_device
from sim.options import SimulatedOptions
from sim.specs import default_spec

T = TypeVar("T")

BATTERY = default_spec(Kind.STORAGE, "bess-1", "Battery")
SOLAR = default_spec(Kind.PV, "pv-1", "Solar")


@asynccontextmanager
async def served(bank: SunSpecBank) -> AsyncIterator[tuple[int, FieldFaults]]:
    """The device on loopback for the length of the block."""
    faults = FieldFaults()
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(partial(serve_modbus, bank, faults))
        yield port, faults
        nursery.cancel_scope.cancel()


@contextmanager
def peer(port: int) -> Iterator[Any]:
    """pysunspec2's client, connected, with the models that it found."""
    client = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=5)
    try:
        client.scan()
        yield client
    finally:
        client.close()


async def with_peer(port: int, work: Callable[[Any], T]) -> T:
    """Let the peer do something, in a thread of its own."""

    def run() -> T:
        with peer(port) as client:
            return work(client)

    with trio.fail_after(10):
        return await trio.to_thread.run_sync(run)


@pytest.mark.parametrize(
    ("site", "models"),
    [
        (BATTERY, [1, 701, 702, 704, 713, 714, 715, 802, 803]),
        (SOLAR, [1, 103, 120, 121, 122, 123, 160, 302, 303]),
    ],
)
async def test_the_peer_finds_every_model(site: Any, models: list[int]) -> None:
    """And who made the device."""

    def look(client: Any) -> tuple[list[int], str, str]:
        common = client.models[1][0]
        return [m.model_id for m in client.model_list], common.SN.value, str(client.base_addr)

    async with served(sunspec_device(site, SimulatedOptions())) as (port, _):
        assert await with_peer(port, look) == (models, site.asset_id, str(BASE))


async def test_the_peer_commands_a_battery() -> None:
    """By the registers of model 704, as it writes them; the plant follows."""
    bank = sunspec_device(BATTERY, SimulatedOptions())

    def command(client: Any) -> None:
        control = client.models[704][0]
        control.WSetMod.value = 1
        control.WSet.cvalue = -750_000
        control.write()
        control.WSetEna.value = 1
        control.write()

    def measured(client: Any) -> float:
        return float(client.models[701][0].W.cvalue)

    async with served(bank) as (port, _):
        await with_peer(port, command)
        await trio.sleep(0.6)  # the plant moves twice its nameplate in a second
        assert await with_peer(port, measured) == pytest.approx(-750_000, rel=0.01)
        assert bank.active_power_mw == pytest.approx(-0.75)


async def test_the_timer_of_704_runs_out(autojump_clock: trio.testing.MockClock) -> None:
    """The power, or the device's own control, takes over; a write starts the time anew."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    for enabled, after_mw in ((1, -0.5), (0, None)):
        for name, value in (
            ("WSet", 1_000_000),
            ("WSetRvrt", -500_000),
            ("WSetEnaRvrt", enabled),
            ("WSetRvrtTms", 30),
            ("WSetEna", 1),
        ):
            write(bank, 704, name, value)
        await trio.sleep(20)
        write(bank, 704, "WSetEna", 1)
        await trio.sleep(20)
        assert bank.active_power_mw == pytest.approx(1.0)
        assert bank.value(704, "WSetRvrtRem") == 10
        await trio.sleep(15)
        assert bank.active_power_mw == pytest.approx(after_mw or 0.0)
        assert bank.value(704, "WSetEna") == enabled


async def test_a_limit_of_123_ends_after_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """And at once when it is disabled."""
    bank = sunspec_device(SOLAR, SimulatedOptions(start_hour=12))
    free_mw = bank.active_power_mw
    for name, value in (("WMaxLimPct", 10), ("WMaxLimPct_RvrtTms", 60), ("WMaxLim_Ena", 1)):
        write(bank, 123, name, value)
    await trio.sleep(30)
    assert bank.active_power_mw == pytest.approx(0.1 * SOLAR.p_max_mw)
    await trio.sleep(60)
    assert bank.active_power_mw > 0.5 * free_mw
    assert bank.value(123, "WMaxLim_Ena") == 0


async def test_what_is_read_only_stays(autojump_clock: trio.testing.MockClock) -> None:
    """A write to a measurement is taken, and changes nothing; beside the models it is refused."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    write(bank, 701, "W", 999_900)
    assert bank.value(701, "W") == 0
    assert not bank.write(BASE, [1])
    assert bank.read("input", BASE, 1) is None
    assert bank.read("holding", BASE - 1, 2) is None
    bank.put(715, "LocRemCtl", 1)
    assert bank.value(715, "LocRemCtl") == 1


def test_there_is_no_virtual_wind_turbine() -> None:
    """SunSpec has no models for one."""
    with pytest.raises(ValueError, match="no SunSpec device for wind"):
        sunspec_device(default_spec(Kind.WIND, "wt-1", ""), SimulatedOptions())


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.GARBAGE, Fault.SILENT])
async def test_faults_are_what_a_client_sees(fault: Fault) -> None:
    """A connection that is reset, noise, or nothing."""
    async with served(sunspec_device(BATTERY, SimulatedOptions())) as (port, faults):
        faults.now = fault
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(bytes.fromhex("000100000006010300000001"))
            with trio.move_on_after(0.1) as scope:
                try:
                    seen = len(await stream.receive_some())
                except trio.BrokenResourceError:
                    seen = 0
        assert scope.cancelled_caught == (fault is Fault.SILENT)
        if not scope.cancelled_caught:
            assert seen == (300 if fault is Fault.GARBAGE else 0)


def write(bank: SunSpecBank, model_id: int, name: str, value: float) -> None:
    """Write a point's registers, as a client does."""
    address = BASE + 2
    for model in bank._models:
        if model.model_id == model_id:
            point = model.points[name]
            before = point.value
            point.cvalue = value
            data = point.get_mb()
            point.value = before
            registers = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
            assert bank.write(address + point.offset, registers)
        address += len(model.get_mb()) // 2
