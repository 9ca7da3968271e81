"""The headend's time, as an edge reads it off answers: never too early, whatever the link does."""

from itertools import accumulate

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from dercp.edge.uplink.headend_time import ANSWERS, HeadendTime
from dercp.model.time import us_from_s


def asked(own_us: int = 42) -> HeadendTime:
    """An edge whose Hello has just left."""
    time = HeadendTime(lambda: own_us)
    time.begin()
    time.ask()
    return time


async def test_before_the_first_welcome_the_edges_own_clock_stands() -> None:
    """There is no other."""
    time = asked()
    time.welcomed(0)
    assert time.now_us() == 42


async def test_the_headends_time_goes_on_by_the_monotonic_clock(mock_clock: MockClock) -> None:
    """Whatever the own clock is set to."""
    time = asked()
    time.welcomed(1_000_000)
    mock_clock.jump(2.5)
    assert time.now_us() == 3_500_000


async def test_what_the_round_trip_took_may_have_passed_since(mock_clock: MockClock) -> None:
    """All of it: perhaps the answer alone was slow."""
    time = asked()
    mock_clock.jump(3)
    time.welcomed(1_000_000)
    assert time.now_us() == 4_000_000


async def test_a_quick_round_trip_narrows_it(mock_clock: MockClock) -> None:
    """And a slow one after it takes nothing back."""
    time = asked()
    mock_clock.jump(3)
    time.welcomed(1_000_000)
    time.ask()
    time.answered(1_000_001)
    assert time.now_us() == 1_000_001
    time.ask()
    mock_clock.jump(20)
    time.answered(1_000_001)
    assert time.now_us() == 21_000_001


async def test_a_sign_of_life_is_no_answer(mock_clock: MockClock) -> None:
    """It states no time; the answer is still to come."""
    time = asked()
    time.welcomed(1_000_000)
    time.ask()
    mock_clock.jump(10)
    time.answered(0)
    time.answered(9_000_000)
    assert time.now_us() == 11_000_000


async def test_a_clock_that_was_set_is_followed(mock_clock: MockClock) -> None:
    """Forward at once, back within eight answers: until then nothing stale is accepted."""
    time = asked()
    time.welcomed(1_000_000)
    time.ask()
    time.answered(5_000_000)
    assert time.now_us() == 5_000_000
    for _ in range(ANSWERS):
        assert time.now_us() == 5_000_000
        time.ask()
        time.answered(2_000_000)
    assert time.now_us() == 2_000_000
    await trio.lowlevel.checkpoint()


async def test_another_headend_is_another_clock(mock_clock: MockClock) -> None:
    """A Welcome begins anew, and answers nothing that was asked in the call before."""
    time = asked()
    time.welcomed(10_000_000)
    time.ask()
    mock_clock.jump(5)
    time.begin()
    time.ask()
    time.welcomed(1_000_000)
    assert time.now_us() == 1_000_000
    await trio.lowlevel.checkpoint()


# Eight heartbeats at most have no answer yet.
delays_s = st.floats(0, 39)


@given(
    offset_s=st.floats(-1e6, 1e6),
    trips=st.lists(st.tuples(delays_s, delays_s), min_size=1, max_size=30),
)
def test_it_is_never_early_and_late_by_no_more_than_the_best_round_trip(
    offset_s: float, trips: list[tuple[float, float]]
) -> None:
    """Over any delays, up and down, that keep the order of messages, as a stream does."""
    every_s = 10.0
    left_s = [number * every_s for number in range(len(trips))]
    there_s = list(accumulate((a + up for a, (up, _) in zip(left_s, trips, strict=True)), max))
    back_s = list(accumulate((a + down for a, (_, down) in zip(there_s, trips, strict=True)), max))

    def true_us(at_s: float) -> int:
        return 2_000_000_000_000 + us_from_s(at_s + offset_s)

    clock = MockClock()

    async def play() -> None:
        time = HeadendTime(lambda: 0)
        time.begin()
        begun_s = trio.current_time()
        happenings = sorted(
            [(at_s, number, "asks") for number, at_s in enumerate(left_s)]
            + [(at_s, number, "hears") for number, at_s in enumerate(back_s)]
        )
        asked: set[int] = set()
        answered: list[int] = []
        for at_s, number, what in happenings:
            clock.jump(begun_s + at_s - trio.current_time())
            if answered:
                best_s = min(back_s[each] - left_s[each] for each in answered[-ANSWERS:])
                late_us = time.now_us() - true_us(at_s)
                assert -3 <= late_us <= us_from_s(best_s) + 3
            # The first is the Hello; no heartbeat leaves before it is answered.
            if what == "asks" and (number == 0 or answered):
                time.ask()
                asked.add(number)
            elif what == "hears" and number in asked:
                (time.answered if answered else time.welcomed)(true_us(there_s[number]))
                answered.append(number)
        await trio.lowlevel.checkpoint()

    trio.run(play, clock=clock)
