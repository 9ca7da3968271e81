"""The tables of a spool's file, and what their rows mean.

`parcel` has a row for each batch and gap that the headend does not hold yet; `frame` their
payloads, apart so that the rows can be searched without reading them; `dispatch` is the
journal; `spool` one row of what must outlive them all. Checksums are CRC-32: SQLite's own
find a torn log, not a changed page. `registration` holds the schemas of the batches, each
under its own hash.
"""

import struct
import zlib
from typing import Any, Final

import apsw

from dercp.edge.spool.outbox import Batch, Draft, Gap, Parcel, Sequences

__all__ = ["PRESENT", "READ", "SCHEMA", "SCHEMA_SINCE", "checksum", "parcel_of", "read_one"]

SCHEMA: Final = """
CREATE TABLE spool (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  spool_id   TEXT NOT NULL,
  sequence   INTEGER NOT NULL,  -- the last number given
  samples    INTEGER NOT NULL,  -- in all that was ever numbered
  to_us      INTEGER NOT NULL,  -- of the last batch
  dropped_batches INTEGER NOT NULL,
  dropped_samples INTEGER NOT NULL,
  age_s      REAL NOT NULL      -- how long the spool has been open, in all
) STRICT;
CREATE TABLE parcel (
  first   INTEGER PRIMARY KEY,
  last    INTEGER NOT NULL,
  from_us INTEGER NOT NULL,
  to_us   INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  kept_s  REAL NOT NULL,     -- the spool's age when it came
  level   INTEGER NOT NULL,  -- how often its neighbours were thinned away
  reason  TEXT,              -- of a gap; NULL: a batch
  frozen  INTEGER NOT NULL   -- a gap that may have been sent is never made longer
) STRICT;
CREATE INDEX parcel_level ON parcel (level, first) WHERE reason IS NULL;
CREATE TABLE frame (
  sequence        INTEGER PRIMARY KEY,
  registration_id BLOB NOT NULL,
  payload         BLOB NOT NULL,
  crc             INTEGER NOT NULL
) STRICT;
CREATE TABLE dispatch (
  dispatch_id TEXT PRIMARY KEY,
  content     BLOB NOT NULL,
  crc         INTEGER NOT NULL
) STRICT;
"""
# What files of the first release lack.
SCHEMA_SINCE: Final = """
CREATE TABLE IF NOT EXISTS registration (
  registration_id BLOB PRIMARY KEY,
  content         BLOB NOT NULL,
  first           INTEGER NOT NULL,  -- among these numbers are those written under it
  last            INTEGER NOT NULL
) STRICT;
"""
PRESENT: Final = 2**63 - 1
"""The last number of the registration that is in force."""


_NUMBERS: Final = struct.Struct("<QqqQ")
READ: Final = """
SELECT parcel.first, last, from_us, to_us, samples, reason, registration_id, payload, crc
FROM parcel LEFT JOIN frame ON sequence = parcel.first
WHERE parcel.first >= ? AND parcel.first < ? ORDER BY parcel.first LIMIT ?
"""


def read_one(db: apsw.Connection, first: int) -> Parcel | None:
    """The parcel with this first number; None if there is none.

    Raises:
        apsw.Error: It cannot be read.
        ValueError: It is not as it was written.
    """
    row = db.execute(READ, (first, first + 1, 1)).fetchone()
    if row is None:
        return None
    parcel = parcel_of(row)
    if parcel is None:
        raise ValueError(f"parcel {first} is not as it was written")
    return parcel


def checksum(batch: Batch) -> int:
    """Over everything that is known of a batch."""
    frame = batch.frame
    numbers = _NUMBERS.pack(batch.sequence, frame.from_us, frame.to_us, frame.samples)
    return zlib.crc32(frame.payload, zlib.crc32(frame.registration_id, zlib.crc32(numbers)))


def parcel_of(row: tuple[Any, ...]) -> Parcel | None:
    """What a row of `READ` says; None if that cannot be."""
    first, last, from_us, to_us, samples, reason, registration_id, payload, crc = row
    if reason is not None:
        return Gap(
            sequences=Sequences(first, last),
            from_us=from_us,
            to_us=to_us,
            samples=samples,
            reason=reason,
        )
    if payload is None:
        return None
    frame = Draft(
        registration_id=registration_id,
        payload=payload,
        from_us=from_us,
        to_us=to_us,
        samples=samples,
    )
    batch = Batch(first, frame)
    return batch if checksum(batch) == crc else None
