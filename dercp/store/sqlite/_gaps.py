"""Gap declarations as rows, those of one loss as one."""

import apsw
from msgspec.structs import astuple

from dercp.model.completeness import Stretch
from dercp.store.merging import merge_gaps
from dercp.store.records import GapPage, GapRecord
from dercp.store.sqlite._connection import Row
from dercp.store.sqlite._spools import Spool

_BEFORE = """
SELECT position, first_sequence, last_sequence, from_us, to_us, samples, reason, declared_us
FROM gap WHERE spool_key = ? AND first_sequence <= ? ORDER BY first_sequence DESC
"""
_DROP = "DELETE FROM gap WHERE position = ?"
_PUT = "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT_CHANGE = "UPDATE drain SET gap_changes = gap_changes + 1 RETURNING gap_changes"
_AROUND = """
SELECT position, first_sequence, last_sequence, from_us, to_us FROM gap
WHERE spool_key = ?1 AND first_sequence <= ?2 AND last_sequence >= ?2
"""
_PAGE = """
SELECT g.position, s.tenant_id, s.agent_id, s.spool_id, g.first_sequence, g.last_sequence,
  g.from_us, g.to_us, g.samples, g.reason, g.declared_us
FROM gap AS g JOIN spool AS s USING (spool_key)
WHERE ?2 < ?3 AND g.position > ?1 AND g.from_us < ?3 AND g.to_us >= ?2
  AND s.tenant_id = ?4 AND s.agent_id = coalesce(?5, s.agent_id)
ORDER BY g.position LIMIT ?6
"""
_CHANGED = """
SELECT g.change, s.tenant_id, s.agent_id, s.spool_id, g.first_sequence, g.last_sequence,
  g.from_us, g.to_us, g.samples, g.reason, g.declared_us
FROM gap AS g JOIN spool AS s USING (spool_key)
WHERE g.change > ? ORDER BY g.change LIMIT ?
"""
_AGE_OUT = """
DELETE FROM gap WHERE position IN (SELECT position FROM gap WHERE to_us < ? AND change <= ? LIMIT ?)
"""


def put_gap(db: apsw.Connection, spool: Spool, gap: GapRecord) -> None:
    """Note a gap, unless all of it has been logged."""
    if _filled(spool, Stretch(gap.first_sequence, gap.last_sequence, gap.from_us, gap.to_us)):
        return
    touching = _touching(db, spool.key, gap)
    db.executemany(_DROP, [(position,) for position, _ in touching])
    merged = merge_gaps((known for _, known in touching), gap)
    # In the place of the oldest: where pages were read up to stays as it was.
    position = min((position for position, _ in touching), default=None)
    change = db.execute(_COUNT_CHANGE).get
    db.execute(_PUT, (position, spool.key, *astuple(merged)[3:], change))


def drop_filled(db: apsw.Connection, spool: Spool, sequence: int) -> None:
    """Forget the gaps around a batch that came after all, if nothing of them is missing."""
    rows: list[Row] = db.execute(_AROUND, (spool.key, sequence)).fetchall()
    for position, *stretch in rows:
        if _filled(spool, Stretch(*stretch)):
            db.execute(_DROP, (position,))


def age_out(db: apsw.Connection, before_us: int, change_max: int, limit: int) -> int:
    """Forget gaps that ended before a time, and return how many that were.

    Those changed later than `change_max` stay.
    """
    db.execute(_AGE_OUT, (before_us, change_max, limit))
    return db.changes()


def changed_gaps(
    db: apsw.Connection, after_change: int, limit: int
) -> tuple[int, tuple[GapRecord, ...]]:
    """Gaps that are new or have grown since a change, and the last change among them."""
    rows: list[Row] = db.execute(_CHANGED, (after_change, limit)).fetchall()
    return (rows[-1][0] if rows else after_change), tuple(_record(row[1:]) for row in rows)


def find_gaps(
    db: apsw.Connection, after: int, limit: int, range_us: tuple[int, int], who: Row
) -> GapPage:
    """Gaps of (tenant_id, agent_id or None); one more is read than shown."""
    rows: list[Row] = db.execute(_PAGE, (after, *range_us, *who, limit + 1)).fetchall()
    return GapPage(
        gaps=tuple(_record(row[1:]) for row in rows[:limit]),
        next_after=rows[limit - 1][0] if len(rows) > limit else None,
    )


def _record(row: Row) -> GapRecord:
    return GapRecord(**dict(zip(GapRecord.__struct_fields__, row, strict=True)))


def _filled(spool: Spool, gap: Stretch) -> bool:
    return any(
        stored.first <= gap.first and gap.last <= stored.last
        for stored in spool.stored.overlapping(gap)
    )


def _touching(db: apsw.Connection, spool_key: int, gap: GapRecord) -> list[tuple[int, GapRecord]]:
    """Gaps of the same reason that overlap the new one or lie beside it, with their positions."""
    touching = []
    for position, *values in db.execute(_BEFORE, (spool_key, gap.last_sequence + 1)):
        known = _record((gap.tenant_id, gap.agent_id, gap.spool_id, *values))
        if known.reason == gap.reason:
            # Gaps of one reason never touch each other, so the first that is apart ends it.
            if known.last_sequence < gap.first_sequence - 1:
                break
            touching.append((position, known))
    return touching
