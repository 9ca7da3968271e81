"""The spool's SQLite file: everything that is done to it, on whatever thread that happens."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, assert_never

import apsw
from msgspec.structs import astuple, replace

from dercp.edge.spool.job import Job, gap_of
from dercp.edge.spool.lanes import Reading
from dercp.edge.spool.outbox import PARCEL_BYTES, Batch, DropReason, Gap, Parcel, Sequences
from dercp.edge.spool.policy import in_excess, too_old
from dercp.edge.spool.records import Done, Identity, KeptRegistration, SpoolLimits, Tally
from dercp.edge.spool.rows import PRESENT, READ, SCHEMA, SCHEMA_SINCE, checksum, parcel_of
from dercp.wire.registration import registration_id

__all__ = ["SpoolFile"]

READ_BYTES: Final = 256 * 1024
READ_PARCELS: Final = 256
# Room inside the file and its log that a full disk cannot take away.
RESERVE_BYTES: Final = 2 * 1024 * 1024
# In one transaction; with more to drop, the next one goes on.
DROPS_MAX: Final = 10_000


class SpoolFile:
    """An open file. Not for two threads at once."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._tally = Tally()
        self._dropped: list[int] = []
        self._gaps: set[int] = set()

    def close(self) -> None:
        """Let go of it; what was committed stays."""
        try:
            self._db.close()
        except apsw.Error:  # its last checkpoint failed; the log has everything
            self._db.close(force=True)

    # -------------------------------------------------------------- beginning

    def create(self, identity: Identity) -> None:
        """Make an empty spool."""
        with self._transaction():
            self._db.execute(SCHEMA)
            self._db.execute(SCHEMA_SINCE)
            self._db.execute("INSERT INTO spool VALUES (1, ?, ?, ?, ?, 0, 0, ?)", astuple(identity))

    def identity(self) -> Identity | None:
        """Whose file it is; None while it is empty.

        Raises:
            apsw.CorruptError: It is somebody's, but does not say whose.
        """
        if not self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'spool'").fetchall():
            return None
        row = self._db.execute(
            "SELECT spool_id, sequence, samples, to_us, age_s FROM spool"
        ).fetchone()
        if row is None:
            raise apsw.CorruptError("the spool has no identity")
        return Identity(*row)

    def put_back(
        self,
        parcels: Iterable[Parcel],
        dispatches: Mapping[str, bytes],
        registrations: Iterable[KeptRegistration] = (),
    ) -> None:
        """Take in what was saved from a damaged file."""
        with self._transaction():
            for kept in registrations:
                self._keep_registration(kept)
            for dispatch_id, content in dispatches.items():
                self._note(dispatch_id, content)
            for parcel in parcels:
                self._insert(parcel, 0.0, frozenset())

    def begin(self, registration: bytes) -> Tally:
        """Get ready for jobs; what comes is written under this registration."""
        with self._transaction():
            self._db.execute(SCHEMA_SINCE)
            self._begin_registration(registration)
            # What was sent before is not known, and a gap that was sent must not grow.
            self._db.execute("UPDATE parcel SET frozen = 1 WHERE reason IS NOT NULL")
        self._count()
        return self.tally()

    def reserve(self) -> None:
        """Make the file and its log so large that work goes on when the disk is full."""
        blank = "INSERT INTO frame VALUES (-1, x'', zeroblob(?), 0)"
        with self._transaction():
            self._db.execute(blank, (RESERVE_BYTES,))
        with self._transaction():
            self._db.execute("DELETE FROM frame WHERE sequence = -1")
        # The file is whole without its log: if that is torn, not everything is.
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def dispatches(self) -> Iterator[tuple[str, bytes | None]]:
        """The journal, oldest first; None where an entry cannot be read any more."""
        for dispatch_id, content, crc in self._db.execute(
            "SELECT dispatch_id, content, crc FROM dispatch ORDER BY rowid"
        ):
            yield dispatch_id, content if zlib.crc32(content) == crc else None

    def registrations(self) -> Iterator[KeptRegistration]:
        """That of what comes, and those of batches that wait; none that is not what it was."""
        for content_id, *row in self._db.execute(
            "SELECT registration_id, content, first, last FROM registration"
        ):
            kept = KeptRegistration(*row)
            if registration_id(kept.content) == content_id:
                yield kept

    def _begin_registration(self, content: bytes) -> None:
        """Let this be the present one, and forget those under which no batch waits."""
        sequence: int = self._db.execute("SELECT sequence FROM spool").get
        self._db.execute("UPDATE registration SET last = ? WHERE last = ?", (sequence, PRESENT))
        self._keep_registration(KeptRegistration(content, sequence + 1, PRESENT))
        self._db.execute(
            "DELETE FROM registration WHERE last < ? AND NOT EXISTS (SELECT 1 FROM parcel"
            " WHERE reason IS NULL AND parcel.first"
            " BETWEEN registration.first AND registration.last)",
            (PRESENT,),
        )

    def _keep_registration(self, kept: KeptRegistration) -> None:
        self._db.execute(
            "INSERT INTO registration VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET content = excluded.content, first = min(first, excluded.first),"
            " last = excluded.last",
            (registration_id(kept.content), *astuple(kept)),
        )

    # ---------------------------------------------------------------- working

    def do(
        self,
        job: Job,
        limits: SpoolLimits,
        *,
        age_s: float,
        in_hand: frozenset[int] = frozenset(),
        reading: Reading | None = None,
    ) -> Done:
        """Do a job in one transaction, make room where it takes too much, and read backlog.

        Args:
            job: What to do.
            limits: How much may be kept.
            age_s: The spool's age now.
            in_hand: First numbers of parcels that must stay as they are.
            reading: What to read afterwards.

        Raises:
            apsw.Error: Nothing of it was done.
        """
        self._dropped, self._gaps = [], set()
        if not job.is_empty:
            with self._transaction():
                self._do(job, limits, age_s, in_hand)
        backlog = [] if reading is None else self._read(reading)
        return Done(
            tally=self.tally(),
            dropped=sorted(self._dropped),
            gaps=sorted(self._gaps),
            backlog=backlog,
        )

    def tally(self) -> Tally:
        """What waits."""
        oldest = self._db.execute("SELECT first, from_us FROM parcel ORDER BY first LIMIT 1").get
        first, from_us = oldest or (None, None)
        return replace(self._tally, first=first, from_us=from_us)

    def _do(self, job: Job, limits: SpoolLimits, age_s: float, in_hand: frozenset[int]) -> None:
        for held in job.acknowledged:
            self._free(held)
        for first in job.sent_gaps:
            self._db.execute("UPDATE parcel SET frozen = 1 WHERE first = ?", (first,))
        for first, reason in job.refused.items():
            self._drop(first, reason, in_hand)
        for dispatch_id, content in job.dispatches.items():
            self._note(dispatch_id, content)
        if not job.inserts:
            return
        self._drop_too_old(age_s - limits.age_max_s, in_hand)
        for parcel in job.inserts:
            # Room first: a full disk has only what was freed before.
            if isinstance(parcel, Batch) and not self._make_room(parcel.bytes, limits, in_hand):
                self._dropped.append(parcel.sequence)
                self._insert(gap_of(parcel, limits.reason), age_s, in_hand)
            else:
                self._insert(parcel, age_s, in_hand)
        self._db.execute("UPDATE spool SET age_s = ?", (age_s,))

    # -------------------------------------------------------------- the parts

    def _free(self, held: Sequences) -> None:
        """The headend knows what became of these."""
        freed: list[Any] = self._db.execute(
            "DELETE FROM parcel WHERE first >= ? AND last <= ? RETURNING reason, bytes, samples",
            (held.first, held.last),
        ).fetchall()
        self._db.execute(
            "DELETE FROM frame WHERE sequence BETWEEN ? AND ?", (held.first, held.last)
        )
        rows: list[tuple[str | None, int, int]] = freed
        for reason, size, samples in rows:
            self._add(-1, -int(reason is not None), -size, -samples)

    def _note(self, dispatch_id: str, content: bytes | None) -> None:
        if content is None:
            self._db.execute("DELETE FROM dispatch WHERE dispatch_id = ?", (dispatch_id,))
            return
        self._db.execute(
            "INSERT INTO dispatch VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET content = excluded.content, crc = excluded.crc",
            (dispatch_id, content, zlib.crc32(content)),
        )

    def _insert(self, parcel: Parcel, age_s: float, in_hand: frozenset[int]) -> None:
        first, last = parcel.sequences.first, parcel.sequences.last
        reason: str | None = None
        match parcel:
            case Batch(_, frame):
                from_us, to_us, samples = frame.from_us, frame.to_us, frame.samples
                self._db.execute(
                    "INSERT OR REPLACE INTO frame VALUES (?, ?, ?, ?)",
                    (first, frame.registration_id, frame.payload, checksum(parcel)),
                )
            case Gap():
                from_us, to_us, samples = parcel.from_us, parcel.to_us, parcel.samples
                reason = parcel.reason
            case _:
                assert_never(parcel)
        # There already when a transaction that was thought to have failed had not.
        self._db.execute(
            "INSERT OR IGNORE INTO parcel VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 0)",
            (first, last, from_us, to_us, samples, parcel.bytes, age_s, reason),
        )
        if not self._db.changes():
            return
        self._add(1, int(reason is not None), parcel.bytes, samples)
        # What is put back after damage is older than what was numbered last.
        self._db.execute(
            "UPDATE spool SET sequence = ?1, samples = samples + ?2, to_us = ?3"
            " WHERE sequence < ?1",
            (last, samples, to_us),
        )
        if reason is not None:
            self._declare(last - first + 1, samples)
            self._join(first, in_hand)

    def _drop(self, first: int, reason: str, in_hand: frozenset[int]) -> None:
        """Make a gap of a batch; nothing, if there is no such batch any more."""
        found = self._db.execute(
            "SELECT bytes, samples FROM parcel WHERE first = ? AND reason IS NULL", (first,)
        ).get
        if found is None:
            return
        size, samples = found
        self._db.execute(
            "UPDATE parcel SET reason = ?, bytes = ? WHERE first = ?", (reason, PARCEL_BYTES, first)
        )
        self._db.execute("DELETE FROM frame WHERE sequence = ?", (first,))
        self._add(0, 1, PARCEL_BYTES - size, 0)
        self._declare(1, samples)
        self._dropped.append(first)
        self._join(first, in_hand - {first})

    def _join(self, first: int, in_hand: frozenset[int]) -> None:
        """Make one of a new gap and those beside it, as far as none of them may have been sent."""
        if first in in_hand:
            return
        before = self._db.execute(
            "SELECT first, last FROM parcel WHERE first < ? ORDER BY first DESC LIMIT 1", (first,)
        ).get
        if before is not None and before[0] not in in_hand and self._join_two(before[0], first):
            first = before[0]
        after = self._db.execute(
            "SELECT first FROM parcel WHERE first > ? ORDER BY first LIMIT 1", (first,)
        ).get
        if after is not None and after not in in_hand:
            self._join_two(first, after)
        self._gaps.add(first)

    def _join_two(self, left: int, right: int) -> bool:
        joined = self._db.execute(
            "UPDATE parcel AS a SET last = b.last, from_us = min(a.from_us, b.from_us),"
            " to_us = max(a.to_us, b.to_us), samples = a.samples + b.samples"
            " FROM parcel AS b WHERE a.first = ? AND b.first = ? AND a.reason = b.reason"
            " AND a.last + 1 = b.first AND a.frozen = 0 AND b.frozen = 0 RETURNING 1",
            (left, right),
        ).fetchall()
        if joined:
            self._db.execute("DELETE FROM parcel WHERE first = ?", (right,))
            self._add(-1, -1, -PARCEL_BYTES, 0)
            self._gaps.discard(right)
        return bool(joined)

    def _drop_too_old(self, oldest_s: float, in_hand: frozenset[int]) -> None:
        for _ in range(DROPS_MAX):
            victim = too_old(self._db, oldest_s, in_hand)
            if victim is None:
                break
            self._drop(victim, DropReason.TOO_OLD, in_hand)

    def _make_room(self, size: int, limits: SpoolLimits, in_hand: frozenset[int]) -> bool:
        """Drop what must give way to a batch of this size; False: it must give way itself."""
        while self._tally.bytes + size > limits.bytes_max:
            victim = in_excess(self._db, limits.policy, in_hand)
            if victim is None:
                return False
            self._drop(victim, limits.reason, in_hand)
        return True

    # ----------------------------------------------------------------- reading

    def _read(self, reading: Reading) -> list[Parcel]:
        """The next parcels; none behind one that turned out to be damaged, which is dropped."""
        parcels: list[Parcel] = []
        size = 0
        for row in self._db.execute(READ, (reading.start, reading.end, READ_PARCELS)):
            parcel = parcel_of(row)
            if parcel is None:
                first: int = row[0]
                with self._transaction():
                    self._drop(first, DropReason.CORRUPT, frozenset())
                break
            parcels.append(parcel)
            size += parcel.bytes
            if size >= READ_BYTES:
                break
        return parcels

    # ---------------------------------------------------------------- counting

    def _count(self) -> None:
        """Count anew what waits: at the beginning, and after a transaction that came to nothing."""
        parcels, gaps, size, samples = self._db.execute(
            "SELECT count(*), count(reason), coalesce(sum(bytes), 0), coalesce(sum(samples), 0)"
            " FROM parcel"
        ).get
        batches, lost = self._db.execute("SELECT dropped_batches, dropped_samples FROM spool").get
        self._tally = Tally(
            parcels=parcels,
            gaps=gaps,
            bytes=size,
            samples=samples,
            dropped_batches=batches,
            dropped_samples=lost,
        )

    def _add(self, parcels: int, gaps: int, size: int, samples: int) -> None:
        tally = self._tally
        self._tally = replace(
            tally,
            parcels=tally.parcels + parcels,
            gaps=tally.gaps + gaps,
            bytes=tally.bytes + size,
            samples=tally.samples + samples,
        )

    def _declare(self, batches: int, samples: int) -> None:
        tally = self._tally
        self._tally = replace(
            tally,
            dropped_batches=tally.dropped_batches + batches,
            dropped_samples=tally.dropped_samples + samples,
        )
        self._db.execute(
            "UPDATE spool SET dropped_batches = ?, dropped_samples = ?",
            (self._tally.dropped_batches, self._tally.dropped_samples),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One write transaction: committed at the end of the block, undone if that raises."""
        before = self._tally
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except Exception:
            self._tally = before
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
