"""Ages history out, oldest first, a bounded step at a time.

SQLite gives up a transaction that has met a damaged page. So a step is planned on the reading
connection, and what it finds damaged is passed over: it stays in the file, out of sight.
"""

from typing import NamedTuple

import apsw

from dercp.store.records import HistoryLimits, Pruned
from dercp.store.sqlite._connection import snapshot
from dercp.store.sqlite._contents import Contents, Held, read_extent
from dercp.store.sqlite._frames import DELETE_FRAMES, UNREADABLE
from dercp.store.sqlite._gaps import age_out

STEP_FRAMES = 500
STEP_BYTES = 8 * 2**20
STEP_PAGES = 2_000
# A file that has shrunk gives its room back; one that breathes keeps it.
FREE_SHARE = 4
# Deleting from a page may touch the ones beside it: no more than so many frames.
MARGIN_FRAMES = 128

_HEAD = "SELECT ingest_time_us, last_time_us, length(payload) FROM frame WHERE position = ?"
_SEGMENTS = """
SELECT total(s.last_position + length(s.positions) + g.first_time_us)
FROM segment AS g JOIN segment_spool AS s USING (last_position) WHERE last_position <= ?
"""
_DELETE_SPOOLS = "DELETE FROM segment_spool WHERE last_position <= ?"
_DELETE_SEGMENTS = "DELETE FROM segment WHERE last_position <= ?"


class Keep(NamedTuple):
    """What is to stay: so much, for so long, and whatever comes after these."""

    bytes: int
    seconds: float
    position_max: int
    gap_change_max: int


class Head(NamedTuple):
    """Of a frame, what decides on its age."""

    ingest_time_us: int
    last_time_us: int
    size: int


class Cut(NamedTuple):
    """What a step is to take away: everything up to a position, and gaps before a time."""

    position: int
    retained_from_us: int | None
    gaps_before_us: int
    gap_change_max: int
    may_delete_frames: bool
    may_delete_segments: bool
    more: bool


def as_historian(limits: HistoryLimits, held: Held) -> Keep:
    """What a log keeps that nobody else has."""
    return Keep(
        limits.retained_bytes, limits.retained_s, held.last_position, gap_change_max=2**63 - 1
    )


def as_buffer(limits: HistoryLimits, held: Held) -> Keep:
    """What a log keeps that is drained: all that is not, and a tail of what is."""
    drained = held.drained
    return Keep(limits.tail_bytes, limits.tail_s, drained.position, drained.gap_change)


def plan(db: apsw.Connection, held: Held, keep: Keep, now_us: int) -> Cut:
    """What is too old or too much, on the reading connection."""
    oldest_us = now_us - round(keep.seconds * 1_000_000)
    excess = held.bytes - keep.bytes
    with snapshot(db):
        pruned, _, retained_from_us, _ = read_extent(db)
        position, freed = pruned, 0
        bound = min(pruned + STEP_FRAMES, keep.position_max)
        while position < bound and freed < STEP_BYTES:
            head = _head(db, position + 1)
            if head is not None:
                if head.ingest_time_us >= oldest_us and freed >= excess:
                    break
                freed += head.size
                # A clock ahead of ours must not make all history look aged out.
                time_us = min(head.last_time_us, head.ingest_time_us)
                retained_from_us = max(time_us, retained_from_us or time_us)
            position += 1
        ended = position < bound and freed < STEP_BYTES
        around = range(max(1, pruned - MARGIN_FRAMES), position + MARGIN_FRAMES)
        return Cut(
            position=position,
            retained_from_us=retained_from_us,
            gaps_before_us=max(oldest_us, retained_from_us or oldest_us),
            gap_change_max=keep.gap_change_max,
            may_delete_frames=all(_is_sound(db, each) for each in around),
            may_delete_segments=_is_index_sound(db, position),
            more=not ended and position < keep.position_max,
        )


def prune(db: apsw.Connection, contents: Contents, cut: Cut) -> Pruned:
    """Take it away, in a transaction of the log."""
    extent = contents.extent
    frames = max(0, cut.position - extent.pruned_position)
    if frames:
        if cut.may_delete_frames:
            db.execute(DELETE_FRAMES, (extent.pruned_position + 1, cut.position))
        if cut.may_delete_segments:
            db.execute(_DELETE_SPOOLS, (cut.position,))
            db.execute(_DELETE_SEGMENTS, (cut.position,))
        contents.settle(
            db,
            extent._replace(pruned_position=cut.position, retained_from_us=cut.retained_from_us),
        )
    gaps = age_out(db, cut.gaps_before_us, cut.gap_change_max, STEP_FRAMES)
    if db.pragma("freelist_count") > db.pragma("page_count") // FREE_SHARE + STEP_PAGES:
        db.pragma("incremental_vacuum", STEP_PAGES)
    return Pruned(frames=frames, gaps=gaps, more=cut.more or gaps == STEP_FRAMES)


def _head(db: apsw.Connection, position: int) -> Head | None:
    """None where there is no frame to be read."""
    try:
        row = db.execute(_HEAD, (position,)).fetchone()
    except UNREADABLE:
        return None
    return None if row is None else Head(*row)


def _is_sound(db: apsw.Connection, position: int) -> bool:
    """Whether the place of a frame can be reached; it may be empty."""
    try:
        db.execute(_HEAD, (position,)).fetchone()
    except UNREADABLE:
        return False
    return True


def _is_index_sound(db: apsw.Connection, last_position: int) -> bool:
    try:
        db.execute(_SEGMENTS, (last_position,)).fetchone()
    except UNREADABLE:
        return False
    return True
