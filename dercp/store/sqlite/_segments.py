"""Finds an agent's frames in the log: an index written once per segment of it."""

from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from zlib import crc32

import apsw
import msgspec

from dercp.store.sqlite._frames import UNREADABLE
from dercp.store.sqlite._rows import put_many

SEGMENT_FRAMES = 8_192
# Readers look through what is in no segment yet: 10 ms for so much.
SEGMENT_BYTES = 16 * 2**20

_PUT_SEGMENT = "INSERT INTO segment VALUES (?, ?, ?)"
_PUT_SPOOLS = "INSERT INTO segment_spool"
# Few segments overlap a range, so these are looked through first.
_SEALED = """
SELECT s.last_position, s.checksum, s.positions
FROM segment AS g CROSS JOIN segment_spool AS s USING (last_position)
WHERE g.last_position > ?1 AND g.first_time_us < ?3 AND g.last_time_us >= ?2
  AND s.first_time_us < ?3 AND s.last_time_us >= ?2
  AND s.spool_key IN (SELECT spool_key FROM spool WHERE tenant_id = ?4 AND agent_id = ?5)
ORDER BY g.last_position
"""
_TAIL = """
SELECT position FROM frame
WHERE position > ?1 AND first_time_us < ?3 AND last_time_us >= ?2
  AND spool_key IN (SELECT spool_key FROM spool WHERE tenant_id = ?4 AND agent_id = ?5)
ORDER BY position
"""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where a frame lies in the log, and what it is looked for by."""

    position: int
    spool_key: int
    first_time_us: int
    last_time_us: int
    size: int


class Wanted(NamedTuple):
    """Frames of an agent that overlap a half-open range of time."""

    from_us: int
    to_us: int
    tenant_id: str
    agent_id: str


def is_complete(frames: int, size: int) -> bool:
    """Whether so many frames, with so many bytes, make a segment."""
    return frames >= SEGMENT_FRAMES or size >= SEGMENT_BYTES


def seal(db: apsw.Connection, tail: Sequence[Placed]) -> None:
    """Write the index of a segment that is complete."""
    last = tail[-1].position
    spools: dict[int, list[Placed]] = {}
    for placed in tail:
        spools.setdefault(placed.spool_key, []).append(placed)
    rows = []
    for spool_key, frames in sorted(spools.items()):
        positions = array("I", [last - each.position for each in frames]).tobytes()
        rows.append((last, spool_key, *_times(frames), crc32(positions), positions))
    put_many(db, _PUT_SPOOLS, rows)
    db.execute(_PUT_SEGMENT, (last, *_times(tail)))


def positions(
    db: apsw.Connection, wanted: Wanted, after: int, sealed: int, last: int
) -> Generator[int, None, None]:
    """The positions after `after` where the wanted frames lie, in order; some others too.

    Where the index cannot be read, every position from there to `last` is given.
    """
    at = after
    try:
        for position in _indexed(db, wanted, after, sealed):
            if position > at:
                at = position
                yield position
    except UNREADABLE:
        yield from range(at + 1, last + 1)


def _indexed(db: apsw.Connection, wanted: Wanted, after: int, sealed: int) -> Iterator[int]:
    found = db.execute(_SEALED, (after, *wanted))
    for last, rows in groupby(found, key=lambda row: row[0]):
        yield from sorted(_unpack(last, ((row[1], row[2]) for row in rows)))
    for (position,) in db.execute(_TAIL, (max(after, sealed), *wanted)):
        yield position


def _unpack(last: int, rows: Iterable[tuple[int, bytes]]) -> Iterator[int]:
    for checksum, packed in rows:
        if checksum != crc32(packed):
            raise apsw.CorruptError
        for back in memoryview(packed).cast("I"):
            yield last - back


def _times(frames: Sequence[Placed]) -> tuple[int, int]:
    return min(each.first_time_us for each in frames), max(each.last_time_us for each in frames)
