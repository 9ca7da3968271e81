"""A virtual device that is an OPC UA server: the physics of `sim` behind nodes.

Its namespace is that of a small vendor: `Device/Measurements/<point>`, `Device/SetpointMW`,
`Device/Release`. Values are doubles in the units of the points.
"""

import asyncio  # noqa: TID251  # what is done inside of the bridge
import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import trio
from asyncua import Server, ua

from adapters._bridge import open_bridge
from dercp.model.asset import AssetSpec
from sim.field.machine import machine_for
from sim.options import SimulatedOptions

__all__ = ["NAMESPACE", "OpcUaFault", "VirtualServer", "options_for", "serve_opcua"]

NAMESPACE: Final = "urn:dercp:sim:device"
_SETPOINT: Final = "Device/SetpointMW"
_RELEASE: Final = "Device/Release"


class OpcUaFault(StrEnum):
    """What can be wrong with the device."""

    NONE = "none"
    BAD_STATUS = "bad_status"
    WRONG_TYPE = "wrong_type"  # texts where numbers belong
    FROZEN = "frozen"
    ABSURD = "absurd"  # numbers that no such plant can have
    DEAF = "deaf"  # setpoints are taken, and come to nothing


class VirtualServer:
    """The device without a network.

    Attributes:
        fault: What is wrong with it now.
    """

    def __init__(self, asset: AssetSpec, options: SimulatedOptions) -> None:
        self.fault = OpcUaFault.NONE
        self.asset = asset
        self._began_s = trio.current_time()
        self._said: Mapping[str, float | None] = {}
        self._plant = machine_for(asset, options)

    @property
    def active_power_mw(self) -> float | None:
        """What it does now."""
        return self._measured().get("active_power_mw")

    def values(self) -> dict[str, ua.DataValue]:
        """What the nodes show, by point."""
        if self.fault is not OpcUaFault.FROZEN or not self._said:
            self._said = self._measured()
        return {point.name: self._value(self._said.get(point.name)) for point in self.asset.points}

    def set(self, power_mw: float) -> None:
        """Take a setpoint."""
        if self.fault is not OpcUaFault.DEAF and math.isfinite(power_mw):
            self._plant.set(power_mw, self._now_s())

    def release(self) -> None:
        """Go back to own control."""
        if self.fault is not OpcUaFault.DEAF:
            self._plant.release(self._now_s())

    @property
    def setpoint_mw(self) -> float:
        """What is in force; NaN = nothing is."""
        said = self._measured().get("setpoint_mw")
        return math.nan if said is None else said

    def _measured(self) -> Mapping[str, float | None]:
        self._plant.advance(self._now_s())
        return self._plant.values()

    def _now_s(self) -> float:
        return trio.current_time() - self._began_s

    def _value(self, value: float | None) -> ua.DataValue:
        code, variant = ua.StatusCodes.BadNoData, ua.Variant(None, ua.VariantType.Null)
        if value is not None:
            code, variant = ua.StatusCodes.Good, ua.Variant(float(value), ua.VariantType.Double)
        match self.fault:
            case OpcUaFault.BAD_STATUS:
                code = ua.StatusCodes.BadSensorFailure
            case OpcUaFault.WRONG_TYPE:
                variant = ua.Variant("12.5", ua.VariantType.String)
            case OpcUaFault.ABSURD:
                variant = ua.Variant(1e12, ua.VariantType.Double)
        now = datetime.now(UTC)
        return ua.DataValue(variant, ua.StatusCode(code), SourceTimestamp=now, ServerTimestamp=now)


def options_for(asset: AssetSpec, port: int) -> dict[str, Any]:
    """The table [assets.options] for an agent that speaks with it."""

    def at(path: str) -> str:
        return f"nsu={NAMESPACE};s={path}"

    return {
        "endpoint": f"opc.tcp://127.0.0.1:{port}/",
        "security": "none",
        "publish_every_s": 0.2,
        "points": {
            point.name: {"node": at(f"Device/Measurements/{point.name}")} for point in asset.points
        },
        "setpoint": {"node": at(_SETPOINT), "readback": at("Device/InForceMW")},
        "release": {"node": at(_RELEASE), "value": 1.0},
    }


async def serve_opcua(
    device: VirtualServer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    interval_s: float = 0.2,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; started with the port once it listens."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    async with open_bridge(f"opcua device {device.asset.asset_id}") as bridge:
        await bridge.run(_serve, device, host, port, interval_s, task_status.started)


async def _serve(
    device: VirtualServer,
    host: str,
    port: int,
    interval_s: float,
    started: Callable[[int], None],
) -> None:
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{host}:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = await _nodes(server, device)
    space = server.iserver.aspace
    async with server:
        # asyncua names it after it has listened.
        started(int(server.bserver.port))
        try:
            while True:
                for name, value in device.values().items():
                    # Whatever its type: a lying device asks nobody.
                    data = space[nodes[name]].attributes[ua.AttributeIds.Value]
                    data.value = value
                    for handle, told in list(data.datachange_callbacks.items()):
                        await told(handle, value)
                await asyncio.sleep(interval_s)
        finally:
            # Its clock sleeps a second, and would be waited for.
            server.iserver.time_task.cancel()
            server.iserver.time_task = None


async def _nodes(server: Server, device: VirtualServer) -> dict[str, ua.NodeId]:
    index = await server.register_namespace(NAMESPACE)
    folder = await server.get_objects_node().add_folder(
        ua.NodeId("Device", index), ua.QualifiedName("Device", index)
    )

    async def add(path: str, value: float) -> ua.NodeId:
        name = ua.QualifiedName(path.rpartition("/")[2], index)
        node = await folder.add_variable(ua.NodeId(path, index), name, value, ua.VariantType.Double)
        await node.set_writable()
        return node.nodeid

    setpoint = await add(_SETPOINT, math.nan)
    in_force = await add("Device/InForceMW", math.nan)
    release = await add(_RELEASE, 0.0)

    def obey(data: Any, _attribute: ua.AttributeIds, value: ua.DataValue) -> None:
        data.attributes[ua.AttributeIds.Value].value = value
        if data.nodeid == setpoint:
            device.set(float(value.Value.Value))
        else:
            device.release()

    def show(_node: ua.NodeId, _attribute: ua.AttributeIds) -> ua.DataValue:
        return ua.DataValue(ua.Variant(device.setpoint_mw, ua.VariantType.Double))

    space = server.iserver.aspace
    for node in (setpoint, release):
        space[node].attributes[ua.AttributeIds.Value].value_setter = obey
    space.set_attribute_value_callback(in_force, ua.AttributeIds.Value, show)
    return {
        point.name: await add(f"Device/Measurements/{point.name}", math.nan)
        for point in device.asset.points
    }
