"""How often something may happen."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from dercp.link import LinkLimits
from dercp.link._admission import Admission, TurnedAway
from dercp.link._bucket import TokenBucket


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_a_bucket_never_gives_more_than_its_rate(
    gaps: list[float], per_s: float, burst: int
) -> None:
    """Within any span: burst plus rate times span, waits included."""
    now = 0.0
    bucket = TokenBucket(per_s, burst, now)
    begun: list[float] = []
    for gap in gaps:
        now += gap
        wait_s = bucket.reserve(now, wait_max_s=2.0)
        if wait_s is not None:
            assert 0 <= wait_s <= 2
            begun.append(now + wait_s)
    begun.sort()
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            span_s = begun[last] - begun[first]
            assert last - first + 1 <= burst + per_s * span_s + 1e-6


def test_a_token_given_back_can_be_taken() -> None:
    """But the burst is never exceeded."""
    bucket = TokenBucket(1.0, 2, 0.0)
    bucket.give()
    assert [bucket.reserve(0.0) for _ in range(3)] == [0.0, 0.0, None]
    bucket.give()
    assert bucket.reserve(0.0) == 0.0


async def test_turns_come_at_the_rate(autojump_clock: trio.testing.MockClock) -> None:
    """A burst at once, the next ones spaced, those too late turned away at once."""
    limits = LinkLimits(handshakes_per_s=2, handshakes_burst=3, handshake_wait_s=1.2)
    admission = Admission(limits)
    begun: list[float] = []
    turned_away: list[float] = []
    start = trio.current_time()

    async def connect() -> None:
        try:
            async with admission.turn():
                begun.append(trio.current_time() - start)
        except TurnedAway:
            turned_away.append(trio.current_time() - start)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(connect)
    assert begun == pytest.approx([0, 0, 0, 0.5, 1.0])
    assert turned_away == pytest.approx([0, 0, 0])


async def test_places_are_bounded_too(autojump_clock: trio.testing.MockClock) -> None:
    """Slow handshakes do not pile up: a connection waits for a place, then is turned away."""
    admission = Admission(LinkLimits(handshakes_max=1, handshake_wait_s=3))
    async with trio.open_nursery() as nursery:

        async def slow() -> None:
            async with admission.turn():
                await trio.sleep(5)

        nursery.start_soon(slow)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TurnedAway):
            async with admission.turn():
                pass
        await trio.sleep(3)
        async with admission.turn():
            pass


@pytest.mark.parametrize(
    ("field", "value"), [("keepalive_s", 0), ("window_bytes", 1_000), ("message_bytes_max", 2**32)]
)
def test_senseless_limits_are_refused(field: str, value: float) -> None:
    """The sentence names the field."""
    with pytest.raises(ValueError, match=field):
        LinkLimits(**{field: value})  # type: ignore[arg-type]  # one field of many
