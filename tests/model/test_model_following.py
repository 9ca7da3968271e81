"""Following: a setpoint, and what the meter says of it."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.asset import AssetSpec
from dercp.model.following import (
    Following,
    Outcome,
    Tolerance,
    Verdict,
    combined,
    follow,
    observe,
    outcome,
    tolerance_of,
)
from dercp.model.points import Kind
from dercp.model.quality import Quality

S = 1_000_000
TOLERANCE = Tolerance(absolute_mw=0.1, settling_s=10)


def begun(setpoint_mw: float = 2.0, until_s: float = 60) -> Following:
    """A lease of a minute, measured each second."""
    return follow(
        setpoint_mw, from_us=0, until_us=round(until_s * S), tolerance=TOLERANCE, interval_s=1
    )


def measured(following: Following, *samples: tuple[float, float | None]) -> Following:
    """After these (second, power)."""
    for second, power_mw in samples:
        following = observe(following, round(second * S), power_mw)
    return following


def every_second(first: int, last: int, power_mw: float) -> list[tuple[float, float]]:
    """The same power, once a second."""
    return [(second, power_mw) for second in range(first, last + 1)]


def test_within_tolerance_it_follows_at_once() -> None:
    """The edge of the tolerance included."""
    assert measured(begun(), (1, 0.5)).verdict is Verdict.SETTLING
    assert measured(begun(), (1, 0.5), (2, 1.95)).verdict is Verdict.FOLLOWING


def test_what_does_not_get_there_in_time_deviates() -> None:
    """After the settling time, not before."""
    assert measured(begun(), *every_second(0, 9, 1.0)).verdict is Verdict.SETTLING
    assert measured(begun(), *every_second(0, 10, 1.0)).verdict is Verdict.DEVIATING


def test_a_short_excursion_is_none() -> None:
    """It deviates when it has been off for the settling time without a break."""
    there = measured(begun(), *every_second(0, 20, 2.0))
    off = measured(there, *every_second(21, 30, 1.0))
    assert off.verdict is Verdict.FOLLOWING
    assert measured(off, (31, 1.0)).verdict is Verdict.DEVIATING
    assert measured(off, (31, 2.0), (32, 1.0), (41, 1.0)).verdict is Verdict.FOLLOWING


def test_of_what_is_not_measured_nothing_is_said() -> None:
    """Neither that it follows nor that it deviates; and nothing was delivered or followed."""
    blind = measured(begun(), *[(second, None) for second in range(60)])
    assert blind.verdict is Verdict.SETTLING
    assert outcome(blind, 60 * S) == Outcome(
        setpoint_mw=2,
        from_us=0,
        until_us=60 * S,
        energy_asked_mwh=2 / 60,
        energy_delivered_mwh=None,
        followed_pct=None,
        known_pct=0,
        samples_good=0,
        samples_expected=60,
    )


def test_a_lease_that_was_followed() -> None:
    """Ten seconds on the way at half power, fifty there."""
    done = measured(begun(), *every_second(0, 9, 1.0), *every_second(10, 70, 2.0))
    record = outcome(done, 60 * S)
    assert record.followed_pct == 100
    assert math.isclose(record.energy_delivered_mwh or 0, (10 * 1 + 50 * 2) / 3600)
    assert math.isclose(record.energy_asked_mwh, 120 / 3600)
    assert (record.known_pct, record.samples_good, record.complete_pct) == (100, 60, 100)


def test_a_lease_that_ended_early_is_judged_by_its_own_time() -> None:
    """Cancelled after half a minute, five seconds of which after settling it was off."""
    done = measured(begun(), *every_second(0, 24, 2.0), *every_second(25, 29, 1.0))
    record = outcome(done, 30 * S)
    assert (record.until_us, record.followed_pct) == (30 * S, 75)
    assert math.isclose(record.energy_asked_mwh, 60 / 3600)


def test_a_measurement_holds_for_three_intervals_and_no_longer() -> None:
    """Then the power is not known: ten seconds of silence are seven of ignorance."""
    silent = measured(begun(until_s=20), *every_second(0, 5, 2.0), *every_second(15, 20, 2.0))
    record = outcome(silent, 20 * S)
    assert math.isclose(record.known_pct, 65)
    assert (record.samples_good, record.complete_pct) == (11, 55)
    assert record.followed_pct == 100


def test_what_was_measured_before_counts_for_the_beginning_only() -> None:
    """It says what the power was when the lease began, and is no sample of it."""
    early = measured(begun(until_s=2), (-1, 2.0), (1, 2.0))
    record = outcome(early, 2 * S)
    assert (record.known_pct, record.samples_good) == (100, 1)


def test_a_repeated_or_late_measurement_changes_nothing() -> None:
    """Links repeat themselves."""
    now = measured(begun(), (5, 2.0))
    assert measured(now, (5, 9.0), (4, 9.0)) is now


def test_uncertain_is_used_but_not_complete() -> None:
    """Bad is not used at all."""
    now = observe(observe(begun(), 0, 2.0, Quality.UNCERTAIN), S, 2.0, Quality.BAD)
    assert (now.known_us, now.samples_good, now.power_mw) == (S, 0, None)


def test_the_tolerance_is_as_stated_or_as_usual() -> None:
    """2 % of the setpoint, but at least 1 % of the nameplate."""
    spec = AssetSpec(asset_id="a", name="A", kind=Kind.PV, p_min_mw=0, p_max_mw=5, points=())
    usual = tolerance_of(spec)
    assert (usual.holds(5, 4.9), usual.holds(5, 4.89)) == (True, False)
    assert (usual.holds(0, 0.05), usual.holds(0, 0.051)) == (True, False)
    stated = tolerance_of(msgspec.structs.replace(spec, tolerance_mw=0.5, settling_s=5.0))
    assert stated == Tolerance(absolute_mw=0.5, settling_s=5)


def test_outcomes_of_shares_add_up_to_that_of_the_whole() -> None:
    """Energies in sum, shares of time as means by what was asked."""
    big = outcome(measured(begun(3.0), *every_second(0, 60, 3.0)), 60 * S)
    small = outcome(measured(begun(1.0), *every_second(0, 60, 0.0)), 60 * S)
    whole = combined(4.0, [big, small])
    assert whole is not None
    assert math.isclose(whole.energy_asked_mwh, 4 / 60)
    assert math.isclose(whole.energy_delivered_mwh or 0, 3 / 60)
    assert whole.followed_pct == 75
    assert combined(4.0, []) is None
    idle = outcome(measured(begun(0.0), *every_second(0, 60, 0.0)), 60 * S)
    assert combined(0.0, [idle, idle]) == msgspec.structs.replace(
        idle, samples_good=120, samples_expected=120
    )


samples = st.lists(
    st.tuples(st.integers(-10 * S, 90 * S), st.none() | st.floats(-5, 5), st.sampled_from(Quality)),
    max_size=30,
)


@given(st.floats(-3, 3), samples, st.integers(0, 90 * S))
def test_an_outcome_is_always_one_that_can_be(
    setpoint_mw: float, story: list[tuple[int, float | None, Quality]], ended_us: int
) -> None:
    """Shares between 0 and 100 %, energy within the greatest power, and it can be kept."""
    following = begun(setpoint_mw)
    for time_us, power_mw, quality in story:
        following = observe(following, time_us, power_mw, quality)
        assert following.followed_us <= following.judged_us <= following.known_us
        assert following.known_us <= following.at_us - following.from_us
        kept = msgspec.json.decode(msgspec.json.encode(following), type=Following)
        assert kept == following
    record = outcome(following, ended_us)
    assert record.followed_pct is None or 0 <= record.followed_pct <= 100
    assert 0 <= record.complete_pct <= 100
    if record.energy_delivered_mwh is not None:
        assert abs(record.energy_delivered_mwh) <= 5 / 60 + 1e-9


@given(samples, samples)
def test_late_measurements_between_the_others_change_nothing(
    story: list[tuple[int, float | None, Quality]], noise: list[tuple[int, float | None, Quality]]
) -> None:
    """Whatever they say."""
    clean, disturbed = begun(), begun()
    for time_us, power_mw, quality in sorted(story, key=lambda sample: sample[0]):
        clean = observe(clean, time_us, power_mw, quality)
        disturbed = observe(disturbed, time_us, power_mw, quality)
        for late_us, late_mw, late_quality in noise:
            disturbed = observe(disturbed, min(late_us, time_us), late_mw, late_quality)
    assert disturbed == clean
