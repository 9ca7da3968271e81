"""A frame as a row of the log, guarded by a checksum."""

import struct
from zlib import crc32

import apsw

from dercp.store.records import FrameRecord
from dercp.store.sqlite._connection import Row

INSERT_FRAMES = """
INSERT INTO frame (position, spool_key, sequence, ingest_time_us, first_time_us, last_time_us,
  samples, checksum, registration_id, payload)
"""
"""For `put_many`."""

DELETE_FRAMES = "DELETE FROM frame WHERE position BETWEEN ? AND ?"
_FRAME = """
SELECT spool_key, sequence, ingest_time_us, first_time_us, last_time_us, samples, checksum,
  registration_id, payload
FROM frame WHERE position = ?
"""
_HEAD = struct.Struct("<7q")

DAMAGED = (apsw.CorruptError, apsw.NotADBError)
"""What SQLite raises where the file is not as it was written."""

UNREADABLE = (*DAMAGED, apsw.IOError)
"""The same, and what it raises where the disk gives nothing back."""


class CorruptFrame(Exception):
    """What stands at the position is not what was written there."""


def frame_row(position: int, spool_key: int, frame: FrameRecord) -> Row:
    """The values of `INSERT_FRAMES`."""
    head = (
        position,
        spool_key,
        frame.sequence,
        frame.ingest_time_us,
        frame.first_time_us,
        frame.last_time_us,
        frame.samples,
    )
    registration_id, payload = frame.registration_id, frame.payload
    return (*head, _checksum(head, registration_id, payload), registration_id, payload)


def read_frame(db: apsw.Connection, position: int, spools: dict[int, Row]) -> FrameRecord | None:
    """The frame at the position; None if it belongs to none of the spools.

    Args:
        db: The connection, on its thread.
        position: One that was written and is not aged out.
        spools: (tenant_id, agent_id, spool_id) by key.

    Raises:
        CorruptFrame: It is unreadable, missing, or not as it was written.
    """
    try:
        row = db.execute(_FRAME, (position,)).fetchone()
    except UNREADABLE as error:
        raise CorruptFrame from error
    if row is None:
        raise CorruptFrame
    *head, checksum, registration_id, payload = row
    if checksum != _checksum((position, *head), registration_id, payload):
        raise CorruptFrame
    spool = spools.get(head[0])
    if spool is None:
        return None
    _, sequence, ingest_time_us, first_time_us, last_time_us, samples = head
    tenant_id, agent_id, spool_id = spool
    return FrameRecord(
        tenant_id=tenant_id,
        agent_id=agent_id,
        spool_id=spool_id,
        sequence=sequence,
        registration_id=registration_id,
        ingest_time_us=ingest_time_us,
        first_time_us=first_time_us,
        last_time_us=last_time_us,
        samples=samples,
        payload=payload,
    )


def _checksum(head: Row, registration_id: bytes, payload: bytes) -> int:
    return crc32(payload, crc32(registration_id, crc32(_HEAD.pack(*head))))
