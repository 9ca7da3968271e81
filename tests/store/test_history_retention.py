"""Ageing out: oldest first, in bounded steps, and nothing forgotten about what was there."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from history_samples import EVER, SECOND, frame, gap, numbers, small

from dercp.store import Appended, History, Pruned

OpenLog = Callable[..., AbstractAsyncContextManager[History]]


async def test_what_is_too_old_is_pruned_oldest_first(open_log: OpenLog) -> None:
    """By its time of arrival: a backlog of last week is not thrown away as it comes."""
    async with open_log(small(retained_s=10.0)) as history:
        await history.append([frame(n) for n in range(1, 21)])
        await history.append([frame(0 + 40, first_time_us=1, last_time_us=1)])
        assert await history.prune(11 * SECOND) == Pruned(frames=0, gaps=0, more=False)
        assert history.statistics().retained_from_us is None
        assert (await history.prune(16 * SECOND)).frames == 5
        assert await numbers(history) == [*range(6, 21), 40]
        assert history.statistics().retained_from_us == frame(5).ingest_time_us
    async with open_log(small(retained_s=10.0)) as history:
        assert history.statistics().retained_from_us == frame(5).ingest_time_us
        assert history.statistics().frames == 16
        assert (await history.prune(16 * SECOND)).frames == 0


async def test_what_was_pruned_stays_known(open_log: OpenLog) -> None:
    """It is no duplicate's chance to come back, and no hole."""
    async with open_log(small(retained_s=10.0)) as history:
        await history.append([frame(n) for n in range(1, 6)])
        await history.declare([gap(6, 7)])
        before = await history.sequences("default", "alpha-gw")
        assert await history.prune(100 * SECOND) == Pruned(frames=5, gaps=1, more=False)
        assert await history.append([frame(3)]) == Appended(stored=0, duplicates=1)
    async with open_log(small(retained_s=10.0)) as history:
        assert await history.append([frame(5), frame(8)]) == Appended(stored=1, duplicates=1)
        assert await numbers(history) == [8]
        assert (await history.gaps("default", None, 0, EVER)).gaps == ()
        (spool,) = await history.sequences("default", "alpha-gw")
        assert (spool.declared, spool.stored[0]) == (before[0].declared, before[0].stored[0])


async def test_a_clock_ahead_does_not_make_history_look_aged_out(open_log: OpenLog) -> None:
    """What claims to be of next century counts as of its arrival."""
    async with open_log(small(retained_s=10.0)) as history:
        await history.append([frame(1, last_time_us=EVER), frame(50)])
        await history.prune(30 * SECOND)
        assert history.statistics().retained_from_us == frame(1).ingest_time_us
        assert history.statistics().newest_us == frame(50).ingest_time_us


async def test_gaps_age_out_with_the_frames_around_them(open_log: OpenLog) -> None:
    """Nobody can see what they would explain; later ones stay."""
    async with open_log(small(retained_s=10.0)) as history:
        await history.append([frame(1), frame(9)])
        await history.declare([gap(2, 4), gap(6, 8)])
        assert (await history.prune(15 * SECOND)).gaps == 1
        assert (await history.gaps("default", None, 0, EVER)).gaps == (gap(6, 8),)
