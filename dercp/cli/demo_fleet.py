"""What the demo's sites are made of: simulated devices, or virtual ones that speak protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

import msgspec
import trio
from msgspec.structs import replace

from dercp.cli.clock import utc_now_us
from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Address
from dercp.edge.config.settings import Config, OpcUaConfig, OpcUaFiles

if TYPE_CHECKING:
    from sim.field.demo import Field

__all__ = [
    "Devices",
    "Fleet",
    "OpcUaOrder",
    "Surface",
    "check_size",
    "open_fleet",
    "require_packages",
    "surface_places",
    "surfaced",
]

# An OPC UA device takes a second to start, a Modbus one some sockets.
FIELD_SITES_MAX: Final = 10
FIELD_ASSETS_MAX: Final = 100
_MODBUS: Final = (("pymodbus", "modbus"), ("sunspec2", "modbus"))
_OPCUA: Final = ("asyncua", "opcua")
_MQTT: Final = ("aiomqtt", "mqtt")


class Devices(StrEnum):
    """Which kind of virtual devices the agents speak with."""

    SIMULATED = "simulated"
    FIELD = "field"


class Surface(StrEnum):
    """Who may come in by OPC UA."""

    OPEN = "open"
    """Everybody on this machine, to read and write."""
    SECURED = "secured"
    """Trusted certificates, to read."""


class OpcUaOrder(msgspec.Struct, frozen=True):
    """The OPC UA server of the first site."""

    address: Address
    surface: Surface


class Fleet(msgspec.Struct, frozen=True):
    """The agents to run, and where their devices are, a line each."""

    configs: Sequence[Config]
    places: tuple[str, ...] = ()


def check_size(devices: Devices, *, sites: int, assets_per_site: int) -> None:
    """See that there are not more than this process can be the field for.

    Raises:
        CommandError: There are.
    """
    assets = sites * assets_per_site
    if devices is Devices.FIELD and (sites > FIELD_SITES_MAX or assets > FIELD_ASSETS_MAX):
        raise CommandError(
            f"--field is for {FIELD_SITES_MAX} sites and {FIELD_ASSETS_MAX} assets in all, "
            f"at most; asked were {sites} and {assets}",
            code=Exit.USAGE,
        )


def require_packages(devices: Devices, opcua: OpcUaOrder | None) -> None:
    """See that the packages for these are installed.

    Raises:
        CommandError: Some are missing.
    """
    wanted = [] if opcua is None else [_OPCUA]
    if devices is Devices.FIELD:
        from sim.field.broker import find_mosquitto

        wanted += [*_MODBUS, _OPCUA] if find_mosquitto() is None else [*_MODBUS, _OPCUA, _MQTT]
    missing = [(package, extra) for package, extra in wanted if find_spec(package) is None]
    if missing:
        packages = ", ".join(sorted({package for package, _ in missing}))
        extras = ",".join(sorted({extra for _, extra in missing}))
        raise CommandError(
            f"not installed, and needed for this: {packages}; pip install 'dercp[{extras}]'",
            code=Exit.UNAVAILABLE,
        )


def surfaced(config: Config, order: OpcUaOrder, directory: Path) -> Config:
    """The agent with its OPC UA server; a secured one has its certificates in the directory."""
    files = None
    if order.surface is Surface.SECURED:
        files = OpcUaFiles(directory / "opcua.der", directory / "opcua.key", _trusted(directory))
        files.trust_dir.mkdir(parents=True, exist_ok=True)
    opcua = OpcUaConfig(
        host=order.address.host,
        port=order.address.port,
        files=files,
        anonymous_reads=order.surface is Surface.SECURED,
        no_auth=order.surface is Surface.OPEN,
    )
    return replace(config, opcua=opcua)


@asynccontextmanager
async def open_fleet(
    devices: Devices, configs: Sequence[Config], directory: Path
) -> AsyncIterator[Fleet]:
    """Run what the agents need beside the block.

    Raises:
        CommandError: A virtual device did not start.
    """
    match devices:
        case Devices.SIMULATED:
            await trio.lowlevel.checkpoint()
            yield Fleet(configs)
        case Devices.FIELD:
            from sim.field.demo import plan_field
            from sim.field.stations import StationsDown, open_stations

            field = plan_field(configs, directory, utc_now_us)
            try:
                async with open_stations(field.stations):
                    yield Fleet(field.configs, tuple(_places(field)))
            except StationsDown as down:
                raise CommandError(str(down), code=Exit.UNAVAILABLE) from None


def surface_places(order: OpcUaOrder | None, directory: Path, asset_id: str) -> Iterator[str]:
    """Where the OPC UA server is, and for whom."""
    if order is None:
        return
    url = f"OPC UA   opc.tcp://{order.address}/"
    match order.surface:
        case Surface.OPEN:
            yield f"{url} ns=2;s=Assets/{asset_id}/Controls/SetpointMW, for anybody here"
        case Surface.SECURED:
            yield (
                f"{url} to read, for clients whose certificate is in {_trusted(directory)}; "
                "with --no-auth for anybody here, also to write"
            )
        case _:
            assert_never(order.surface)


def _places(field: Field) -> Iterator[str]:
    endpoints = list(field.endpoints)
    wide = max(len(each.asset_id) for each in endpoints)
    for each in endpoints:
        place = f"{each.protocol:9}  {each.address}  {each.place}"
        yield f"device   {each.asset_id:{wide}}  {place}"
    if field.broker is not None:
        yield f"broker   mosquitto, pid {field.broker.pid}"
    elif len(field.configs) > 1:
        yield "broker   none: mosquitto is not installed, so nothing speaks Sparkplug"


def _trusted(directory: Path) -> Path:
    return directory / "opcua-trusted"
