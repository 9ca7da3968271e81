"""A disk that is full, that fails, or that loses its power: no acknowledgement was a lie."""

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
import trio
from faulty_disk import Disk

from dercp.model.dispatch import Dispatch
from dercp.store import Store, StoreError, StoreFailed, StoreFull, open_sqlite
from dercp.store.sqlite import FILE_NAME
from dercp.store.sqlite._writer import GroupLimits

MakeDispatch = Callable[..., Dispatch]


FAILURES = [
    pytest.param({"sync": apsw.SQLITE_IOERR_FSYNC}, "SQLITE_IOERR_FSYNC", id="fsync fails"),
    pytest.param({"write": apsw.SQLITE_IOERR_WRITE}, "SQLITE_IOERR_WRITE", id="write fails"),
]


@pytest.mark.parametrize(("faults", "word"), FAILURES)
async def test_after_a_failure_nothing_is_tried_again(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch, faults: dict[str, int], word: str
) -> None:
    """Even if the disk recovers: only a restart finds out what it holds."""
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        await store.dispatches.commit([a_dispatch("d-1")])
        disk.faults = faults
        with pytest.raises(StoreFailed, match=word):
            await store.dispatches.commit([a_dispatch("d-2")])
        disk.faults = {}
        with pytest.raises(StoreFailed, match="until the headend is restarted"):
            await store.dispatches.commit([a_dispatch("d-3")])
        with pytest.raises(StoreFailed):
            await store.dispatches.get("d-1")
        assert word in str(store.statistics().failure)
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        assert await store.dispatches.get("d-1") == a_dispatch("d-1")
        assert await store.dispatches.get("d-3") is None
        await store.dispatches.commit([a_dispatch("d-4")])


async def test_a_full_disk_refuses_until_there_is_room(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch
) -> None:
    """Nothing is written, reads go on, and no restart is needed."""
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        await store.dispatches.commit([a_dispatch("d-1")])
        disk.faults = {"write": apsw.SQLITE_FULL}
        for _ in range(3):
            with pytest.raises(StoreFull, match="free some and writes work again"):
                await store.dispatches.commit([a_dispatch("d-2")])
        assert await store.dispatches.get("d-1") == a_dispatch("d-1")
        assert await store.dispatches.get("d-2") is None
        disk.faults = {}
        await store.dispatches.commit([a_dispatch("d-3")])
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        assert [d.dispatch_id for d in await store.dispatches.open()] == ["d-1", "d-3"]


async def test_a_disk_that_fills_up_in_the_midst_of_a_commit(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch
) -> None:
    """SQLite spills a large transaction early and then ends it by itself; same answer."""
    many = [a_dispatch(f"d-{n:05}") for n in range(8_000)]
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        disk.faults = {"write": apsw.SQLITE_FULL}
        with pytest.raises(StoreFull):
            await store.dispatches.commit(many)
        disk.faults = {}
        assert await store.dispatches.open() == []
        await store.dispatches.commit(many)
        assert len(await store.dispatches.open()) == 8_000


async def test_everyone_who_waited_is_told(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch
) -> None:
    """A failed commit has an error of its own for each caller."""
    errors: list[StoreError] = []

    async def commit(store: Store, name: str) -> None:
        with pytest.raises(StoreFailed) as refused:
            await store.dispatches.commit([a_dispatch(name)])
        errors.append(refused.value)

    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        disk.faults = {"sync": apsw.SQLITE_IOERR_FSYNC}
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(commit, store, f"d-{number}")
        assert store.statistics().commits == 0
    assert len({id(error) for error in errors}) == 20


async def test_a_disk_that_stays_broken_lets_the_store_close(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch
) -> None:
    """Closing tries a checkpoint; that it fails is nothing new."""
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        await store.dispatches.commit([a_dispatch("d-1")])
        disk.faults = {"sync": apsw.SQLITE_IOERR_FSYNC, "write": apsw.SQLITE_IOERR_WRITE}
        with pytest.raises(StoreFailed):
            await store.dispatches.commit([a_dispatch("d-2")])
    disk.faults = {}
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        assert await store.dispatches.get("d-1") == a_dispatch("d-1")


async def test_a_failed_checkpoint_takes_no_answer_back(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit before it is durable in the WAL; what comes after is refused."""
    monkeypatch.setattr("dercp.store.sqlite._store._GROUPS", GroupLimits(checkpoint_pages=1))
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        await store.dispatches.commit([a_dispatch("d-0")])
        disk.faults, disk.faulty = {"sync": apsw.SQLITE_IOERR_FSYNC}, FILE_NAME
        await store.dispatches.commit([a_dispatch("d-1")])
        with pytest.raises(StoreFailed, match="SQLITE_IOERR_FSYNC"):
            await store.dispatches.commit([a_dispatch("d-2")])
    disk.faults = {}
    async with open_sqlite(tmp_path, vfs="test_disk") as store:
        assert [d.dispatch_id for d in await store.dispatches.open()] == ["d-0", "d-1"]


async def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: Disk, a_dispatch: MakeDispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before every single sync, checkpoints and closing included."""
    monkeypatch.setattr("dercp.store.sqlite._store._GROUPS", GroupLimits(checkpoint_pages=12))
    chance = random.Random(7)
    acknowledged: list[str] = []
    cuts: list[tuple[dict[str, bytes], tuple[str, ...]]] = []
    disk.before_sync = lambda: cuts.append((disk.without_power(chance), tuple(acknowledged)))
    (tmp_path / "before").mkdir()
    for _ in range(3):
        async with open_sqlite(tmp_path / "before", vfs="test_disk") as store:
            for _ in range(12):
                name = f"d-{len(acknowledged)}"
                await store.dispatches.commit([a_dispatch(name)])
                acknowledged.append(name)
    assert len(cuts) > 40
    for number, (found, promised) in enumerate(cuts):
        after = tmp_path / f"after-{number}"
        after.mkdir()
        for path, content in found.items():
            (after / Path(path).name).write_bytes(content)
        async with open_sqlite(after) as store:
            there = [d.dispatch_id for d in await store.dispatches.open()]
        assert there[: len(promised)] == list(promised)
        assert len(there) <= len(promised) + 1
