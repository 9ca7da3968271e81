"""An open SunSpec device: polled, commanded, and asked who it is."""

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import trio

from adapters import DeviceError, Identity, Readings
from adapters._judging import reading_of, refused, stale
from adapters.modbus._client import ModbusClient, Write, open_modbus
from adapters.modbus._spans import Answer, Span, Table
from adapters.sunspec._control import CONTROLS, Control, choose
from adapters.sunspec._discovery import Chain, find_chain
from adapters.sunspec._mapping import Models, needed, value_of
from adapters.sunspec._model import RefusedError
from adapters.sunspec._options import SunSpecOptions
from adapters.sunspec._polling import Poller
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.points import Kind
from dercp.model.reading import Reading

__all__ = ["SunSpecAdapter", "SunSpecDevice", "discover", "poller_of"]

_SETPOINT: Final = "setpoint_mw"
_HEARTBEATS: Final = ((715, "DERHb"), (802, "Hb"))
_IDENTITY: Final = ("Mn", "Md", "SN", "Vr")


class SunSpecDevice:
    """A device that is read, and takes no setpoint."""

    def __init__(self, asset: AssetSpec, options: SunSpecOptions, poller: Poller) -> None:
        self._asset = asset
        self._options = options
        self._poller = poller
        self._pulse = _Pulse(options.stale_after_s)

    async def read(self) -> Readings:
        """All points of the asset, in its order; those that the device lacks are bad.

        Raises:
            DeviceError: It did not answer.
        """
        models = await self._poller.poll()
        readings = [self._reading(point, models) for point in self._asset.points]
        if not self._pulse.is_felt(models):
            readings = [stale(reading) for reading in readings]
        return Readings(readings)

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Refuse it.

        Raises:
            DeviceError: Always.
        """
        await trio.lowlevel.checkpoint()
        wanted = ", ".join(sorted({str(c.model_id) for c in CONTROLS[self._asset.kind]}))
        raise DeviceError(
            f"{self._options.endpoint}: takes no setpoint (none of the models {wanted})"
        )

    async def identify(self) -> Identity:
        """Who it is, by model 1."""
        models = await self._poller.poll()
        common = models.get(1)
        texts = ["" if common is None else common.text(name) for name in _IDENTITY]
        manufacturer, model, serial, version = texts
        return Identity(manufacturer, model, serial, version)

    def _reading(self, point: PointSpec, models: Models) -> Reading:
        try:
            return reading_of(point, self._value(point.name, models), self._asset)
        except RefusedError:
            return refused(point)

    def _value(self, point: str, models: Models) -> float | None:
        return value_of(point, models, self._asset.kind, self._options.sign)


class ControlledDevice(SunSpecDevice):
    """A device that takes a setpoint, and gives it back."""

    def __init__(
        self, asset: AssetSpec, options: SunSpecOptions, poller: Poller, control: Control
    ) -> None:
        super().__init__(asset, options, poller)
        self._control = control
        self._client: ModbusClient = poller.client

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Put a power in force and return what the device then says is in force.

        Raises:
            DeviceError: It cannot be expressed, was not taken, or is not in force.
        """
        if not math.isfinite(active_power_mw):
            raise DeviceError(f"a setpoint is a number, not {active_power_mw}")
        # Scale factors of the last poll will do: were they others by now, the read-back tells.
        writes = self._control.set(self._poller.latest, active_power_mw)
        models = await self._written(writes)
        in_force_mw = self._control.setpoint_mw(models)
        if in_force_mw is None:
            raise DeviceError(
                f"{self._options.endpoint}: took the writes, but says that no setpoint is in force"
            )
        return in_force_mw

    async def release(self) -> None:
        """Take the setpoint out of force.

        Raises:
            DeviceError: It stays in force.
        """
        models = await self._written(self._control.release(self._poller.latest))
        if self._control.setpoint_mw(models) is not None:
            raise DeviceError(f"{self._options.endpoint}: keeps the setpoint in force")

    async def _written(self, writes: Sequence[Write]) -> Models:
        await self._client.write(writes)
        return await self._poller.poll()

    def _value(self, point: str, models: Models) -> float | None:
        if point != _SETPOINT:
            return super()._value(point, models)
        try:
            return self._control.setpoint_mw(models)
        except RefusedError:
            raise
        except DeviceError:
            return None  # a percentage of something unknown


class TimedDevice(ControlledDevice):
    """A device that also ends a setpoint by itself."""

    async def arm_revert(self, active_power_mw: float, within_s: float) -> None:
        """Let the device go to this power unless armed or written again within this time.

        Raises:
            DeviceError: It cannot go there, or its timer does not run.
        """
        writes = self._control.arm(self._poller.latest, active_power_mw, within_s)
        models = await self._written(writes)
        self._control.check_timer(models, within_s)


class SunSpecAdapter:
    """Opens SunSpec devices on Modbus TCP."""

    options: ClassVar[type[SunSpecOptions]] = SunSpecOptions

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: SunSpecOptions) -> AsyncIterator[SunSpecDevice]:
        """Connect, find the models, and read them once.

        Raises:
            DeviceError: It cannot be reached, or is no SunSpec device.
        """
        points = [point.name for point in asset.points]
        async with open_modbus(options.endpoint, asset.asset_id) as client:
            chain = await discover(client, options)
            poller = poller_of(client, chain, points, (asset.kind,), options)
            models = await poller.poll()
            control = choose(models, asset.kind)
            if control is None:
                yield SunSpecDevice(asset, options, poller)
            elif control.has_timer(models):
                yield TimedDevice(asset, options, poller, control)
            else:
                yield ControlledDevice(asset, options, poller, control)


def poller_of(
    client: ModbusClient,
    chain: Chain,
    points: Sequence[str],
    kinds: Sequence[Kind],
    options: SunSpecOptions,
    also: Iterable[tuple[int, str]] = (),
) -> Poller:
    """Polls what these points need on assets of these kinds, controls and identity included."""
    names: dict[int, set[str]] = {}
    for kind in kinds:
        asked = [*needed(points, kind), *_HEARTBEATS, *((1, name) for name in _IDENTITY), *also]
        asked += [name for control in CONTROLS[kind] for name in control.names]
        for model_id, name in asked:
            names.setdefault(model_id, set()).add(name)
    return Poller(client, chain, names, options.request_registers_max)


async def discover(client: ModbusClient, options: SunSpecOptions) -> Chain:
    """The models of a device.

    Raises:
        DeviceError: It did not answer, or is no SunSpec device.
    """

    async def read(start: int, count: int) -> Answer:
        span = Span(Table.HOLDING, start, count)
        answers = await client.ask([span])
        return answers.at(span)

    return await find_chain(read, options.base_addresses)


class _Pulse:
    """Whether a device's own heartbeat goes on: one that stands still measures no more."""

    def __init__(self, still_s_max: float) -> None:
        self._still_s_max = still_s_max
        self._beat: tuple[float | None, ...] = ()
        self._since_s = trio.current_time()

    def is_felt(self, models: Models) -> bool:
        """Whether it moved within the time; also of a device that has none."""
        now_s = trio.current_time()
        beat = tuple(_beat(models, model_id, name) for model_id, name in _HEARTBEATS)
        if beat != self._beat:
            self._beat, self._since_s = beat, now_s
        has_one = any(number is not None for number in beat)
        return not (self._still_s_max and has_one and now_s - self._since_s > self._still_s_max)


def _beat(models: Models, model_id: int, name: str) -> float | None:
    if model_id not in models:
        return None
    try:
        return models[model_id].number(name)
    except RefusedError:
        return None
