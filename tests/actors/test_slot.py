"""The quiet slot."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

import actors
from actors import Slot
from actors.testing import Probe


def newer(item: int, held: int) -> bool:
    """Not older."""
    return item >= held


@given(items=st.lists(st.integers()))
def test_a_slot_keeps_the_newest_and_counts_the_late(items: list[int]) -> None:
    """Whatever the order of arrival."""
    slot = Slot(newer)
    for item in items:
        slot.put(item)

    assert slot.peek() == max(items, default=None)
    seen = slot.statistics()
    assert seen.accepted + seen.late == len(items)


def test_a_put_says_whether_the_item_was_taken() -> None:
    """A late one goes elsewhere, to history perhaps."""
    slot = Slot(newer)

    assert [slot.put(2), slot.put(1), slot.put(2), slot.put(3)] == [True, False, True, True]


async def test_a_slot_wakes_once_and_is_quiet_again(autojump_clock: MockClock) -> None:
    """A burst costs its actor one message; asking again wakes it again."""
    async with actors.open_system("sys") as system:
        probe = Probe[str]("probe")
        ref = await system.root.start(probe.spec)
        slot = Slot(newer)
        slot.put(0)
        slot.wake_once(ref, "news")
        for item in (1, 2, 3):
            slot.put(item)
        await trio.testing.wait_all_tasks_blocked()
        assert probe.received == ["news"]

        slot.wake_once(ref, "more")
        slot.put(0)  # late: nothing to wake for
        slot.put(4)
        slot.wake_once(ref, "unwanted")
        slot.be_quiet()
        slot.put(5)
        await trio.testing.wait_all_tasks_blocked()
        assert probe.received == ["news", "more"]


async def test_a_wake_that_finds_the_mailbox_full_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    """The feeder of a slot never sees its reader's trouble, and no wake is lost."""
    async with actors.open_system("sys") as system:
        probe = Probe[str]("probe", capacity=1)
        ref = await system.root.start(probe.spec)
        slot = Slot(newer)
        ref.tell_nowait("fills the box")
        slot.wake_once(ref, "news")
        slot.put(1)
        assert await probe.receive() == "fills the box"
        slot.put(2)
        await trio.testing.wait_all_tasks_blocked()

        assert probe.received == ["fills the box", "news"]


async def test_a_slot_of_a_stopped_actor_just_keeps(autojump_clock: MockClock) -> None:
    """There is nobody to wake, and that is no error of the feeder."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(Probe[str]("probe").spec)
        slot = Slot(newer)
        slot.wake_once(ref, "news")
        await ref.stop()

        assert slot.put(1)
        assert slot.put(2)
        with pytest.raises(actors.ActorStopped):
            ref.tell_nowait("the same by hand")
