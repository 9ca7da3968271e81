"""The ingest log's contract: what was taken in is there, once, and nothing else is."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest
import trio
from history_samples import EVER, frame, gap, numbers, read_all, small

from dercp.store import APPEND_FRAMES_MAX, Appended, FrameRecord, History, LogFull, StoreClosed

OpenLog = Callable[..., AbstractAsyncContextManager[History]]


async def test_what_was_appended_is_there_after_a_restart(open_log: OpenLog) -> None:
    """Every field, byte for byte, in the order in which it was logged."""
    frames = [frame(1), frame(3, payload=b""), frame(2, samples=0), frame(4, size=100_000)]
    async with open_log() as history:
        assert await history.append(frames) == Appended(stored=4, duplicates=0)
        assert await read_all(history) == frames
    async with open_log() as history:
        assert await read_all(history) == frames
        await history.append([frame(5)])
        assert await numbers(history) == [1, 3, 2, 4, 5]


async def test_a_batch_is_logged_once(open_log: OpenLog) -> None:
    """Sent again after a lost acknowledgement: in the same call, a later one, after a restart."""
    async with open_log() as history:
        assert await history.append([frame(1), frame(2), frame(1)]) == Appended(
            stored=2, duplicates=1
        )
        again = frame(2, ingest_time_us=99, payload=b"other")
        assert await history.append([again, frame(3)]) == Appended(stored=1, duplicates=1)
    async with open_log() as history:
        assert await history.append([frame(3), frame(1)]) == Appended(stored=0, duplicates=2)
        assert await read_all(history) == [frame(1), frame(2), frame(3)]
        assert history.statistics().duplicates == 2


async def test_of_many_at_once_with_one_batch_one_is_logged(open_log: OpenLog) -> None:
    """The two lanes of a session, and the session before it, in one group commit."""
    answers: list[Appended] = []

    async def append(history: History, frames: list[FrameRecord]) -> None:
        answers.append(await history.append(frames))

    async with open_log() as history:
        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(append, history, [frame(1 + n % 5), frame(6)])
        assert sum(each.stored for each in answers) == 6
        assert sum(each.duplicates for each in answers) == 94
        assert sorted(await numbers(history)) == [1, 2, 3, 4, 5, 6]


async def test_the_same_number_in_another_spool_is_another_batch(open_log: OpenLog) -> None:
    """Tenant, agent and spool are part of the name."""
    frames = [
        frame(1),
        frame(1, spool_id="spool-2"),
        frame(1, agent="beta-gw"),
        frame(1, tenant_id="other"),
    ]
    async with open_log() as history:
        assert await history.append(frames) == Appended(stored=4, duplicates=0)
        assert await read_all(history) == frames[:2]
        assert await read_all(history, "beta-gw") == frames[2:3]
        assert await read_all(history, tenant="other") == frames[3:]
        assert await read_all(history, "beta-gw", tenant="other") == []


async def test_what_cannot_be_is_refused_whole(open_log: OpenLog) -> None:
    """Nothing of such a call is logged."""
    wrong = [
        [frame(1), frame(0)],
        [frame(2**63)],
        [frame(1, first_time_us=2, last_time_us=1)],
        [frame(n) for n in range(1, APPEND_FRAMES_MAX + 2)],
    ]
    async with open_log() as history:
        for frames in wrong:
            with pytest.raises(ValueError, match=r"expected|ends before"):
                await history.append(frames)
        for gaps in ([gap(2, 1)], [gap(0, 1)], [gap(1, 2, from_us=9, to_us=8)]):
            with pytest.raises(ValueError, match=r"expected|ends before"):
                await history.declare(gaps)
        assert await numbers(history) == []
        assert await history.sequences("default", "alpha-gw") == ()
        assert await history.append([]) == Appended(stored=0, duplicates=0)


async def test_a_full_log_refuses_and_takes_in_again_after_pruning(open_log: OpenLog) -> None:
    """Nothing of a refused call is logged, and nothing that was logged is gone."""
    limits = small(bytes_max=2_000_000, retained_bytes=1_000_000)
    last = 0
    async with open_log(limits) as history:
        with suppress(LogFull):
            for last in range(0, 2_000, 10):
                await history.append([frame(last + n, size=8_000) for n in range(1, 11)])
        with pytest.raises(LogFull):
            await history.declare([gap(n, n) for n in range(20_000, 40_000, 25)])
        assert 100 <= last < 250
        assert await numbers(history) == list(range(1, last + 1))
        assert (await history.gaps("default", None, 0, EVER)).gaps == ()
        statistics = history.statistics()
        assert statistics.refused == 2
        assert statistics.bytes <= limits.bytes_max
    async with open_log(limits) as history:
        assert await numbers(history) == list(range(1, last + 1))
        with pytest.raises(LogFull):
            await history.append([frame(last + n, size=8_000) for n in range(1, 31)])
        while (await history.prune(0)).more:
            pass
        assert history.statistics().bytes <= limits.retained_bytes
        await history.append([frame(last + n, size=8_000) for n in range(1, 31)])
        kept = await numbers(history)
        assert kept == list(range(kept[0], last + 31))
        assert kept[0] > 1


async def test_statistics_tell_what_is_held(open_log: OpenLog) -> None:
    """How much, how new, and what was refused as known; after a restart, what is there."""
    async with open_log() as history:
        assert history.statistics().newest_us is None
        await history.append([frame(1), frame(2), frame(2)])
        statistics = history.statistics()
        assert (statistics.frames, statistics.stored, statistics.duplicates) == (2, 2, 1)
        assert statistics.newest_us == frame(2).ingest_time_us
        assert (statistics.corrupt, statistics.waiting, statistics.failure) == (0, 0, None)
        assert statistics.commits == statistics.writes == 1
    async with open_log() as history:
        again = history.statistics()
        assert (again.frames, again.newest_us) == (2, statistics.newest_us)
        assert (again.stored, again.retained_from_us, again.set_aside) == (0, None, ())


async def test_a_closed_history_says_so(open_log: OpenLog) -> None:
    """Who kept it beyond its block is told, for reads and writes alike."""
    async with open_log() as history:
        pass
    for call in (
        lambda: history.append([frame(1)]),
        lambda: history.declare([gap(1, 2)]),
        lambda: history.prune(0),
        lambda: history.frames("default", "alpha-gw", 0, EVER),
        lambda: history.gaps("default", None, 0, EVER),
        lambda: history.sequences("default", "alpha-gw"),
    ):
        with pytest.raises(StoreClosed):
            await call()
