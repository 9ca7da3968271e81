"""Backoff and restart intensity, as the pure policies they are."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, Restart
from actors._restart import RestartWindow

backoffs = st.builds(
    lambda first_s, times, jitter: Backoff(first_s=first_s, max_s=first_s * times, jitter=jitter),
    first_s=st.floats(0.001, 10),
    times=st.floats(1, 1000),
    jitter=st.floats(0, 1),
)


@given(backoff=backoffs, attempt=st.integers(1, 100_000), seed=st.integers())
def test_a_wait_stays_within_its_jitter_of_a_capped_doubling(
    backoff: Backoff, attempt: int, seed: int
) -> None:
    """Relative jitter around min(first * 2^(n-1), max), for any number of attempts."""
    base_s = min(backoff.first_s * 2.0 ** min(attempt - 1, 64), backoff.max_s)

    delay_s = backoff.delay_s(attempt, Random(seed))

    slack_s = 1e-9 * base_s
    assert base_s * (1 - backoff.jitter) - slack_s <= delay_s
    assert delay_s <= base_s * (1 + backoff.jitter) + slack_s


def test_waits_by_example() -> None:
    """What an operator sees with the usual setting, without jitter."""
    backoff = Backoff(first_s=0.1, max_s=30, jitter=0)

    waits = [round(backoff.delay_s(attempt, Random(0)), 1) for attempt in range(1, 11)]

    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30]


@pytest.mark.parametrize("wrong", [{"first_s": 2, "max_s": 1}, {"first_s": -1}, {"jitter": 1.5}])
def test_a_nonsensical_backoff_is_refused(wrong: dict[str, float]) -> None:
    """Found where it is written."""
    with pytest.raises(ValueError, match="Backoff: "):
        Backoff(**wrong)


@given(
    limit=st.integers(0, 5),
    within_s=st.floats(0.1, 100),
    gaps_s=st.lists(st.floats(0, 50), max_size=40),
)
def test_a_window_grants_as_many_as_fit(limit: int, within_s: float, gaps_s: list[float]) -> None:
    """A restart is granted if it is at most the limit-th within the time before it."""
    window = RestartWindow(Restart(limit=limit, within_s=within_s))
    times: list[float] = []
    now = 0.0
    for gap_s in gaps_s:
        now += gap_s
        times.append(now)
        recent = [time for time in times if time > now - within_s]

        assert window.grants(now) == (len(recent) <= limit)
