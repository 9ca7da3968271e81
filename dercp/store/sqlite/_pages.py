"""Reads frames out of the log, around what is damaged."""

from contextlib import closing
from typing import NamedTuple

import apsw

from dercp.store.ports import PAGE_BYTES_MAX
from dercp.store.records import FramePage, FrameRecord
from dercp.store.sqlite._connection import snapshot
from dercp.store.sqlite._contents import read_extent
from dercp.store.sqlite._frames import CorruptFrame, read_frame
from dercp.store.sqlite._segments import Wanted, positions

PROBES_MAX = 20_000
"""Positions looked at for one page, where the index is damaged or finds little."""

_SPOOLS = "SELECT spool_key, spool_id FROM spool WHERE tenant_id = ? AND agent_id = ?"


class Found(NamedTuple):
    """A page, and the positions of what was left out of it."""

    page: FramePage
    corrupt: list[int]


def find_frames(
    db: apsw.Connection, wanted: Wanted, after_position: int, limit: int, last_position: int
) -> Found:
    """A page of frames, all as of one moment.

    Args:
        db: The reading connection, on its thread.
        wanted: Whose, and of which time.
        after_position: Where the page before ended.
        limit: Of the frames in the page.
        last_position: A position that was committed before now; the newest looked for.
    """
    frames: list[FrameRecord] = []
    corrupt: list[int] = []
    size = probes = 0
    next_after = None
    with snapshot(db):
        extent = read_extent(db)
        at = max(after_position, extent.pruned_position)
        spools = {
            key: (wanted.tenant_id, wanted.agent_id, spool_id)
            for key, spool_id in db.execute(_SPOOLS, (wanted.tenant_id, wanted.agent_id))
        }
        found = positions(db, wanted, at, extent.sealed_position, last_position)
        with closing(found):
            for position in found:
                if len(frames) == limit or size >= PAGE_BYTES_MAX or probes == PROBES_MAX:
                    next_after = at
                    break
                at = position
                probes += 1
                try:
                    frame = read_frame(db, position, spools)
                except CorruptFrame:
                    corrupt.append(position)
                    continue
                if frame is not None and _overlaps(frame, wanted):
                    frames.append(frame)
                    size += len(frame.payload)
    page = FramePage(frames=tuple(frames), next_after=next_after, corrupt=len(corrupt))
    return Found(page, corrupt)


def _overlaps(frame: FrameRecord, wanted: Wanted) -> bool:
    from_us, to_us, *_ = wanted
    return from_us < to_us and frame.first_time_us < to_us and frame.last_time_us >= from_us
