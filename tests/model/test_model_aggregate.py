"""Sums say what they stand on."""

import random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.aggregate import Member, aggregate
from dercp.model.quality import Quality

powers = st.none() | st.floats()
members = st.builds(
    Member,
    nameplate_mw=st.floats(0, 10_000),
    active_power_mw=powers | st.floats(-10, 10),
    available_min_mw=powers | st.floats(-10, 0),
    available_max_mw=powers | st.floats(0, 10),
    quality=st.sampled_from(Quality),
    stale=st.booleans(),
    age_s=st.none() | st.floats(0, 1e6),
)
fleets = st.lists(members, max_size=12)


def fresh(active_power_mw: float | None, nameplate_mw: float = 1.0) -> Member:
    """An asset that reports this power."""
    return Member(nameplate_mw=nameplate_mw, active_power_mw=active_power_mw, age_s=1.0)


def test_a_fleet_with_a_silent_asset() -> None:
    """The silent asset is missing in the sum, and the coverage says so."""
    silent = Member(nameplate_mw=3.0, active_power_mw=2.0, stale=True, age_s=900.0)
    fleet = aggregate([fresh(0.5), silent, fresh(-0.2)])
    assert fleet.active_power_mw == 0.3
    assert fleet.coverage_pct == 40.0
    assert (fleet.assets_reporting, fleet.assets_total) == (2, 3)
    assert fleet.oldest_age_s == 1.0
    assert fleet.worst_quality is Quality.GOOD


def test_an_empty_fleet_is_unknown() -> None:
    """Nothing known is None and bad, not 0 MW and good."""
    nothing = aggregate([])
    assert nothing.active_power_mw is None
    assert nothing.available_max_mw is None
    assert nothing.coverage_pct == 0.0
    assert nothing.oldest_age_s is None
    assert nothing.worst_quality is Quality.BAD


@given(fleets, members)
def test_stale_is_not_summed_as_zero(fleet: list[Member], asset: Member) -> None:
    """A stale asset changes no sum, and lowers no age or quality; only the coverage knows it."""
    stale = replace(asset, stale=True)
    before, after = aggregate(fleet), aggregate([*fleet, stale])
    assert after.active_power_mw == before.active_power_mw
    assert after.available_min_mw == before.available_min_mw
    assert after.available_max_mw == before.available_max_mw
    assert after.assets_reporting == before.assets_reporting
    assert after.oldest_age_s == before.oldest_age_s
    assert after.worst_quality == before.worst_quality
    assert after.coverage_pct <= before.coverage_pct
    assert after.assets_total == before.assets_total + 1


@given(fleets)
def test_no_report_no_sum(fleet: list[Member]) -> None:
    """The sum is None exactly when nothing reports."""
    total = aggregate(fleet)
    assert (total.active_power_mw is None) == (total.assets_reporting == 0)
    if total.available_min_mw is None:
        assert total.available_coverage_pct == 0.0


@given(fleets)
def test_coverage_is_a_share(fleet: list[Member]) -> None:
    """From 0 to 100, and no availability without active power."""
    total = aggregate(fleet)
    assert 0.0 <= total.available_coverage_pct <= total.coverage_pct <= 100.0
    assert 0 <= total.assets_reporting <= total.assets_total == len(fleet)


@given(fleets, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(fleet: list[Member], rng: random.Random) -> None:
    """To the last bit: two readers of one fleet see one figure."""
    shuffled = list(fleet)
    rng.shuffle(shuffled)
    assert aggregate(shuffled) == aggregate(fleet)


def test_a_tenth_three_ways_is_one_figure() -> None:
    """Plain addition gives 0.6 or 0.6000000000000001, depending on who comes first."""
    tenths = [fresh(0.1), fresh(0.2), fresh(0.3)]
    assert aggregate(tenths) == aggregate(reversed(tenths))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_when_all_report_the_coverage_is_whole(powers_mw: list[float]) -> None:
    """A hundred, not 99.99."""
    assert aggregate(fresh(mw) for mw in powers_mw).coverage_pct == 100.0


def test_what_cannot_be_does_not_count() -> None:
    """A wrong scale factor at one asset must not become the power of the fleet."""
    fleet = aggregate([fresh(1.0), fresh(1e300), fresh(1e308), fresh(float("nan"))])
    assert fleet.active_power_mw == 1.0
    assert fleet.coverage_pct == 25.0
