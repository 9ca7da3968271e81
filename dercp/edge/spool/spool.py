"""The outbox on a disk, and the disk of the dispatch journal."""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import structlog
import trio

from dercp.edge.spool.disk import Disk, DiskTrouble
from dercp.edge.spool.job import Job
from dercp.edge.spool.lanes import LaneLimits, Lanes
from dercp.edge.spool.opening import Place, SpoolPaths, hold
from dercp.edge.spool.outbox import (
    Batch,
    Draft,
    DropReason,
    Gap,
    OutboxStatistics,
    Outgoing,
    Parcel,
    Sequences,
)
from dercp.edge.spool.records import Done
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.uplink.bell import Bell

__all__ = ["Spool", "in_line", "in_thread", "open_memory_outbox", "open_spool"]

T = TypeVar("T")

# An acknowledgement may wait for the next batch's transaction; lost, it only costs a repetition.
LAZY_S: Final = 1.0
RETRY_S: Final = 5.0
# What is kept while the disk takes nothing.
UNSAVED_BYTES_MAX: Final = 4 * 1024 * 1024
MEMORY_BYTES_MAX: Final = 32 * 1024 * 1024
WARN_AT: Final = (0.95, 0.8, 0.5)


class Runner(Protocol):
    """How work that may take a disk's time is run."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """What the work returns."""
        ...


async def in_thread(work: Callable[[], T]) -> T:
    """Run it beside the plant. Once begun it is finished, whoever is cancelled."""
    return await trio.to_thread.run_sync(work)


async def in_line(work: Callable[[], T]) -> T:
    """Run it at once: for what is in memory, and where time is virtual."""
    await trio.lowlevel.checkpoint()
    return work()


class Spool:
    """An outbox that survives its process.

    Characteristics:
        Bound: `bytes_max` bytes and `age_max_h` hours of the agent's running time; what is
            on its way, and gaps, do not give way.
        When full: as the policy says; each batch that gives way is part of a gap.
        Order: by number, in two lanes; see `lanes`.
        Survives: the process, with all that was put; with sync = "full" a power cut, too.
        Disk full: with less than 64 MiB free, what it holds is the limit. If the disk takes
            nothing, 4 MiB are kept in memory, not sent, and beyond that dropped and declared.
    """

    def __init__(
        self,
        disk: Disk,
        run: Runner,
        on_unsent: Callable[[], None],
        lane_limits: LaneLimits,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._disk = disk
        self._run = run
        self._on_unsent = on_unsent
        self._log = log
        self._lanes = Lanes(lane_limits)
        identity = disk.identity
        self._spool_id = identity.spool_id
        self._sequence = self._saved = identity.sequence
        self._tally = disk.tally
        self._job = Job()
        self._bell = Bell()
        self._lazy_at_s = math.inf
        self._trouble = ""
        # Registrations that no headend can be told.
        self._unreadable: set[bytes] = set()
        self._groups = 0
        self._settled = 0
        self._settling = trio.Event()
        self._warned_at = 0.0

    @property
    def spool_id(self) -> str:
        """Within which the sequence counts."""
        return self._spool_id

    # ---------------------------------------------------------------- the work

    async def run(self) -> None:
        """Commit what comes, read what is to be sent, and keep the lanes' times."""
        while True:
            with trio.move_on_at(self._next_s()):
                await self._bell.wait()
            now_s = trio.current_time()
            self._lanes.pass_time(now_s)
            if self._is_due(now_s) or self._lanes.reading() is not None:
                await self._work()
            if self._lanes.next(now_s) is not None:
                self._on_unsent()

    async def finish(self) -> None:
        """Commit the last, and close the file."""
        if not self._job.is_empty:
            await self._work()
        await self._run(self._disk.close)

    def _next_s(self) -> float:
        now_s = trio.current_time()
        if self._lanes.reading() is not None and not self._trouble:
            return now_s
        return min(self._lazy_at_s, self._lanes.next_change_s(now_s))

    def _is_due(self, now_s: float) -> bool:
        if self._job.is_empty:
            return False
        return self._job.is_urgent or now_s >= self._lazy_at_s

    async def _work(self) -> None:
        """One transaction with all that has come since the last one."""
        job, self._job = self._job, Job()
        self._lazy_at_s = math.inf
        self._groups += 1
        group = self._groups
        reading = self._lanes.reading()
        try:
            done = await self._run(
                partial(
                    self._disk.do,
                    job,
                    at_s=trio.current_time(),
                    in_hand=self._lanes.in_hand,
                    reading=reading,
                )
            )
        except DiskTrouble as error:
            self._not_done(job, error)
        except Exception:
            self._job = job.before(self._job)
            raise
        else:
            if reading is not None:
                self._lanes.take_in(reading, self._readable(done.backlog))
            self._done(job, done)
        self._settled = group
        self._settling.set()
        self._settling = trio.Event()
        self._on_unsent()

    def _done(self, job: Job, done: Done) -> None:
        if self._trouble:
            self._log.info("spool_disk_well_again")
            self._trouble = ""
        self._tally = done.tally
        for first in done.gaps:
            self._lanes.read_again(first)
        dropped = frozenset(done.dropped)
        for parcel in job.inserts:
            self._saved = parcel.sequences.last
            if isinstance(parcel, Batch) and parcel.sequence not in dropped:
                self._lanes.offer(parcel)
            else:
                self._lanes.skip(self._saved)
        if done.dropped:
            self._log.warning("spool_dropped", batches=len(done.dropped), first=done.dropped[0])
        self._warn()

    def _not_done(self, job: Job, trouble: DiskTrouble) -> None:
        """The disk takes nothing: keep a little, and declare the rest."""
        if trouble.word != self._trouble:
            self._log.error("spool_disk_trouble", why=str(trouble), unsaved=len(job.inserts))
        self._trouble = trouble.word
        self._lazy_at_s = trio.current_time() + RETRY_S
        self._job = job.before(self._job)
        self._job.shorten(UNSAVED_BYTES_MAX, DropReason.DISK_FULL)

    def _warn(self) -> None:
        """Say when the spool is half full, nearly full, full; and again after it was not."""
        share = self._tally.bytes / self._disk.bytes_max
        reached = next((mark for mark in WARN_AT if share >= mark), 0.0)
        if reached > self._warned_at:
            self._log.warning(
                "spool_filling",
                share=round(share, 2),
                bytes=self._tally.bytes,
                samples=self._tally.samples,
            )
        if reached > self._warned_at or share < self._warned_at - 0.1:
            self._warned_at = reached

    # ------------------------------------------------------------------ coming

    async def put(self, draft: Draft) -> None:
        """Give the frame the next number and keep it; afterwards a killed process has it."""
        self._sequence += 1
        self._job.inserts.append(Batch(self._sequence, draft))
        await self.commit()

    def note(self, dispatch_id: str, content: bytes | None) -> int:
        """Keep an entry of the journal, or forget it. Settled when `settled` reaches the number."""
        self._job.dispatches[dispatch_id] = content
        self._job.is_urgent = True
        self._bell.ring()
        return self._groups + 1

    def note_later(self, dispatch_id: str, content: bytes | None) -> None:
        """The same, with whatever is written next."""
        self._job.dispatches[dispatch_id] = content
        self._be_lazy()
        self._bell.ring()

    @property
    def dispatches(self) -> dict[str, bytes]:
        """The journal's entries as they were found, oldest first."""
        return self._disk.dispatches

    @property
    def settled(self) -> int:
        """Notes up to this number are on the disk, or the disk takes nothing."""
        return self._settled

    async def commit(self) -> bool:
        """Wait until all that came before is on the disk; False if the disk does not take it."""
        group = self._groups
        if not self._job.is_empty:
            group += 1
            self._job.is_urgent = True
            self._bell.ring()
        while self._settled < group:
            await self._settling.wait()
        return not self._trouble

    # ------------------------------------------------------------------- going

    def begin_session(self) -> None:
        """A session is up: all that is here is backlog, what comes from now on is live."""
        self._lanes.open(self._saved + 1)
        self._bell.ring()

    def end_session(self) -> None:
        """It is over: nothing is on its way any more."""
        self._lanes.close()

    def next_unsent(self) -> Outgoing | None:
        """What is to be sent now; the same again until `sent` or `refused`."""
        return self._lanes.next(trio.current_time())

    def sent(self, outgoing: Outgoing) -> None:
        """The parcel has left."""
        self._lanes.sent(outgoing, trio.current_time())
        if isinstance(outgoing.parcel, Gap):
            self._job.sent_gaps.add(outgoing.parcel.sequences.first)
            self._be_lazy()
        self._bell.ring()

    def registration(self, registration_id: bytes) -> bytes | None:
        """The schema that batches here were written under; None where it was not kept."""
        return self._disk.registrations.get(registration_id)

    def refused(self, batch: Batch, reason: str) -> None:
        """The batch can never be sent: declare it."""
        self._lanes.withdraw(lambda parcel: parcel is batch, trio.current_time())
        self._declare([batch], reason)

    def unreadable(self, sequence: int) -> None:
        """The headend cannot know what this batch was written under: declare all such batches."""
        parcel = self._lanes.in_flight(sequence)
        if isinstance(parcel, Batch):
            self._unreadable.add(parcel.frame.registration_id)
            taken = self._lanes.withdraw(self._is_unreadable, trio.current_time())
            self._declare(taken, DropReason.UNKNOWN_REGISTRATION)

    def _readable(self, parcels: Sequence[Parcel]) -> Sequence[Parcel]:
        """Those which a headend can read; the others are declared, and read again as gaps."""
        if not self._unreadable:
            return parcels
        unreadable = [parcel for parcel in parcels if self._is_unreadable(parcel)]
        self._declare(unreadable, DropReason.UNKNOWN_REGISTRATION)
        return [parcel for parcel in parcels if not self._is_unreadable(parcel)]

    def _is_unreadable(self, parcel: Parcel) -> bool:
        return isinstance(parcel, Batch) and parcel.frame.registration_id in self._unreadable

    def _declare(self, parcels: Sequence[Parcel], reason: DropReason | str) -> None:
        if parcels:
            self._job.refused.update((parcel.sequences.first, reason) for parcel in parcels)
            self._job.is_urgent = True
            self._bell.ring()

    def acknowledged(self, spool_id: str, ranges: Sequence[Sequences]) -> None:
        """The headend holds these durably, batches and declarations."""
        if spool_id != self._spool_id:
            self._log.warning("acknowledgement_of_another_spool", spool_id=spool_id)
            return
        held = [Sequences(r.first, min(r.last, self._saved)) for r in ranges]
        self._lanes.acknowledged(held, trio.current_time())
        self._job.acknowledge(held)
        self._be_lazy()
        self._bell.ring()
        self._on_unsent()

    def statistics(self) -> OutboxStatistics:
        """The counts now; those of what waits are up to a second old."""
        tally, lanes = self._tally, self._lanes
        return OutboxStatistics(
            spool_id=self._spool_id,
            waiting=tally.parcels,
            waiting_bytes=tally.bytes,
            waiting_samples=tally.samples,
            waiting_gaps=tally.gaps,
            bytes_max=self._disk.bytes_max,
            oldest_us=tally.from_us,
            last_sequence=self._sequence,
            dropped_batches=tally.dropped_batches,
            dropped_samples=tally.dropped_samples,
            in_flight=lanes.flights,
            in_flight_bytes=lanes.flight_bytes,
            live_waiting=lanes.live_waiting,
            backlog_waiting=lanes.backlog_waiting,
            trouble=self._trouble or self._disk.trouble,
        )

    def _be_lazy(self) -> None:
        self._lazy_at_s = min(self._lazy_at_s, trio.current_time() + LAZY_S)


@asynccontextmanager
async def open_spool(
    directory: Path,
    agent_id: str,
    settings: SpoolSettings,
    on_unsent: Callable[[], None],
    log: structlog.typing.FilteringBoundLogger,
    *,
    registration: bytes = b"",
    runner: Runner = in_thread,
    vfs: str | None = None,
) -> AsyncIterator[Spool]:
    """Open an agent's spool for the length of the block. Its `run` is the caller's to run.

    Args:
        directory: Made if it is not there.
        agent_id: Names the files.
        settings: How much is kept and how it is sent.
        on_unsent: Called when there may be something to send.
        log: Told of what is lost and what is in the way.
        registration: What is put is written under it. It is kept for as long as that waits,
            for a headend that never met it.
        runner: Where the disk's work is done.
        vfs: A registered SQLite VFS other than the system's; for tests of failing disks.

    Raises:
        SpoolUnusable: The directory cannot be written, or another agent works in it.
    """
    paths = SpoolPaths(directory, agent_id)
    with hold(paths):
        began_s = trio.current_time()
        place = Place(paths=paths, registration=registration, sync=settings.sync, log=log, vfs=vfs)
        disk = await runner(partial(Disk.open, place, settings, began_s))
        limits = LaneLimits(
            backlog_bytes_per_s=settings.backlog_bytes_per_s,
            backlog_share=settings.backlog_share,
        )
        spool = Spool(disk, runner, on_unsent, limits, log)
        try:
            yield spool
        finally:
            with trio.CancelScope(shield=True):
                await spool.finish()


@asynccontextmanager
async def open_memory_outbox(
    on_unsent: Callable[[], None],
    log: structlog.typing.FilteringBoundLogger,
    bytes_max: int = MEMORY_BYTES_MAX,
) -> AsyncIterator[Spool]:
    """An outbox for as long as the process lives; when it is full, the oldest give way."""
    disk = Disk.in_memory(SpoolSettings(bytes_max=bytes_max), trio.current_time())
    spool = Spool(disk, in_line, on_unsent, LaneLimits(), log)
    try:
        yield spool
    finally:
        disk.close()
