"""Which sample is current, and until when."""

from hypothesis import given
from hypothesis import strategies as st

from dercp.model.latest import (
    STALE_INTERVALS,
    ClockLimits,
    age_at_ingest_s,
    is_stale,
    order_time_us,
    plausible_time,
    supersedes,
)
from dercp.model.quality import Reason

NOW = 1_763_900_000_000_000  # in November 2025
LIMITS = ClockLimits()
instants = st.integers(-(2**63), 2**63 - 1)
around_now = st.integers(NOW - 10**9, NOW + 10**9)


@given(st.lists(around_now, min_size=1))
def test_the_newest_becomes_current_in_whatever_order_they_come(times: list[int]) -> None:
    """Late and backfilled samples never replace a newer one."""
    current: int | None = None
    for time_us in times:
        if supersedes(time_us, current):
            current = time_us
    assert current == max(times)


def test_a_sample_of_the_same_instant_becomes_current() -> None:
    """It must not be older; the later word on one instant counts."""
    assert supersedes(5, 5)
    assert not supersedes(4, 5)


@given(instants, around_now, st.booleans())
def test_no_source_time_freezes_the_latest_known(
    source_us: int,
    now_us: int,
    live: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    """A sample of a right clock, taken a moment later, is always current."""
    current = order_time_us(source_us, now_us, live=live)
    following = order_time_us(now_us + 1, now_us + 1, live=True)
    assert following is not None
    assert supersedes(following, current)


@given(instants)
def test_a_live_sample_always_has_a_place(source_us: int) -> None:
    """An asset with a wrong clock is still seen, by the time of arrival and marked."""
    order_us = order_time_us(source_us, NOW, live=True)
    assert order_us is not None
    assert order_us == source_us or source_us > NOW or plausible_time(source_us, NOW, LIMITS)


@given(instants)
def test_a_backlog_with_a_suspect_clock_is_history_only(source_us: int) -> None:
    """It could be from any time, so it never becomes current."""
    suspect = plausible_time(source_us, NOW, LIMITS) is Reason.CLOCK_SUSPECT
    assert (order_time_us(source_us, NOW, live=False) is None) == suspect


def test_a_slow_clock_makes_no_sample_look_old() -> None:
    """Five seconds behind and just measured is fresh; measured five seconds ago is not."""
    behind_us = -5_000_000
    assert age_at_ingest_s(NOW - 5_000_000, NOW, behind_us) == 0.0
    assert age_at_ingest_s(NOW - 5_000_000, NOW, 0) == 5.0
    assert age_at_ingest_s(NOW - 5_000_000, NOW, 5_000_000) == 5.0
    assert age_at_ingest_s(NOW + 1, NOW, 0) == 0.0


def test_which_clocks_are_suspect() -> None:
    """Ten minutes ahead is much; so is a time before this software."""
    ten_minutes_us = 600_000_000
    assert plausible_time(NOW, NOW, LIMITS) is Reason.NONE
    assert plausible_time(NOW + ten_minutes_us, NOW, LIMITS) is Reason.NONE
    assert plausible_time(NOW + ten_minutes_us + 1, NOW, LIMITS) is Reason.CLOCK_SUSPECT
    assert plausible_time(0, NOW, LIMITS) is Reason.CLOCK_SUSPECT
    assert plausible_time(LIMITS.earliest_us, NOW, LIMITS) is Reason.NONE


@given(st.none() | st.floats(0, 1e6), st.floats(0.01, 3600))
def test_stale_is_three_intervals_or_no_session(age_s: float | None, interval_s: float) -> None:
    """Nothing without a session is fresh; with one, three missing samples are too many."""
    assert is_stale(age_s, interval_s, online=False)
    fresh = age_s is not None and age_s < STALE_INTERVALS * interval_s
    assert is_stale(age_s, interval_s, online=True) != fresh


def test_stale_begins_at_the_third_interval() -> None:
    """At it, not after it."""
    assert not is_stale(2.999, 1.0, online=True)
    assert is_stale(3.0, 1.0, online=True)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.01, 3600))
def test_the_stale_do_not_become_fresh_by_waiting(
    age_s: float, later_s: float, interval_s: float
) -> None:
    """Monotony."""
    if is_stale(age_s, interval_s, online=True):
        assert is_stale(age_s + later_s, interval_s, online=True)
