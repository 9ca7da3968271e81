"""The partitions: one of `frame` and one of `samples` for each day on which frames arrive.

They are made ahead, and attached: that waits for no reader. Dropping one does, so it is
given up quickly and tried again later.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import msgspec

from dercp.store.postgres._bridge import Db
from dercp.store.postgres._extent import lock_extent
from dercp.store.records import FrameRecord

AHEAD_DAYS = 2
DROP_WITHIN_MS = 1_000
DROPPED_AT_ONCE = 8

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
_NEVER = 2**63 - 1

_TODAY = "SELECT (now() AT TIME ZONE 'utc')::date"
_KNOWN = "SELECT day FROM history_day WHERE day = ANY($1::date[])"
_NOTE = "INSERT INTO history_day (day) VALUES ($1)"
_EXTEND = """
UPDATE history_day AS h SET
  first_position = coalesce(h.first_position, n.first_position),
  last_position = n.last_position,
  bytes = h.bytes + n.bytes,
  first_time_us = least(h.first_time_us, n.first_time_us),
  last_time_us = greatest(h.last_time_us, n.last_time_us),
  newest_ingest_us = greatest(h.newest_ingest_us, n.newest_ingest_us),
  newest_us = greatest(h.newest_us, n.newest_us)
FROM unnest($1::date[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
  $7::bigint[], $8::bigint[]) AS n (day, first_position, last_position, bytes, first_time_us,
  last_time_us, newest_ingest_us, newest_us)
WHERE h.day = n.day
"""
# Older than the first day that still has something to show, and than the one being written.
_USED_UP = """
SELECT day FROM history_day
WHERE day < (SELECT newest_day FROM extent) AND day < coalesce((
  SELECT min(day) FROM history_day AS h, extent AS e WHERE h.last_position > pruned_position
), 'infinity')
ORDER BY day LIMIT $1
"""


class DayPart(msgspec.Struct):
    """What a call adds to the log on one day."""

    day: date
    first_position: int
    last_position: int
    bytes: int
    first_time_us: int
    last_time_us: int
    newest_ingest_us: int
    newest_us: int

    @classmethod
    def empty(cls, day: date, position: int) -> "DayPart":
        """Nothing yet, from a position on."""
        return cls(day, position, position, 0, _NEVER, -_NEVER, -_NEVER, -_NEVER)

    def add(self, position: int, size: int, frame: FrameRecord, newest_us: int) -> None:
        """One frame more."""
        self.last_position = position
        self.bytes += size
        self.first_time_us = min(self.first_time_us, frame.first_time_us)
        self.last_time_us = max(self.last_time_us, frame.last_time_us)
        self.newest_ingest_us = max(self.newest_ingest_us, frame.ingest_time_us)
        self.newest_us = max(self.newest_us, newest_us)


def day_of(time_us: int) -> date:
    """The day, in UTC, of a time.

    Raises:
        ValueError: It is in no year from 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(days=time_us // DAY_US)
    except OverflowError:
        raise ValueError(
            f"a frame cannot have arrived at {time_us} µs: no calendar has it"
        ) from None


async def make_days(db: Db, days: Iterable[date]) -> None:
    """Make the partitions of these days that there are not; under the lock of `extent`."""
    wanted = sorted(set(days))
    known = {row["day"] for row in await db.fetch(_KNOWN, wanted)}
    for day in wanted:
        if day not in known:
            await _make(db, day)


async def make_days_ahead(db: Db, today: date | None = None) -> None:
    """Make the partitions for the days to come; by the server's clock if no day is given."""
    await lock_extent(db)
    if today is None:
        today = await db.fetchval(_TODAY)
    ahead = min(AHEAD_DAYS, (date.max - today).days - 1)
    await make_days(db, [today + timedelta(days=each) for each in range(ahead + 1)])


async def extend_days(db: Db, parts: Iterable[DayPart]) -> None:
    """Note what was added to the days."""
    rows = [msgspec.structs.astuple(part) for part in parts]
    await db.execute(_EXTEND, *(list(column) for column in zip(*rows, strict=True)))


async def drop_used_up(db: Db) -> None:
    """Drop the partitions of some days of which all is pruned."""
    await lock_extent(db)
    await db.execute(f"SET LOCAL lock_timeout = {DROP_WITHIN_MS}")
    for (day,) in await db.fetch(_USED_UP, DROPPED_AT_ONCE):
        name = _name(day)
        await db.execute(f"DROP TABLE IF EXISTS frame_{name}, samples_{name}")
        await db.execute("DELETE FROM history_day WHERE day = $1", day)


async def _make(db: Db, day: date) -> None:
    name = _name(day)
    following = f"'{day + timedelta(days=1)} 00:00:00+00'" if day < date.max else "MAXVALUE"
    await db.execute(f"""
        CREATE TABLE frame_{name} (LIKE frame INCLUDING ALL);
        ALTER TABLE frame ATTACH PARTITION frame_{name} FOR VALUES IN ('{day}');
        CREATE TABLE samples_{name} (LIKE samples INCLUDING ALL);
        ALTER TABLE samples ATTACH PARTITION samples_{name}
          FOR VALUES FROM ('{day} 00:00:00+00') TO ({following});
    """)
    await db.execute(_NOTE, day)


def _name(day: date) -> str:
    return day.isoformat().replace("-", "")
