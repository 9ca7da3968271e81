"""Puts an asset of the demo behind another adapter."""

import socket
from typing import Any, Final, assert_never

import msgspec
from msgspec.structs import replace

from adapters import Adapter
from dercp.edge.config.settings import AssetConfig
from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from sim.options import SimulatedOptions

__all__ = ["LOOPBACK", "free_port", "own_power_mw", "simulated", "wire"]

LOOPBACK: Final = "127.0.0.1"


def wire(
    asset: AssetConfig, name: str, adapter: Adapter[Any], options: dict[str, Any]
) -> AssetConfig:
    """The asset behind another adapter, with options as they stand in a site.toml."""
    converted = msgspec.convert(options, adapter.options)
    return replace(asset, adapter_name=name, adapter=adapter, options=converted)


def simulated(asset: AssetConfig) -> SimulatedOptions:
    """What the asset's virtual device is made from.

    Raises:
        TypeError: It was meant for another adapter.
    """
    options = asset.options
    if not isinstance(options, SimulatedOptions):
        raise TypeError(f"{asset.spec.asset_id}: expected a simulated asset")
    return options


def own_power_mw(spec: AssetSpec) -> float:
    """What an asset does that nobody commands: sun and wind give all, cars take all."""
    match spec.kind:
        case Kind.STORAGE:
            return 0.0
        case Kind.PV | Kind.WIND:
            return spec.p_max_mw
        case Kind.EV:
            return spec.p_min_mw
        case _:
            assert_never(spec.kind)


def free_port() -> int:
    """A port of the loopback that nobody has just now."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
