"""Appends and declares, each in one transaction under the lock of the extent."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from dercp.model.completeness import Stretch
from dercp.store.errors import LogFull
from dercp.store.postgres._bridge import Db
from dercp.store.postgres._days import DayPart, day_of, extend_days, make_days
from dercp.store.postgres._extent import ROW_BYTES, Extent, lock_extent, write_extent
from dercp.store.postgres._gaps import Gaps, drop_filled
from dercp.store.postgres._samples import Copied, Projector
from dercp.store.postgres._spools import Account, Known, Reach, SpoolName, find_spools
from dercp.store.records import Appended, FrameRecord, GapRecord, HistoryLimits

_COLUMNS = (
    *("day", "position", "spool_key", "sequence", "ingest_time_us", "first_time_us"),
    *("last_time_us", "samples", "registration_id", "payload"),
)


class Logged(NamedTuple):
    """What became of a call of `append`."""

    appended: Appended
    copied: Copied
    extent: Extent


async def append(
    db: Db, frames: Sequence[FrameRecord], limits: HistoryLimits, projector: Projector | None
) -> Logged:
    """Log frames that are not in the log, and write their rows."""
    extent = await lock_extent(db)
    _check_room(extent, limits, sum(len(each.payload) + ROW_BYTES for each in frames))
    keys = await find_spools(db, map(_spool_of, frames))
    stored = Known(Account.STORED)
    await stored.read(db, _reaches((keys[_spool_of(f)], f.sequence, f.sequence) for f in frames))
    fresh: list[FrameRecord] = []
    for frame in frames:
        key = keys[_spool_of(frame)]
        if frame.sequence not in stored.of(key):
            times = frame.first_time_us, frame.last_time_us
            stored.add(key, Stretch(frame.sequence, frame.sequence, *times))
            fresh.append(frame)
    copied = Copied()
    if fresh:
        extent = await _write(db, extent, fresh, keys)
        if projector is not None:
            copied = await projector.copy(db, fresh)
        await stored.write(db)
        await drop_filled(db, stored.changed())
    appended = Appended(stored=len(fresh), duplicates=len(frames) - len(fresh))
    return Logged(appended, copied, extent)


async def declare(db: Db, gaps: Sequence[GapRecord], limits: HistoryLimits) -> Extent:
    """Note gaps, those that touch as one."""
    extent = await lock_extent(db)
    _check_room(extent, limits, len(gaps) * ROW_BYTES)
    keys = await find_spools(db, map(_spool_of, gaps))
    reaches = _reaches((keys[_spool_of(g)], g.first_sequence, g.last_sequence) for g in gaps)
    stored, declared = Known(Account.STORED), Known(Account.DECLARED)
    rows = Gaps(extent.gap_position)
    for known in (stored, declared, rows):
        await known.read(db, reaches)
    for gap in gaps:
        key = keys[_spool_of(gap)]
        stretch = Stretch(gap.first_sequence, gap.last_sequence, gap.from_us, gap.to_us)
        declared.add(key, stretch)
        rows.put(key, gap, stored.of(key))
    await declared.write(db)
    await rows.write(db)
    extent = extent._replace(gap_position=rows.last_position)
    await write_extent(db, extent)
    return extent


async def _write(
    db: Db, extent: Extent, frames: Sequence[FrameRecord], keys: dict[SpoolName, int]
) -> Extent:
    """Write frames at the end of the log."""
    rows: list[tuple[object, ...]] = []
    parts: dict[date, DayPart] = {}
    for frame in frames:
        day = max(day_of(frame.ingest_time_us), extent.newest_day)
        position = extent.last_position + 1
        size = len(frame.payload) + ROW_BYTES
        # A clock ahead of ours must not make all history look aged out, or up to date.
        time_us = min(frame.last_time_us, frame.ingest_time_us)
        extent = extent._replace(
            last_position=position,
            bytes=extent.bytes + size,
            newest_us=max(time_us, extent.newest_us or time_us),
            newest_day=day,
        )
        part = parts.setdefault(day, DayPart.empty(day, position))
        part.add(position, size, frame, time_us)
        rows.append((
            day, position, keys[_spool_of(frame)], frame.sequence, frame.ingest_time_us,
            frame.first_time_us, frame.last_time_us, frame.samples, frame.registration_id,
            frame.payload,
        ))  # fmt: skip
    # Samples lie on the day they arrived, also those that arrived before the newest day.
    await make_days(db, {*parts, *(day_of(frame.ingest_time_us) for frame in frames)})
    await db.copy_records_to_table("frame", records=rows, columns=_COLUMNS)
    await extend_days(db, parts.values())
    await write_extent(db, extent)
    return extent


def _spool_of(record: FrameRecord | GapRecord) -> SpoolName:
    return SpoolName(record.tenant_id, record.agent_id, record.spool_id)


def _reaches(numbers: Iterable[tuple[int, int, int]]) -> list[Reach]:
    """The fewest that hold all numbers, a spool each."""
    reaches: dict[int, Reach] = {}
    for key, low, high in numbers:
        known = reaches.get(key, Reach(key, low, high))
        reaches[key] = Reach(key, min(low, known.low), max(high, known.high))
    return list(reaches.values())


def _check_room(extent: Extent, limits: HistoryLimits, count: int) -> None:
    if extent.bytes + count > limits.bytes_max:
        raise LogFull(
            f"the history in Postgres holds its {limits.bytes_max:,} bytes; telemetry waits "
            "until older history is pruned: allow more, or retain less"
        )
