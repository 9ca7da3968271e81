"""Ages history out, oldest first, a bounded step at a time."""

import apsw

from dercp.store.records import HistoryLimits, Pruned
from dercp.store.sqlite._contents import Contents, bytes_used
from dercp.store.sqlite._frames import DAMAGED, DELETE_FRAMES, UNREADABLE
from dercp.store.sqlite._gaps import age_out

STEP_FRAMES = 500
STEP_BYTES = 8 * 2**20
STEP_PAGES = 2_000
# A file that has shrunk gives its room back; one that breathes keeps it.
FREE_SHARE = 4

_HEAD = "SELECT ingest_time_us, last_time_us, length(payload) FROM frame WHERE position = ?"
_DELETE_SEGMENTS = (
    "DELETE FROM segment_spool WHERE last_position <= ?",
    "DELETE FROM segment WHERE last_position <= ?",
)


def prune(db: apsw.Connection, contents: Contents, limits: HistoryLimits, now_us: int) -> Pruned:
    """Take away some of what is too old or too much. What cannot be read is passed over."""
    extent = contents.extent
    oldest_us = now_us - round(limits.retained_s * 1_000_000)
    excess = bytes_used(db) - limits.retained_bytes
    position, freed, retained_from_us = extent.pruned_position, 0, extent.retained_from_us
    bound = min(position + STEP_FRAMES, contents.last_position)
    while position < bound and freed < STEP_BYTES:
        head = _head(db, position + 1)
        if head is not None:
            ingest_time_us, last_time_us, size = head
            if ingest_time_us >= oldest_us and freed >= excess:
                break
            freed += size
            # A clock ahead of ours must not make all history look aged out.
            time_us = min(last_time_us, ingest_time_us)
            retained_from_us = max(time_us, retained_from_us or time_us)
        position += 1
    frames = position - extent.pruned_position
    if frames:
        _delete(db, extent.pruned_position + 1, position)
        contents.settle(
            db, extent._replace(pruned_position=position, retained_from_us=retained_from_us)
        )
    ended_us = oldest_us if retained_from_us is None else max(oldest_us, retained_from_us)
    gaps = age_out(db, ended_us, STEP_FRAMES)
    _shrink(db)
    stopped = position < bound and freed < STEP_BYTES
    more = gaps == STEP_FRAMES or (not stopped and position < contents.last_position)
    return Pruned(frames=frames, gaps=gaps, more=more)


def _head(db: apsw.Connection, position: int) -> tuple[int, int, int] | None:
    try:
        row: tuple[int, int, int] | None = db.execute(_HEAD, (position,)).fetchone()
    except UNREADABLE:
        return None
    return row


def _delete(db: apsw.Connection, first: int, last: int) -> None:
    """Delete frames; what lies on a damaged page stays there, out of sight."""
    if not _try(db, DELETE_FRAMES, (first, last)):
        for position in range(first, last + 1):
            _try(db, DELETE_FRAMES, (position, position))
    for sql in _DELETE_SEGMENTS:
        _try(db, sql, (last,))


def _try(db: apsw.Connection, sql: str, bindings: tuple[int, ...]) -> bool:
    db.execute("SAVEPOINT pruning")
    try:
        db.execute(sql, bindings)
    except DAMAGED:
        db.execute("ROLLBACK TO pruning; RELEASE pruning")
        return False
    db.execute("RELEASE pruning")
    return True


def _shrink(db: apsw.Connection) -> None:
    """Give some pages back to the disk when much of the file is free."""
    if db.pragma("freelist_count") > db.pragma("page_count") // FREE_SHARE + STEP_PAGES:
        db.pragma("incremental_vacuum", STEP_PAGES)
