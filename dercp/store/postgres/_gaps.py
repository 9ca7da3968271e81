"""Gap declarations as rows, those of one loss as one."""

from collections.abc import Iterable, Sequence

import msgspec

from dercp.model.completeness import Stretch, Stretches
from dercp.store.merging import merge_gaps, touches
from dercp.store.postgres._bridge import Db
from dercp.store.postgres._spools import Reach
from dercp.store.records import GapPage, GapRecord

_COLUMNS = ("position", "spool_key", *GapRecord.__struct_fields__[3:])
_AROUND = """
SELECT g.position, spool_key, tenant_id, agent_id, spool_id, first_sequence, last_sequence,
  from_us, to_us, samples, reason, declared_us
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted (spool_key, low, high)
JOIN gap AS g USING (spool_key) JOIN spool USING (spool_key)
WHERE g.first_sequence <= wanted.high + 1 AND g.last_sequence >= wanted.low - 1
ORDER BY g.position
"""
_DROP = "DELETE FROM gap WHERE position = ANY($1::bigint[])"
_DROP_FILLED = """
DELETE FROM gap USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS s (spool_key, first, last)
WHERE gap.spool_key = s.spool_key AND first_sequence BETWEEN s.first AND s.last
  AND last_sequence <= s.last
"""
_PAGE = """
SELECT g.position, tenant_id, agent_id, spool_id, first_sequence, last_sequence,
  from_us, to_us, samples, reason, declared_us
FROM gap AS g JOIN spool USING (spool_key)
WHERE $2::bigint < $3::bigint AND g.position > $1 AND from_us < $3 AND to_us >= $2
  AND tenant_id = $4 AND ($5::text IS NULL OR agent_id = $5)
ORDER BY g.position LIMIT $6
"""
_AGE_OUT = """
WITH gone AS (
  DELETE FROM gap WHERE position IN (
    SELECT position FROM gap WHERE to_us < $1 ORDER BY position LIMIT $2
  ) RETURNING 1
)
SELECT count(*) FROM gone
"""


class Gaps:
    """The gaps around those of a call, and what the call makes of them."""

    def __init__(self, last_position: int) -> None:
        self._known: dict[int, tuple[int, GapRecord]] = {}
        self._before: set[int] = set()
        self._changed: set[int] = set()
        self.last_position = last_position

    async def read(self, db: Db, reaches: Sequence[Reach]) -> None:
        """Take in what lies within the reaches or touches them; once, before all else."""
        columns = (list(column) for column in zip(*reaches, strict=True))
        for position, key, *values in await db.fetch(_AROUND, *columns):
            self._known[position] = key, _record(values)
        self._before = set(self._known)

    def put(self, spool_key: int, gap: GapRecord, stored: Stretches) -> None:
        """Note a gap, unless all of it has been logged."""
        numbers = Stretch(gap.first_sequence, gap.last_sequence, gap.from_us, gap.to_us)
        if any(
            each.first <= gap.first_sequence and gap.last_sequence <= each.last
            for each in stored.overlapping(numbers)
        ):
            return
        touching = {
            position: known
            for position, (key, known) in self._known.items()
            if key == spool_key and touches(known, gap)
        }
        for position in touching:
            del self._known[position]
        if not touching:
            self.last_position += 1
        # In the place of the oldest: where pages were read up to stays as it was.
        position = min(touching, default=self.last_position)
        self._known[position] = spool_key, merge_gaps(list(touching.values()), gap)
        self._changed.add(position)

    async def write(self, db: Db) -> None:
        """Write what has changed."""
        gone = sorted((self._before - set(self._known)) | (self._before & self._changed))
        if gone:
            await db.execute(_DROP, gone)
        await db.copy_records_to_table(
            "gap",
            records=[
                (position, key, *msgspec.structs.astuple(gap)[3:])
                for position, (key, gap) in self._known.items()
                if position in self._changed
            ],
            columns=_COLUMNS,
        )


async def drop_filled(db: Db, stored: Iterable[tuple[int, Stretch]]) -> None:
    """Forget the gaps of which nothing is missing any more, given the stretches that grew."""
    rows = [(key, each.first, each.last) for key, each in stored]
    await db.execute(_DROP_FILLED, *(list(column) for column in zip(*rows, strict=True)))


async def age_out(db: Db, before_us: int, limit: int) -> int:
    """Forget gaps that ended before a time, and return how many that were."""
    count: int = await db.fetchval(_AGE_OUT, before_us, limit)
    return count


async def find_gaps(
    db: Db, after: int, limit: int, range_us: tuple[int, int], who: tuple[str, str | None]
) -> GapPage:
    """Gaps of (tenant_id, agent_id or None); one more is read than shown."""
    rows = await db.fetch(_PAGE, after, *range_us, *who, limit + 1)
    return GapPage(
        gaps=tuple(_record(values) for _, *values in rows[:limit]),
        next_after=rows[limit - 1]["position"] if len(rows) > limit else None,
    )


def _record(values: Iterable[object]) -> GapRecord:
    return GapRecord(**dict(zip(GapRecord.__struct_fields__, values, strict=True)))  # type: ignore[arg-type]  # fields by name
