"""Ages history out, oldest first: day by day, and within the last of them frame by frame.

What is pruned is out of sight at once. Its room is free when all of its day is pruned, and
the partitions of that day are dropped.
"""

from datetime import date

from dercp.store.postgres._bridge import Db
from dercp.store.postgres._extent import ROW_BYTES, Extent, lock_extent, write_extent
from dercp.store.postgres._gaps import age_out
from dercp.store.records import HistoryLimits, Pruned

STEP_FRAMES = 10_000
STEP_GAPS = 500
STEP_DAYS = 32

_DAYS = """
SELECT day, first_position, last_position, bytes, newest_ingest_us, newest_us
FROM history_day WHERE last_position > $1 ORDER BY day LIMIT $2
"""
_HEADS = """
SELECT position, ingest_time_us, least(last_time_us, ingest_time_us) AS time_us,
  octet_length(payload) + $4 AS size
FROM frame WHERE day = $1 AND position > $2 ORDER BY position LIMIT $3
"""
_SHRINK = "UPDATE history_day SET bytes = bytes - $2 WHERE day = $1"


async def prune(db: Db, limits: HistoryLimits, now_us: int) -> tuple[Extent, Pruned]:
    """Take some of it away, in a transaction."""
    extent = await lock_extent(db)
    cut = _Cut(extent, now_us - round(limits.retained_s * 1_000_000), limits.retained_bytes)
    for day in await db.fetch(_DAYS, extent.pruned_position, STEP_DAYS):
        if cut.takes_all(day["newest_ingest_us"], day["bytes"]):
            size = day["bytes"]
            cut.take(day["last_position"], day["newest_us"], size)
        else:
            size = await _take_some(db, cut, day["day"])
        await db.execute(_SHRINK, day["day"], size)
        if cut.ended or cut.steps >= STEP_FRAMES:
            break
    oldest_us, retained_us = cut.oldest_us, cut.extent.retained_from_us
    gaps = await age_out(db, max(oldest_us, retained_us or oldest_us), STEP_GAPS)
    await write_extent(db, cut.extent)
    more = not cut.ended and cut.extent.pruned_position < extent.last_position
    frames = cut.extent.pruned_position - extent.pruned_position
    return cut.extent, Pruned(frames=frames, gaps=gaps, more=more or gaps == STEP_GAPS)


class _Cut:
    """How far a step has come, and what is still to go."""

    def __init__(self, extent: Extent, oldest_us: int, retained_bytes: int) -> None:
        self.extent = extent
        self.oldest_us = oldest_us
        self.ended = False
        self.steps = 0
        self._retained_bytes = retained_bytes

    def must_go(self, ingest_time_us: int) -> bool:
        """Whether what arrived then is too old, or too much."""
        return ingest_time_us < self.oldest_us or self.extent.bytes > self._retained_bytes

    def takes_all(self, newest_ingest_us: int, size: int) -> bool:
        """Whether so much, none of it newer than that, must go to the last frame."""
        excess = self.extent.bytes - self._retained_bytes
        return newest_ingest_us < self.oldest_us or size <= excess

    def take(self, position: int, time_us: int, size: int) -> None:
        """Everything up to a position goes, and with it so many bytes."""
        retained_us = self.extent.retained_from_us
        self.extent = self.extent._replace(
            pruned_position=position,
            retained_from_us=max(time_us, retained_us or time_us),
            bytes=self.extent.bytes - size,
        )


async def _take_some(db: Db, cut: _Cut, day: date) -> int:
    """Take the frames of a day that must go, and return their bytes."""
    taken = 0
    rows = await db.fetch(
        _HEADS, day, cut.extent.pruned_position, STEP_FRAMES - cut.steps, ROW_BYTES
    )
    for position, ingest_time_us, time_us, size in rows:
        if not cut.must_go(ingest_time_us):
            cut.ended = True
            break
        cut.take(position, time_us, size)
        cut.steps += 1
        taken += size
    return taken
