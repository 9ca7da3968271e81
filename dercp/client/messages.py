"""What is said to a headend, and what it tells."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of what, and of which assets, the stream is to tell; all when left out."""

    site_id: str | None = None
    kind: str | None = None
    asset_id: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


class Update(msgspec.Struct, frozen=True):
    """An event as the headend tells it; docs/api.md lists the kinds and their data."""

    event: str
    data: msgspec.Raw
    event_id: str | None = None


class Lost(msgspec.Struct, frozen=True):
    """The headend cannot be heard; it is called again, and the stream goes on by itself."""

    because: str


class NoHeadend(Exception):
    """The first call was not answered."""


class Refused(Exception):
    """The headend, or what answers in its place, will not tell."""


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value with its unit and its worth."""

    value: float | None
    unit: str
    quality: str = ""
    reasons: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """The latest known of one asset, as `GET /assets/{id}/telemetry` has it."""

    asset_id: str
    source_time: datetime | None
    age_s: float | None
    stale: bool
    points: Mapping[str, Point]


class _Doubt(msgspec.Struct, frozen=True):
    quality: str
    reasons: tuple[str, ...] = ()


class _Table(msgspec.Struct, frozen=True):
    columns: tuple[str, ...]
    units: tuple[str, ...]
    rows: list[list[Any]]
    doubts: dict[str, dict[str, _Doubt]]


class _Telemetry(msgspec.Struct, frozen=True):
    tables: list[_Table]


# Every row begins with the asset, its source time in microseconds, its age and whether it is stale.
_FIXED = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD = _Doubt("good")


def samples(data: msgspec.Raw) -> Iterator[Sample]:
    """The rows of a telemetry update.

    Raises:
        Refused: It is none.
    """
    try:
        for table in msgspec.json.decode(data, type=_Telemetry).tables:
            for row in table.rows:
                yield _sample(table, row)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise Refused(f"its telemetry cannot be read ({error})") from error


def _sample(table: _Table, row: list[Any]) -> Sample:
    asset_id, source_time_us, age_s, stale = row[:_FIXED]
    doubts = table.doubts.get(asset_id, {})
    points = {}
    columns = zip(table.columns[_FIXED:], table.units[_FIXED:], row[_FIXED:], strict=True)
    for name, unit, value in columns:
        doubt = doubts.get(name, _GOOD)
        points[name] = Point(value, unit, doubt.quality, doubt.reasons)
    time = None if source_time_us is None else _EPOCH + timedelta(microseconds=source_time_us)
    return Sample(asset_id, time, age_s, stale, points)
