"""The log as the way to a store: read in order, marked, and never pruned before it is there."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import apsw
import pytest
from history_samples import EVER, SECOND, frame, gap, numbers, small
from memory_store import MemoryDisk, MemoryHistory, open_memory_history

from dercp.store import DrainableHistory, DrainMark, FrameRecord, LogFull, Quarantined, open_history
from dercp.store.sqlite import HISTORY_NAME

OpenLog = Callable[..., AbstractAsyncContextManager[DrainableHistory]]

BEGIN = DrainMark(position=0, gap_change=0)


@pytest.fixture(params=["sqlite", "memory"])
def open_buffer(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    """Opens the same log at each call, on its way to the store named `here`."""
    if request.param == "sqlite":
        return lambda limits=None, destination="here": open_history(
            tmp_path, limits, destination=destination
        )
    disk = MemoryDisk()
    return lambda limits=None, destination="here": open_memory_history(
        disk, limits, destination=destination
    )


async def fill(log: DrainableHistory) -> int:
    """Append until the log is full; the number of the frame that it did not take."""
    for n in range(1, 1_000):
        try:
            await log.append([frame(n, size=40_000)])
        except LogFull:
            return n
    raise AssertionError("the log has no end")


async def test_frames_of_all_agents_come_in_the_order_of_the_log(open_buffer: OpenLog) -> None:
    """Page after page, each beginning at the mark of the one before."""
    async with open_buffer() as log:
        sent = [frame(n, agent=agent) for n in range(1, 6) for agent in ("a", "b")]
        await log.append(sent)
        found: list[FrameRecord] = []
        mark = BEGIN
        for _ in range(4):
            part = await log.undrained(mark, 3)
            found += part.frames
            mark = part.mark
        assert found == sent
        assert mark == log.drain_statistics().end
        assert (await log.undrained(mark, 3)).frames == ()


async def test_a_gap_that_grew_is_drained_again(open_buffer: OpenLog) -> None:
    """As what it is now, however often it grew; the others are not."""
    async with open_buffer() as log:
        await log.declare([gap(1, 2), gap(50, 51)])
        first = await log.undrained(BEGIN, 10)
        assert [each.last_sequence for each in first.gaps] == [2, 51]
        await log.declare([gap(3, 4)])
        await log.declare([gap(5, 6)])
        second = await log.undrained(first.mark, 10)
        assert [(each.first_sequence, each.last_sequence) for each in second.gaps] == [(1, 6)]
        assert second.mark == log.drain_statistics().end


async def test_a_change_made_while_it_is_drained_is_not_forgotten(open_buffer: OpenLog) -> None:
    """A gap that goes away and one that comes then never share a number."""
    async with open_buffer() as log:
        await log.declare([gap(1, 1)])
        part = await log.undrained(BEGIN, 10)
        await log.append([frame(1)])
        await log.declare([gap(9, 9)])
        await log.note_drained(part.mark)
        later = await log.undrained(part.mark, 10)
        assert [each.first_sequence for each in later.gaps] == [9]


async def test_the_mark_survives_and_never_goes_back(open_buffer: OpenLog) -> None:
    """A crash between the store's commit and the mark repeats; nothing is skipped."""
    async with open_buffer() as log:
        await log.append([frame(n) for n in range(1, 6)])
        await log.note_drained(DrainMark(position=4, gap_change=0))
        await log.note_drained(DrainMark(position=2, gap_change=0))
    async with open_buffer() as log:
        assert log.drain_statistics().drained == DrainMark(position=4, gap_change=0)


async def test_what_is_not_drained_is_not_pruned(open_buffer: OpenLog) -> None:
    """However old and however much it is; a drained tail stays for its time."""
    limits = small(retained_s=1.0, retained_bytes=0, tail_s=10.0)
    async with open_buffer(limits) as log:
        await log.append([frame(n) for n in range(1, 21)])
        await log.declare([gap(30, 30)])
        assert (await log.prune(100 * SECOND)).frames == 0
        await log.note_drained(DrainMark(position=10, gap_change=0))
        # At second 14 the frames of the seconds up to 3 are older than ten.
        assert (await log.prune(14 * SECOND)).frames == 3
        pruned = await log.prune(100 * SECOND)
        assert (pruned.frames, pruned.gaps, pruned.more) == (7, 0, False)
        assert await numbers(log) == list(range(11, 21))
        await log.note_drained(log.drain_statistics().end)
        pruned = await log.prune(100 * SECOND)
        assert (pruned.frames, pruned.gaps) == (10, 1)
        (spool,) = await log.sequences("default", "alpha-gw")
        assert (spool.stored[0].last, spool.declared[0].last) == (20, 30)


async def test_a_tail_is_bounded_in_bytes(open_buffer: OpenLog) -> None:
    """What is drained makes room for what is not."""
    async with open_buffer(small(tail_bytes=0)) as log:
        await log.append([frame(n) for n in range(1, 6)])
        await log.note_drained(DrainMark(position=3, gap_change=0))
        await log.prune(2 * SECOND)
        assert await numbers(log) == [4, 5]


async def test_a_full_log_takes_nothing_until_it_is_drained_and_pruned(
    open_buffer: OpenLog,
) -> None:
    """Retention makes no room at the cost of what nobody else has."""
    limits = small(bytes_max=400_000, retained_bytes=1_000, tail_bytes=0)
    async with open_buffer(limits) as log:
        n = await fill(log)
        assert (await log.prune(1_000 * SECOND)).frames == 0
        with pytest.raises(LogFull):
            await log.append([frame(n, size=40_000)])
        await log.note_drained(log.drain_statistics().end)
        assert (await log.prune(1_000 * SECOND)).frames == n - 1
        await log.append([frame(n, size=40_000)])


async def test_another_store_gets_all_that_is_still_there(open_buffer: OpenLog) -> None:
    """The mark belongs to one store; without any, the log is a historian as before."""
    async with open_buffer() as log:
        await log.append([frame(n) for n in range(1, 6)])
        await log.note_drained(log.drain_statistics().end)
    async with open_buffer(destination=None) as log:
        assert await numbers(log) == [1, 2, 3, 4, 5]
        await log.append([frame(6)])
    async with open_buffer() as log:
        assert log.drain_statistics().drained.position == 5
    async with open_buffer(destination="elsewhere") as log:
        statistics = log.drain_statistics()
        assert (statistics.drained.position, statistics.end.position) == (0, 6)
        assert len((await log.undrained(statistics.drained, 10)).frames) == 6


async def test_without_a_store_the_limits_hold_for_all(open_buffer: OpenLog) -> None:
    """Nobody waits for anything then."""
    async with open_buffer(small(retained_s=1.0), destination=None) as log:
        await log.append([frame(n) for n in range(1, 6)])
        await log.declare([gap(7, 7)])
        pruned = await log.prune(100 * SECOND)
        assert (pruned.frames, pruned.gaps) == (5, 1)


async def test_a_quarantined_frame_is_kept_for_good(tmp_path: Path) -> None:
    """It was acknowledged, so neither the mark nor pruning takes it away."""
    limits = small(tail_bytes=0)
    async with open_history(tmp_path, limits, destination="here") as log:
        await log.append([frame(n) for n in range(1, 4)])
        refused = Quarantined(position=2, why="no such month")
        await log.note_drained(log.drain_statistics().end, [refused])
        await log.prune(1_000 * SECOND)
        assert await numbers(log) == []
    async with open_history(tmp_path, limits, destination="here") as log:
        assert log.drain_statistics().quarantined == 1
    db = apsw.Connection(str(tmp_path / HISTORY_NAME))
    rows = db.execute("SELECT position, why, sequence, payload FROM quarantine").fetchall()
    assert rows == [(2, "no such month", 2, frame(2).payload)]


async def test_a_full_quarantine_takes_nothing(open_buffer: OpenLog) -> None:
    """And the mark stays where it was."""
    many = MemoryHistory.QUARANTINED_MAX + 1
    async with open_buffer() as log:
        for first in range(1, many + 1, 1_000):
            await log.append([frame(n) for n in range(first, min(first + 1_000, many + 1))])
        assert log.drain_statistics().quarantined_max == MemoryHistory.QUARANTINED_MAX
        with pytest.raises(LogFull):
            await log.note_drained(
                log.drain_statistics().end,
                [Quarantined(position=n, why="no") for n in range(1, many + 1)],
            )
        assert log.drain_statistics().drained == BEGIN
        await log.append([frame(many + 1)])
        assert len(await numbers(log)) == many + 1


async def test_a_damaged_frame_is_passed_over(tmp_path: Path) -> None:
    """It keeps no other one back, and is counted."""
    async with open_history(tmp_path, destination="here") as log:
        await log.append([frame(n) for n in range(1, 6)])
    db = apsw.Connection(str(tmp_path / HISTORY_NAME))
    db.execute("UPDATE frame SET samples = 99 WHERE position = 3")
    db.close()
    async with open_history(tmp_path, destination="here") as log:
        part = await log.undrained(BEGIN, 10)
        assert [each.sequence for each in part.frames] == [1, 2, 4, 5]
        assert (part.corrupt, part.mark) == (1, log.drain_statistics().end)


async def test_a_log_of_an_earlier_release_can_be_drained(tmp_path: Path) -> None:
    """Its gaps were never counted as changes."""
    async with open_history(tmp_path) as log:
        await log.append([frame(1)])
        await log.declare([gap(2, 3), gap(7, 8)])
    db = apsw.Connection(str(tmp_path / HISTORY_NAME))
    db.execute("""
        DROP INDEX gap_by_change; ALTER TABLE gap DROP COLUMN change;
        DROP TABLE drain; DROP TABLE quarantine; DROP TABLE purpose;
        DELETE FROM schema_version WHERE version > 1
    """)
    db.close()
    async with open_history(tmp_path, destination="here") as log:
        assert len((await log.undrained(BEGIN, 10)).gaps) == 2
        assert (await log.gaps("default", None, 0, EVER)).gaps == (gap(2, 3), gap(7, 8))
        await log.declare([gap(20, 20)])
        assert log.drain_statistics().end == DrainMark(position=1, gap_change=3)
