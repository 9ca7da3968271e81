"""The demo's sites over real protocols: which device speaks what, and where.

    odd sites     battery, PV                SunSpec on Modbus TCP
                  wind, EV charging          Modbus TCP by a register map
    even sites    the first battery          OPC UA
                  all others                 Sparkplug B through mosquitto; without it as above

All of it is on the loopback. The edge agents, what they are told, and what they tell are the
same as with simulated adapters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec
import trio
from msgspec.structs import replace

from adapters.modbus import ModbusAdapter
from adapters.opcua import OpcUaAdapter
from adapters.sunspec import SunSpecAdapter, SunSpecOptions
from dercp.edge.config.settings import AssetConfig, Config, Revert
from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from sim.field.ailing import Ailing, serve_ailing
from sim.field.broker import Broker, find_mosquitto
from sim.field.mapped import MappedBank, map_for
from sim.field.modbus import Bank
from sim.field.modbus_sunspec import sunspec_device
from sim.field.opcua import NAMESPACE, VirtualServer, options_for, serve_opcua
from sim.field.stations import Endpoint, Station
from sim.field.wiring import LOOPBACK, free_port, own_power_mw, simulated, wire

__all__ = ["Field", "plan_field"]

REVERT_AFTER_S: Final = 60.0
# What no SunSpec model of these devices tells.
_UNTOLD: Final = {
    Kind.STORAGE: frozenset[str](),
    Kind.PV: frozenset({"available_min_mw", "energy_imported_mwh"}),
}


class Field(msgspec.Struct, frozen=True):
    """The stations, and the agents' configurations that find them.

    Attributes:
        broker: None where there is no mosquitto, or nothing for it to do.
    """

    configs: tuple[Config, ...]
    stations: tuple[Station, ...]
    broker: Broker | None

    @property
    def endpoints(self) -> Iterator[Endpoint]:
        """Where everything is."""
        for station in self.stations:
            yield from station.endpoints


def plan_field(configs: Sequence[Config], directory: Path, clock_us: Callable[[], int]) -> Field:
    """Put the assets of these agents behind real protocols.

    Args:
        configs: Agents with simulated assets.
        directory: For the broker's configuration.
        clock_us: The wall clock of the devices.
    """
    broker = _broker(directory) if any(len(config.assets) > 1 for config in configs[1::2]) else None
    stations = [] if broker is None else [Station("mosquitto", broker.serve)]
    planned = []
    for number, config in enumerate(configs, 1):
        site = _odd_site if number % 2 else partial(_even_site, broker, clock_us)
        assets, behind = site(config)
        planned.append(replace(config, assets=assets))
        stations += behind
    return Field(tuple(planned), tuple(stations), broker)


def _broker(directory: Path) -> Broker | None:
    program = find_mosquitto()
    return None if program is None else Broker(program, directory, free_port())


_Site = tuple[tuple[AssetConfig, ...], list[Station]]


def _odd_site(config: Config) -> _Site:
    return _apart(_modbus(asset) for asset in config.assets)


def _even_site(broker: Broker | None, clock_us: Callable[[], int], config: Config) -> _Site:
    first, *others = config.assets
    opcua, opcua_station = _opcua(first)
    if broker is None:
        assets, stations = _apart(_modbus(asset) for asset in others)
    elif others:
        # aiomqtt is needed here alone.
        from sim.field.demo_sparkplug import sparkplug_site

        assets, station = sparkplug_site(config.site_id, others, broker, clock_us)
        stations = [station]
    else:
        assets, stations = (), []
    return (opcua, *assets), [opcua_station, *stations]


def _apart(pairs: Iterable[tuple[AssetConfig, Station]]) -> _Site:
    both = list(pairs)
    return tuple(asset for asset, _ in both), [station for _, station in both]


def _modbus(asset: AssetConfig) -> tuple[AssetConfig, Station]:
    match asset.spec.kind:
        case Kind.STORAGE | Kind.PV:
            return _sunspec(asset)
        case Kind.WIND | Kind.EV:
            return _mapped(asset)
        case _:
            assert_never(asset.spec.kind)


def _sunspec(asset: AssetConfig) -> tuple[AssetConfig, Station]:
    spec, port = asset.spec, free_port()
    untold = _UNTOLD[spec.kind]
    points = tuple(point for point in spec.points if point.name not in untold)
    wired = replace(
        asset,
        spec=replace(spec, points=points),
        adapter_name="sunspec",
        adapter=SunSpecAdapter(),
        options=SunSpecOptions(host=LOOPBACK, port=port),
        revert=Revert(own_power_mw(spec), REVERT_AFTER_S),
    )
    bank = sunspec_device(spec, simulated(asset))
    return wired, _modbus_station(spec, bank, port, "SunSpec", "unit 1, models from 40000 on")


def _mapped(asset: AssetConfig) -> tuple[AssetConfig, Station]:
    spec, port = asset.spec, free_port()
    wired = wire(asset, "modbus", ModbusAdapter(), map_for(spec, port))
    bank = MappedBank(spec, simulated(asset))
    return wired, _modbus_station(spec, bank, port, "Modbus", "unit 1, float32 from 0 on")


def _modbus_station(spec: AssetSpec, bank: Bank, port: int, protocol: str, place: str) -> Station:
    ailing = Ailing(bank)

    async def serve(told: trio.TaskStatus[Any]) -> None:
        await serve_ailing(ailing, port, told)

    endpoint = Endpoint(spec.asset_id, protocol, f"{LOOPBACK}:{port}", place)
    return Station(spec.asset_id, serve, [endpoint])


def _opcua(asset: AssetConfig) -> tuple[AssetConfig, Station]:
    spec, port = asset.spec, free_port()
    device = VirtualServer(spec, simulated(asset))

    async def serve(told: trio.TaskStatus[Any]) -> None:
        await serve_opcua(device, port=port, task_status=told)

    place = f"nsu={NAMESPACE};s=Device/SetpointMW"
    endpoint = Endpoint(spec.asset_id, "OPC UA", f"opc.tcp://{LOOPBACK}:{port}/", place)
    wired = wire(asset, "opcua", OpcUaAdapter(), options_for(spec, port))
    return wired, Station(spec.asset_id, serve, [endpoint])
