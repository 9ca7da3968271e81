"""`dercp demo --field`: the demo's sites over real protocols, seen by everybody's own tools."""

import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from asyncua import Client, ua
from processes import Api, Dercp, eventually, open_api, running
from pymodbus.client import ModbusTcpClient
from sunspec2.modbus.client import (  # type: ignore[import-untyped]  # it has no types
    SunSpecModbusClientDeviceTCP,
)

from adapters._bridge import open_bridge
from sim.field.ailing import ORDER, Illness
from sim.field.broker import find_mosquitto

BATTERY = "demo-01-bess-1"
OPCUA_BATTERY = "demo-02-bess-1"
WIND = "demo-01-wind-1"
NODE = ("demo-02-ev-1", "demo-02-pv-1", "demo-02-wind-1")
NEIGHBOURS = (BATTERY, "demo-01-pv-1", "demo-01-ev-1", OPCUA_BATTERY)
# Unknown while nobody has set one, which is no fault.
SETPOINT = "setpoint_mw"
GONE_S = 2
STARTS_WITHIN_S = 60


class Plant:
    """The demo, and where it says that its devices are."""

    def __init__(self, demo: Dercp, api: Api, greeting: str, surface: str) -> None:
        self.demo = demo
        self.api = api
        self.surface = surface
        self.protocols = dict(re.findall(r"device +(\S+) +(\w+(?: UA)?) ", greeting))
        self.addresses = dict(re.findall(r"device +(\S+) +.*?(\S+:\d+)", greeting))
        pid = re.search(r"mosquitto, pid (\d+)", greeting)
        self.broker_pid = None if pid is None else int(pid[1])

    def port(self, asset_id: str) -> int:
        """Where its device listens."""
        return int(self.addresses[asset_id].rpartition(":")[2])

    async def latest(self, asset_id: str) -> dict[str, Any]:
        """What is known of it."""
        return await self.api.get(f"/assets/{asset_id}/telemetry")

    async def is_well(self, asset_id: str) -> bool:
        """Whether all is fresh and good."""
        latest = await self.latest(asset_id)
        points = {name: point["quality"] for name, point in latest["points"].items()}
        points.pop(SETPOINT)
        return not latest["stale"] and set(points.values()) == {"good"}

    async def are_well(self, asset_ids: Iterable[str]) -> bool | None:
        """Whether all of all of them is."""
        return all([await self.is_well(asset_id) for asset_id in asset_ids]) or None

    async def is_lost(self, asset_id: str) -> bool:
        """Whether it is said that the device cannot be reached."""
        point = (await self.latest(asset_id))["points"]["active_power_mw"]
        told = point["quality"], point["value"]
        return told == ("bad", None) and "device_comms_lost" in point["reasons"]

    async def wait_power(self, asset_id: str, power_mw: float, *, within_s: float) -> None:
        """Until the asset is measured at this power."""

        async def look() -> bool | None:
            value = (await self.latest(asset_id))["points"]["active_power_mw"]["value"]
            return (value is not None and abs(value - power_mw) <= 0.02) or None

        await eventually(look, within_s=within_s, what=f"{asset_id} at {power_mw} MW")


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@asynccontextmanager
async def open_plant() -> AsyncIterator[Plant]:
    """The demo with its field and its surface; its broker does not outlive it."""
    surface = f"127.0.0.1:{free_port()}"
    async with running(
        *("demo", "--field", "--opcua", surface, "--no-auth"),
        *("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
    ) as demo:
        greeting = await demo.wait_printed("Ctrl-C ends it.", within_s=STARTS_WITHIN_S)
        url = re.search(r"API +(http://\S+)/docs", greeting)
        assert url is not None
        async with open_api(url[1]) as api:
            try:
                yield Plant(demo, api, greeting, f"opc.tcp://{surface}/")
            finally:
                if demo.process.poll() is None:
                    with trio.CancelScope(shield=True):
                        await demo.stop(signal.SIGINT)


async def test_the_field_answers_obeys_falls_ill_and_recovers() -> None:
    """One demo, four chapters."""
    async with open_plant() as plant:
        await find_all_as_simulated(plant)
        await see_a_dispatch_in_the_registers(plant)
        await write_as_the_scada(plant)
        await take_servers_away(plant)
        assert await plant.demo.stop(signal.SIGINT) == 0
        assert "0 actor crashes" in plant.demo.printed


async def find_all_as_simulated(plant: Plant) -> None:
    """The same assets, fresh and good, each by its protocol."""
    ids = [asset["id"] for asset in (await plant.api.get("/assets"))["items"]]
    kinds = ("bess", "ev", "pv", "wind")
    assert ids == [f"demo-{site:02d}-{kind}-1" for site in (1, 2) for kind in kinds]
    assert sorted(plant.protocols) == ids
    assert plant.protocols[BATTERY] == "SunSpec"
    assert plant.protocols[WIND] == "Modbus"
    assert plant.protocols[OPCUA_BATTERY] == "OPC UA"
    if find_mosquitto():
        assert {plant.protocols[each] for each in NODE} == {"Sparkplug"}
    await eventually(partial(plant.are_well, ids), within_s=20, what="all fresh and good")


async def see_a_dispatch_in_the_registers(plant: Plant) -> None:
    """Watts in the holding registers of model 704, by pysunspec2; and by OPC UA at the other."""
    sunspec = partial(read_model_704, plant.port(BATTERY))
    assert (await trio.to_thread.run_sync(sunspec))["WSetEna"] == 0
    for asset_id, power_mw in ((BATTERY, -0.5), (OPCUA_BATTERY, 0.75), (NODE[1], 0.2)):
        taken = await plant.api.dispatch(
            asset_id, asset_id=asset_id, setpoint_mw=power_mw, duration_s=60
        )
        await plant.api.wait_state(taken["id"], "applied", within_s=8)
    registers = await trio.to_thread.run_sync(sunspec)
    assert registers["WSetEna"] == 1
    assert registers["WSet"] == -500_000
    # The device's own timer runs as well.
    assert 0 < registers["WSetRvrtRem"] <= 60
    await plant.wait_power(BATTERY, -0.5, within_s=8)
    await plant.wait_power(OPCUA_BATTERY, 0.75, within_s=8)


def read_model_704(port: int) -> dict[str, Any]:
    """What an independent client reads."""
    peer = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port)
    try:
        peer.scan()
        model = peer.models[704][0]
        model.read()
        return {name: point.cvalue for name, point in model.points.items()}
    finally:
        peer.close()


async def write_as_the_scada(plant: Plant) -> None:
    """It is a dispatch at the headend, with its authority; the asset follows the newer word."""

    async def write(client: Client) -> None:
        node = client.get_node(f"ns=2;s=Assets/{BATTERY}/Controls/SetpointMW")
        await node.write_value(ua.Variant(0.8, ua.VariantType.Double))

    await as_scada(plant.surface, write)

    async def told() -> dict[str, Any] | None:
        items = (await plant.api.get(f"/dispatches?asset_id={BATTERY}"))["items"]
        found: dict[str, Any] = items[0]
        return found if found["authority"] == "local_operator" else None

    dispatch = await eventually(told, within_s=8, what="the local dispatch at the headend")
    assert dispatch["setpoint_mw"] == 0.8
    assert dispatch["state"] in {"acked", "applied", "following"}
    await plant.wait_power(BATTERY, 0.8, within_s=8)
    asset = await plant.api.get(f"/assets/{BATTERY}")
    assert asset["control"]["authority"] == "local_operator"


async def as_scada(url: str, work: Callable[[Client], Awaitable[None]]) -> None:
    """Do this as a client of the surface."""

    async def connected() -> None:
        async with Client(url, timeout=8) as client:
            await work(client)

    async with open_bridge("scada") as bridge:
        with trio.fail_after(20):
            await bridge.run(connected)


async def take_servers_away(plant: Plant) -> None:
    """One closes its port for a while, the broker is killed: bad with the reason, then good."""
    ill = [WIND] if plant.broker_pid is None else [WIND, *NODE]
    lost: set[str] = set()
    await trio.to_thread.run_sync(order, plant.port(WIND), Illness.GONE, GONE_S)
    if plant.broker_pid is not None:
        os.kill(plant.broker_pid, signal.SIGKILL)

    async def watch() -> bool | None:
        assert await plant.are_well(NEIGHBOURS), "a neighbour suffers"
        lost.update([each for each in ill if await plant.is_lost(each)])
        return (lost == set(ill) and await plant.are_well(ill)) or None

    await eventually(watch, within_s=25, what=f"{ill} lost, and well again")


def order(port: int, illness: Illness, lasts_s: int) -> None:
    """Tell a device to be ill, by pymodbus."""
    with ModbusTcpClient("127.0.0.1", port=port) as peer:
        answer = peer.write_registers(ORDER, [illness, lasts_s], device_id=1)
        assert not answer.isError()
