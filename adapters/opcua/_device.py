"""The adapter `opcua`: a device that is an OPC UA server."""

import asyncio  # noqa: TID251  # parts of it are the work of a bridge
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar, TypeVarTuple

from asyncua import Node, ua

from adapters import DeviceError, Readings
from adapters._bridge import Bridge, open_bridge
from adapters._scaling import unit_factor
from adapters.opcua._codes import number_in, read_value
from adapters.opcua._link import Link, moment_us, open_link
from adapters.opcua._options import OpcUaOptions, SetpointOptions
from dercp.model.asset import AssetSpec
from dercp.model.guardrail import readback_agrees
from dercp.model.quality import Quality
from dercp.model.reading import Reading

__all__ = ["OpcUaAdapter"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FIRST_VALUES_WITHIN_S: Final = 3.0
READS_BACK_WITHIN_S: Final = 2.0
READS_BACK_EVERY_S: Final = 0.1
PARTS_WITHIN_S: Final = 2.0


class OpcUaAdapter:
    """Opens a session with the server, and a subscription to the asset's points.

    Reconnecting is left to the edge, which opens the device anew: what the server knows of the
    session before is gone then, and nothing is taken for granted.
    """

    options = OpcUaOptions

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: OpcUaOptions) -> AsyncIterator["OpcUaDevice"]:
        """Connect; `DeviceError` says why that failed."""
        async with open_bridge(asset.asset_id) as bridge:
            link = await bridge.run(open_link, options)
            try:
                kind = OpcUaDevice if options.release is None else ReleasableDevice
                device = kind(asset, options, bridge, link)
                await device.begin()
                yield device
            finally:
                await bridge.finish(link.close, within_s=PARTS_WITHIN_S)


class OpcUaDevice:
    """A session, its subscription, and the nodes that are written.

    Values: as the subscription told last, each with its status. A server that falls silent is
        noticed by asyncua, which asks for its state each second.
    """

    def __init__(self, asset: AssetSpec, options: OpcUaOptions, bridge: Bridge, link: Link) -> None:
        self._asset = asset
        self._options = options
        self._bridge = bridge
        self._link = link
        self._points = {point.name: point for point in asset.points}
        self._time_us = 0
        self._setpoint: tuple[Node, Node, ua.VariantType] | None = None

    async def begin(self) -> None:
        """Find all nodes, and hear of all values once.

        Raises:
            DeviceError: A node is not there, or cannot be used.
        """
        await self._run(self._begin)

    async def read(self) -> Readings:
        """What the server told last."""
        self._check()
        readings, times_us = [], [0]
        for name, options in self._options.points.items():
            data = self._link.latest.get(name)
            point = self._points.get(name)
            if point is None:
                continue
            if data is None:
                readings.append(Reading(name, None, Quality.BAD))
                continue
            factor = unit_factor(name, options.unit) if options.unit else 1.0
            number = number_in(data)
            value = None if number is None else options.value_of(number) * factor
            readings.append(read_value(point, value, data.StatusCode, self._asset))
            times_us.append(moment_us(data.SourceTimestamp))
        # A value that has not changed keeps its time; the row is as new as its newest.
        self._time_us = max(self._time_us, *times_us)
        source_us = self._time_us if self._options.device_time and self._time_us else None
        return Readings(readings, source_us)

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write, and see what the server then says is set."""
        self._check()
        return await self._run(self._write_setpoint, active_power_mw)

    # -------------------------------------------- the work, in asyncio's world

    async def _begin(self) -> None:
        link, setpoint = self._link, self._options.setpoint
        names = {name: options.node for name, options in self._options.points.items()}
        await link.watch(names, self._options.publish_every_s)
        if setpoint is not None:
            node = await link.node(setpoint.node)
            readback = node if setpoint.readback is None else await link.node(setpoint.readback)
            self._setpoint = node, readback, await link.kind(node)
        # The server tells them all at once; what it does not tell is not known.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(link.complete.wait(), FIRST_VALUES_WITHIN_S)

    async def _write_setpoint(self, active_power_mw: float) -> float:
        options = self._options.setpoint
        if options is None or self._setpoint is None:
            raise DeviceError("site.toml names no node for the setpoint of this asset")
        node, readback, kind = self._setpoint
        per_unit = unit_factor("active_power_mw", options.unit)
        await self._link.write(node, kind, options.number_of(active_power_mw / per_unit))
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + READS_BACK_WITHIN_S
        while True:
            said_mw = _power_mw(await self._link.read(readback), options, per_unit)
            late = loop.time() >= deadline_s
            agrees = said_mw is not None and readback_agrees(
                active_power_mw, said_mw, self._asset.nameplate_mw
            )
            if said_mw is not None and (agrees or late):
                return said_mw
            if late:
                raise DeviceError("the server says nothing of the setpoint in force")
            await asyncio.sleep(READS_BACK_EVERY_S)

    # ------------------------------------------------------------------------

    def _check(self) -> None:
        if self._link.lost:
            raise DeviceError(self._link.lost)

    async def _run(self, work: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        try:
            return await self._bridge.run(work, *args)
        except (TimeoutError, ua.UaError, OSError) as error:
            raise DeviceError(str(error) or repr(error)) from error


class ReleasableDevice(OpcUaDevice):
    """One that can be given back to itself."""

    async def release(self) -> None:
        """Write what site.toml says."""
        self._check()
        await self._run(self._release)

    async def _release(self) -> None:
        options = self._options.release
        assert options is not None  # noqa: S101  # its maker has looked
        node = await self._link.node(options.node)
        await self._link.write(node, await self._link.kind(node), options.value)


def _power_mw(data: ua.DataValue, options: SetpointOptions, per_unit: float) -> float | None:
    number = number_in(data)
    if number is None or (data.StatusCode is not None and data.StatusCode.is_bad()):
        return None
    return options.value_of(number) * per_unit
