"""The part of the demo's field that speaks Sparkplug B; it needs aiomqtt."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
from msgspec.structs import replace

from adapters.mqtt import MqttAdapter
from adapters.mqtt.sparkplug_topics import NodeId
from dercp.edge.config.settings import AssetConfig
from dercp.model.asset import AssetSpec, FallbackValue
from sim.field.broker import Broker
from sim.field.sparkplug import SETPOINT, VirtualNode, metric_of, serve_sparkplug
from sim.field.stations import Endpoint, Station
from sim.field.wiring import LOOPBACK, own_power_mw, simulated, wire

__all__ = ["sparkplug_site"]

GROUP: Final = "dercp-demo"
_SETPOINT_POINT: Final = "setpoint_mw"


def sparkplug_site(
    site_id: str, assets: Sequence[AssetConfig], broker: Broker, clock_us: Callable[[], int]
) -> tuple[tuple[AssetConfig, ...], Station]:
    """These assets of a site as the devices of one edge node."""
    node_id = NodeId(GROUP, site_id)
    specs = [asset.spec for asset in assets]
    node = VirtualNode(node_id, specs, simulated(assets[0]), clock_us)

    async def serve(told: trio.TaskStatus[Any]) -> None:
        await serve_sparkplug(node, port=broker.port, task_status=told)

    address = f"mqtt://{LOOPBACK}:{broker.port}"
    endpoints = [
        Endpoint(
            spec.asset_id, "Sparkplug", address, f"spBv1.0/{GROUP}/+/{site_id}/{spec.asset_id}"
        )
        for spec in specs
    ]
    wired = tuple(_wired(asset, node_id, broker.port) for asset in assets)
    return wired, Station(f"{site_id}-node", serve, endpoints)


def _wired(asset: AssetConfig, node_id: NodeId, port: int) -> AssetConfig:
    # Its setpoint can be changed, and not be taken back: so it ends at what the asset does alone.
    fallback = FallbackValue(own_power_mw(asset.spec))
    settable = replace(asset, spec=replace(asset.spec, fallback=fallback))
    return wire(settable, "mqtt", MqttAdapter(), _options(asset.spec, node_id, port))


def _options(spec: AssetSpec, node_id: NodeId, port: int) -> dict[str, Any]:
    """The table [assets.options]."""
    points = (point.name for point in spec.points if point.name != _SETPOINT_POINT)
    return {
        "broker": {"host": LOOPBACK, "port": port},
        "sparkplug": {
            "host_id": f"{node_id.node}-edge",
            "group": node_id.group,
            "node": node_id.node,
            "device": spec.asset_id,
            "points": [{"point": name, "metric": metric_of(name)} for name in points],
            "setpoint": {"metric": SETPOINT},
        },
    }
