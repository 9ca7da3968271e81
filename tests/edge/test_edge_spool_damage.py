"""A spool that was cut off, garbled, or lost: what can be read is kept, the rest is declared."""

import random
import shutil
from pathlib import Path

import pytest
from outbox_plant import Auditor, draft, on_disk
from trio.testing import MockClock

from dercp.edge.spool.outbox import Sequences

BATCHES = 60
ACKNOWLEDGED = 10


async def left_behind(directory: Path, copy: Path) -> str:
    """A spool of a killed process: some acknowledged, some not, the log not written back."""
    async with on_disk(directory) as spool:
        for number in range(1, BATCHES + 1):
            await spool.put(draft(number, size=1500))
        spool.acknowledged(spool.spool_id, [Sequences(1, ACKNOWLEDGED)])
        await spool.put(draft(BATCHES + 1, size=1500))
        spool.note("d-1", b"remembered")
        await spool.commit()
        shutil.copytree(directory, copy)
        return spool.spool_id


async def audit(directory: Path, spool_id: str) -> tuple[Auditor, dict[str, bytes]]:
    """Open what is left, work with it, and take everything out."""
    auditor = Auditor()
    # What the headend holds already.
    auditor.held = dict.fromkeys(range(1, ACKNOWLEDGED + 1), 1)
    async with on_disk(directory) as spool:
        spool.begin_session()
        await spool.put(draft(1000, size=1500))
        last = spool.statistics().last_sequence
        await auditor.take_all(spool)
        assert spool.spool_id == spool_id
        assert set(auditor.held) | set(auditor.declared) == set(range(1, last + 1))
        assert auditor.held[last] == 1, "the new batch was taken for an old one"
        return auditor, dict(spool.dispatches)


async def test_a_spool_left_by_a_killed_process_is_whole(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nothing is declared."""
    spool_id = await left_behind(tmp_path / "a", tmp_path / "b")
    auditor, dispatches = await audit(tmp_path / "b", spool_id)
    auditor.check(last=BATCHES + 2, produced=BATCHES + 2)
    assert not auditor.gaps
    assert dispatches == {"d-1": b"remembered"}


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("how", ["cut", "garbled"])
async def test_a_torn_end_costs_what_was_in_it_and_nothing_else(
    tmp_path: Path, autojump_clock: MockClock, suffix: str, how: str
) -> None:
    """At offsets all over the file: it always starts, and every number is accounted for.

    Samples are counted exactly where the mark is whole, which it is here.
    """
    spool_id = await left_behind(tmp_path / "a", tmp_path / "b")
    size = (tmp_path / "b" / f"edge-1.spool{suffix}").stat().st_size
    chance = random.Random(11)
    offsets = [*(chance.randrange(size) for _ in range(30)), 0, 1, 17, size - 1]
    for turn, offset in enumerate(offsets):
        directory = tmp_path / f"{turn}"
        shutil.copytree(tmp_path / "b", directory)
        with (directory / f"edge-1.spool{suffix}").open("r+b") as file:
            if how == "cut":
                file.truncate(offset)
            else:
                file.seek(offset)
                file.write(chance.randbytes(200))
        auditor, _ = await audit(directory, spool_id)
        auditor.check(last=max(auditor.held), produced=BATCHES + 2)
        shutil.rmtree(directory)
