"""Waiting times spread and stay bounded."""

from hypothesis import given
from hypothesis import strategies as st

from dercp.model.backoff import full_jitter

shares = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**9), shares)
def test_no_wait_exceeds_the_maximum(attempt: int, draw: float) -> None:
    """Not even after months without a headend."""
    assert 0 <= full_jitter(attempt, draw=draw, max_s=60) < 60


@given(st.integers(0, 2000), shares)
def test_a_later_attempt_waits_no_shorter(attempt: int, draw: float) -> None:
    """For the same draw."""
    assert full_jitter(attempt, draw=draw) <= full_jitter(attempt + 1, draw=draw)


def test_the_bound_doubles_from_the_first() -> None:
    """1, 2, 4, ... 60 seconds; the draw is the share of it."""
    halves = [full_jitter(attempt, draw=0.5, first_s=1, max_s=60) for attempt in range(8)]
    assert halves == [0.5, 1, 2, 4, 8, 16, 30, 30]
