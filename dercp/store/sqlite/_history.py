"""The ingest log and historian in SQLite: a file of its own, so that it delays no dispatch."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from dercp.store.errors import LogFull, StoreDamaged, StoreFull
from dercp.store.ports import PAGE_MAX, check_frames, check_gaps, check_limit
from dercp.store.records import (
    Appended,
    DrainMark,
    DrainStatistics,
    FramePage,
    FrameRecord,
    GapPage,
    GapRecord,
    HistoryLimits,
    HistoryStatistics,
    Pruned,
    Purpose,
    Quarantined,
    SpoolSequences,
    Undrained,
)
from dercp.store.sqlite._aside import found_aside, is_suspect, set_aside
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._contents import Held
from dercp.store.sqlite._drain import QUARANTINED_MAX, SpoolNames, find_undrained
from dercp.store.sqlite._file import open_file
from dercp.store.sqlite._fuse import Fuse
from dercp.store.sqlite._gaps import find_gaps
from dercp.store.sqlite._lock import hold_directory
from dercp.store.sqlite._log import ROW_BYTES, Append, Call, Declare, Log, NoteDrained, Prune
from dercp.store.sqlite._pages import find_frames
from dercp.store.sqlite._prune import STEP_BYTES, Keep, as_buffer, as_historian, plan
from dercp.store.sqlite._purpose import purpose_of, wipe
from dercp.store.sqlite._segments import Wanted
from dercp.store.sqlite._writer import GroupCommit, GroupLimits

HISTORY_NAME = "history.sqlite3"

_LOCK_NAME = "history.lock"
# A commit each 20 ms at most; callers wait for one each, so as many as there are sessions.
_GROUPS = GroupLimits(items=20_000, weight=16 * 2**20, spacing_s=0.02, checkpoint_pages=4_000)
# Beyond this many damaged frames, a second look at one may count it again.
_CORRUPT_KEPT = 10_000


class SqliteHistory:
    """See `dercp.store.ports.DrainableHistory`."""

    def __init__(
        self,
        calls: GroupCommit[Call, Any],
        log: Log,
        writing: Connection,
        reading: Connection,
        fuse: Fuse,
        limits: HistoryLimits,
        aside: tuple[str, ...],
        keep: Callable[[HistoryLimits, Held], Keep],
    ) -> None:
        self._calls = calls
        self._log = log
        self._writing = writing
        self._reading = reading
        self._fuse = fuse
        self._limits = limits
        self._aside = aside
        self._keep = keep
        self._names = SpoolNames()
        self._stored = 0
        self._duplicates = 0
        self._refused = 0
        self._corrupt: set[int] = set()

    async def append(self, frames: Sequence[FrameRecord]) -> Appended:
        """Log frames, all or none."""
        check_frames(frames)
        weight = sum(len(each.payload) + ROW_BYTES for each in frames)
        appended: Appended = await self._submit(Append(frames), weight)
        self._stored += appended.stored
        self._duplicates += appended.duplicates
        return appended

    async def declare(self, gaps: Sequence[GapRecord]) -> None:
        """Note gaps, all or none."""
        check_gaps(gaps)
        await self._submit(Declare(gaps), len(gaps) * ROW_BYTES)

    async def prune(self, now_us: int) -> Pruned:
        """Take away some of what is too old or too much."""
        held = self._log.held
        keep = self._keep(self._limits, held)
        cut = await self._reading.run(lambda db: plan(db, held, keep, now_us))
        pruned: Pruned = await self._submit(Prune(cut), STEP_BYTES)
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
        wanted = Wanted(from_us, to_us, tenant_id, agent_id)
        last_position = self._log.held.last_position
        found = await self._reading.run(
            lambda db: find_frames(db, wanted, after_position or 0, limit, last_position)
        )
        if len(self._corrupt) < _CORRUPT_KEPT:
            self._corrupt.update(found.corrupt)
        return found.page

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
        return await self._reading.run(
            lambda db: find_gaps(db, after_position or 0, limit, (from_us, to_us), who)
        )

    async def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        """Which batches were ever logged or declared."""
        # Between two commits, on the thread to which the stretches belong.
        with trio.CancelScope(shield=True):
            spools = await self._writing.run(
                lambda db: self._log.contents(db).sequences(tenant_id, agent_id)
            )
        return spools  # noqa: RET504  # mypy: a cancel scope may swallow what is raised

    async def undrained(self, after: DrainMark, limit: int) -> Undrained:
        """What comes after the mark."""
        check_limit(limit)
        last_position = self._log.held.last_position
        return await self._reading.run(
            lambda db: find_undrained(db, self._names, after, limit, last_position)
        )

    async def note_drained(self, mark: DrainMark, quarantined: Sequence[Quarantined] = ()) -> None:
        """Note how far the log is drained."""
        await self._calls.submit(NoteDrained(mark, quarantined), ROW_BYTES)

    def drain_statistics(self) -> DrainStatistics:
        """How far it is drained."""
        held = self._log.held
        return DrainStatistics(
            drained=held.drained,
            end=DrainMark(position=held.last_position, gap_change=held.gap_changes),
            quarantined=held.quarantined,
            quarantined_max=QUARANTINED_MAX,
        )

    def statistics(self) -> HistoryStatistics:
        """What is held and was done."""
        held, calls = self._log.held, self._calls
        return HistoryStatistics(
            frames=held.last_position - held.first_position + 1,
            bytes=held.bytes,
            bytes_max=self._limits.bytes_max,
            retained_from_us=held.retained_from_us,
            newest_us=held.newest_us,
            commits=calls.commits,
            writes=calls.writes,
            largest_group=calls.largest_group,
            waiting=calls.waiting,
            waiting_max=calls.waiting_max,
            stored=self._stored,
            duplicates=self._duplicates,
            refused=self._refused,
            corrupt=len(self._corrupt),
            set_aside=self._aside,
            failure=self._fuse.failure,
        )

    async def _submit(self, call: Call, weight: int) -> Any:
        try:
            return await self._calls.submit(call, weight)
        except (LogFull, StoreFull):
            self._refused += 1
            raise


@asynccontextmanager
async def open_history(
    directory: Path,
    limits: HistoryLimits | None = None,
    *,
    destination: str | None = None,
    purpose: Purpose = Purpose.PRODUCTION,
    vfs: str | None = None,
) -> AsyncIterator[SqliteHistory]:
    """Open the history in `directory`, which must exist, for the length of the block.

    A file too damaged to log into is set aside, whole, and a new one begun: a headend that
    cannot start would lose more than history. `HistoryStatistics.set_aside` names it for
    as long as it is there.

    Args:
        directory: The headend's data directory, on a local file system.
        limits: How much is kept.
        destination: The identity of the store that this log is drained into. What is not
            drained is then kept whatever the limits say, and what is, only for a short while.
            Another identity than the last time's: all that is here is drained again.
        purpose: What the history is made for, if it is made now.
        vfs: A registered SQLite VFS other than the system's; for tests of failing disks.

    Raises:
        StoreError: As `open_sqlite`.
    """
    limits = limits or HistoryLimits()
    path = directory / HISTORY_NAME
    with hold_directory(directory, _LOCK_NAME):
        if is_suspect(path):
            set_aside(path)
        async with AsyncExitStack() as opened:
            try:
                history = await opened.enter_async_context(
                    _open_sound(path, limits, destination, purpose, vfs)
                )
            except StoreDamaged:
                set_aside(path)
                history = await opened.enter_async_context(
                    _open_sound(path, limits, destination, purpose, vfs)
                )
            yield history


@asynccontextmanager
async def _open_sound(
    path: Path,
    limits: HistoryLimits,
    destination: str | None,
    purpose: Purpose,
    vfs: str | None,
) -> AsyncIterator[SqliteHistory]:
    fuse, keep = Fuse(path), as_historian if destination is None else as_buffer
    async with open_file(path, "history", purpose, fuse, vfs) as (writing, reading):
        log = Log(path, limits)
        await writing.run(partial(log.check, destination=destination))
        calls: GroupCommit[Call, Any] = GroupCommit(writing, log.perform, _GROUPS)
        await calls.start()
        try:
            aside = found_aside(path)
            yield SqliteHistory(calls, log, writing, reading, fuse, limits, aside, keep)
        finally:
            fuse.close()


def purpose_of_history(directory: Path) -> Purpose | None:
    """What the history in the directory was made for; None: there is none."""
    return purpose_of(directory / HISTORY_NAME)


def wipe_history(directory: Path) -> None:
    """Take the history in the directory away, damaged files that were set aside included.

    Raises:
        StoreBusy: A headend works in the directory.
        StoreUnusable: It was not made for development.
    """
    wipe(directory, HISTORY_NAME, _LOCK_NAME)
