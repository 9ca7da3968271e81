"""Bytes that rot: what can be read is served as it was written, the rest is said to be lost.

What holds, and what these tests hold it to:

- A frame is given out as it was written or not at all.
- A frame that cannot be given out is counted, unless the file was set aside.
- A damaged page of the database costs what stands on it. One that logging needs costs the
  file: it is set aside, named in the statistics, and a new one is begun.
- A damaged WAL is as if its first damaged commit and all later ones had never been. The
  batches in them are then neither stored nor declared: a hole that stays visible.
"""

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from faulty_disk import Disk
from history_samples import EVER, frame, gap, small

from dercp.store import History, HistoryLimits, StoreDamaged, open_history
from dercp.store.sqlite import HISTORY_NAME
from dercp.store.sqlite._writer import GroupLimits

PAGE = 4_096
FRAMES = 120
AGENTS = ["alpha-gw", "beta-gw", "gamma-gw"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment of the log is complete after some frames, and nobody waits for a commit."""
    monkeypatch.setattr("dercp.store.sqlite._history._GROUPS", GroupLimits())
    monkeypatch.setattr("dercp.store.sqlite._segments.SEGMENT_FRAMES", 40)


class Found(NamedTuple):
    """What could still be read of all agents."""

    sequences: list[int]
    corrupt: int


async def look(history: History) -> Found:
    """Read everything; each frame must be as it was written."""
    sequences: list[int] = []
    corrupt = 0
    for agent in AGENTS:
        after = None
        while True:
            page = await history.frames("default", agent, 0, EVER, after, 7)
            for each in page.frames:
                assert each == written(each.sequence)
                sequences.append(each.sequence)
            corrupt += page.corrupt
            after = page.next_after
            if after is None:
                break
    assert len(set(sequences)) == len(sequences)
    return Found(sorted(sequences), corrupt)


def written(number: int) -> object:
    """The frame of that number: of one of the agents, some of them long."""
    return frame(number, agent=AGENTS[number % 3], size=9_000 if number % 5 == 0 else 200)


async def write(directory: Path, limits: HistoryLimits | None = None) -> None:
    """A history of all frames, closed in order: the database file has all of it."""
    async with open_history(directory, limits) as history:
        for number in range(1, FRAMES + 1):
            await history.append([written(number)])  # type: ignore[list-item]  # a frame
        await history.declare([gap(200, 210)])


def garble(content: bytes, start: int, length: int, chance: random.Random) -> bytes:
    """The content with some of it replaced by noise."""
    return content[:start] + chance.randbytes(length) + content[start + length :]


async def test_a_flipped_bit_costs_one_frame(tmp_path: Path) -> None:
    """SQLite does not notice; our checksum does, and the neighbours are not kept back."""
    await write(tmp_path)
    path = tmp_path / HISTORY_NAME
    content = path.read_bytes()
    at = content.index((35).to_bytes(8) * 100)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    async with open_history(tmp_path) as history:
        for _ in range(2):
            found = await look(history)
            assert found.sequences == [n for n in range(1, FRAMES + 1) if n != 35]
            assert found.corrupt == 1
        assert history.statistics().corrupt == 1
        assert (await history.append([written(35)])).duplicates == 1  # type: ignore[list-item]  # a frame


async def test_any_page_may_rot(tmp_path: Path) -> None:
    """Each page of the database in turn: the log works on, at the latest after a restart."""
    before = tmp_path / "before"
    before.mkdir()
    await write(before)
    content = (before / HISTORY_NAME).read_bytes()
    chance = random.Random(7)
    pages = len(content) // PAGE
    assert pages > 60
    losses = spoilt = 0
    for page in range(pages):
        directory = tmp_path / f"page-{page}"
        directory.mkdir()
        (directory / HISTORY_NAME).write_bytes(garble(content, page * PAGE, PAGE, chance))
        async with open_history(directory, small(retained_s=1.0)) as history:
            if not history.statistics().set_aside:
                found = await look(history)
                missing = FRAMES - len(found.sequences)
                assert missing <= found.corrupt
                losses += missing
                spoilt += not await can_be_pruned(history)
        await works_on(directory)
    # A page of short frames holds a dozen, and one of the tree above them holds no more.
    assert 0 < losses < 10 * pages
    # The map that SQLite keeps of all pages is looked into when one becomes free.
    assert spoilt <= 1


async def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    """A copy that was not finished, a file system after a crash."""
    before = tmp_path / "before"
    before.mkdir()
    await write(before)
    content = (before / HISTORY_NAME).read_bytes()
    for number, length in enumerate(range(1, len(content), 7 * 512 + 100)):
        directory = tmp_path / f"cut-{number}"
        directory.mkdir()
        (directory / HISTORY_NAME).write_bytes(content[:length])
        async with open_history(directory) as history:
            if not history.statistics().set_aside:
                found = await look(history)
                assert FRAMES - len(found.sequences) <= found.corrupt
        await works_on(directory)


async def can_be_pruned(history: History) -> bool:
    """Age everything out; what is damaged is passed over."""
    try:
        while (await history.prune(EVER)).more:
            pass
    except StoreDamaged:
        return False
    assert await look(history) == Found([], 0)
    return True


async def works_on(directory: Path) -> None:
    """Log something; what fails for damage does not fail again after a restart."""
    for _ in range(2):
        try:
            async with open_history(directory) as history:
                await history.append([frame(1_000, agent="delta-gw")])
                await history.declare([gap(500, 501), gap(1, 1, agent="delta-gw")])
                return
        except StoreDamaged:
            continue
    pytest.fail("damage was not overcome by a restart")


@pytest.mark.parametrize("harm", ["torn", "garbled"])
async def test_a_wal_that_ends_anywhere(tmp_path: Path, harm: str) -> None:
    """Every commit before the harm is there; those from it on were never made."""
    before = tmp_path / "before"
    before.mkdir()
    sizes = {0: 0}
    wal = before / f"{HISTORY_NAME}-wal"
    async with open_history(before, small()) as history:
        for number in range(1, 31):
            await history.append([written(number)])  # type: ignore[list-item]  # a frame
            sizes[number] = wal.stat().st_size
        live = tmp_path / "live"
        shutil.copytree(before, live)
    content = (live / f"{HISTORY_NAME}-wal").read_bytes()
    assert len(content) > 60 * PAGE
    chance = random.Random(7)
    for offset in range(32, len(content), 1_999):
        directory = tmp_path / f"{harm}-{offset}"
        directory.mkdir()
        shutil.copy(live / HISTORY_NAME, directory)
        left = content[:offset] if harm == "torn" else garble(content, offset, 40, chance)
        (directory / f"{HISTORY_NAME}-wal").write_bytes(left[: len(content)])
        async with open_history(directory, small()) as history:
            kept = max(n for n, size in sizes.items() if size <= offset)
            assert history.statistics().set_aside == ()
            assert await look(history) == Found(list(range(1, kept + 1)), 0)
            # Nothing pretends that the lost ones were stored.
            stored = [
                number
                for agent in AGENTS
                for spool in await history.sequences("default", agent)
                for stretch in spool.stored
                for number in range(stretch.first, stretch.last + 1)
            ]
            assert sorted(stored) == list(range(1, kept + 1))


async def test_a_disk_that_gives_a_page_back_no_more(tmp_path: Path, disk: Disk) -> None:
    """An unreadable sector costs what stands on it; it does not end the log."""
    await write(tmp_path)
    at = (tmp_path / HISTORY_NAME).read_bytes().index((34).to_bytes(8) * 10)
    async with open_history(tmp_path, vfs="test_disk") as history:
        disk.faulty, disk.unreadable = HISTORY_NAME, range(at, at + 1)
        found = await look(history)
        assert 34 not in found.sequences
        assert 1 <= found.corrupt < 15
        assert len(found.sequences) == FRAMES - found.corrupt
        assert (await history.append([frame(1_000)])).stored == 1
        assert history.statistics().failure is None


def tamper(directory: Path, sql: str) -> None:
    """Change the file behind the log's back, in a way that SQLite finds sound."""
    db = apsw.Connection(str(directory / HISTORY_NAME))
    db.execute(sql)
    assert db.changes()
    db.close()


async def test_an_index_that_leads_astray_is_not_followed(tmp_path: Path) -> None:
    """Its checksum tells; the log itself is read instead, and nothing is missing."""
    await write(tmp_path)
    tamper(tmp_path, "UPDATE segment_spool SET positions = zeroblob(length(positions))")
    async with open_history(tmp_path) as history:
        assert await look(history) == Found(list(range(1, FRAMES + 1)), 0)


async def test_a_frame_gone_without_a_trace_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions have no holes: within the index it is counted, behind it the file is suspect."""
    monkeypatch.setattr("dercp.store.sqlite._segments.SEGMENT_FRAMES", 50)
    await write(tmp_path)
    tamper(tmp_path, "DELETE FROM frame WHERE position = 60")
    async with open_history(tmp_path) as history:
        found = await look(history)
        assert found == Found([n for n in range(1, FRAMES + 1) if n != 60], 1)
    tamper(tmp_path, "DELETE FROM frame WHERE position = 110")
    async with open_history(tmp_path) as history:
        assert history.statistics().set_aside == (f"{HISTORY_NAME}.damaged-1",)


async def test_a_file_that_is_no_database_is_kept(tmp_path: Path) -> None:
    """It is set aside under a name that tells so, and named until somebody removes it."""
    path = tmp_path / HISTORY_NAME
    for number in (1, 2):
        content = b"this is not SQLite\n" * 200 * number
        path.write_bytes(content)
        async with open_history(tmp_path) as history:
            assert f"{HISTORY_NAME}.damaged-{number}" in history.statistics().set_aside
            await history.append([frame(1)])
        assert (tmp_path / f"{HISTORY_NAME}.damaged-{number}").read_bytes() == content
        path.unlink()
    async with open_history(tmp_path) as history:
        assert len(history.statistics().set_aside) == 2
    for number in (1, 2):
        (tmp_path / f"{HISTORY_NAME}.damaged-{number}").unlink()
    async with open_history(tmp_path) as history:
        assert history.statistics().set_aside == ()
