"""The deadlines of all asks under way."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

import actors
from actors._deadlines import CROWDED, Deadlines
from actors._envelope import Envelope


@given(times=st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_each_ask_expires_at_its_time(times: list[int]) -> None:
    """In whatever order they were made."""

    async def main() -> None:
        deadlines = Deadlines()

        async def ask(expires_at: int) -> None:
            envelope = Envelope("hello", expires_at)
            deadlines.watch(envelope, "sys/a")
            with pytest.raises(actors.AskExpired, match="sys/a: no answer to str in time"):
                await envelope.wait_answered()
            assert trio.current_time() == expires_at

        async with trio.open_nursery() as keeper:
            keeper.start_soon(deadlines.run)
            async with trio.open_nursery() as askers:
                for expires_at in times:
                    askers.start_soon(ask, expires_at)
            keeper.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_answered_asks_are_forgotten() -> None:
    """Even behind one that stays open for long, a fast asker does not fill the memory."""
    deadlines = Deadlines()
    deadlines.watch(Envelope("long", 1), "sys/a")
    for number in range(5 * CROWDED):
        envelope = Envelope(number, 2 + number)
        deadlines.watch(envelope, "sys/a")
        envelope.reply(None)

    assert len(deadlines._asks) <= CROWDED


async def test_a_quiet_system_sleeps(autojump_clock: MockClock) -> None:
    """An answered ask costs at most one needless wake, at its deadline."""
    async with trio.open_nursery() as nursery:
        deadlines = Deadlines()
        nursery.start_soon(deadlines.run)
        await trio.testing.wait_all_tasks_blocked()
        envelope = Envelope("hello", 5)
        deadlines.watch(envelope, "sys/a")
        envelope.reply(None)
        await trio.sleep(10)

        assert deadlines._asks == []
        nursery.cancel_scope.cancel()
