"""The telemetry payload: rows of values in the order that the registration gave them.

This is the hot path. A headend decodes every frame, and somebody reads perhaps one row in
a hundred; so a row is checked when it arrives (its asset, its count of values, its time)
and its values stay where google.protobuf (upb) put them until `readings` is asked for.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from operator import ge, le
from typing import Final

import msgspec

from dercp.model.asset import PointSpec, Registration
from dercp.model.quality import Quality, Reason, judge, worst
from dercp.model.reading import Reading
from dercp.wire._codec import YEAR_10000_US, parse
from dercp.wire.errors import WireError
from dercp.wire.v1 import RejectCode
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "PAYLOAD_ROWS_MAX",
    "DeclaredQuality",
    "Frame",
    "PayloadSchema",
    "Row",
    "RowDraft",
    "encode_payload",
]

PAYLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
PAYLOAD_ROWS_MAX: Final = 10_000
"""As many as a registration may have assets; of ten points each they take 0.9 MB."""

_QUALITIES: Final = frozenset(map(int, Quality))
_REASONS: Final = sum(Reason)


class DeclaredQuality(msgspec.Struct, frozen=True, gc=False):
    """What the edge says of one value that is not good."""

    point_index: int
    quality: Quality
    reasons: Reason = Reason.NONE


class RowDraft(msgspec.Struct, frozen=True):
    """One asset's values on their way out, one per registered point; None = not known."""

    asset_index: int
    source_time_us: int
    values: Sequence[float | None]
    qualities: Sequence[DeclaredQuality] = ()


class Row(msgspec.Struct, frozen=True, gc=False):
    """One asset's values as they came, read out by `PayloadSchema.readings`.

    Holding a row holds the whole frame it came in.
    """

    asset_index: int
    source_time_us: int
    content: upb.AssetRow


class Frame:
    """What one payload says, column by column. An asset may have several rows, in their order.

    Attributes:
        base_time_us: What the times in the rows count from.
        contents: The rows as they came; each holds the whole frame.
        asset_indexes: Whose row it is, by the registration.
        times_us: When the values of each row were taken.
    """

    __slots__ = ("asset_indexes", "base_time_us", "contents", "times_us")

    def __init__(
        self,
        base_time_us: int,
        contents: list[upb.AssetRow],
        asset_indexes: list[int],
        times_us: list[int],
    ) -> None:
        self.base_time_us = base_time_us
        self.contents = contents
        self.asset_indexes = asset_indexes
        self.times_us = times_us

    @property
    def rows(self) -> list[Row]:
        """The same, row by row."""
        return list(map(Row, self.asset_indexes, self.times_us, self.contents))


class PayloadSchema:
    """Reads and drafts the payloads that are written under one registration."""

    def __init__(
        self,
        registration: Registration,
        *,
        bytes_max: int = PAYLOAD_BYTES_MAX,
        rows_max: int = PAYLOAD_ROWS_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self._rows_max = rows_max
        # Assets of one kind mostly have the same points: they share a layout.
        layouts = {asset.points: _Layout(asset.points) for asset in registration.assets}
        self._layouts = [layouts[asset.points] for asset in registration.assets]
        self._counts = [len(asset.points) for asset in registration.assets]

    def decode(self, payload: bytes) -> Frame:
        """Read a payload and check it against the registration.

        Raises:
            WireError: BAD_PAYLOAD or TOO_LARGE.
        """
        _check_most(len(payload), self._bytes_max, "bytes")
        message = parse(upb.TelemetryPayload, payload, RejectCode.BAD_PAYLOAD)
        _check_most(len(message.rows), self._rows_max, "rows")
        return self._frame(message)

    def readings(self, row: Row) -> tuple[Reading, ...]:
        """The row's values, each with the worse of the quality declared and the quality seen.

        A value whose quality is bad is None. Declarations about points that the asset does
        not have, and reasons that this version does not know, are passed over.
        """
        return self._layouts[row.asset_index].readings(row.content)

    def good_values(self, row: Row) -> Sequence[float] | None:
        """The row's values, when each of them is known and good; else None.

        The short way for whoever reads whole fleets: mostly there is nothing to doubt.
        """
        return self._layouts[row.asset_index].good_values(row.content)

    def points(self, row: Row) -> Sequence[PointSpec]:
        """What the row's values are, in their order; one object for all assets that are alike."""
        return self._layouts[row.asset_index].points

    def oddities(self, frame: Frame) -> int:
        """How many of the frame's values are infinite or out of their physical range."""
        pairs = zip(frame.asset_indexes, frame.contents, strict=True)
        return sum(self._layouts[index].oddities(content) for index, content in pairs)

    def draft(self, asset_index: int, source_time_us: int, readings: Iterable[Reading]) -> RowDraft:
        """A row of these readings, in any order; a point that none speaks of is not known.

        Raises:
            KeyError: A reading of a point that the asset does not have.
        """
        values, qualities = self._layouts[asset_index].draft(readings)
        return RowDraft(asset_index, source_time_us, values, qualities)

    def _frame(self, message: upb.TelemetryPayload) -> Frame:
        # Column by column: one look into a row at a time costs half of a loop over the rows.
        contents = list(message.rows)
        base_us = message.base_time_us
        indexes = [content.asset_index for content in contents]
        times_us = [base_us + content.time_offset_us for content in contents]
        try:
            expected = [self._counts[index] for index in indexes]
        except IndexError:
            raise self._fault(contents, times_us) from None
        if [len(content.values) for content in contents] != expected:
            raise self._fault(contents, times_us)
        if times_us and not (min(times_us) >= 0 and max(times_us) < YEAR_10000_US):
            raise self._fault(contents, times_us)
        return Frame(base_us, contents, indexes, times_us)

    def _fault(self, contents: Sequence[upb.AssetRow], times_us: Sequence[int]) -> WireError:
        """The first of the faults that were found."""
        for position, (content, time_us) in enumerate(zip(contents, times_us, strict=True)):
            what = self._fault_of(content, time_us)
            if what:
                return WireError(RejectCode.BAD_PAYLOAD, f"rows[{position}]: {what}")
        raise AssertionError("there is no fault")

    def _fault_of(self, content: upb.AssetRow, time_us: int) -> str:
        index, values = content.asset_index, len(content.values)
        if index >= len(self._counts):
            return f"asset {index}, but the registration has {len(self._counts)} (counted from 0)"
        if values != self._counts[index]:
            return f"{values} values of asset {index}, which has {self._counts[index]} points"
        if not 0 <= time_us < YEAR_10000_US:
            return f"taken at {time_us} µs of Unix time, expected the years 1970 to 9999"
        return ""


class _Layout:
    """How the values of a row lie, for all assets that have the same points."""

    def __init__(self, points: Sequence[PointSpec]) -> None:
        self.points = points
        self._index = {point.name: index for index, point in enumerate(points)}
        # Narrowed to finite numbers: one comparison then finds what is in order.
        largest = sys.float_info.max
        self._ranges = [
            (point.name, max(point.low, -largest), min(point.high, largest)) for point in points
        ]
        self._lows = [low for _, low, _ in self._ranges]
        self._highs = [high for _, _, high in self._ranges]

    def readings(self, content: upb.AssetRow) -> tuple[Reading, ...]:
        readings = [
            Reading(name, value)
            if low <= value <= high
            else Reading(name, *judge(value, low, high))
            for (name, low, high), value in zip(self._ranges, content.values[:], strict=True)
        ]
        # No more declarations are read than there are points: the registration bounds the work.
        for declared in content.qualities[: len(readings)]:
            index = declared.point_index
            if index < len(readings):
                readings[index] = _degraded(readings[index], declared)
        return tuple(readings)

    def good_values(self, content: upb.AssetRow) -> Sequence[float] | None:
        if content.qualities:
            return None
        values = content.values[:]
        # Not a number is not within anything.
        within = all(map(le, self._lows, values)) and all(map(ge, self._highs, values))
        return values if within else None

    def oddities(self, content: upb.AssetRow) -> int:
        count = 0
        for (_, low, high), value in zip(self._ranges, content.values[:], strict=True):
            if not low <= value <= high and not math.isnan(value):
                count += 1
        return count

    def draft(
        self, readings: Iterable[Reading]
    ) -> tuple[Sequence[float | None], Sequence[DeclaredQuality]]:
        values: list[float | None] = [None] * len(self.points)
        qualities = []
        for reading in readings:
            index = self._index[reading.point]
            values[index] = reading.value
            if reading.quality is not Quality.GOOD or reading.reasons:
                qualities.append(DeclaredQuality(index, reading.quality, reading.reasons))
        return values, qualities


def encode_payload(base_time_us: int, rows: Iterable[RowDraft]) -> bytes:
    """The bytes of these rows; times near `base_time_us` (Unix time) make them small.

    Raises:
        ValueError: A number does not fit its field.
    """
    message = upb.TelemetryPayload(base_time_us=base_time_us)
    for row in rows:
        content = message.rows.add(
            asset_index=row.asset_index,
            time_offset_us=row.source_time_us - base_time_us,
            values=[math.nan if value is None else value for value in row.values],
        )
        for declared in row.qualities:
            content.qualities.add(
                point_index=declared.point_index,
                quality=declared.quality,
                reasons=declared.reasons,
            )
    return message.SerializeToString()


def _degraded(reading: Reading, declared: upb.ValueQuality) -> Reading:
    """The reading with what the edge said of it taken into account."""
    # A quality of a later version is one that we cannot vouch for.
    stated = Quality(declared.quality) if declared.quality in _QUALITIES else Quality.BAD
    quality = worst((reading.quality, stated))
    return Reading(
        reading.point,
        None if quality is Quality.BAD else reading.value,
        quality,
        reading.reasons | Reason(declared.reasons & _REASONS),
    )


def _check_most(count: int, most: int, what: str) -> None:
    if count > most:
        raise WireError(
            RejectCode.TOO_LARGE, f"a payload of {count} {what}, at most {most} are read"
        )
