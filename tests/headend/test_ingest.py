"""Telemetry is acknowledged when it is durable, and only then."""

from itertools import pairwise

import pytest
import trio
from headend_plant import Plant, open_plant, site_of
from hypothesis import given
from hypothesis import strategies as st
from memory_store import MemoryDisk
from trio.abc import Clock

from actors import RestartsExceeded
from dercp.headend.history.ingest import ranges
from dercp.store.records import HistoryLimits
from dercp.wire import v1
from dercp.wire.registration import encode_registration, registration_id

SITE = site_of("site-1", "bess-1")


def logged(disk: MemoryDisk) -> list[int]:
    """The sequences of the frames on the disk, in the order of the log."""
    return [frame.sequence for frame in disk.frames.values()]


async def settled(plant: Plant, name: str) -> float:
    """A total, once nothing moves any more."""
    await plant.settle()
    return plant.count(name)


async def test_a_batch_is_acknowledged_once_it_is_on_disk(autojump_clock: Clock) -> None:
    """Not before the write has ended, and then with its number."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        disk.write_takes_s = 0.5
        sent_at = trio.current_time()
        await agent.sample(1.25)
        assert await agent.expect_ack() == [(1, 1)]
        assert trio.current_time() - sent_at == pytest.approx(0.5)
        assert logged(disk) == [1]


async def test_what_comes_during_a_write_shares_the_next(autojump_clock: Clock) -> None:
    """Many batches, few writes, few acknowledgements; all of them in stretches."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await plant.settle()
        disk.write_takes_s = 0.1
        before = disk.commits
        for _ in range(50):
            await agent.sample()
        acknowledged: list[tuple[int, int]] = []
        while ranges(acknowledged) != [(1, 50)]:
            acknowledged += await agent.expect_ack()
        assert disk.commits - before <= 3
        assert logged(disk) == list(range(1, 51))


async def test_the_latest_does_not_wait_for_the_disk(autojump_clock: Clock) -> None:
    """A slow disk delays acknowledgements, and nothing else."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        disk.write_takes_s = 30.0
        await agent.sample(2.5)
        await plant.settle()
        assert plant.power_mw("bess-1") == 2.5


async def test_a_batch_sent_again_is_stored_once_and_acknowledged_again(
    autojump_clock: Clock,
) -> None:
    """The acknowledgement may have been what got lost."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        for _ in range(2):
            await agent.sample(sequence=7)
            assert await agent.expect_ack() == [(7, 7)]
        assert logged(disk) == [7]
        assert await settled(plant, "frames_duplicate") == 1


async def test_a_full_log_acknowledges_nothing_and_recovers(autojump_clock: Clock) -> None:
    """The edge keeps what is not acknowledged; the latest is seen all the same."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await plant.settle()
        disk.full = True
        await agent.sample(3.0)
        await plant.settle()
        assert plant.power_mw("bess-1") == 3.0
        assert plant.count("frames_not_taken") == 1
        assert logged(disk) == []

        disk.full = False
        await agent.sample(3.0, sequence=1)
        assert await agent.expect_ack() == [(1, 1)]


async def test_what_waits_for_the_disk_is_bounded(autojump_clock: Clock) -> None:
    """Beyond the bound a batch is not taken: it is counted, and comes again."""
    disk = MemoryDisk()
    async with (
        open_plant(disk, ingest_bytes_max=1_000) as plant,
        plant.agent() as agent,
    ):
        await plant.settle()
        disk.write_takes_s = 1.0
        for _ in range(10):
            await agent.sample()
        assert await settled(plant, "frames_not_taken") > 0
        await trio.sleep(10)
        await agent.sample(sequence=11)
        assert (11, 11) in await agent.expect_ack() or (11, 11) in await agent.expect_ack()


async def test_a_gap_is_stored_and_acknowledged(autojump_clock: Clock) -> None:
    """With its numbers, so that the edge declares it no more."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await agent.say(
            gap_report=v1.GapReport(
                spool_id="spool-1",
                sequences=v1.SequenceRange(first=3, last=9),
                from_us=1,
                to_us=2,
                samples=7,
                reason="spool_full",
            )
        )
        assert await agent.expect_ack() == [(3, 9)]
        [gap] = disk.gaps.values()
        assert (gap.first_sequence, gap.last_sequence, gap.samples) == (3, 9, 7)
        assert await settled(plant, "gap_samples") == 7


async def test_a_gap_of_nothing_is_refused(autojump_clock: Clock) -> None:
    """It would declare batches that were never numbered."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.say(gap_report=v1.GapReport(spool_id="spool-1", samples=1))
        await agent.expect_reject(v1.RejectCode.MALFORMED)


async def test_a_backlog_of_last_weeks_registration_is_read(autojump_clock: Clock) -> None:
    """The site has changed since; what was written before still has its schema."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant:
        async with plant.agent() as agent:
            await agent.sample(1.0)
            await agent.expect_ack()
        old_id = registration_id(encode_registration(SITE))
        async with plant.agent(assets=("bess-0", "bess-1")) as agent:
            await agent.sample(2.0, sequence=2)
            assert await agent.expect_ack() == [(2, 2)]
            agent.registration = SITE
            await agent.sample(9.0, sequence=3, registration_id=old_id, lane=v1.Lane.BACKLOG)
            assert await agent.expect_ack() == [(3, 3)]
        assert [disk.frames[each].registration_id == old_id for each in disk.frames] == [
            True,
            False,
            True,
        ]


async def test_what_was_acknowledged_is_there_after_a_restart(autojump_clock: Clock) -> None:
    """The log is on the disk, not in the headend."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await agent.sample()
        await agent.expect_ack()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await agent.sample(sequence=1)
        assert await agent.expect_ack() == [(1, 1)]
        assert await settled(plant, "frames_duplicate") == 1
    assert logged(disk) == [1]


async def _until_it_gives_up(disk: MemoryDisk) -> list[v1.Downlink]:
    """Everything an agent hears of a headend whose disk has failed."""
    heard: list[v1.Downlink] = []
    try:
        async with open_plant(disk) as plant, plant.agent() as agent:
            heard = agent.heard
            await plant.settle()
            disk.broken = True
            while True:
                await agent.sample()
                await trio.sleep(1)
    except RestartsExceeded:
        return heard


async def test_a_log_that_has_failed_ends_the_headend(autojump_clock: Clock) -> None:
    """After a failed write nobody knows what the disk holds: it must begin anew, and replay."""
    heard = await _until_it_gives_up(MemoryDisk())
    assert [each for each in heard if each.telemetry_ack is not None] == []


async def test_old_history_is_aged_out(autojump_clock: Clock) -> None:
    """Once a minute, down to what is kept."""
    disk = MemoryDisk()
    limits = HistoryLimits(retained_s=3600.0)
    async with (
        open_plant(disk, history=limits) as plant,
        plant.agent() as agent,
    ):
        await agent.sample()
        await agent.expect_ack()
        await trio.sleep(4000)
        await plant.settle()
        assert logged(disk) == []


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=30))
def test_ranges_hold_the_same_numbers_and_are_apart(parts: list[tuple[int, int]]) -> None:
    """Nothing is acknowledged that was not logged, and nothing twice."""
    stretches = [(first, first + more) for first, more in parts]
    joined = ranges(stretches)
    numbers = {number for first, last in stretches for number in range(first, last + 1)}
    assert [n for first, last in joined for n in range(first, last + 1)] == sorted(numbers)
    assert all(last + 1 < following for (_, last), (following, _) in pairwise(joined))
