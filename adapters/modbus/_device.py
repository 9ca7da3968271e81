"""An open Modbus device, polled and commanded by its register map."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import trio

from adapters import DeviceError, Readings
from adapters._judging import reading_of, refused
from adapters.modbus._client import ModbusClient, Write, open_modbus
from adapters.modbus._options import LIVE, ModbusOptions, PointMap, SetpointMap
from adapters.modbus._registers import RegisterType, decode, encode
from adapters.modbus._spans import Image, Refusal, Span, Table, joined
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.reading import Reading

__all__ = ["ModbusAdapter"]


class MappedDevice:
    """A device that is read, and takes no setpoint."""

    def __init__(self, asset: AssetSpec, options: ModbusOptions, client: ModbusClient) -> None:
        self._asset = asset
        self._options = options
        self._client = client
        self._maps = {point.point: point for point in options.points}
        self._due_s = dict.fromkeys((LIVE, *options.poll_groups), -math.inf)
        self._readings: dict[str, Reading] = {}

    async def read(self) -> Readings:
        """All points of the asset, in its order; those that the map lacks are bad.

        Points of a slower poll group are as they were when it was read.

        Raises:
            DeviceError: It did not answer.
        """
        now_s = trio.current_time()
        due = {group for group, due_s in self._due_s.items() if due_s <= now_s}
        maps = [point for point in self._options.points if point.poll in due]
        image = await self._client.read(
            joined(
                [point.span for point in maps],
                count_max=self._options.request_registers_max,
                gap_max=self._options.gap_registers_max,
            )
        )
        for group in due - {LIVE}:
            self._due_s[group] = now_s + self._options.poll_groups[group]
        specs = {spec.name: spec for spec in self._asset.points}
        self._readings |= {
            point.point: self._reading(specs[point.point], point, image) for point in maps
        }
        return Readings(
            [
                self._readings.get(name) or reading_of(specs[name], None, self._asset)
                for name in specs
            ]
        )

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Refuse it.

        Raises:
            DeviceError: Always.
        """
        await trio.lowlevel.checkpoint()
        raise DeviceError(
            f"{self._options.endpoint}: takes no setpoint (its options have no "
            "[assets.options.setpoint])"
        )

    def _reading(self, spec: PointSpec, point: PointMap, image: Image) -> Reading:
        registers = image.at(point.span)
        if isinstance(registers, Refusal):
            return refused(spec)
        number = self._number(point, registers)
        value = None if number is None else point.value_of(number) * point.factor
        return reading_of(spec, value, self._asset)

    def _number(self, point: PointMap, registers: Sequence[int]) -> float | None:
        if point.type is None:
            return float(registers[0] >> (point.bit or 0) & 1)
        number = self._decoded(point, point.type, registers)
        return None if number in point.unknown else number

    def _decoded(
        self, place: PointMap | SetpointMap, kind: RegisterType, registers: Sequence[int]
    ) -> float:
        return decode(
            registers,
            kind,
            word_order=place.word_order or self._options.word_order,
            byte_order=place.byte_order or self._options.byte_order,
        )


class SettableDevice(MappedDevice):
    """A device that takes a setpoint."""

    def __init__(
        self,
        asset: AssetSpec,
        options: ModbusOptions,
        client: ModbusClient,
        setpoint: SetpointMap,
    ) -> None:
        super().__init__(asset, options, client)
        self._setpoint = setpoint

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Set the active power in MW and return what the device then says is in force.

        Raises:
            DeviceError: It is beyond the limits of the register map, or was not taken.
        """
        setpoint = self._setpoint
        if not setpoint.min_mw <= active_power_mw <= setpoint.max_mw:
            raise DeviceError(
                f"{self._options.endpoint}: {active_power_mw:g} MW is not within "
                f"{setpoint.min_mw:g} to {setpoint.max_mw:g} MW, the limits of the register map"
            )
        try:
            registers = encode(
                setpoint.number_of(active_power_mw / setpoint.factor),
                setpoint.type,
                word_order=setpoint.word_order or self._options.word_order,
                byte_order=setpoint.byte_order or self._options.byte_order,
            )
        except ValueError as error:
            raise DeviceError(f"{self._options.endpoint}: the setpoint: {error}") from None
        enable = setpoint.enable
        writes = [] if enable is None else [Write(enable.address, (enable.on,))]
        await self._client.write([Write(setpoint.address, registers), *writes])
        if enable is not None:
            await self._check_enable(enable.address, enable.on)
        readback = await self._ask(setpoint.readback)
        return setpoint.value_of(self._decoded(setpoint, setpoint.type, readback)) * setpoint.factor

    async def _check_enable(self, address: int, expected: int) -> None:
        (found,) = await self._ask(Span(Table.HOLDING, address, 1))
        if found != expected:
            raise DeviceError(
                f"{self._options.endpoint}: register {address} says {found} after {expected} was "
                "written"
            )

    async def _ask(self, span: Span) -> Sequence[int]:
        image = await self._client.read([span])
        answer = image.at(span)
        # A refusal alone has been raised as an error by then.
        return () if isinstance(answer, Refusal) else answer


class ReleasableDevice(SettableDevice):
    """A device whose setpoint can be taken out of force."""

    async def release(self) -> None:
        """Write `off` to the enable register.

        Raises:
            DeviceError: It was not taken, or does not stay.
        """
        enable = self._setpoint.enable
        if enable is not None:
            await self._client.write([Write(enable.address, (enable.off,))])
            await self._check_enable(enable.address, enable.off)


class ModbusAdapter:
    """Opens Modbus devices."""

    options: ClassVar[type[ModbusOptions]] = ModbusOptions

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: ModbusOptions) -> AsyncIterator[MappedDevice]:
        """Connect.

        Raises:
            DeviceError: It cannot be reached, or the map names a point that the asset has not.
        """
        names = {point.name for point in asset.points}
        for index, point in enumerate(options.points):
            if point.point not in names:
                raise DeviceError(
                    f"{asset.asset_id}: options.points[{index}].point: the asset has no point "
                    f'"{point.point}"; add it to its points or custom_points'
                )
        async with open_modbus(options.endpoint, asset.asset_id) as client:
            if options.setpoint is None:
                yield MappedDevice(asset, options, client)
            elif options.setpoint.enable is None:
                yield SettableDevice(asset, options, client, options.setpoint)
            else:
                yield ReleasableDevice(asset, options, client, options.setpoint)
