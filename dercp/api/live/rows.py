"""Telemetry of many assets as tables: lean enough for a hundred readers of a whole fleet."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from dercp.api.history_resources import DoubtResource
from dercp.api.live.events import encoder
from dercp.api.ports import ChangeFeed
from dercp.api.resources import quality_word, reason_words
from dercp.headend.fleet.changes import Layout, Sample, Subject

COLUMNS = ("asset_id", "source_time_us", "age_s", "stale")
UNITS = ("", "us", "s", "")


class _Row(NamedTuple):
    """A sample, encoded."""

    layout: Layout
    values: bytes
    # `"asset": {point: doubt}`; empty when all values are good.
    doubts: bytes


class Rows:
    """The samples of one look; each asset is encoded at most once."""

    def __init__(self, feed: ChangeFeed, time: bytes) -> None:
        self._feed = feed
        self._time = time
        self._rows: dict[str, _Row | None] = {}

    def tables(self, subjects: Sequence[Subject]) -> bytes:
        """The samples of these assets, a table for each set of points that some of them have."""
        by_layout: defaultdict[Layout, list[_Row]] = defaultdict(list)
        for asset_id, _, _ in subjects:
            row = self._row(asset_id)
            if row is not None:
                by_layout[row.layout].append(row)
        tables = b",".join(_table(layout, rows) for layout, rows in by_layout.items())
        return b'{"time":%b,"tables":[%b]}' % (self._time, tables)

    def _row(self, asset_id: str) -> _Row | None:
        try:
            return self._rows[asset_id]
        except KeyError:
            sample = self._feed.sample(asset_id)
            row = self._rows[asset_id] = None if sample is None else _encoded(sample)
            return row


def _encoded(sample: Sample) -> _Row:
    age_s = sample.age_s
    values = encoder.encode(
        (
            sample.asset_id,
            sample.source_time_us,
            None if age_s is None else round(age_s, 3),
            sample.stale,
            *sample.values,
        )
    )
    return _Row(sample.layout, values, _encoded_doubts(sample) if sample.doubtful else b"")


def _encoded_doubts(sample: Sample) -> bytes:
    doubts = {
        reading.point: DoubtResource(
            quality=quality_word(reading.quality), reasons=reason_words(reading.reasons)
        )
        for reading in sample.doubtful
    }
    return encoder.encode({sample.asset_id: doubts})[1:-1]


def _table(layout: Layout, rows: Sequence[_Row]) -> bytes:
    return b'{"columns":%b,"units":%b,"rows":[%b],"doubts":{%b}}' % (
        encoder.encode(COLUMNS + layout.points),
        encoder.encode(UNITS + layout.units),
        b",".join([row.values for row in rows]),
        b",".join([row.doubts for row in rows if row.doubts]),
    )
