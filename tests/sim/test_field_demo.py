"""The devices of `dercp demo --field`, and the services that run them, without a demo."""

import math
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from adapters.modbus import ModbusAdapter, ModbusOptions
from dercp.edge.config.settings import Headend
from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from sim.field.ailing import ORDER, Ailing, Illness, _be_ill, serve_ailing
from sim.field.broker import find_mosquitto
from sim.field.demo import plan_field
from sim.field.mapped import ENABLE, SETPOINT, MappedBank, map_for
from sim.field.modbus import Fault, FieldFaults
from sim.field.stations import Station, StationsDown, open_stations
from sim.field.wiring import free_port
from sim.fleet import demo_fleet
from sim.options import SimulatedOptions
from sim.specs import default_spec

WIND = default_spec(Kind.WIND, "wind-1", "Wind")


def floats(registers: Sequence[int] | None) -> list[float]:
    """The numbers in registers, two each."""
    assert registers is not None
    data = struct.pack(f">{len(registers)}H", *registers)
    return list(struct.unpack(f">{len(registers) // 2}f", data))


def words(value: float) -> list[int]:
    """A number in two registers."""
    return list(struct.unpack(">2H", struct.pack(">f", value)))


async def test_a_mapped_device_obeys_once_it_is_enabled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The setpoint point is NaN before and after; the power follows in between."""
    bank = MappedBank(WIND, SimulatedOptions(start_hour=14))
    names = [point.name for point in WIND.points]

    def point(name: str) -> float:
        return floats(bank.read("holding", 2 * names.index(name), 2))[0]

    free_mw = point("active_power_mw")
    assert free_mw > 0.1
    assert math.isnan(point("setpoint_mw"))
    assert bank.write(SETPOINT, words(0.05))
    assert math.isnan(point("setpoint_mw"))
    assert bank.write(ENABLE, [1])
    await trio.sleep(6)
    assert point("setpoint_mw") == pytest.approx(0.05)
    assert point("active_power_mw") == pytest.approx(0.05, abs=0.01)
    assert bank.write(ENABLE, [0])
    assert math.isnan(point("setpoint_mw"))


async def test_a_mapped_device_refuses_what_it_has_not() -> None:
    """Other tables, registers between and beyond, half a setpoint."""
    bank = MappedBank(WIND, SimulatedOptions())
    assert bank.read("input", 0, 2) is None
    assert bank.read("holding", 2 * len(WIND.points), 1) is None
    assert not bank.write(0, [1, 2])
    assert not bank.write(SETPOINT, [1])
    assert not bank.write(ENABLE, [2])


@pytest.mark.parametrize("kind", list(Kind))
async def test_the_register_map_is_what_the_device_has(kind: Kind) -> None:
    """Every point of every kind, through the real adapter."""
    asset, port = default_spec(kind, "x-1", "X"), free_port()
    bank = Ailing(MappedBank(asset, SimulatedOptions(start_hour=14)))
    options = msgspec.convert(map_for(asset, port), ModbusOptions)
    async with (
        open_stations([_modbus_station(bank, port)]),
        ModbusAdapter().open(asset, options) as device,
    ):
        readings = (await device.read()).values
        assert [reading.point for reading in readings] == [point.name for point in asset.points]
        unknown = {reading.point for reading in readings if reading.value is None}
        assert unknown <= {"setpoint_mw", "vehicle_soc_pct", "session_energy_mwh"}


def _modbus_station(bank: Ailing, port: int) -> Station:
    async def serve(told: trio.TaskStatus[object]) -> None:
        await serve_ailing(bank, port, told)

    return Station("x-1", serve)


async def test_orders_to_be_ill_are_two_registers() -> None:
    """Anything else at that place is refused; the device's own registers go on."""
    bank = Ailing(MappedBank(WIND, SimulatedOptions()))
    for wrong in ([], [1], [0, 1], [9, 1], [1, 4000], [1, 2, 3]):
        assert not bank.write(ORDER, wrong)
    assert bank.write(ORDER, [Illness.FROZEN, 5])
    order = await bank.wait_order()
    assert (order.illness, order.lasts_s) == (Illness.FROZEN, 5)
    assert bank.write(ENABLE, [0])
    assert bank.read("holding", 0, 2) is not None


async def test_an_illness_ends_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    """One that takes the server away says for how long."""
    bank, faults = Ailing(MappedBank(WIND, SimulatedOptions())), FieldFaults()
    gone_s: list[int] = []

    async def run() -> None:
        gone_s.append(await _be_ill(bank, faults))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        bank.write(ORDER, [Illness.GARBAGE, 5])
        seen = []
        for wait_s in (1, 5):
            await trio.sleep(wait_s)
            seen.append(faults.now)
        assert seen == [Fault.GARBAGE, Fault.NONE]
        bank.write(ORDER, [Illness.GONE, 7])
    assert gone_s == [7]


async def test_a_station_that_falls_is_put_up_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And its neighbour does not notice."""
    falls = trio.Event()
    begun: list[str] = []

    async def serve(name: str, told: trio.TaskStatus[object]) -> None:
        begun.append(name)
        told.started(None)
        if name == "weak" and begun.count("weak") == 1:
            await falls.wait()
            raise ConnectionError("it fell")
        await trio.sleep_forever()

    stations = [Station(name, partial(serve, name)) for name in ("weak", "steady")]
    async with open_stations(stations):
        assert begun == ["weak", "steady"]
        falls.set()
        await trio.sleep(3)
        assert begun == ["weak", "steady", "weak"]


async def test_a_station_that_never_starts_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """By its name."""

    async def serve(told: trio.TaskStatus[object]) -> None:
        await trio.sleep_forever()

    with pytest.raises(StationsDown, match="mute"):
        async with open_stations([Station("mute", serve)]):
            pass


@pytest.mark.parametrize("program", [None, "/usr/sbin/mosquitto"])
async def test_the_field_has_the_fleet_of_the_demo(
    program: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same sites, assets and kinds; points as far as the protocols have them."""
    monkeypatch.setattr("sim.field.demo.find_mosquitto", lambda: program)
    headend = Headend("127.0.0.1", 1, tls=None)
    alone = list(demo_fleet(headend, sites=1, assets_per_site=5, seed=1))
    assert plan_field(alone, tmp_path, lambda: 0).broker is None
    configs = list(demo_fleet(headend, sites=2, assets_per_site=5, seed=1))
    field = plan_field(configs, tmp_path, lambda: 0)
    assert (field.broker is None) == (program is None)
    before = [asset for config in configs for asset in config.assets]
    after = [asset for config in field.configs for asset in config.assets]
    assert [_same(asset.spec) for asset in after] == [_same(asset.spec) for asset in before]
    for was, now in zip(before, after, strict=True):
        lost = {point.name for point in was.spec.points} - {p.name for p in now.spec.points}
        assert lost <= {"available_min_mw", "energy_imported_mwh"}
    without = ["opcua", "sunspec", "modbus", "modbus", "sunspec"]
    assert [asset.adapter_name for asset in after[5:]] == (
        ["opcua", *4 * ["mqtt"]] if program else without
    )
    assert {each.asset_id for each in field.endpoints} == {asset.spec.asset_id for asset in after}


def _same(spec: AssetSpec) -> tuple[object, ...]:
    return (spec.asset_id, spec.name, spec.kind, spec.p_min_mw, spec.p_max_mw)


def test_mosquitto_is_found_where_distributions_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the PATH of a usual user."""
    asked: list[str | None] = []

    def which(_name: str, path: str | None = None) -> str | None:
        asked.append(path)
        return None

    monkeypatch.setattr("shutil.which", which)
    assert find_mosquitto() is None
    assert asked[0] is None
    assert "/usr/sbin" in str(asked[1])
