"""The projection: what frames say, as wide rows for people with SQL.

The frames are the truth. What these rows say is read out of them by a function given at
opening, and a frame that it cannot read has none.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dercp.model.points import POINTS
from dercp.store.ports import RowsOf
from dercp.store.postgres._bridge import Db, breathe
from dercp.store.postgres._rows import records, select
from dercp.store.records import FrameRecord, RegistrationRecord, SampleRow

CORE = tuple(point.name for point in POINTS)
COLUMNS = (
    *("tenant_id", "site_id", "asset_id", "source_time", "ingest_time"),
    *CORE,
    *("others", "quality"),
)

REGISTRATIONS_KEPT = 1_000
# Rows made at a stretch, some 5 ms.
ROWS_PER_TURN = 500

_FIND = f"{select(RegistrationRecord, 'registration')} WHERE registration_id = ANY($1::bytea[])"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CORE = frozenset(CORE)


class Projector:
    """Copies the rows of frames into `samples`.

    Characteristics:
        Memory: `REGISTRATIONS_KEPT` registrations; of the rows, those on their way.
    """

    def __init__(self, rows_of: RowsOf) -> None:
        self._rows_of = rows_of
        self._registrations: dict[bytes, RegistrationRecord] = {}

    async def copy(self, db: Db, frames: Sequence[FrameRecord]) -> "Copied":
        """Write the rows of these frames, in the transaction in which the frames are."""
        await self._learn(db, {frame.registration_id for frame in frames})
        copied = Copied()
        await db.copy_records_to_table(
            "samples", records=self._records(frames, copied), columns=COLUMNS
        )
        return copied

    async def _learn(self, db: Db, wanted: set[bytes]) -> None:
        unknown = wanted - self._registrations.keys()
        if not unknown:
            return
        if len(self._registrations) + len(unknown) > REGISTRATIONS_KEPT:
            self._registrations.clear()
            unknown = wanted
        for found in records(RegistrationRecord, await db.fetch(_FIND, list(unknown))):
            self._registrations[found.registration_id] = found

    async def _records(
        self, frames: Sequence[FrameRecord], copied: "Copied"
    ) -> AsyncIterator[tuple[Any, ...]]:
        since = 0
        for frame in frames:
            registration = self._registrations.get(frame.registration_id)
            rows = None if registration is None else self._rows_of(registration, frame)
            if rows is None:
                copied.unreadable += 1
                continue
            since += len(rows)
            if since >= ROWS_PER_TURN:
                await breathe()
                since = 0
            ingest_time = _time(frame.ingest_time_us)
            for row in rows:
                copied.rows += 1
                yield _record(frame.tenant_id, row, ingest_time)


class Copied(msgspec.Struct):
    """What was copied of some frames."""

    rows: int = 0
    # Frames without rows: their registration is not known, or they contradict it.
    unreadable: int = 0


def _record(tenant_id: str, row: SampleRow, ingest_time: datetime) -> tuple[Any, ...]:
    values = row.values
    return (
        tenant_id,
        row.site_id,
        row.asset_id,
        _time(row.source_time_us),
        ingest_time,
        *map(values.get, CORE),
        _map({name: value for name, value in values.items() if name not in _CORE}),
        _map(row.qualities),
    )


def _map(entries: Any) -> str | None:
    return msgspec.json.encode(entries).decode() if entries else None


def _time(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
