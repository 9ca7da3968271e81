"""Schedules of faults are in order, within their bounds, and the same for the same seed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sim.link_faults import BlackHole, Cut, Delay, Reset, ScheduleLimits, Throttle, schedule

seeds = st.integers(0, 2**32)
lengths = st.floats(1.0, 5_000.0)


@given(seeds, lengths)
def test_faults_come_one_after_the_other_with_calm_between(seed: int, lasts_s: float) -> None:
    """None overlaps another, each lasts as long as allowed, and all are over in time."""
    limits = ScheduleLimits(lasts_s=lasts_s)
    faults = schedule(seed, "edge-1", limits)
    for fault in faults:
        shortest, longest = limits.fault_s
        assert shortest - 0.001 <= fault.to_s - fault.from_s <= longest + 0.001
        assert limits.calm_s[0] - 0.001 <= fault.from_s
        assert fault.to_s <= lasts_s
    for before, after in pairwise(faults):
        assert after.from_s - before.to_s >= limits.calm_s[0] - 0.001


@given(seeds)
def test_no_delay_or_rate_is_beyond_its_bounds(seed: int) -> None:
    """A delay with all its jitter stays below the maximum."""
    limits = ScheduleLimits(lasts_s=5_000.0)
    for fault in schedule(seed, "edge-1", limits):
        if isinstance(fault, Delay):
            assert 0 <= fault.delay_s + fault.jitter_s <= limits.delay_s_max + 0.001
        if isinstance(fault, Throttle):
            low, high = limits.bytes_per_s
            assert low - 0.001 <= fault.bytes_per_s <= high + 0.001


@given(seeds)
def test_a_seed_and_a_name_decide(seed: int) -> None:
    """The same again for the same; for another link another schedule."""
    limits = ScheduleLimits(lasts_s=2_000.0)
    assert schedule(seed, "edge-1", limits) == schedule(seed, "edge-1", limits)
    assert schedule(seed, "edge-1", limits) != schedule(seed, "edge-2", limits)


def test_all_kinds_come_to_pass() -> None:
    """Within a long schedule each fault is seen."""
    faults = schedule(1, "edge-1", ScheduleLimits(lasts_s=10_000.0))
    assert {type(fault) for fault in faults} == {Cut, Reset, BlackHole, Delay, Throttle}
