"""One model of a device: its numbers as registers say them, and registers for a number."""

import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from sunspec2 import mb  # type: ignore[import-untyped]  # it has no types

from adapters import DeviceError
from adapters.modbus._client import Write
from adapters.modbus._spans import Image, Refusal, Span, Table
from adapters.sunspec._layout import HEADER, Field, Layout

__all__ = ["Model", "Place", "RefusedError"]

# SunSpec Device Information Model Specification, sunssf: a power of ten from -10 to 10.
SCALE_MAX: Final = 10
# 52.3 / 0.1 is a little less than 523.
_FLOAT_NOISE: Final = 1e-6


class RefusedError(DeviceError):
    """The device answered with an exception where the number stands."""


class Place(msgspec.Struct, frozen=True):
    """Where a model stands in a device: the address of its id, and the length it states."""

    layout: Layout
    address: int
    length: int

    @property
    def model_id(self) -> int:
        """The number of the model."""
        return self.layout.model_id

    def field(self, name: str) -> Field | None:
        """The point by its name; None when the model as it stands here ends before it."""
        field = self.layout.fields.get(name)
        fits = field is not None and field.offset + field.size <= HEADER + self.length
        return field if fits else None

    def group_fields(self, name: str) -> Iterator[Field]:
        """The point of this name in each repetition of the model's group."""
        field = self.layout.group.get(name)
        if field is None:
            return
        for number in range(self.layout.repetitions(self.length)):
            offset = field.offset + number * self.layout.group_size
            yield msgspec.structs.replace(field, offset=offset)

    def spans(self, names: Iterable[str]) -> Iterator[Span]:
        """Where these points stand, `*.name` in all repetitions, with header and scales."""
        for name in ("ID", "L", *names):
            if name.startswith("*."):
                fields = list(self.group_fields(name.removeprefix("*.")))
            else:
                fields = [field for field in [self.field(name)] if field is not None]
            for field in fields:
                yield self.span(field)
                if isinstance(field.scale, str) and (scale := self.field(field.scale)):
                    yield self.span(scale)

    def span(self, field: Field) -> Span:
        """Where this point stands."""
        return Span(Table.HOLDING, self.address + field.offset, field.size)


class Model:
    """A model at its place, with what was read of it."""

    def __init__(self, place: Place, image: Image) -> None:
        self.place = place
        self._image = image

    def check_header(self) -> None:
        """See that it is still the model that was found there.

        Raises:
            DeviceError: It is not: the device has changed, or garbles its registers.
        """
        place = self.place
        try:
            found = [self._data(place.layout.fields[name]) for name in ("ID", "L")]
        except RefusedError:
            return  # each of its points will say so
        told = [int.from_bytes(data or b"", "big") for data in found]
        if told != [place.model_id, place.length]:
            raise DeviceError(
                f"model {place.model_id} of length {place.length} is no longer at register "
                f"{place.address}: found {told[0]} and {told[1]}"
            )

    def number(self, name: str) -> float | None:
        """The number with its scale applied.

        Returns:
            None where the device has none (not implemented); infinite where its scale factor is
            nonsense, so that there is a number but nobody can tell which.

        Raises:
            RefusedError: The device did not let it be read.
        """
        field = self.place.field(name)
        return None if field is None else self._scaled(field)

    def group_numbers(self, name: str) -> list[float]:
        """The numbers of this name in the repetitions that have one."""
        scaled = (self._scaled(field) for field in self.place.group_fields(name))
        return [number for number in scaled if number is not None]

    def text(self, name: str) -> str:
        """A text; empty where the device has none."""
        field = self.place.field(name)
        data = None if field is None else self._data(field)
        return "" if data is None else data.split(b"\0")[0].decode("utf-8", "replace").strip()

    def has(self, name: str) -> bool:
        """Whether the device implements this point."""
        return self.number(name) is not None

    def scale_of(self, name: str) -> int:
        """The power of ten that a point is written with.

        Raises:
            DeviceError: The device states none that can be.
        """
        field = self.place.field(name)
        scale = None if field is None else self._scale(field)
        if scale is None:
            raise DeviceError(
                f"model {self.place.model_id}: {name} cannot be written, its scale factor is "
                "missing or not within -10 to 10"
            )
        return scale

    def write(self, name: str, value: float) -> Write:
        """The write that gives a point this value, as near to it as its scale has numbers.

        It is rounded towards 0, so that no limit is exceeded.

        Raises:
            DeviceError: The point is missing, or cannot hold it.
        """
        field = self.place.field(name)
        if field is None:
            raise DeviceError(f"model {self.place.model_id} has no {name} here")
        exact = value / 10.0 ** self.scale_of(name)
        raw = math.trunc(exact + math.copysign(_FLOAT_NOISE, exact))
        kind: Any = mb.point_type_info[field.type]
        try:
            data: bytes = kind.to_data(raw, field.size * 2)
        except struct.error:
            data = b""
        if not data or not kind.is_impl(raw):
            raise DeviceError(f"model {self.place.model_id}: {name} cannot hold {value:g}")
        start = self.place.address + field.offset
        return Write(start, struct.unpack(f">{field.size}H", data))

    def _scaled(self, field: Field) -> float | None:
        data = self._data(field)
        if data is None:
            return None
        kind: Any = mb.point_type_info[field.type]
        raw = kind.data_to(data)
        if not kind.is_impl(raw) or math.isnan(raw):
            return None
        scale = self._scale(field)
        if scale is None:
            return math.inf
        # Dividing by a whole power of ten rounds once: 523 and -1 give 52.3.
        return float(raw * 10**scale if scale >= 0 else raw / 10**-scale)

    def _scale(self, field: Field) -> int | None:
        match field.scale:
            case None:
                return 0
            case int(scale):
                return scale
            case str(name):
                place = self.place.field(name)
                data = None if place is None else self._data(place)
                scale = SCALE_MAX + 1 if data is None else int.from_bytes(data, "big", signed=True)
                return scale if abs(scale) <= SCALE_MAX else None

    def _data(self, field: Field) -> bytes | None:
        """What stands in its registers; None when they were not read."""
        try:
            answer = self._image.at(self.place.span(field))
        except KeyError:
            return None
        if isinstance(answer, Refusal):
            raise RefusedError(str(answer))
        return struct.pack(f">{field.size}H", *answer)
