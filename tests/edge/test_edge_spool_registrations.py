"""A spool keeps what its batches were written under, for as long as they wait."""

from pathlib import Path

import apsw
import pytest
import trio
from outbox_plant import Auditor, draft, on_disk
from trio.testing import MockClock

from dercp.edge.spool.outbox import Batch, DropReason, Gap
from dercp.edge.spool.spool import Spool
from dercp.wire.registration import registration_id

OLD, MIDDLE, NEW = b"old", b"middle", b"new"


async def put(spool: Spool, *numbers: int, under: bytes) -> None:
    """Produce under a registration."""
    for number in numbers:
        await spool.put(draft(number, registration_id=registration_id(under)))


def kept(spool: Spool) -> list[bytes]:
    """The registrations it has, of those that these tests know."""
    found = (spool.registration(registration_id(each)) for each in (OLD, MIDDLE, NEW))
    return [each for each in found if each is not None]


async def test_it_outlives_its_process_while_batches_wait(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """And is forgotten at the first start that finds none."""
    async with on_disk(tmp_path, registration=OLD) as spool:
        await put(spool, 1, 2, under=OLD)
    async with on_disk(tmp_path, registration=NEW) as spool:
        await put(spool, 3, under=NEW)
        assert kept(spool) == [OLD, NEW]
    async with on_disk(tmp_path, registration=NEW) as spool:
        assert kept(spool) == [OLD, NEW]
        spool.begin_session()
        await Auditor().take_all(spool)
    async with on_disk(tmp_path, registration=NEW) as spool:
        assert kept(spool) == [NEW]


async def test_one_that_comes_again_is_the_present_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Whatever was in between; what saw no batch is not kept."""
    for number, registration in enumerate((OLD, NEW, OLD), start=1):
        async with on_disk(tmp_path, registration=registration) as spool:
            await put(spool, number, under=registration)
    async with on_disk(tmp_path, registration=MIDDLE):
        pass
    auditor = Auditor()
    async with on_disk(tmp_path, registration=OLD) as spool:
        assert kept(spool) == [OLD, NEW]
        spool.begin_session()
        await trio.sleep(1)
        for _ in range(2):
            assert auditor.take(spool) is not None
        auditor.acknowledge(spool)
        await trio.sleep(2)
    async with on_disk(tmp_path, registration=OLD) as spool:
        assert kept(spool) == [OLD]
        assert spool.statistics().waiting == 1


async def test_a_file_of_the_first_release_is_opened(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It has no such table, and keeps all it has."""
    async with on_disk(tmp_path, registration=OLD) as spool:
        await put(spool, 1, under=OLD)
    db = apsw.Connection(str(tmp_path / "edge-1.spool"))
    db.execute("DROP TABLE registration")
    db.close()
    async with on_disk(tmp_path, registration=NEW) as spool:
        assert spool.statistics().waiting == 1
        assert kept(spool) == [NEW]


@pytest.mark.parametrize("damage", ["UPDATE registration SET content = x'00'", ""])
async def test_mending_saves_what_is_whole(
    tmp_path: Path, autojump_clock: MockClock, damage: str
) -> None:
    """One that is not what it was is nobody's schema."""
    async with on_disk(tmp_path, registration=OLD) as spool:
        await put(spool, 1, under=OLD)
    db = apsw.Connection(str(tmp_path / "edge-1.spool"))
    db.execute(damage)
    db.execute("DELETE FROM spool")  # now it does not say whose it is, and must be mended
    db.close()
    async with on_disk(tmp_path, registration=NEW) as spool:
        assert spool.statistics().waiting_samples == 1
        assert kept(spool) == ([NEW] if damage else [OLD, NEW])


async def test_what_no_headend_can_read_is_declared(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """All that was written under it, once, when the first of it was refused; nothing else."""
    auditor = Auditor()
    async with on_disk(tmp_path, registration=OLD) as spool:
        await put(spool, *range(1, 301), under=OLD)
    async with on_disk(tmp_path, registration=NEW) as spool:
        spool.begin_session()
        await put(spool, 301, under=NEW)
        await trio.sleep(1)
        refused = 0
        while spool.statistics().waiting:
            while (outgoing := spool.next_unsent()) is not None:
                parcel = outgoing.parcel
                if isinstance(parcel, Batch) and parcel.sequence <= 300:
                    spool.sent(outgoing)
                    spool.unreadable(parcel.sequence)
                    refused += 1
                else:
                    assert auditor.take(spool) == outgoing
                    if isinstance(parcel, Gap):
                        assert parcel.reason == DropReason.UNKNOWN_REGISTRATION
            auditor.acknowledge(spool)
            await trio.sleep(2)
    auditor.check(last=301, produced=301)
    assert set(auditor.held) == {301}
    assert refused == 1


async def test_a_refusal_of_what_was_not_sent_costs_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A headend cannot have us forget what it never saw."""
    auditor = Auditor()
    async with on_disk(tmp_path, registration=OLD) as spool:
        await put(spool, 1, 2, under=OLD)
        spool.begin_session()
        await trio.sleep(1)
        for number in (0, 1, 2, 99):
            spool.unreadable(number)
        await auditor.take_all(spool)
    assert set(auditor.held) == {1, 2}
    assert not auditor.gaps
