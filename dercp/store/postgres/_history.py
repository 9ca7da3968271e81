"""The history in Postgres: frames as they came, and beside them what they say."""

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

import trio

from dercp.store.errors import LogFull, StoreBusy, StoreFull
from dercp.store.ports import PAGE_MAX, RowsOf, check_frames, check_gaps, check_limit
from dercp.store.postgres._bridge import Bridge, Work
from dercp.store.postgres._days import day_of, drop_used_up, make_days_ahead
from dercp.store.postgres._extent import Extent
from dercp.store.postgres._gaps import find_gaps
from dercp.store.postgres._log import Logged, append, declare
from dercp.store.postgres._pages import Wanted, find_frames
from dercp.store.postgres._prune import prune
from dercp.store.postgres._samples import Projector
from dercp.store.postgres._spools import find_sequences
from dercp.store.records import (
    Appended,
    FramePage,
    FrameRecord,
    GapPage,
    GapRecord,
    HistoryLimits,
    HistoryStatistics,
    Pruned,
    SpoolSequences,
)

T = TypeVar("T")


class PostgresHistory:
    """See `dercp.store.ports.History`.

    Characteristics:
        Writers: one at a time; the others wait here, so that they hold no connection.
        Idempotence: by the name of a batch, in the transaction that stores it. What was sent
            again after `StoreAway` is stored once.
        Room: `HistoryLimits` counts payloads. Postgres needs more, for indexes and samples,
            and gives it back a day at a time.
    """

    def __init__(
        self, bridge: Bridge, limits: HistoryLimits, rows_of: RowsOf | None, extent: Extent
    ) -> None:
        self._bridge = bridge
        self._limits = limits
        self._projector = Projector(rows_of) if rows_of is not None else None
        self._extent = extent
        self._turn = trio.Lock()
        self._made_ahead: date | None = None
        self._waiting = 0
        self._writes = 0
        self._stored = 0
        self._duplicates = 0
        self._refused = 0
        self.rows = 0
        self.unreadable = 0

    async def append(self, frames: Sequence[FrameRecord]) -> Appended:
        """Log frames, all or none."""
        check_frames(frames)
        if not frames:
            await trio.lowlevel.checkpoint()
            return Appended(stored=0, duplicates=0)
        logged: Logged = await self._write(
            lambda db: append(db, frames, self._limits, self._projector)
        )
        self._extent = logged.extent
        self._stored += logged.appended.stored
        self._duplicates += logged.appended.duplicates
        self.rows += logged.copied.rows
        self.unreadable += logged.copied.unreadable
        return logged.appended

    async def declare(self, gaps: Sequence[GapRecord]) -> None:
        """Note gaps, all or none."""
        check_gaps(gaps)
        if not gaps:
            await trio.lowlevel.checkpoint()
            return
        self._extent = await self._write(lambda db: declare(db, gaps, self._limits))

    async def prune(self, now_us: int) -> Pruned:
        """Take away some of what is too old or too much, and make room for the days to come."""
        self._extent, pruned = await self._write(lambda db: prune(db, self._limits, now_us))
        await self._keep_days(day_of(now_us))
        return pruned

    async def frames(
        self,
        tenant_id: str,
        agent_id: str,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> FramePage:
        """Frames of an agent with a source time in the range."""
        check_limit(limit)
        wanted = Wanted(tenant_id, agent_id, from_us, to_us)
        return await self._bridge.read(
            lambda db: find_frames(db, wanted, after_position or 0, limit)
        )

    async def gaps(
        self,
        tenant_id: str,
        agent_id: str | None,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> GapPage:
        """Gaps of an agent, or of all, that overlap the range."""
        check_limit(limit)
        who = (tenant_id, agent_id)
        return await self._bridge.read(
            lambda db: find_gaps(db, after_position or 0, limit, (from_us, to_us), who)
        )

    async def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        """Which batches were ever logged or declared."""
        return await self._bridge.read(lambda db: find_sequences(db, tenant_id, agent_id))

    def statistics(self) -> HistoryStatistics:
        """What is held and was done."""
        extent = self._extent
        return HistoryStatistics(
            frames=extent.last_position - extent.pruned_position,
            bytes=extent.bytes,
            bytes_max=self._limits.bytes_max,
            retained_from_us=extent.retained_from_us,
            newest_us=extent.newest_us,
            commits=self._writes,
            writes=self._writes,
            largest_group=min(1, self._writes),
            waiting=self._waiting,
            waiting_max=self._bridge.waiting_max,
            stored=self._stored,
            duplicates=self._duplicates,
            refused=self._refused,
            corrupt=0,
            set_aside=(),
            failure=self._bridge.away,
        )

    async def _write(self, work: Work[T]) -> T:
        self._waiting += 1
        try:
            async with self._turn:
                value = await self._bridge.write(work)
        except (LogFull, StoreFull):
            self._refused += 1
            raise
        finally:
            self._waiting -= 1
        self._writes += 1
        return value

    async def _keep_days(self, today: date) -> None:
        """Once a day partitions for the days to come; each time, drop what is used up."""
        if self._made_ahead != today:
            async with self._turn:
                await self._bridge.write(lambda db: make_days_ahead(db, today))
            self._made_ahead = today
        try:
            async with self._turn:
                await self._bridge.write(drop_used_up)
        except StoreBusy:
            return  # somebody reads there: it is tried again the next time
