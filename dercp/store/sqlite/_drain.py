"""Reads the log in its order for the store it is drained into, and notes how far that is."""

from collections.abc import Sequence

import apsw

from dercp.store.errors import LogFull
from dercp.store.ports import PAGE_BYTES_MAX
from dercp.store.records import DrainMark, FrameRecord, Quarantined, Undrained
from dercp.store.sqlite._connection import Row, snapshot
from dercp.store.sqlite._contents import Contents, read_extent
from dercp.store.sqlite._frames import CorruptFrame, read_frame
from dercp.store.sqlite._gaps import changed_gaps
from dercp.store.sqlite._rows import put_many, row_of

QUARANTINED_MAX = 1_000
"""Frames kept aside. More of them mean that something else than the frames is wrong."""

_SPOOLS = "SELECT spool_key, tenant_id, agent_id, spool_id FROM spool WHERE spool_key > ?"
_PUT_MARK = "UPDATE drain SET position = ?, gap_change = ?"
_DESTINATION = "SELECT destination FROM drain"
_BEGIN_ANEW = """
UPDATE drain SET destination = ?, gap_change = 0, position = (SELECT pruned_position FROM extent)
"""
_QUARANTINE = "INSERT OR REPLACE INTO quarantine"


class SpoolNames:
    """(tenant_id, agent_id, spool_id) by key. A key keeps its name, so each is read once."""

    def __init__(self) -> None:
        self._names: dict[int, Row] = {}
        self._newest = 0

    def read(self, db: apsw.Connection) -> dict[int, Row]:
        """All that there are by now."""
        for key, *name in db.execute(_SPOOLS, (self._newest,)):
            self._names[key] = tuple(name)
            self._newest = max(self._newest, key)
        return self._names


def adopt(db: apsw.Connection, destination: str) -> None:
    """Begin anew where the log was drained into another store before, or into none."""
    if db.execute(_DESTINATION).get != destination:
        db.execute(_BEGIN_ANEW, (destination,))


def find_undrained(
    db: apsw.Connection, names: SpoolNames, after: DrainMark, limit: int, last_position: int
) -> Undrained:
    """What comes after the mark, all as of one moment.

    Args:
        db: The reading connection, on its thread.
        names: Those of the spools.
        after: How far this was read before.
        limit: Of the frames, and of the gaps.
        last_position: A position that was committed before now; the newest looked for.
    """
    frames: list[FrameRecord] = []
    positions: list[int] = []
    size = corrupt = 0
    with snapshot(db):
        at = max(after.position, read_extent(db).pruned_position)
        spools = names.read(db)
        while at < last_position and len(frames) + corrupt < limit and size < PAGE_BYTES_MAX:
            at += 1
            try:
                frame = read_frame(db, at, spools)
            except CorruptFrame:
                frame = None
            if frame is None:
                corrupt += 1
                continue
            frames.append(frame)
            positions.append(at)
            size += len(frame.payload)
        gap_change, gaps = changed_gaps(db, after.gap_change, limit)
    return Undrained(
        frames=tuple(frames),
        positions=tuple(positions),
        gaps=gaps,
        corrupt=corrupt,
        mark=DrainMark(position=at, gap_change=gap_change),
    )


def note_drained(
    db: apsw.Connection, contents: Contents, mark: DrainMark, quarantined: Sequence[Quarantined]
) -> None:
    """Note it in a transaction of the log.

    Raises:
        LogFull: The quarantine is full.
    """
    if contents.quarantined + len(quarantined) > QUARANTINED_MAX:
        raise LogFull(
            f"the store has refused {contents.quarantined:,} frames for good and no more are "
            "kept aside: see why in the log of this headend; until then nothing is drained"
        )
    spools = SpoolNames().read(db) if quarantined else {}
    rows = []
    for each in quarantined:
        try:
            frame = read_frame(db, each.position, spools)
        except CorruptFrame:
            continue  # pruned, or damaged since it was read: there is nothing to keep
        if frame is not None:
            rows.append((each.position, each.why, *row_of(frame)))
    put_many(db, _QUARANTINE, rows)
    contents.quarantined += len(rows)
    contents.drained = DrainMark(
        position=max(mark.position, contents.drained.position),
        gap_change=max(mark.gap_change, contents.drained.gap_change),
    )
    db.execute(_PUT_MARK, row_of(contents.drained))
