"""The spool on its disk: policies, limits, full and failing disks, restarts, inspection."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outbox_plant import Auditor, draft, on_disk
from trio.testing import MockClock

from dercp.edge.spool import disk as spool_disk
from dercp.edge.spool.inspecting import inspect_spool
from dercp.edge.spool.mark import MarkFile, read_mark
from dercp.edge.spool.opening import SpoolUnusable
from dercp.edge.spool.outbox import Batch, Sequences
from dercp.edge.spool.policy import Policy
from dercp.edge.spool.settings import SpoolSettings, Sync
from dercp.edge.spool.spool import Spool


def small(policy: Policy = Policy.DROP_OLDEST, **more: Any) -> SpoolSettings:
    """Room for some thirty batches."""
    return SpoolSettings(bytes_max=10_000, policy=policy, **more)


def delete(directory: Path, pattern: str) -> None:
    """Lose some files."""
    for file in directory.glob(pattern):
        file.unlink()


# ------------------------------------------------------------------- policies


async def test_drop_newest_keeps_the_beginning(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The rest is one gap."""
    auditor = Auditor()
    async with on_disk(tmp_path, small(Policy.DROP_NEWEST)) as spool:
        for number in range(1, 101):
            await spool.put(draft(number))
        spool.begin_session()
        await auditor.take_all(spool)
    assert list(auditor.held) == list(range(1, len(auditor.held) + 1))
    assert len(auditor.gaps) == 1
    auditor.check(last=100, produced=100)


async def test_thin_keeps_the_whole_time_in_less_resolution(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The steps between what is kept differ by a factor of two, but for the newest few."""
    auditor = Auditor()
    async with on_disk(tmp_path, small(Policy.THIN)) as spool:
        for number in range(1, 501):
            await spool.put(draft(number))
            assert spool.statistics().waiting_bytes <= 10_000
        spool.begin_session()
        await auditor.take_all(spool)
    kept = sorted(auditor.held)
    steps = [b - a for a, b in pairwise(kept)]
    assert kept[0] == 1
    assert kept[-1] == 500
    assert max(steps) <= 4 * min(steps[:-6])
    auditor.check(last=500, produced=500)


async def test_what_is_too_old_is_dropped_by_the_agents_own_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Hours that the agent was not running do not count; no clock that is set can empty it."""
    one_hour = SpoolSettings(age_max_h=1.0)
    async with on_disk(tmp_path, one_hour) as spool:
        await spool.put(draft(1))
        await trio.sleep(3000)
        await spool.put(draft(2))
    await trio.sleep(50_000)
    async with on_disk(tmp_path, one_hour) as spool:
        await trio.sleep(500)
        await spool.put(draft(3))
        assert spool.statistics().dropped_batches == 0
        await trio.sleep(200)
        await spool.put(draft(4))
        assert spool.statistics().dropped_batches == 1


# -------------------------------------------------------------------- restarts


async def test_numbers_and_counts_go_on_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """And so does the spool's id; what was acknowledged stays away."""
    async with on_disk(tmp_path) as spool:
        spool_id = spool.spool_id
        for number in (1, 2, 3):
            await spool.put(draft(number))
        spool.acknowledged(spool_id, [Sequences(2, 2)])
    async with on_disk(tmp_path) as spool:
        assert spool.spool_id == spool_id
        await spool.put(draft(4))
        statistics = spool.statistics()
    assert (statistics.last_sequence, statistics.waiting) == (4, 3)


async def test_two_agents_cannot_share_a_spool(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The second is told; another id has files of its own."""
    async with on_disk(tmp_path):
        with pytest.raises(SpoolUnusable, match="another agent with this id works here"):
            async with on_disk(tmp_path):
                pass


async def test_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """With what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnusable, match="cannot be the data directory"):
        async with on_disk(tmp_path / "file" / "spool"):
            pass


async def test_a_lost_spool_is_declared_by_its_mark(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """How much waited in it is known to the sample; its numbers are not used again."""
    auditor = Auditor()
    async with on_disk(tmp_path) as spool:
        for number in (1, 2, 3, 4):
            await spool.put(draft(number, samples=5))
        spool.acknowledged(spool.spool_id, [Sequences(1, 1)])
    delete(tmp_path, "edge-1.spool*")
    async with on_disk(tmp_path) as spool:
        spool.begin_session()
        await spool.put(draft(5, samples=5))
        await auditor.take_all(spool)
    assert auditor.gaps == {(2, 4): 15}
    assert list(auditor.held) == [5]


async def test_without_spool_and_mark_a_new_spool_begins(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Under a new id, with number 1."""
    async with on_disk(tmp_path) as spool:
        spool_id = spool.spool_id
        await spool.put(draft(1))
    delete(tmp_path, "*")
    async with on_disk(tmp_path) as spool:
        assert spool.spool_id != spool_id
        assert spool.statistics().last_sequence == 0


async def test_after_a_power_cut_with_sync_normal_no_number_comes_twice(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Spool and mark may both have forgotten the same: what may have been used is passed over."""
    normal = SpoolSettings(sync=Sync.NORMAL)
    async with on_disk(tmp_path, normal) as spool:
        await spool.put(draft(1))
    path = tmp_path / "edge-1.mark"
    mark = read_mark(path)
    assert mark is not None
    with MarkFile(path) as file:
        file.write(type(mark)(**{**_fields(mark), "boot": "another", "closed": False}))
    async with on_disk(tmp_path, normal) as spool:
        assert spool.statistics().last_sequence == mark.reserved
        assert spool.statistics().waiting_gaps == 1


def _fields(mark: object) -> dict[str, Any]:
    return {name: getattr(mark, name) for name in type(mark).__struct_fields__}  # type: ignore[attr-defined]  # a Struct


# ------------------------------------------------------- full and failing disks


class Disk(apsw.VFS):
    """A disk that fails on demand."""

    def __init__(self) -> None:
        self.fault: int | None = None
        super().__init__("edge_disk", "")

    def xOpen(self, name: Any, flags: list[int]) -> "File":  # noqa: N802 - SQLite's name
        """Open a file whose writes pass through here."""
        return File(self, name, flags)


class File(apsw.VFSFile):
    """A file of a `Disk`."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write, unless the disk does not."""
        if self._disk.fault is not None:
            raise apsw.exception_for(self._disk.fault)
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that is well."""
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.mark.parametrize("fault", [apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE])
async def test_a_disk_that_takes_nothing_costs_nothing_for_a_while(
    tmp_path: Path, autojump_clock: MockClock, disk: Disk, fault: int
) -> None:
    """Batches wait in memory, unsent; when it is well again they are kept and sent."""
    auditor = Auditor()
    async with on_disk(tmp_path, vfs="edge_disk") as spool:
        spool.begin_session()
        await spool.put(draft(1))
        await auditor.take_all(spool)
        disk.fault = fault
        for number in range(2, 7):
            await spool.put(draft(number))
            await trio.sleep(1)
        assert auditor.take(spool) is None
        assert "disk" in spool.statistics().trouble
        disk.fault = None
        await trio.sleep(10)
        assert spool.statistics().trouble == ""
        await auditor.take_all(spool)
    auditor.check(last=6, produced=6)
    assert not auditor.gaps


async def test_a_disk_that_takes_nothing_for_long_costs_what_is_declared(
    tmp_path: Path, autojump_clock: MockClock, disk: Disk
) -> None:
    """Memory is bounded; the oldest give way."""
    auditor = Auditor()
    async with on_disk(tmp_path, SpoolSettings(), vfs="edge_disk") as spool:
        await spool.put(draft(1))
        disk.fault = apsw.SQLITE_FULL
        for number in range(2, 12):
            await spool.put(draft(number, size=1_000_000))
        disk.fault = None
        await trio.sleep(10)
        spool.begin_session()
        await auditor.take_all(spool)
    auditor.check(last=11, produced=11)
    assert list(auditor.gaps) == [(2, 7)]


async def test_on_a_full_disk_the_new_takes_the_place_of_the_old(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool grows no more: what comes is kept and sent, what gives way is declared."""
    auditor = Auditor()
    async with on_disk(tmp_path, SpoolSettings()) as spool:
        for number in range(1, 201):
            await spool.put(draft(number, size=14_000))
        grown = spool.statistics().waiting_bytes
        monkeypatch.setattr(spool_disk, "free_bytes", lambda _directory: 1_000_000)
        for number in range(201, 401):
            await spool.put(draft(number, size=14_000))
            assert spool.statistics().waiting_bytes <= grown
        spool.begin_session()
        await auditor.take_all(spool)
    assert {400, 399, 398} <= set(auditor.held)
    assert len(auditor.held) > 190
    auditor.check(last=400, produced=400)


# ------------------------------------------------------------------ inspection


async def test_a_spool_can_be_looked_into_while_it_works(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nothing in it changes."""
    async with on_disk(tmp_path, small()) as spool:
        for number in range(1, 51):
            await spool.put(draft(number))
        spool.note("d-1", b"x")
        await spool.commit()
        summary = inspect_spool(tmp_path, "edge-1")
        statistics = spool.statistics()
    assert summary.spool_id == spool.spool_id
    assert summary.batches + statistics.waiting_gaps == statistics.waiting
    assert summary.last_sequence == 50
    assert [gap.reason for gap in summary.gaps] == ["spool_full"]
    assert summary.gaps[0].samples + summary.samples == 50
    assert (summary.dispatches, summary.torn_sequences) == (1, 0)


def test_what_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    """No file, or no spool in it."""
    with pytest.raises(SpoolUnusable, match="no such file"):
        inspect_spool(tmp_path, "edge-1")
    (tmp_path / "edge-1.spool").write_bytes(b"not a database, but long enough" * 100)
    with pytest.raises(SpoolUnusable, match="mends it when it starts"):
        inspect_spool(tmp_path, "edge-1")


# ---------------------------------------------------------------- conservation

moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 10)),
        st.tuples(st.just("acknowledge"), st.integers(1, 10)),
        st.tuples(st.sampled_from(["lose", "reconnect", "restart", "refuse", "wait"]), st.just(1)),
    ),
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=moves, policy=st.sampled_from(Policy))
async def test_produced_is_acknowledged_plus_waiting_plus_declared(
    tmp_path_factory: pytest.TempPathFactory,
    autojump_clock: MockClock,
    script: list[tuple[str, int]],
    policy: Policy,
) -> None:
    """Exactly, whatever was dropped, refused, lost on the way, restarted or acknowledged."""
    directory = tmp_path_factory.mktemp("spool")
    world = World(directory, policy)
    lives: list[list[tuple[str, int]]] = [[]]
    for move in script:
        if move[0] == "restart":
            lives.append([])
        else:
            lives[-1].append(move)
    for life in lives:
        await world.live(life)
    async with on_disk(directory, small(policy)) as spool:
        spool.begin_session()
        await world.auditor.take_all(spool)
    world.auditor.check(last=world.produced, produced=world.produced)


class World:
    """A spool, its headend, and what may befall them."""

    def __init__(self, directory: Path, policy: Policy) -> None:
        self.directory = directory
        self.policy = policy
        self.auditor = Auditor()
        self.produced = 0

    async def live(self, script: list[tuple[str, int]]) -> None:
        """One life of the process."""
        self.auditor.unacknowledged.clear()
        async with on_disk(self.directory, small(self.policy)) as spool:
            for move, amount in script:
                for _ in range(amount):
                    await self.move(spool, move)
                assert spool.statistics().waiting_bytes <= 10_000 + 30 * 200

    async def move(self, spool: Spool, move: str) -> None:
        """One move."""
        auditor = self.auditor
        match move:
            case "put":
                self.produced += 1
                await spool.put(draft(self.produced))
            case "take":
                auditor.take(spool)
                await trio.sleep(0.1)
            case "acknowledge":
                auditor.acknowledge(spool, 1)
            case "lose":
                auditor.unacknowledged.clear()
            case "reconnect":
                spool.end_session()
                auditor.unacknowledged.clear()
                spool.begin_session()
            case "refuse":
                outgoing = spool.next_unsent()
                if outgoing is not None and isinstance(outgoing.parcel, Batch):
                    spool.refused(outgoing.parcel, "too_large")
            case _:
                await trio.sleep(2)
