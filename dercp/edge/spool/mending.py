"""Saves what can be read of a damaged spool into a new file, and declares the rest.

The damaged file is kept beside it (`.damaged`, one of them) for whoever wants to look. A
process killed in between leaves either file whole: the new one takes the old one's place
only when it is complete.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from dercp.edge.spool.file import SpoolFile
from dercp.edge.spool.mark import Mark
from dercp.edge.spool.outbox import DropReason, Gap, Parcel, Sequences
from dercp.edge.spool.records import Identity, KeptRegistration
from dercp.edge.spool.rows import read_one

__all__ = ["Salvaged", "finish_mending", "mend"]

_LOGS = ("-wal", "-shm")


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved, and how much was not."""

    spool_id: str
    parcels: int
    lost_sequences: int
    lost_samples: int
    dispatches: int


def finish_mending(path: Path) -> None:
    """Put a new file that is complete in the old one's place; nothing, if there is none."""
    mended = _beside(path, ".mended")
    if mended.exists():
        _put_aside(path)
        mended.replace(path)


def mend(path: Path, mark: Mark | None, vfs: str | None) -> Salvaged | None:
    """Replace the file by one that can be read; None if nothing in it says whose it was.

    Raises:
        apsw.Error: The new file cannot be written.
    """
    mending = _beside(path, ".mending")
    for leftover in (mending, *_logs(mending)):
        leftover.unlink(missing_ok=True)
    salvaged = None
    try:
        old = apsw.Connection(str(path), vfs=vfs)
    except apsw.Error:
        old = None
    if old is not None:
        salvaged = _Salvage(old, mark).into(mending, vfs)
        SpoolFile(old).close()
    if salvaged is None:
        _put_aside(path)
    else:
        mending.replace(_beside(path, ".mended"))
        finish_mending(path)
    return salvaged


class _Salvage:
    """Reads a damaged file row by row. Every row may fail, and so may every query."""

    def __init__(self, db: apsw.Connection, mark: Mark | None) -> None:
        self._db = db
        self._mark = mark
        self._unreadable: list[int] = []
        self._missing: list[int] = []
        self._parcels = self._samples = 0

    def into(self, path: Path, vfs: str | None) -> Salvaged | None:
        """Save what can be read into a new file."""
        identity = self._identity()
        if identity is None:
            return None
        dispatches = dict(self._dispatches())
        new = SpoolFile(apsw.Connection(str(path), vfs=vfs))
        try:
            new.create(identity)
            new.put_back(self._readable(identity.sequence), dispatches, self._registrations())
            lost = list(self._lost(identity))
            new.put_back(lost, {})
        finally:
            new.close()
        return Salvaged(
            spool_id=identity.spool_id,
            parcels=self._parcels,
            lost_sequences=sum(gap.sequences.last - gap.sequences.first + 1 for gap in lost),
            lost_samples=sum(gap.samples for gap in lost),
            dispatches=len(dispatches),
        )

    def _identity(self) -> Identity | None:
        try:
            identity = SpoolFile(self._db).identity()
        except _UNREADABLE:
            identity = None
        if identity is not None or self._mark is None:
            return identity
        mark = self._mark
        return Identity(mark.spool_id, mark.sequence, mark.samples, mark.to_us)

    def _first(self) -> int:
        """The lowest number that may wait."""
        known = 1 if self._mark is None else max(1, self._mark.waiting_first)
        try:
            found = self._db.execute("SELECT first FROM parcel ORDER BY first LIMIT 1").get
        except apsw.Error:
            return known
        return known if found is None else min(known, max(1, int(found)))

    def _readable(self, last: int) -> Iterator[Parcel]:
        """Every parcel that can be read, one by one."""
        number = self._first()
        while number <= last:
            found: Parcel | None = None
            try:
                found = read_one(self._db, number)
            except _UNREADABLE:
                self._unreadable.append(number)
            else:
                if found is None:
                    self._missing.append(number)
            if found is None:
                number += 1
                continue
            self._parcels += 1
            self._samples += found.samples if isinstance(found, Gap) else found.frame.samples
            yield found
            number = found.sequences.last + 1

    def _lost(self, identity: Identity) -> Iterator[Gap]:
        """The rest: what waited by the mark, and was not found.

        A number that is missing has mostly been acknowledged; only if something is missed
        and nothing was unreadable, it must be there.
        """
        waited = 0 if self._mark is None else self._mark.waiting_samples
        missed = max(0, waited - self._samples)
        numbers = self._unreadable or (self._missing if missed else [])
        for count, run in _shared(missed, list(_runs(numbers))):
            yield Gap(
                sequences=run,
                from_us=0 if self._mark is None else self._mark.waiting_from_us,
                to_us=identity.to_us,
                samples=count,
                reason=DropReason.CORRUPT,
            )

    def _dispatches(self) -> Iterator[tuple[str, bytes]]:
        """The journal from its beginning and from its end, up to where each breaks off."""
        for order in ("", " DESC"):
            query = f"SELECT dispatch_id, content, crc FROM dispatch ORDER BY rowid{order}"  # noqa: S608 - our own words
            try:
                for dispatch_id, content, crc in self._db.execute(query):
                    if zlib.crc32(content) == crc:
                        yield dispatch_id, content
            except _UNREADABLE:
                continue

    def _registrations(self) -> Iterator[KeptRegistration]:
        """Up to where they break off; files of the first release have none."""
        try:
            yield from SpoolFile(self._db).registrations()
        except _UNREADABLE:
            return


_UNREADABLE = (apsw.Error, ValueError, TypeError)


def _runs(numbers: Iterable[int]) -> Iterator[Sequences]:
    """Numbers in ascending order as ranges."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield Sequences(first, last)
            first = number
        last = number
    if first is not None and last is not None:
        yield Sequences(first, last)


def _shared(samples: int, runs: Sequence[Sequences]) -> Iterator[tuple[int, Sequences]]:
    """The samples spread over the ranges by their lengths, none left over."""
    numbers = sum(run.last - run.first + 1 for run in runs)
    for run in runs:
        length = run.last - run.first + 1
        share = samples * length // numbers
        samples, numbers = samples - share, numbers - length
        yield share, run


def _put_aside(path: Path) -> None:
    # The log first: without it the file is old, but a log without its file would be read
    # into the next one.
    for suffix in (*_LOGS, ""):
        source = _beside(path, suffix)
        if source.exists():
            source.replace(_beside(path, f".damaged{suffix}"))


def _logs(path: Path) -> list[Path]:
    return [_beside(path, suffix) for suffix in _LOGS]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
