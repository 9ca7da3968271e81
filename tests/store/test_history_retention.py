"""Ageing out: oldest first, in bounded steps, and nothing forgotten about what was there."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from history_samples import EVER, SECOND, frame, gap, numbers, small

from dercp.store import Appended, History, Pruned, open_history
from dercp.store.sqlite import HISTORY_NAME

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


async def test_a_file_that_breathes_does_not_grow(tmp_path: Path) -> None:
    """What was taken away makes room for what comes."""
    limits = small(bytes_max=3_000_000, retained_bytes=1_500_000)
    async with open_history(tmp_path, limits) as history:
        for round_ in range(8):
            first = 1 + 100 * round_
            await history.append([frame(n, size=8_000) for n in range(first, first + 100)])
            while (await history.prune(0)).more:
                pass
        kept = await numbers(history)
        assert kept == list(range(kept[0], 801))
        assert 100 < len(kept) < 200
        assert history.statistics().bytes <= limits.retained_bytes
    assert (tmp_path / HISTORY_NAME).stat().st_size <= limits.bytes_max


async def test_a_step_of_pruning_is_bounded(tmp_path: Path) -> None:
    """So that it delays telemetry by some milliseconds; it says that there is more to do."""
    async with open_history(tmp_path, small(retained_s=1.0)) as history:
        for first in (1, 601):
            await history.append([frame(n) for n in range(first, first + 600)])
        steps = [await history.prune(EVER) for _ in range(4)]
        assert [(step.frames, step.more) for step in steps] == [
            (500, True),
            (500, True),
            (200, False),
            (0, False),
        ]
        await history.append([frame(2_000 + n, size=1_000_000) for n in range(20)])
        assert (await history.prune(EVER)).frames == 9


async def test_a_file_that_has_shrunk_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody allowed less history: the disk sees it."""
    monkeypatch.setattr("dercp.store.sqlite._prune.STEP_PAGES", 100)
    path = tmp_path / HISTORY_NAME
    async with open_history(tmp_path, small()) as history:
        await history.append([frame(n, size=8_000) for n in range(1, 501)])
    before = path.stat().st_size
    async with open_history(tmp_path, small(retained_bytes=500_000)) as history:
        for _ in range(30):
            await history.prune(0)
        assert len(await numbers(history)) > 20
    assert path.stat().st_size < before // 3
