"""A disk that is full, that fails, or that loses its power under the ingest log."""

import random
from pathlib import Path

import apsw
import pytest
import trio
from faulty_disk import Disk
from history_samples import EVER, SECOND, frame, gap, numbers, read_all, small

from dercp.store import LogFull, StoreError, StoreFailed, StoreFull, open_history
from dercp.store.sqlite._writer import GroupLimits

FAILURES = [
    pytest.param({"sync": apsw.SQLITE_IOERR_FSYNC}, "SQLITE_IOERR_FSYNC", id="fsync fails"),
    pytest.param({"write": apsw.SQLITE_IOERR_WRITE}, "SQLITE_IOERR_WRITE", id="write fails"),
]


@pytest.mark.parametrize(("faults", "word"), FAILURES)
async def test_after_a_failure_nothing_is_acknowledged(
    tmp_path: Path, disk: Disk, faults: dict[str, int], word: str
) -> None:
    """Even if the disk recovers: only a restart finds out what it holds."""
    async with open_history(tmp_path, vfs="test_disk") as history:
        await history.append([frame(1)])
        disk.faults = faults
        with pytest.raises(StoreFailed, match=word):
            await history.append([frame(2)])
        disk.faults = {}
        with pytest.raises(StoreFailed, match="until the headend is restarted"):
            await history.append([frame(3)])
        with pytest.raises(StoreFailed):
            await history.declare([gap(4, 5)])
        with pytest.raises(StoreFailed):
            await history.prune(0)
        with pytest.raises(StoreFailed):
            await history.frames("default", "alpha-gw", 0, EVER)
        with pytest.raises(StoreFailed):
            await history.sequences("default", "alpha-gw")
        assert word in str(history.statistics().failure)
        assert history.statistics().stored == 1
    async with open_history(tmp_path, vfs="test_disk") as history:
        assert set(await numbers(history)) - {2} == {1}
        # Sent again, as it was not acknowledged; it may have been written all the same.
        await history.append([frame(2), frame(3)])
        assert await numbers(history) == [1, 2, 3]


async def test_a_full_disk_refuses_until_there_is_room(tmp_path: Path, disk: Disk) -> None:
    """Nothing is written, reads go on, and what was refused is no duplicate afterwards."""
    async with open_history(tmp_path, vfs="test_disk") as history:
        await history.append([frame(1)])
        disk.faults = {"write": apsw.SQLITE_FULL}
        for _ in range(3):
            with pytest.raises(StoreFull, match="free some and writes work again"):
                await history.append([frame(2)])
        assert await numbers(history) == [1]
        assert history.statistics().refused == 3
        disk.faults = {}
        assert (await history.append([frame(2), frame(1)])).stored == 1
        assert await numbers(history) == [1, 2]


async def test_everyone_in_a_failed_commit_is_told(tmp_path: Path, disk: Disk) -> None:
    """And nothing of theirs is taken for logged."""
    errors: list[StoreError] = []

    async def append(number: int) -> None:
        with pytest.raises(StoreFull) as refused:
            await history.append([frame(number)])
        errors.append(refused.value)

    async with open_history(tmp_path, vfs="test_disk") as history:
        disk.faults = {"write": apsw.SQLITE_FULL}
        async with trio.open_nursery() as nursery:
            for number in range(1, 21):
                nursery.start_soon(append, number)
        disk.faults = {}
        assert len({id(error) for error in errors}) == 20
        assert await history.sequences("default", "alpha-gw") == ()
        assert (await history.append([frame(n) for n in range(1, 21)])).stored == 20


async def test_the_reserve_of_the_disk_is_not_touched(tmp_path: Path) -> None:
    """What is kept for dispatches and audit stays free, whatever the log's own bound."""
    async with open_history(tmp_path, small(disk_reserve_bytes=2**60)) as history:
        with pytest.raises(LogFull, match="kept for dispatches and audit"):
            await history.append([frame(1)])
        with pytest.raises(LogFull, match="kept for dispatches and audit"):
            await history.declare([gap(1, 2)])
        assert not (await history.prune(0)).more


async def test_too_many_holes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept in memory: an edge that sends every other batch must not fill it."""
    monkeypatch.setattr("dercp.store.sqlite._log.STRETCHES_MAX", 20)
    async with open_history(tmp_path) as history:
        for number in range(1, 40, 2):
            await history.append([frame(number)])
        with pytest.raises(LogFull, match="every other batch"):
            await history.append([frame(41)])
        assert len(await numbers(history)) == 20


async def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before every single sync: of commits, segments, ageing out, checkpoints, closing."""
    monkeypatch.setattr("dercp.store.sqlite._segments.SEGMENT_FRAMES", 5)
    monkeypatch.setattr("dercp.store.sqlite._history._GROUPS", GroupLimits(checkpoint_pages=30))
    limits = small(retained_s=10.0)
    chance = random.Random(7)
    acknowledged = pruned = 0
    cuts: list[tuple[dict[str, bytes], int, int]] = []
    disk.before_sync = lambda: cuts.append((disk.without_power(chance), acknowledged, pruned))
    (tmp_path / "before").mkdir()
    for _ in range(3):
        async with open_history(tmp_path / "before", limits, vfs="test_disk") as history:
            for _ in range(12):
                await history.append([frame(acknowledged + 1, size=2_000)])
                acknowledged += 1
                # Said before it is done: a cut may find it done or not.
                pruned = max(0, acknowledged - 10)
                await history.prune((acknowledged + 1) * SECOND)
    assert len(cuts) > 60
    for number, (found, promised, gone) in enumerate(cuts):
        after = tmp_path / f"after-{number}"
        after.mkdir()
        for path, content in found.items():
            (after / Path(path).name).write_bytes(content)
        async with open_history(after, limits) as history:
            assert history.statistics().set_aside == ()
            there = await read_all(history)
            last = max(promised, there[-1].sequence if there else 0)
            assert there == [frame(n, size=2_000) for n in range(last - len(there) + 1, last + 1)]
            assert last <= promised + 1
            assert last - len(there) <= gone
            for spool in await history.sequences("default", "alpha-gw"):
                assert [(each.first, each.last) for each in spool.stored] == [(1, last)]
