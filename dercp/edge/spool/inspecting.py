"""Looks into an agent's spool without touching it, while the agent runs or not."""

import zlib
from pathlib import Path
from typing import Any

import apsw
import msgspec

from dercp.edge.spool.mark import read_mark
from dercp.edge.spool.opening import SpoolPaths, SpoolUnusable

__all__ = ["ReasonSummary", "SpoolSummary", "inspect_spool"]


class ReasonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The gaps of one reason that the headend has not acknowledged."""

    reason: str
    gaps: int
    batches: int
    samples: int
    from_us: int
    to_us: int


class SpoolSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool holds. Times are those of the samples, by the edge's clock."""

    file: str
    file_bytes: int
    spool_id: str
    last_sequence: int
    batches: int
    batch_bytes: int
    samples: int
    first_sequence: int | None
    oldest_us: int | None
    newest_us: int | None
    gaps: tuple[ReasonSummary, ...]
    dropped_batches: int
    dropped_samples: int
    # Of the dispatch journal.
    dispatches: int
    corrupt_dispatches: int
    # Numbers that the mark knows of and the file does not: they are declared at the next start.
    torn_sequences: int


def inspect_spool(data_dir: Path, agent_id: str) -> SpoolSummary:
    """Read an agent's spool as it stands.

    Raises:
        SpoolUnusable: There is none, or it cannot be read; the sentence says why.
    """
    paths = SpoolPaths(data_dir, agent_id)
    if not paths.file.exists():
        raise SpoolUnusable(f"{paths.file}: no such file; the agent has kept nothing here")
    try:
        db = apsw.Connection(str(paths.file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return _summary(db, paths)
        finally:
            db.close()
    except apsw.Error as error:
        raise SpoolUnusable(
            f"{paths.file}: cannot be read ({error}); the agent mends it when it starts"
        ) from error


def _summary(db: apsw.Connection, paths: SpoolPaths) -> SpoolSummary:
    db.set_busy_timeout(5_000)
    db.execute("BEGIN")  # one picture, whatever the agent writes meanwhile
    spool_id, sequence, dropped_batches, dropped_samples = db.execute(
        "SELECT spool_id, sequence, dropped_batches, dropped_samples FROM spool"
    ).get
    batches, size, samples, first, oldest_us, newest_us = db.execute(
        "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(samples), 0), min(first),"
        " min(from_us), max(to_us) FROM parcel WHERE reason IS NULL"
    ).get
    gaps = db.execute(
        "SELECT reason, count(*), sum(last - first + 1), sum(samples), min(from_us), max(to_us)"
        " FROM parcel WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
    )
    entries: list[Any] = db.execute("SELECT content, crc FROM dispatch").fetchall()
    mark = read_mark(paths.mark)
    ahead = 0 if mark is None or mark.spool_id != spool_id else mark.sequence - sequence
    return SpoolSummary(
        file=str(paths.file),
        file_bytes=paths.file.stat().st_size,
        spool_id=spool_id,
        last_sequence=sequence,
        batches=batches,
        batch_bytes=size,
        samples=samples,
        first_sequence=first,
        oldest_us=oldest_us,
        newest_us=newest_us,
        gaps=tuple(
            ReasonSummary(
                reason=row[0],
                gaps=row[1],
                batches=row[2],
                samples=row[3],
                from_us=row[4],
                to_us=row[5],
            )
            for row in gaps
        ),
        dropped_batches=dropped_batches,
        dropped_samples=dropped_samples,
        dispatches=len(entries),
        corrupt_dispatches=sum(zlib.crc32(content) != crc for content, crc in entries),
        torn_sequences=max(0, ahead),
    )
