"""The ingest log on its connection's thread: one transaction for a group of calls."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, assert_never

import apsw
from outcome import Error, Maybe, Value

from dercp.model.completeness import Stretch
from dercp.store.errors import LogFull
from dercp.store.records import (
    Appended,
    DrainMark,
    FrameRecord,
    GapRecord,
    HistoryLimits,
    Pruned,
    Quarantined,
)
from dercp.store.sqlite._aside import suspect
from dercp.store.sqlite._connection import transaction
from dercp.store.sqlite._contents import Contents, Held, bytes_used
from dercp.store.sqlite._drain import adopt, note_drained
from dercp.store.sqlite._frames import DAMAGED, DELETE_FRAMES, INSERT_FRAMES
from dercp.store.sqlite._gaps import drop_filled, put_gap
from dercp.store.sqlite._prune import Cut, prune
from dercp.store.sqlite._rows import put_many
from dercp.store.sqlite._spools import Account, SpoolName, Spools

ROW_BYTES = 128
"""What a row takes beside its payload, roughly."""

STRETCHES_MAX = 1_000_000
"""Of all spools: they are kept in memory, some 200 bytes each."""


_SMALL_TABLES = ("extent", "spool", "stretch", "gap", "drain")


class Append(NamedTuple):
    """A call of `append`."""

    frames: Sequence[FrameRecord]


class Declare(NamedTuple):
    """A call of `declare`."""

    gaps: Sequence[GapRecord]


class NoteDrained(NamedTuple):
    """A call of `note_drained`."""

    mark: DrainMark
    quarantined: Sequence[Quarantined]


class Prune(NamedTuple):
    """A step of pruning, planned."""

    cut: Cut


Call: TypeAlias = Append | Declare | NoteDrained | Prune
Answer: TypeAlias = Appended | Pruned | None


class Log:
    """Performs the calls of a group in one transaction, in their order.

    All its methods run on the writing connection's thread; `held` may be read anywhere.
    """

    def __init__(self, path: Path, limits: HistoryLimits) -> None:
        self._path = path
        self._limits = limits
        self._contents: Contents | None = None
        self.held = Held()

    def check(self, db: apsw.Connection, destination: str | None) -> None:
        """Read what is kept in memory, and see that the file is fit for logging.

        Args:
            db: The writing connection, on its thread.
            destination: The store that the log is drained into, if it is.

        Raises:
            apsw.CorruptError: The end of the log, or one of the small tables, is damaged.
        """
        for table in _SMALL_TABLES:
            verdict = db.pragma("integrity_check", table)
            if verdict != "ok":
                raise apsw.CorruptError(verdict)
        with transaction(db):
            if destination is not None:
                adopt(db, destination)
            contents = self.contents(db)
            position = contents.last_position + 1
            put_many(db, INSERT_FRAMES, [(position, 0, 0, 0, 0, 0, 0, 0, b"", b"")])
            db.execute(DELETE_FRAMES, (position, position))

    def contents(self, db: apsw.Connection) -> Contents:
        """What the file holds, as far as it is kept in memory."""
        if self._contents is None:
            self._contents = Contents(db)
            self.held = self._contents.held(db)
        return self._contents

    def perform(self, calls: Sequence[Call], db: apsw.Connection) -> Sequence[Maybe[Answer]]:
        """What became of each call, now durable."""
        try:
            with transaction(db):
                contents = self.contents(db)
                room = self._room(db, contents)
                answers = [self._answer(call, room, contents, db) for call in calls]
                contents.write(db)
                held = contents.held(db)
        except Exception as error:
            self._contents = None
            if isinstance(error, DAMAGED):
                suspect(self._path)
            raise
        self.held = held
        return answers

    def _answer(
        self, call: Call, room: "_Room", contents: Contents, db: apsw.Connection
    ) -> Maybe[Answer]:
        try:
            match call:
                case Append(frames):
                    room.take(sum(len(each.payload) + ROW_BYTES for each in frames))
                    return Value(_append(frames, contents, db))
                case Declare(gaps):
                    room.take(len(gaps) * ROW_BYTES)
                    _declare(gaps, contents, db)
                    return Value(None)
                case NoteDrained(mark, quarantined):
                    contents.write(db)
                    note_drained(db, contents, mark, quarantined)
                    return Value(None)
                case Prune(cut):
                    contents.write(db)
                    return Value(prune(db, contents, cut))
                case _:
                    assert_never(call)
        except LogFull as full:
            return Error(full)

    def _room(self, db: apsw.Connection, contents: Contents) -> "_Room":
        disk = os.statvfs(self._path.parent)
        return _Room(
            self._limits,
            contents.spools,
            log_bytes=self._limits.bytes_max - bytes_used(db),
            disk_bytes=disk.f_bavail * disk.f_frsize - self._limits.disk_reserve_bytes,
        )


class _Room:
    """How much the calls of a group may still write."""

    def __init__(
        self, limits: HistoryLimits, spools: Spools, *, log_bytes: int, disk_bytes: int
    ) -> None:
        self._limits = limits
        self._spools = spools
        self._log_bytes = log_bytes
        self._disk_bytes = disk_bytes

    def take(self, count: int) -> None:
        """Claim so many bytes.

        Raises:
            LogFull: There are not as many.
        """
        if self._log_bytes < count:
            raise LogFull(
                f"the ingest log holds its {self._limits.bytes_max:,} bytes; telemetry waits at "
                "the edges until older history is pruned: allow more, or retain less"
            )
        if self._disk_bytes < count:
            raise LogFull(
                f"the disk of the ingest log is down to the {self._limits.disk_reserve_bytes:,} "
                "bytes kept for dispatches and audit; telemetry waits at the edges: free some room"
            )
        if self._spools.stretches >= STRETCHES_MAX:
            raise LogFull(
                f"the ingest log knows {STRETCHES_MAX:,} separate stretches of batches and keeps "
                "no more in memory; find the edge that sends every other batch"
            )
        self._log_bytes -= count
        self._disk_bytes -= count


def _append(frames: Sequence[FrameRecord], contents: Contents, db: apsw.Connection) -> Appended:
    stored = 0
    for frame in frames:
        name = SpoolName(frame.tenant_id, frame.agent_id, frame.spool_id)
        spool = contents.spools.find(db, name)
        if frame.sequence not in spool.stored:
            contents.add(spool, frame)
            stored += 1
            if frame.sequence in spool.declared:
                drop_filled(db, spool, frame.sequence)
    return Appended(stored=stored, duplicates=len(frames) - stored)


def _declare(gaps: Sequence[GapRecord], contents: Contents, db: apsw.Connection) -> None:
    for gap in gaps:
        name = SpoolName(gap.tenant_id, gap.agent_id, gap.spool_id)
        spool = contents.spools.find(db, name)
        stretch = Stretch(gap.first_sequence, gap.last_sequence, gap.from_us, gap.to_us)
        contents.spools.account_for(spool, Account.DECLARED, stretch)
        put_gap(db, spool, gap)
    contents.spools.save(db)
