"""What the ingest log keeps in memory of its file."""

from typing import NamedTuple

import apsw
import msgspec

from dercp.model.completeness import Stretch
from dercp.store.records import DrainMark, FrameRecord, SpoolSequences
from dercp.store.sqlite._connection import Row
from dercp.store.sqlite._frames import INSERT_FRAMES, frame_row
from dercp.store.sqlite._rows import put_many
from dercp.store.sqlite._segments import Placed, is_complete, seal
from dercp.store.sqlite._spools import Account, Spool, Spools

_TAIL = """
SELECT sequence, ingest_time_us, position, spool_key, first_time_us, last_time_us, length(payload)
FROM frame WHERE position > ? ORDER BY position
"""
_EXTENT = """
SELECT pruned_position, sealed_position, retained_from_us, newest_us FROM extent
"""
_PUT_EXTENT = """
UPDATE extent SET pruned_position = ?, sealed_position = ?, retained_from_us = ?, newest_us = ?
"""
_DRAINED = "SELECT position, gap_change FROM drain"
_GAP_CHANGES = "SELECT gap_changes FROM drain"
_QUARANTINED = "SELECT count(*) FROM quarantine"


class Extent(NamedTuple):
    """How far frames are aged out, and how far the index of the log goes."""

    pruned_position: int
    sealed_position: int
    retained_from_us: int | None
    newest_us: int | None


class Held(msgspec.Struct, frozen=True):
    """What the file holds after a commit."""

    first_position: int = 1
    last_position: int = 0
    bytes: int = 0
    retained_from_us: int | None = None
    newest_us: int | None = None
    drained: DrainMark = DrainMark(position=0, gap_change=0)
    gap_changes: int = 0
    quarantined: int = 0


class Contents:
    """The spools, the unsealed end of the log, and the frames about to be written.

    Characteristics:
        Life: from the opening of the file to the first commit that fails; then read anew.
        Memory: the stretches of all spools, and a few figures for each unsealed frame.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._tail: list[Placed] = []
        self._tail_bytes = 0
        self._rows: list[Row] = []
        self.spools = Spools(db)
        self.extent = read_extent(db)
        self.drained = read_drained(db)
        self.quarantined: int = db.execute(_QUARANTINED).get
        self.last_position = max(self.extent.pruned_position, self.extent.sealed_position)
        for sequence, ingest_time_us, *placed in db.execute(_TAIL, (self.last_position,)):
            if placed[0] != self.last_position + 1:
                raise apsw.CorruptError(f"frame {self.last_position + 1} is missing")
            self._place(Placed(*placed), sequence, ingest_time_us)

    def add(self, spool: Spool, frame: FrameRecord) -> None:
        """Put a frame at the end of the log; `write` brings it to the file."""
        position = self.last_position + 1
        self._rows.append(frame_row(position, spool.key, frame))
        times = frame.first_time_us, frame.last_time_us
        placed = Placed(position, spool.key, *times, len(frame.payload))
        self._place(placed, frame.sequence, frame.ingest_time_us)

    def write(self, db: apsw.Connection) -> None:
        """Write the frames added since the last time, and the index when one is due."""
        put_many(db, INSERT_FRAMES, self._rows)
        self._rows.clear()
        if is_complete(len(self._tail), self._tail_bytes):
            seal(db, self._tail)
            self._tail.clear()
            self._tail_bytes = 0
            self.settle(db, self.extent._replace(sealed_position=self.last_position))

    def settle(self, db: apsw.Connection, extent: Extent) -> None:
        """Write the extent, and the stretches of what it says is indexed or aged out."""
        self.extent = extent
        self.spools.save(db)
        db.execute(_PUT_EXTENT, extent)
        self._tail = [each for each in self._tail if each.position > extent.pruned_position]

    def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        """What is known of the agent's spools."""
        return tuple(
            SpoolSequences(
                spool_id=spool_id,
                stored=tuple(spool.stored),
                declared=spool.declared.without(spool.stored),
            )
            for spool_id, spool in self.spools.of_agent(tenant_id, agent_id)
        )

    def held(self, db: apsw.Connection) -> Held:
        """What the file holds in this transaction."""
        return Held(
            first_position=self.extent.pruned_position + 1,
            last_position=self.last_position,
            bytes=bytes_used(db),
            retained_from_us=self.extent.retained_from_us,
            newest_us=self.extent.newest_us,
            drained=self.drained,
            gap_changes=db.execute(_GAP_CHANGES).get,
            quarantined=self.quarantined,
        )

    def _place(self, placed: Placed, sequence: int, ingest_time_us: int) -> None:
        times = placed.first_time_us, placed.last_time_us
        spool = self.spools.by_key[placed.spool_key]
        self.spools.account_for(spool, Account.STORED, Stretch(sequence, sequence, *times))
        self.last_position = placed.position
        self._tail.append(placed)
        self._tail_bytes += placed.size
        # A clock ahead of ours must not make all history look aged out, or up to date.
        time_us = min(placed.last_time_us, ingest_time_us)
        if self.extent.newest_us is None or time_us > self.extent.newest_us:
            self.extent = self.extent._replace(newest_us=time_us)


def read_extent(db: apsw.Connection) -> Extent:
    """The extent as of the transaction."""
    row: Row = db.execute(_EXTENT).fetchall()[0]
    return Extent(*row)


def read_drained(db: apsw.Connection) -> DrainMark:
    """How far the log is drained, as of the transaction."""
    row: Row = db.execute(_DRAINED).fetchall()[0]
    return DrainMark(position=row[0], gap_change=row[1])


def bytes_used(db: apsw.Connection) -> int:
    """The room taken by what is in the file. SQLite keeps count: this costs the same always."""
    pages: int = db.pragma("page_count") - db.pragma("freelist_count")
    page_bytes: int = db.pragma("page_size")
    return pages * page_bytes
