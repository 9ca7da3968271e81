"""The quiet slot."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

import actors
from actors import Held, Slot, put_all
from actors.testing import Probe


@given(items=st.lists(st.integers()))
def test_a_slot_keeps_the_newest_and_counts_the_late(items: list[int]) -> None:
    """Whatever the order of arrival."""
    slot = Slot[int]()
    for item in items:
        slot.put(item, item)

    held = slot.peek()
    assert (None if held is None else held.item) == max(items, default=None)
    seen = slot.statistics()
    assert seen.accepted + seen.late == len(items)


def test_a_put_says_whether_the_item_was_taken() -> None:
    """A late one goes elsewhere, to history perhaps."""
    slot = Slot[int]()

    assert [slot.put(item, item) for item in (2, 1, 2, 3)] == [True, False, True, True]


def test_what_is_held_from_the_future_gives_way_to_the_present() -> None:
    """A clock that was set back freezes nothing."""
    slot = Slot[str]()
    slot.put("from ten o'clock", 10)
    assert not slot.put("from nine", 9)
    assert slot.put("from nine, at half past nine", 9, ceiling=9.5)
    assert slot.peek() == Held(9, "from nine, at half past nine")


@given(
    offers=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=8), max_size=8
    )
)
def test_many_at_once_are_as_many_one_by_one(offers: list[list[tuple[int, int]]]) -> None:
    """Each slot has what it would have; the late ones are counted."""
    together, alone = [Slot[int]() for _ in range(4)], [Slot[int]() for _ in range(4)]
    for offer in offers:
        items = [item for _, item in offer]
        late = put_all([together[at] for at, _ in offer], items, items)
        assert late == [alone[at].put(n, n) for at, n in offer].count(False)
    assert [slot.peek() for slot in together] == [slot.peek() for slot in alone]
    assert [slot.statistics() for slot in together] == [slot.statistics() for slot in alone]


async def test_a_slot_wakes_once_and_is_quiet_again(autojump_clock: MockClock) -> None:
    """A burst costs its actor one message; asking again wakes it again."""
    async with actors.open_system("sys") as system:
        probe = Probe[str]("probe")
        ref = await system.root.start(probe.spec)
        slot = Slot[int]()
        slot.put(0, 0)
        slot.wake_once(ref, "news")
        for item in (1, 2, 3):
            slot.put(item, item)
        await trio.testing.wait_all_tasks_blocked()
        assert probe.received == ["news"]

        slot.wake_once(ref, "more")
        slot.put(0, 0)  # late: nothing to wake for
        slot.put(4, 4)
        slot.wake_once(ref, "unwanted")
        slot.be_quiet()
        slot.put(5, 5)
        await trio.testing.wait_all_tasks_blocked()
        assert probe.received == ["news", "more"]


async def test_a_wake_that_finds_the_mailbox_full_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    """The feeder of a slot never sees its reader's trouble, and no wake is lost."""
    async with actors.open_system("sys") as system:
        probe = Probe[str]("probe", capacity=1)
        ref = await system.root.start(probe.spec)
        slot = Slot[int]()
        ref.tell_nowait("fills the box")
        slot.wake_once(ref, "news")
        slot.put(1, 1)
        assert await probe.receive() == "fills the box"
        slot.put(2, 2)
        await trio.testing.wait_all_tasks_blocked()

        assert probe.received == ["fills the box", "news"]


async def test_a_slot_of_a_stopped_actor_just_keeps(autojump_clock: MockClock) -> None:
    """There is nobody to wake, and that is no error of the feeder."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(Probe[str]("probe").spec)
        slot = Slot[int]()
        slot.wake_once(ref, "news")
        await ref.stop()

        assert slot.put(1, 1)
        assert slot.put(2, 2)
        with pytest.raises(actors.ActorStopped):
            ref.tell_nowait("the same by hand")
