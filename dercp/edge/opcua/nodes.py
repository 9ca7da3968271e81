"""The nodes of the address space: their names, their types, how they are made."""

import asyncio  # noqa: TID251  # it runs in asyncio's world, as work of a bridge
import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from asyncua import Node, Server, ua

from dercp.model.asset import AssetSpec, PointSpec

__all__ = ["NAMESPACE", "AssetNodes", "Control", "SiteNodes", "build", "node_id"]

NAMESPACE: Final = "urn:dercp:edge"
# Item paths say ns=2: it must never be another one.
NAMESPACE_INDEX: Final = 2

_NAN: Final = math.nan
# UNECE Recommendation 20, by our own unit.
_UNECE: Final = {
    "MW": "MAW",
    "Mvar": "MAR",
    "MWh": "MWH",
    "V": "VLT",
    "Hz": "HTZ",
    "%": "P1",
    "°C": "CEL",
    "W/m²": "D54",
    "m/s": "MTS",
    "°": "DD",
    "1/min": "RPM",
}


class Control(StrEnum):
    """The last part of the node id of what may be written."""

    SETPOINT = "SetpointMW"
    SITE_DISPATCH = "SiteDispatchMW"
    RELEASE = "Release"


class AssetNodes(NamedTuple):
    """The nodes of one asset."""

    points: tuple[ua.NodeId, ...]
    setpoint: ua.NodeId
    release: ua.NodeId
    online: ua.NodeId
    last_seen: ua.NodeId
    fault_code: ua.NodeId
    last_result: ua.NodeId
    authority: ua.NodeId
    held_until: ua.NodeId
    allocation: ua.NodeId


class SiteNodes(NamedTuple):
    """The nodes of the site."""

    dispatch: ua.NodeId
    release: ua.NodeId
    last_result: ua.NodeId
    authority: ua.NodeId
    held_until: ua.NodeId


def node_id(path: str) -> ua.NodeId:
    """A node id of ours, `ns=2;s=...`."""
    return ua.NodeId(path, NAMESPACE_INDEX)


async def build(
    server: Server, specs: Sequence[AssetSpec]
) -> tuple[SiteNodes, dict[str, AssetNodes]]:
    """Make all nodes. Others have their turn between one asset and the next."""
    index = await server.register_namespace(NAMESPACE)
    if index != NAMESPACE_INDEX:
        raise RuntimeError(f"{NAMESPACE} is namespace {index}, and must be {NAMESPACE_INDEX}")
    objects = server.get_objects_node()
    assets = await _folder(objects, "Assets")
    site = await _folder(objects, "Site")
    allocations = await _folder(site, "Site/Allocations")
    nodes = {}
    for spec in specs:
        nodes[spec.asset_id] = await _asset(assets, allocations, spec)
        await asyncio.sleep(0)
    low_mw, high_mw = (
        math.fsum(spec.p_min_mw for spec in specs),
        math.fsum(spec.p_max_mw for spec in specs),
    )
    controls = await _folder(site, "Site/Controls")
    status = await _folder(site, "Site/Status")
    dispatch = await _double(controls, f"Site/Controls/{Control.SITE_DISPATCH}", writable=True)
    await _describe(dispatch, "MW", low_mw, high_mw)
    return (
        SiteNodes(
            dispatch=dispatch.nodeid,
            release=await _release(controls, "Site/Controls"),
            last_result=await _text(status, "Site/Status/LastCommandResult"),
            authority=await _text(status, "Site/Status/Authority"),
            held_until=await _time(status, "Site/Status/HeldUntil"),
        ),
        nodes,
    )


async def _asset(assets: Node, allocations: Node, spec: AssetSpec) -> AssetNodes:
    path = f"Assets/{spec.asset_id}"
    asset = await _folder(assets, path)
    telemetry = await _folder(asset, f"{path}/Telemetry")
    points = [await _point(telemetry, path, point, spec) for point in spec.points]
    controls = await _folder(asset, f"{path}/Controls")
    setpoint = await _double(controls, f"{path}/Controls/{Control.SETPOINT}", writable=True)
    await _describe(setpoint, "MW", spec.p_min_mw, spec.p_max_mw)
    status = await _folder(asset, f"{path}/Status")
    allocated = await _folder(allocations, f"Site/Allocations/{spec.asset_id}")
    allocation = await _double(allocated, f"Site/Allocations/{spec.asset_id}/MW")
    await _describe(allocation, "MW", spec.p_min_mw, spec.p_max_mw)
    return AssetNodes(
        points=tuple(points),
        setpoint=setpoint.nodeid,
        release=await _release(controls, f"{path}/Controls"),
        online=await _variable(status, f"{path}/Status/Online", False, ua.VariantType.Boolean),  # noqa: FBT003  # the value
        last_seen=await _time(status, f"{path}/Status/LastSeen"),
        fault_code=await _variable(status, f"{path}/Status/FaultCode", 0, ua.VariantType.UInt32),
        last_result=await _text(status, f"{path}/Status/LastCommandResult"),
        authority=await _text(status, f"{path}/Status/Authority"),
        held_until=await _time(status, f"{path}/Status/HeldUntil"),
        allocation=allocation.nodeid,
    )


async def _point(telemetry: Node, path: str, point: PointSpec, spec: AssetSpec) -> ua.NodeId:
    node = await _double(telemetry, f"{path}/Telemetry/{point.name}")
    low, high = point.low, point.high
    if point.unit == "MW":
        low, high = spec.p_min_mw, spec.p_max_mw
    await _describe(node, point.unit, low, high)
    return node.nodeid


async def _folder(parent: Node, path: str) -> Node:
    return await parent.add_folder(node_id(path), _name(path))


async def _double(parent: Node, path: str, *, writable: bool = False) -> Node:
    node = await parent.add_variable(node_id(path), _name(path), _NAN, ua.VariantType.Double)
    if writable:
        await node.set_writable()
    return node


async def _release(controls: Node, path: str) -> ua.NodeId:
    name = f"{path}/{Control.RELEASE}"
    node = await controls.add_variable(node_id(name), _name(name), False, ua.VariantType.Boolean)  # noqa: FBT003  # the value
    await node.set_writable()
    return node.nodeid


async def _text(parent: Node, path: str) -> ua.NodeId:
    return await _variable(parent, path, "", ua.VariantType.String)


async def _time(parent: Node, path: str) -> ua.NodeId:
    return await _variable(parent, path, None, ua.VariantType.DateTime)


async def _variable(
    parent: Node, path: str, value: int | str | None, variant: ua.VariantType
) -> ua.NodeId:
    kind = ua.NodeId(variant.value)  # built-in types are numbered alike
    node = await parent.add_variable(node_id(path), _name(path), value, variant, kind)
    return node.nodeid


async def _describe(node: Node, unit: str, low: float, high: float) -> None:
    """The engineering unit and the range, where they are known."""
    path = str(node.nodeid.Identifier)
    if unit:
        code = _UNECE.get(unit)
        eu = ua.EUInformation(
            NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact" if code else "",
            UnitId=-1 if code is None else int.from_bytes(code.encode()),
            DisplayName=ua.LocalizedText(unit),
            Description=ua.LocalizedText(unit),
        )
        await node.add_property(node_id(f"{path}/EngineeringUnits"), _STANDARD_UNITS, eu)
    if math.isfinite(low) and math.isfinite(high):
        await node.add_property(
            node_id(f"{path}/EURange"), _STANDARD_RANGE, ua.Range(Low=low, High=high)
        )


def _name(path: str) -> ua.QualifiedName:
    return ua.QualifiedName(path.rpartition("/")[2], NAMESPACE_INDEX)


_STANDARD_UNITS: Final = ua.QualifiedName("EngineeringUnits", 0)
_STANDARD_RANGE: Final = ua.QualifiedName("EURange", 0)
