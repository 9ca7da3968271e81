"""The one row that says how far the log goes; who has locked it is the only writer."""

from datetime import date
from typing import NamedTuple

from dercp.store.postgres._bridge import Db

ROW_BYTES = 128
"""What a row takes beside its payload, roughly."""

_READ = """
SELECT pruned_position, last_position, gap_position, bytes, retained_from_us, newest_us, newest_day
FROM extent
"""
_WRITE = """
UPDATE extent SET pruned_position = $1, last_position = $2, gap_position = $3, bytes = $4,
  retained_from_us = $5, newest_us = $6, newest_day = $7
"""


class Extent(NamedTuple):
    """What the history holds: positions are dense, from the one after `pruned_position` on."""

    pruned_position: int
    last_position: int
    gap_position: int
    # Of payloads and rows of frames, a gap counted as a row.
    bytes: int
    retained_from_us: int | None
    newest_us: int | None
    # The day that is written to. It never goes back, so days lie in the order of positions.
    newest_day: date


async def read_extent(db: Db) -> Extent:
    """The extent as of the last commit."""
    return await _one(db, _READ)


async def lock_extent(db: Db) -> Extent:
    """The extent, and the right to change it until the transaction ends."""
    return await _one(db, f"{_READ} FOR UPDATE")


async def write_extent(db: Db, extent: Extent) -> None:
    """Note it; only by who has locked it."""
    await db.execute(_WRITE, *extent)


async def _one(db: Db, query: str) -> Extent:
    row = await db.fetchrow(query)
    assert row is not None  # noqa: S101  # the schema made it
    return Extent(*row)
