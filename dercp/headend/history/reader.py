"""Reads history out of the log: batches of an agent become samples of an asset."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio
from msgspec.structs import replace

from dercp.headend.agents.intake import schema_of
from dercp.headend.errors import HistoryUnavailable
from dercp.headend.history.spool_accounts import SpoolAccounts
from dercp.headend.history.views import (
    BucketPage,
    GapView,
    GapViews,
    HistorySample,
    SampleKey,
    SamplePage,
)
from dercp.model.completeness import complete_until, joined
from dercp.model.latest import stamped
from dercp.model.resample import Resampler
from dercp.store.errors import StoreError
from dercp.store.ports import PAGE_MAX
from dercp.wire import v1
from dercp.wire.errors import WireError
from dercp.wire.registration import decode_registration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dercp.headend.history.archive import Archive
    from dercp.headend.history.views import HistorySpan, SpoolAccount
    from dercp.headend.settings import HeadendSettings
    from dercp.model.asset import PointSpec, Registration
    from dercp.model.reading import Reading
    from dercp.store.ports import Registry
    from dercp.store.records import FrameRecord
    from dercp.wire.payload import PayloadSchema, Row

# Fewer are never read at once: most calls of the store cost the same for one.
FRAMES_MIN = 64
# All there is: the store's times are signed numbers of 64 bits.
_EVER = (-(2**62), 2**62)
# Rows decoded at a stretch, about 2 ms; a frame that has more is decoded as one.
ROWS_PER_TURN = 4_000

_key = attrgetter("key")


class HistoryReader:
    """Answers what was logged of an asset, from the batches as they came.

    A batch is read with the registration it was written under. Of a point, only values in
    the unit that is asked for are given; a custom point may have changed its own.

    Characteristics:
        Order: by source time, then by arrival, whatever the order of the log.
        Twice: the archive gives each batch once, so each sample is given once.
        Bound: `history_reads_max` reads at a time, the others wait their turn; each holds a
            page of frames and one page of its answer. `history_layouts_max` registrations
            are remembered; the longest unused is forgotten.
        Bad batches: left out and counted, they keep no other one back.
    """

    def __init__(self, registry: Registry, archive: Archive, *, settings: HeadendSettings) -> None:
        self._registry = registry
        self._archive = archive
        self._settings = settings
        self._turns = trio.CapacityLimiter(settings.history_reads_max)
        self._layouts: OrderedDict[bytes, _Layout] = OrderedDict()

    async def samples(
        self, span: HistorySpan, *, after: SampleKey | None, limit: int
    ) -> SamplePage:
        """The first `limit` samples of the span, those after `after` if it is given.

        Raises:
            HistoryUnavailable: The store cannot read.
        """
        if after is not None and after.source_time_us > span.from_us:
            span = replace(span, from_us=after.source_time_us)
        # One more, to know whether there is a page after this one.
        earliest = _Earliest(span.to_us, after, limit + 1)
        bad_batches = await self._scan(span, earliest, min(PAGE_MAX, max(FRAMES_MIN, limit + 1)))
        samples = tuple(earliest.samples[:limit])
        more = len(earliest.samples) > limit
        return SamplePage(
            samples=samples,
            next_after=samples[-1].key if more else None,
            bad_batches=bad_batches,
        )

    async def buckets(self, span: HistorySpan, *, resolution_us: int, limit: int) -> BucketPage:
        """The span's samples in buckets: those within the first `limit` buckets of the span.

        Raises:
            HistoryUnavailable: The store cannot read.
        """
        folding = _Folding(span.to_us, resolution_us)
        end_us = folding.resampler.start_of(span.from_us) + limit * resolution_us
        if end_us < span.to_us:
            folding.to_us = end_us
        bad_batches = await self._scan(span, folding, PAGE_MAX)
        return BucketPage(
            buckets=tuple(folding.resampler.buckets()),
            next_from_us=end_us if end_us < span.to_us else None,
            bad_batches=bad_batches,
        )

    async def complete_until(self, agent_id: str) -> int | None:
        """The time up to which all that the agent took is logged or declared as a gap.

        Raises:
            HistoryUnavailable: The store cannot read.
        """
        with _store_told():
            spools = await self._archive.sequences(self._settings.tenant_id, agent_id)
        return complete_until(joined(spool.stored, spool.declared) for spool in spools)

    def retained_from(self) -> int | None:
        """History older than this has been aged out, at least in part; None: none has."""
        return self._archive.retained_from()

    async def gaps(
        self, agent_id: str | None, from_us: int, to_us: int, *, after: int | None, limit: int
    ) -> GapViews:
        """Gaps of an agent, or of all, that overlap the range.

        Raises:
            HistoryUnavailable: The store cannot read.
        """
        tenant_id = self._settings.tenant_id
        with _store_told():
            page = await self._archive.gaps(tenant_id, agent_id, from_us, to_us, after, limit)
        gaps = tuple(
            GapView(
                agent_id=gap.agent_id,
                spool_id=gap.spool_id,
                first_sequence=gap.first_sequence,
                last_sequence=gap.last_sequence,
                from_us=gap.from_us,
                to_us=gap.to_us,
                samples=gap.samples,
                reason=gap.reason,
                declared_us=gap.declared_us,
            )
            for gap in page.gaps
        )
        return GapViews(gaps=gaps, next_after=page.next_after)

    async def spools(self, agent_id: str) -> tuple[SpoolAccount, ...]:
        """What is held of each spool of an agent, that seen first in front; all of it is read.

        Raises:
            HistoryUnavailable: The store cannot read.
        """
        accounts, tenant_id = SpoolAccounts(), self._settings.tenant_id
        async with self._turns:
            scan = self._archive.frames(tenant_id, agent_id)
            with _store_told():
                while (page := await scan.next_page(*_EVER, PAGE_MAX)) is not None:
                    for frame in page.frames:
                        accounts.add_frame(frame)
                after: int | None = 0
                while after is not None:
                    gaps = await self._archive.gaps(tenant_id, agent_id, *_EVER, after, PAGE_MAX)
                    for gap in gaps.gaps:
                        accounts.add_gap(gap)
                    after = gaps.next_after
                known = await self._archive.sequences(tenant_id, agent_id)
        return accounts.close(known)

    async def _scan(self, span: HistorySpan, collector: _Collector, frames_max: int) -> int:
        """Show the collector each row of the span; return how many batches were unreadable."""
        bad_batches = rows_since = 0
        async with self._turns:
            scan = self._archive.frames(self._settings.tenant_id, span.agent_id)
            while True:
                with _store_told():
                    page = await scan.next_page(span.from_us, collector.to_us, frames_max)
                if page is None:
                    return bad_batches
                bad_batches += page.corrupt
                for frame in page.frames:
                    rows_since += frame.samples
                    if rows_since > ROWS_PER_TURN:
                        await trio.lowlevel.checkpoint()
                        rows_since = 0
                    try:
                        await self._show(frame, span, collector)
                    except WireError:
                        bad_batches += 1

    async def _show(self, frame: FrameRecord, span: HistorySpan, collector: _Collector) -> None:
        layout = await self._layout(frame.registration_id)
        asset_index = layout.indexes.get(span.asset_id)
        if asset_index is None:
            return
        points = layout.points(asset_index, span)
        for number, row in enumerate(layout.schema.decode(frame.payload).rows):
            source_time_us = row.source_time_us
            if row.asset_index == asset_index and span.from_us <= source_time_us < collector.to_us:
                key = SampleKey(
                    source_time_us, frame.ingest_time_us, frame.spool_id, frame.sequence, number
                )
                collector.take(key, _Values(layout.schema, row, points, frame.ingest_time_us))

    async def _layout(self, registration_id: bytes) -> _Layout:
        """How the batches of a registration are read.

        Raises:
            WireError: Nobody knows the registration, or it cannot be read.
        """
        if layout := self._layouts.get(registration_id):
            self._layouts.move_to_end(registration_id)
            return layout
        with _store_told():
            record = await self._registry.find_registration(registration_id)
        if record is None:
            raise WireError(
                v1.RejectCode.UNKNOWN_REGISTRATION,
                f"registration {registration_id[:16].hex()} is not in the registry",
            )
        registration = decode_registration(record.content, self._settings.registration)
        layout = _Layout(registration, schema_of(registration, self._settings))
        self._layouts[registration_id] = layout
        if len(self._layouts) > self._settings.history_layouts_max:
            self._layouts.popitem(last=False)
        return layout


class _Layout:
    """How batches of one registration are read."""

    def __init__(self, registration: Registration, schema: PayloadSchema) -> None:
        self._assets = registration.assets
        self.schema = schema
        self.indexes = {asset.asset_id: index for index, asset in enumerate(registration.assets)}
        # A scan asks the same for each of its frames.
        self._asked: tuple[int, tuple[PointSpec, ...]] | None = None
        self._points = frozenset[str]()

    def points(self, asset_index: int, span: HistorySpan) -> frozenset[str]:
        """Those asked for which the asset had then, in the same unit."""
        asked = (asset_index, span.points)
        if self._asked != asked:
            units = {point.name: point.unit for point in self._assets[asset_index].points}
            self._points = frozenset(
                point.name for point in span.points if units.get(point.name) == point.unit
            )
            self._asked = asked
        return self._points


class _Values(NamedTuple):
    """The values of a row, read out when they are wanted: many rows of a scan are not."""

    schema: PayloadSchema
    row: Row
    points: frozenset[str]
    ingest_time_us: int

    def read(self) -> tuple[Reading, ...]:
        """Those which are wanted."""
        readings = self.schema.readings(self.row)
        if len(readings) > len(self.points):
            readings = tuple(each for each in readings if each.point in self.points)
        return stamped(readings, self.row.source_time_us, self.ingest_time_us)


class _Collector(Protocol):
    """What becomes of the rows of a scan. It may bring `to_us` nearer as it learns more."""

    to_us: int

    def take(self, key: SampleKey, values: _Values) -> None:
        """Use the row, or do not."""


class _Earliest:
    """Keeps the earliest of all samples, in order, at most `count`."""

    def __init__(self, to_us: int, after: SampleKey | None, count: int) -> None:
        self.to_us = to_us
        self.samples: list[HistorySample] = []
        self._after = after
        self._count = count

    def take(self, key: SampleKey, values: _Values) -> None:
        if self._after is not None and key <= self._after:
            return
        full = len(self.samples) == self._count
        if full and key > self.samples[-1].key:
            return
        if full:
            self.samples.pop()
        insort(self.samples, HistorySample(key=key, readings=values.read()), key=_key)
        if len(self.samples) == self._count:
            # Nothing later will be wanted: the store need not look there.
            self.to_us = self.samples[-1].key.source_time_us + 1


class _Folding:
    """Folds all samples into buckets."""

    def __init__(self, to_us: int, resolution_us: int) -> None:
        self.to_us = to_us
        self.resampler = Resampler(resolution_us)

    def take(self, key: SampleKey, values: _Values) -> None:
        self.resampler.add(key.source_time_us, values.read())


@contextmanager
def _store_told() -> Iterator[None]:
    """What the store says becomes what the headend says."""
    try:
        yield
    except StoreError as error:
        raise HistoryUnavailable(str(error)) from error
