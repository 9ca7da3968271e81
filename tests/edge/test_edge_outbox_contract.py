"""What every outbox keeps to, in memory or on a disk. Time is virtual."""

from functools import partial
from pathlib import Path

import pytest
import trio
from outbox_plant import Auditor, OpenOutbox, draft, in_memory, on_disk
from trio.testing import MockClock, wait_all_tasks_blocked

from dercp.edge.spool.outbox import Batch, Gap, Lane, Sequences
from dercp.edge.spool.settings import SpoolSettings


@pytest.fixture(params=["memory", "disk"])
def open_outbox(request: pytest.FixtureRequest, tmp_path: Path) -> OpenOutbox:
    """Opens an outbox of each kind."""
    if request.param == "memory":
        return in_memory
    return lambda bytes_max=1_000_000: on_disk(tmp_path, SpoolSettings(bytes_max=bytes_max))


async def test_batches_are_numbered_from_one_and_handed_out_in_order(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """The same again until it has left."""
    async with open_outbox() as outbox:
        outbox.begin_session()
        for number in (1, 2):
            await outbox.put(draft(number))
        first = outbox.next_unsent()
        assert first is not None
        assert first.parcel == Batch(1, draft(1))
        assert outbox.next_unsent() == first
        outbox.sent(first)
        second = outbox.next_unsent()
        assert second is not None
        assert second.parcel == Batch(2, draft(2))


async def test_without_a_session_nothing_is_handed_out(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """It is kept."""
    async with open_outbox() as outbox:
        await outbox.put(draft(1))
        assert outbox.next_unsent() is None
        assert outbox.statistics().waiting == 1


async def test_what_was_sent_is_kept_until_it_is_acknowledged(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """And sent again, under the same number, in the next session."""
    auditor = Auditor()
    async with open_outbox() as outbox:
        outbox.begin_session()
        await outbox.put(draft(1))
        assert auditor.take(outbox) is not None
        assert outbox.next_unsent() is None
        assert outbox.statistics().in_flight == 1
        outbox.end_session()
        outbox.begin_session()
        await trio.sleep(1)
        again = auditor.take(outbox)
        assert again is not None
        assert (again.parcel.sequences.first, again.lane) == (1, Lane.BACKLOG)
        auditor.acknowledge(outbox)
        await trio.sleep(2)
        assert outbox.statistics().waiting == 0
        outbox.end_session()
        outbox.begin_session()
        await trio.sleep(1)
        assert outbox.next_unsent() is None


async def test_live_goes_before_the_backlog(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """What comes during the session overtakes what came before it; each lane in order."""
    auditor = Auditor()
    async with open_outbox() as outbox:
        for number in range(1, 4):
            await outbox.put(draft(number))
        outbox.begin_session()
        for number in range(4, 6):
            await outbox.put(draft(number))
        await trio.sleep(1)
        while auditor.take(outbox) is not None:
            pass
    assert auditor.order == [
        (4, Lane.LIVE),
        (5, Lane.LIVE),
        (1, Lane.BACKLOG),
        (2, Lane.BACKLOG),
        (3, Lane.BACKLOG),
    ]


async def test_an_acknowledgement_of_another_spool_frees_nothing(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """Numbers count within a spool."""
    async with open_outbox() as outbox:
        await outbox.put(draft(1))
        outbox.acknowledged("another", [Sequences(1, 1)])
        await trio.sleep(2)
        assert outbox.statistics().waiting == 1


async def test_an_acknowledgement_of_what_is_to_come_frees_nothing(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """A headend that says too much loses us nothing."""
    async with open_outbox() as outbox:
        await outbox.put(draft(1))
        outbox.acknowledged(outbox.spool_id, [Sequences(2, 10**12), Sequences(9, 3)])
        await outbox.put(draft(2))
        await trio.sleep(2)
        assert outbox.statistics().waiting == 2


async def test_a_batch_that_can_never_be_sent_becomes_a_gap(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """Which is kept until it is acknowledged itself."""
    auditor = Auditor()
    async with open_outbox() as outbox:
        outbox.begin_session()
        await outbox.put(draft(1, samples=7))
        outgoing = outbox.next_unsent()
        assert outgoing is not None
        assert isinstance(outgoing.parcel, Batch)
        outbox.refused(outgoing.parcel, "too_large")
        await trio.sleep(1)
        gap = auditor.take(outbox)
        assert gap is not None
        assert gap.parcel == Gap(
            sequences=Sequences(1, 1),
            from_us=1_000_000,
            to_us=1_000_001,
            samples=7,
            reason="too_large",
        )
        assert outbox.statistics().waiting_gaps == 1
        auditor.acknowledge(outbox)
        await trio.sleep(2)
        assert outbox.statistics().waiting == 0
        auditor.check(last=1, produced=7)


async def test_what_does_not_fit_is_declared(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """Neighbours share a gap; the bound is kept; nothing is counted twice."""
    auditor = Auditor()
    async with open_outbox(bytes_max=2000) as outbox:
        for number in range(1, 101):
            await outbox.put(draft(number, samples=number))
            assert outbox.statistics().waiting_bytes <= 2000
        statistics = outbox.statistics()
        assert statistics.waiting_gaps == 1
        assert statistics.dropped_batches == 94
        assert statistics.dropped_samples == sum(range(1, 95))
        outbox.begin_session()
        await auditor.take_all(outbox)
    assert list(auditor.held) == list(range(95, 101))
    auditor.check(last=100, produced=5050)


async def test_a_gap_that_was_sent_does_not_grow(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """The headend would hold two that overlap."""
    auditor = Auditor()
    async with open_outbox(bytes_max=2000) as outbox:
        for number in range(1, 21):
            await outbox.put(draft(number))
        outbox.begin_session()
        await wait_all_tasks_blocked()
        first = auditor.take(outbox)
        assert first is not None
        outbox.end_session()
        for number in range(21, 41):
            await outbox.put(draft(number))
        assert outbox.statistics().waiting_gaps == 2
        outbox.begin_session()
        await auditor.take_all(outbox)
    auditor.check(last=40, produced=40)


async def test_what_is_not_acknowledged_for_a_minute_goes_again(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """An acknowledgement that was lost holds nothing up for ever."""
    auditor = Auditor()
    async with open_outbox() as outbox:
        outbox.begin_session()
        await outbox.put(draft(1))
        auditor.take(outbox)
        await trio.sleep(59)
        assert outbox.next_unsent() is None
        await trio.sleep(2)
        again = auditor.take(outbox)
        assert again is not None
        assert (again.parcel.sequences.first, again.lane) == (1, Lane.BACKLOG)


async def test_a_long_backlog_is_read_piece_by_piece(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """Everything arrives, in order, once."""
    auditor = Auditor()
    async with open_outbox() as outbox:
        for number in range(1, 1001):
            await outbox.put(draft(number, size=500))
        outbox.begin_session()
        await auditor.take_all(outbox)
    assert [sequence for sequence, _ in auditor.order] == list(range(1, 1001))


async def test_puts_that_meet_share_a_transaction(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """And none returns before it is kept."""
    async with open_outbox() as outbox:
        async with trio.open_nursery() as nursery:
            for number in range(1, 11):
                nursery.start_soon(outbox.put, draft(number))
        assert outbox.statistics().waiting == 10


async def test_an_outbox_at_rest_sets_no_timer(
    autojump_clock: MockClock, open_outbox: OpenOutbox
) -> None:
    """A thousand agents without traffic cost nothing."""
    async with open_outbox() as outbox:
        outbox.begin_session()
        await outbox.put(draft(1))
        Auditor().take(outbox)
        outbox.acknowledged(outbox.spool_id, [Sequences(1, 1)])
        await trio.sleep(5)
        woken = partial(outbox._next_s)
        assert woken() == float("inf")
