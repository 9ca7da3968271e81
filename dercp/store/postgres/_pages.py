"""Reads frames out of the log, a day after the other."""

from typing import NamedTuple

from dercp.store.ports import PAGE_BYTES_MAX
from dercp.store.postgres._bridge import Db
from dercp.store.records import FramePage, FrameRecord

DAYS_PER_PAGE = 32
"""Days looked into for one page; each costs a query."""

_SPOOLS = "SELECT spool_key, spool_id FROM spool WHERE tenant_id = $1 AND agent_id = $2"
_DAYS = """
SELECT day, pruned_position, h.last_position FROM history_day AS h, extent AS e
WHERE h.last_position > greatest($1, pruned_position) AND first_time_us < $3 AND last_time_us >= $2
ORDER BY day LIMIT $4
"""
# Spool by spool, each in the order of its index. `upto` adds up what is to be sent: the rest of
# a page is not read from the disk.
_FRAMES = """
SELECT position, spool_key, sequence, registration_id, ingest_time_us, first_time_us,
  last_time_us, samples, payload
FROM (
  SELECT *, sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS upto
  FROM (
    SELECT f.* FROM unnest($2::bigint[]) AS wanted (spool_key), LATERAL (
      SELECT * FROM frame
      WHERE day = $1 AND frame.spool_key = wanted.spool_key AND position > $3
        AND first_time_us < $5 AND last_time_us >= $4
      ORDER BY position LIMIT $6
    ) AS f
    ORDER BY f.position LIMIT $6
  ) AS found
) AS counted
WHERE upto < $7
ORDER BY position
"""


class Wanted(NamedTuple):
    """Frames of an agent that overlap a half-open range of time."""

    tenant_id: str
    agent_id: str
    from_us: int
    to_us: int


async def find_frames(db: Db, wanted: Wanted, after: int, limit: int) -> FramePage:
    """A page of frames; one more is read than shown, to know whether more follow."""
    tenant_id, agent_id, from_us, to_us = wanted
    spools = {
        row["spool_key"]: row["spool_id"] for row in await db.fetch(_SPOOLS, tenant_id, agent_id)
    }
    days = await db.fetch(_DAYS, after, from_us, to_us, DAYS_PER_PAGE)
    if from_us >= to_us or not spools:
        days = []
    frames: list[FrameRecord] = []
    at, room = after, PAGE_BYTES_MAX
    for day, pruned, last_position in days:
        at = max(at, pruned)
        rows = await db.fetch(
            _FRAMES, day, list(spools), at, from_us, to_us, limit + 1 - len(frames), room
        )
        for position, key, *values in rows:
            if len(frames) == limit:
                return _page(frames, at)
            at = position
            frames.append(_frame((tenant_id, agent_id, spools[key]), values))
            room -= len(frames[-1].payload)
        if room <= 0:
            return _page(frames, at)
        at = last_position
    return _page(frames, at if len(days) == DAYS_PER_PAGE else None)


def _page(frames: list[FrameRecord], next_after: int | None) -> FramePage:
    return FramePage(frames=tuple(frames), next_after=next_after, corrupt=0)


def _frame(name: tuple[str, str, str], values: list[object]) -> FrameRecord:
    fields = dict(zip(FrameRecord.__struct_fields__, (*name, *values), strict=True))
    return FrameRecord(**fields)  # type: ignore[arg-type]  # fields by name
