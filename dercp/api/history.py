"""The history of an asset, and what is missing in it."""

import csv
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO

import msgspec
import trio

from dercp.api.fleet import found
from dercp.api.history_queries import (
    DEFAULT_ROWS,
    GapQuery,
    HistoryQuery,
    number_cursor,
    read_number_cursor,
    read_range,
    read_sample_cursor,
    sample_cursor,
)
from dercp.api.history_resources import (
    GapResource,
    HistoryResource,
    bucket_cells,
    bucket_columns,
    bucket_resource,
    gap_resource,
    sample_cells,
    sample_columns,
    sample_resource,
)
from dercp.api.ports import HistoryReader
from dercp.api.problems import HISTORY_UNAVAILABLE, Refusal
from dercp.api.resources import Page, PointName, moment, moment_or_none
from dercp.api.routes import JSON, Call, Stream
from dercp.headend.errors import HistoryUnavailable
from dercp.headend.history.views import HistorySample, HistorySpan
from dercp.model.resample import Bucket

NDJSON = "application/x-ndjson"
CSV = "text/csv"

# Told beside a part of history; more of them by /gaps.
GAPS_TOLD = 100
# Read at a time for an answer that is whole, and encoded at a stretch: some 5 ms.
ROWS_PER_READ = 4_000
ROWS_PER_CHUNK = 250
RETRY_S = 5.0

_encoder = msgspec.json.Encoder()


class Part(msgspec.Struct, frozen=True):
    """Samples or buckets in the order of time, and the cursor of those after."""

    rows: Sequence[HistorySample] | Sequence[Bucket]
    next: str | None
    bad_batches: int


class Wanted(msgspec.Struct, frozen=True):
    """Whose history, and whether as samples (no resolution) or in buckets."""

    reader: HistoryReader
    span: HistorySpan
    resolution_s: int | None

    @property
    def names(self) -> list[str]:
        """Of the points, in the order in which they are told."""
        return [point.name for point in self.span.points]

    async def part(self, cursor: str | None, limit: int) -> Part:
        """The part that begins at the cursor.

        Raises:
            Refusal: `invalid-parameters`: no cursor of this history. `history-unavailable`.
        """
        with _told():
            if self.resolution_s is None:
                after = read_sample_cursor(cursor)
                page = await self.reader.samples(self.span, after=after, limit=limit)
                return Part(page.samples, sample_cursor(page.next_after), page.bad_batches)
            span, begin_us = self.span, read_number_cursor(cursor)
            if begin_us is not None:
                begin_us = min(max(begin_us, span.from_us), span.to_us)
                span = msgspec.structs.replace(span, from_us=begin_us)
            found = await self.reader.buckets(
                span, resolution_us=self.resolution_s * 1_000_000, limit=limit
            )
            return Part(found.buckets, number_cursor(found.next_from_us), found.bad_batches)


async def get_history(call: Call[HistoryQuery]) -> Stream[HistoryResource]:
    """What was logged of one asset, in the order of time: samples, or buckets of them.

    As JSON in parts with what is known of its completeness; as NDJSON or CSV, if Accept
    says so, the whole range at once.
    """
    query, reader = call.query, call.services.history
    asset = found(call.services.reader.asset(call.id), "asset", call.id)
    from_us, to_us = read_range(query, call.services.clock())
    span = HistorySpan(
        agent_id=asset.agent_id,
        asset_id=asset.spec.asset_id,
        points=query.choose(asset.spec.points),
        from_us=from_us,
        to_us=to_us,
    )
    wanted = Wanted(reader, span, query.resolution)
    if call.media_type == JSON:
        # Asked before the part is read: what comes in meanwhile is not promised to be in it.
        with _told():
            until_us = await reader.complete_until(span.agent_id)
        part = await wanted.part(query.cursor, query.limit or DEFAULT_ROWS)
        head = await _head(wanted, part, until_us)
        return Stream(chunks=_json_chunks(head, part))
    query.must_be_whole()
    # Before the answer begins, so that it can still be a refusal.
    first = await wanted.part(None, ROWS_PER_READ)
    if call.media_type == CSV:
        return Stream(chunks=_csv_chunks(wanted, first))
    return Stream(chunks=_ndjson_chunks(wanted, first))


async def list_gaps(call: Call[GapQuery]) -> Page[GapResource]:
    """What agents declared as lost for ever, in the order in which they did.

    A page may have fewer items than asked for while there is a next one.
    """
    query = call.query
    from_us, to_us = read_range(query, call.services.clock())
    with _told():
        page = await call.services.history.gaps(
            query.agent_id,
            from_us,
            to_us,
            after=read_number_cursor(query.cursor),
            limit=query.limit,
        )
    return Page(items=list(map(gap_resource, page.gaps)), next=number_cursor(page.next_after))


async def _head(wanted: Wanted, part: Part, until_us: int | None) -> HistoryResource:
    """All of the answer but its rows."""
    span = wanted.span
    with _told():
        gaps = await wanted.reader.gaps(
            span.agent_id, span.from_us, span.to_us, after=None, limit=GAPS_TOLD
        )
    head = HistoryResource(
        asset_id=span.asset_id,
        from_=moment(span.from_us),
        to=moment(span.to_us),
        resolution_s=wanted.resolution_s,
        points=[PointName(name=point.name, unit=point.unit) for point in span.points],
        complete_until=moment_or_none(until_us),
        retained_from=moment_or_none(wanted.reader.retained_from()),
        gaps=list(map(gap_resource, gaps.gaps)),
        next_gap=number_cursor(gaps.next_after),
        bad_batches=part.bad_batches,
        next=part.next,
    )
    if wanted.resolution_s is None:
        return msgspec.structs.replace(head, samples=[])
    return msgspec.structs.replace(head, buckets=[])


async def _json_chunks(head: HistoryResource, part: Part) -> AsyncIterator[bytes]:
    """The rows go between the last two brackets of the head."""
    content = _encoder.encode(head)
    yield content[:-2]
    comma = b""
    for rows in _chunks(part):
        await trio.lowlevel.checkpoint()
        yield comma + _encoder.encode(list(map(_resource, rows)))[1:-1]
        comma = b","
    yield content[-2:]


async def _ndjson_chunks(wanted: Wanted, first: Part) -> AsyncIterator[bytes]:
    """One line of JSON for each row."""
    part: Part | None = first
    while part is not None:
        for rows in _chunks(part):
            await trio.lowlevel.checkpoint()
            yield _encoder.encode_lines(list(map(_resource, rows)))
        part = await _after(wanted, part)


async def _csv_chunks(wanted: Wanted, first: Part) -> AsyncIterator[bytes]:
    """A line of names, and one for each row."""
    names = wanted.names
    columns = sample_columns if wanted.resolution_s is None else bucket_columns
    yield _csv_lines([columns(names)])
    part: Part | None = first
    while part is not None:
        for rows in _chunks(part):
            await trio.lowlevel.checkpoint()
            yield _csv_lines([_cells(row, names) for row in rows])
        part = await _after(wanted, part)


async def _after(wanted: Wanted, part: Part) -> Part | None:
    return None if part.next is None else await wanted.part(part.next, ROWS_PER_READ)


def _chunks(part: Part) -> Iterator[Sequence[HistorySample | Bucket]]:
    rows = part.rows
    return (rows[at : at + ROWS_PER_CHUNK] for at in range(0, len(rows), ROWS_PER_CHUNK))


def _resource(row: HistorySample | Bucket) -> msgspec.Struct:
    return sample_resource(row) if isinstance(row, HistorySample) else bucket_resource(row)


def _cells(row: HistorySample | Bucket, names: Sequence[str]) -> list[object]:
    cells = sample_cells(row, names) if isinstance(row, HistorySample) else bucket_cells(row, names)
    return list(cells)


def _csv_lines(lines: Sequence[Sequence[object]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except HistoryUnavailable as error:
        raise Refusal(HISTORY_UNAVAILABLE, str(error), retry_after_s=RETRY_S) from error
