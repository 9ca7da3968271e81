"""The split: stories of small fleets, and what holds for any fleet."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.split import (
    TOLERANCE_MW,
    Allocation,
    Capacity,
    Excluded,
    Split,
    aggregate,
    excluding,
    split,
)

FULL = "state_of_charge"


def battery(name: str, size_mw: float, *, soc_pct: float = 50, **more: float | str) -> Capacity:
    """A storage that can do its size both ways, unless it is full or empty."""
    full, empty = soc_pct >= 100, soc_pct <= 0
    return Capacity(
        id=name,
        min_mw=0.0 if full else -size_mw,
        max_mw=0.0 if empty else size_mw,
        weight_mw=size_mw,
        limit_low=FULL if full else "nameplate",
        limit_high=FULL if empty else "nameplate",
        **more,  # type: ignore[arg-type]  # floats and words, each where it belongs
    )


def solar(name: str, size_mw: float, available_mw: float) -> Capacity:
    """A PV plant with some sun."""
    return Capacity(
        id=name, min_mw=0, max_mw=available_mw, weight_mw=size_mw, limit_high="available"
    )


def turbine(name: str, size_mw: float, least_mw: float) -> Capacity:
    """A machine that stands still or runs from its least power on."""
    return Capacity(id=name, min_mw=0, max_mw=size_mw, weight_mw=size_mw, dead_high_mw=least_mw)


def shares(result: Split) -> dict[str, float]:
    """Who gets what, rounded for the eye."""
    return {each.id: round(each.setpoint_mw, 9) for each in result.allocations}


def limits(result: Split) -> dict[str, str]:
    """What binds whom."""
    return {each.id: each.limit for each in result.allocations if each.limit}


def test_everybody_shares_by_size() -> None:
    """As long as no limit is met."""
    result = split(3, [battery("b", 4), battery("a", 2)])
    assert shares(result) == {"a": 1, "b": 2}
    assert (result.placed_mw, result.unplaced_mw, limits(result)) == (3, 0, {})


def test_what_one_cannot_do_goes_to_the_others() -> None:
    """And the limit that binds is named."""
    result = split(6, [battery("a", 4), battery("b", 4), solar("pv", 4, 1)])
    assert shares(result) == {"a": 2.5, "b": 2.5, "pv": 1}
    assert limits(result) == {"pv": "available"}


def test_a_full_battery_does_not_charge_and_an_empty_one_gives_nothing() -> None:
    """The state of charge is a limit of one direction only."""
    fleet = [battery("a", 2), battery("full", 2, soc_pct=100), battery("void", 2, soc_pct=0)]
    assert shares(split(-2, fleet)) == {"a": -1, "full": 0, "void": -1}
    assert limits(split(-2, fleet)) == {"full": FULL}
    assert shares(split(2, fleet)) == {"a": 1, "full": 1, "void": 0}
    assert limits(split(2, fleet)) == {"void": FULL}


def test_a_shortfall_is_reported_with_all_at_their_limits() -> None:
    """In both directions."""
    fleet = [battery("a", 2), solar("pv", 5, 3)]
    up, down = split(9, fleet), split(-9, fleet)
    assert (up.placed_mw, up.unplaced_mw) == (5, 4)
    assert limits(up) == {"a": "nameplate", "pv": "available"}
    assert (down.placed_mw, down.unplaced_mw) == (-2, -7)


def test_what_must_run_runs_and_others_make_room_for_it() -> None:
    """Half a megawatt is asked of a plant that cannot do less than two: a battery takes it."""
    must_run = Capacity(id="chp", min_mw=2, max_mw=3, weight_mw=3, limit_low="configured_limit")
    result = split(0.5, [must_run, battery("a", 2)])
    assert shares(result) == {"a": -1.5, "chp": 2}
    assert limits(result) == {"chp": "configured_limit"}
    alone = split(0.5, [must_run])
    assert (alone.placed_mw, alone.unplaced_mw) == (2, -1.5)


def test_who_is_left_out_takes_no_share_and_is_named() -> None:
    """An offline asset is not counted on."""
    fleet = [battery("a", 2), battery("b", 2)]
    result = split(1, excluding(fleet, {"b": "offline"}))
    assert result.allocations == (Allocation("a", 1.0),)
    assert result.excluded == (Excluded("b", "offline"),)


def test_nobody_at_all_places_nothing() -> None:
    """The empty fleet is a fleet."""
    assert split(1, []) == Split(setpoint_mw=1, allocations=(), placed_mw=0, unplaced_mw=1)


def test_zero_stops_everything() -> None:
    """Without a minus sign that nobody asked for."""
    result = split(0, [battery("a", 2), solar("pv", 1, 1), turbine("t", 2, 1)])
    assert [str(each.setpoint_mw) for each in result.allocations] == ["0.0", "0.0", "0.0"]


def test_equal_machines_share_and_do_not_take_turns() -> None:
    """Half of a wind farm's power is half of each turbine's, not half of the turbines."""
    farm = [turbine(f"t{n}", 3, 0.5) for n in range(4)]
    assert set(shares(split(6, farm)).values()) == {1.5}


def test_below_the_least_power_of_all_some_stand_still_in_the_order_of_their_ids() -> None:
    """Two of four can run at 1.2 MW; the others are held by their dead band."""
    farm = [turbine(f"t{n}", 3, 0.5) for n in range(4)]
    result = split(1.2, farm)
    assert shares(result) == {"t0": 0.6, "t1": 0.6, "t2": 0, "t3": 0}
    assert limits(result) == {"t2": "dead_band", "t3": "dead_band"}


def test_a_dead_band_alone_leaves_a_shortfall_rather_than_too_much() -> None:
    """Nothing is placed that was not asked."""
    result = split(0.3, [turbine("t", 3, 0.5)])
    assert (shares(result), result.unplaced_mw) == ({"t": 0}, 0.3)


def test_where_a_big_machine_cannot_start_a_small_one_does() -> None:
    """Although by size the big one would come first."""
    result = split(0.7, [turbine("big", 10, 1), turbine("small", 2, 0.5)])
    assert shares(result) == {"big": 0, "small": 0.7}


def test_the_others_give_way_to_the_step_of_one_that_is_needed() -> None:
    """The battery alone is 0.2 MW short; the engine's least is 1 MW."""
    result = split(2.2, [battery("a", 2), turbine("engine", 1, 1)])
    assert shares(result) == {"a": 1.2, "engine": 1}
    assert result.unplaced_mw == 0


def test_no_battery_charges_to_let_a_machine_start() -> None:
    """The missing 0.2 MW is rather said to be missing."""
    result = split(0.7, [replace(battery("a", 1), max_mw=0.5), turbine("engine", 2, 1)])
    assert shares(result) == {"a": 0.5, "engine": 0}
    assert math.isclose(result.unplaced_mw, 0.2)


def test_dead_bands_count_for_taking_power_too() -> None:
    """The mirror image."""
    pump = Capacity(id="pump", min_mw=-2, max_mw=0, weight_mw=2, dead_low_mw=-1)
    assert shares(split(-0.5, [pump])) == {"pump": 0}
    assert shares(split(-1.5, [pump])) == {"pump": -1.5}


def test_without_weight_there_is_no_share() -> None:
    """It stays where it is nearest to nothing."""
    idle = Capacity(id="idle", min_mw=-1, max_mw=1, weight_mw=0)
    assert shares(split(3, [idle, battery("a", 2)])) == {"a": 2, "idle": 0}


@pytest.mark.parametrize("setpoint_mw", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_cannot_be_shared(setpoint_mw: float) -> None:
    """It is the caller's to check what somebody asks."""
    with pytest.raises(ValueError, match="finite"):
        split(setpoint_mw, [])


def test_two_members_of_one_id_cannot_be_told_apart() -> None:
    """So they are refused."""
    with pytest.raises(ValueError, match="distinct"):
        split(1, [battery("a", 1), battery("a", 2)])


@pytest.mark.parametrize(
    "change",
    [
        {"min_mw": 3.0},
        {"max_mw": math.nan},
        {"max_mw": math.inf},
        {"weight_mw": -1.0},
        {"dead_low_mw": 0.1},
        {"dead_high_mw": -0.1},
    ],
)
def test_a_capacity_that_makes_no_sense_cannot_be_made(change: dict[str, float]) -> None:
    """A split may rely on it."""
    with pytest.raises(ValueError, match="a: expected"):
        replace(battery("a", 1), **change)


def test_two_stages_come_to_the_same_as_one() -> None:
    """A portfolio of two sites, none of whose assets is at a limit, and one that is."""
    north = [battery("n1", 2), solar("n2", 2, 0.5)]
    south = [battery("s1", 4), battery("s2", 2, soc_pct=100)]
    sites = [aggregate("north", north), aggregate("south", south)]
    for asked_mw in (-3.0, 1.0, 4.0, 8.0, 99.0):
        top = split(asked_mw, sites)
        below = {"north": north, "south": south}
        parts = [split(site.setpoint_mw, below[site.id]) for site in top.allocations]
        assert math.isclose(sum(p.placed_mw for p in parts), top.placed_mw)
        assert all(part.unplaced_mw == 0 for part in parts)


def test_an_aggregate_names_the_limit_that_all_have_in_common() -> None:
    """Where they differ it says that there are several; where all are out, why."""
    whole = aggregate("site", [solar("a", 2, 1), battery("b", 2)])
    assert (whole.min_mw, whole.max_mw, whole.weight_mw) == (-2, 3, 4)
    assert (whole.limit_low, whole.limit_high) == ("nameplate", "several")
    offline = aggregate("site", excluding([battery("a", 1)], {"a": "offline"}))
    assert (offline.excluded, offline.max_mw) == ("offline", 0)
    farm = aggregate("farm", [turbine("a", 3, 1), turbine("b", 3, 0.5)])
    assert farm.dead_high_mw == 0.5
    stuck = aggregate("stuck", [turbine("a", 3, 5), battery("b", 1)])
    assert (stuck.min_mw, stuck.max_mw) == (-1, 1)
    assert aggregate("nobody", []).excluded == "out_of_service"


# ------------------------------------------------------------------ for any fleet

# Sevenths are no exact floats, so sums have something to round.
sevenths = st.integers(-35, 35).map(lambda count: count / 7)
weights = st.sampled_from([0.0, 0.01, 0.5, 1.0, 1.0, 3.0, 10 / 3])
steps = st.sampled_from([0.0, 0.0, 0.0, 1 / 7, 0.3, 1.0, 3.0])
shapes = st.sampled_from(["both", "gives", "takes", "any", "nothing"])


def a_capacity(
    one_mw: float, other_mw: float, shape: str, weight_mw: float, dead_mw: tuple[float, float]
) -> Capacity:
    """Anything: must-run, full, empty, of no capacity, of no weight, beyond its dead band."""
    low_mw, high_mw = min(one_mw, other_mw), max(one_mw, other_mw)
    if shape != "any":
        low_mw = 0.0 if shape in {"gives", "nothing"} else -abs(low_mw)
        high_mw = 0.0 if shape in {"takes", "nothing"} else abs(high_mw)
    return Capacity(
        id="?",
        min_mw=low_mw,
        max_mw=high_mw,
        weight_mw=weight_mw,
        dead_low_mw=-dead_mw[0],
        dead_high_mw=dead_mw[1],
        excluded="offline" if one_mw == other_mw else "",
    )


def numbered(fleet: list[Capacity]) -> list[Capacity]:
    """Each with an id of its own."""
    return [replace(each, id=f"{chr(104 - index)}") for index, each in enumerate(fleet)]


def fleets_of(dead_bands: st.SearchStrategy[float]) -> st.SearchStrategy[list[Capacity]]:
    """Fleets of up to eight."""
    each = st.builds(
        a_capacity, sevenths, sevenths, shapes, weights, st.tuples(dead_bands, dead_bands)
    )
    return st.lists(each, max_size=8).map(numbered)


fleets, smooth_fleets = fleets_of(steps), fleets_of(st.just(0.0))
setpoints = st.integers(-200, 200).map(lambda count: count / 7) | st.floats(-30, 30)
NEAR_MW = 10 * TOLERANCE_MW


def has_dead_band(member: Capacity) -> bool:
    """Whether it counts: it has one, and 0 lies within its range."""
    has_one = member.dead_low_mw < 0 or member.dead_high_mw > 0
    return has_one and member.min_mw <= 0 <= member.max_mw


def by_id(result: Split, fleet: Sequence[Capacity]) -> list[tuple[Capacity, Allocation]]:
    """Each that takes part with its share."""
    members = {each.id: each for each in fleet}
    return [(members[each.id], each) for each in result.allocations]


@given(setpoints, fleets)
def test_nothing_is_lost_and_nothing_added(asked_mw: float, fleet: list[Capacity]) -> None:
    """The shares and what is unplaced make up what was asked; each member is accounted for."""
    result = split(asked_mw, fleet)
    total_mw = math.fsum(each.setpoint_mw for each in result.allocations)
    assert total_mw == result.placed_mw
    assert abs(result.placed_mw + result.unplaced_mw - asked_mw) <= TOLERANCE_MW
    assert [each.id for each in result.excluded] == sorted(e.id for e in fleet if e.excluded)
    assert [each.id for each in result.allocations] == sorted(
        each.id for each in fleet if not each.excluded
    )


@given(setpoints, fleets)
def test_each_share_is_one_that_its_member_can_do(asked_mw: float, fleet: list[Capacity]) -> None:
    """Within its range, exactly; and at 0 or beyond its dead band."""
    for member, share in by_id(split(asked_mw, fleet), fleet):
        power_mw = share.setpoint_mw
        assert member.min_mw <= power_mw <= member.max_mw
        if has_dead_band(member) and power_mw:
            assert not member.dead_low_mw < power_mw < member.dead_high_mw


@given(setpoints, fleets, st.randoms())
def test_the_order_of_the_members_does_not_matter(
    asked_mw: float, fleet: list[Capacity], chance: Random
) -> None:
    """Not even in the last bit."""
    mixed = list(fleet)
    chance.shuffle(mixed)
    assert split(asked_mw, mixed) == split(asked_mw, fleet)


@given(setpoints, setpoints, fleets)
def test_who_asks_more_is_placed_no_less(one: float, other: float, fleet: list[Capacity]) -> None:
    """In sum, whatever dead bands there are."""
    less, more = split(min(one, other), fleet), split(max(one, other), fleet)
    assert less.placed_mw <= more.placed_mw + NEAR_MW


@given(setpoints, setpoints, smooth_fleets)
def test_without_dead_bands_nobody_gets_less_of_more(
    one: float, other: float, fleet: list[Capacity]
) -> None:
    """Each share grows with the setpoint, or stays."""
    less, more = split(min(one, other), fleet), split(max(one, other), fleet)
    for before, after in zip(less.allocations, more.allocations, strict=True):
        assert before.setpoint_mw <= after.setpoint_mw + NEAR_MW


@given(setpoints, setpoints, fleets)
def test_with_dead_bands_it_still_holds_where_the_same_ones_run(
    one: float, other: float, fleet: list[Capacity]
) -> None:
    """Only when a member starts do others give way."""
    less, more = split(min(one, other), fleet), split(max(one, other), fleet)

    def running(result: Split) -> list[bool]:
        return [
            share.setpoint_mw > 0 for member, share in by_id(result, fleet) if has_dead_band(member)
        ]

    def stopped(result: Split) -> list[bool]:
        return [
            share.setpoint_mw < 0 for member, share in by_id(result, fleet) if has_dead_band(member)
        ]

    if running(less) == running(more) and stopped(less) == stopped(more):
        for before, after in zip(less.allocations, more.allocations, strict=True):
            assert before.setpoint_mw <= after.setpoint_mw + NEAR_MW


@given(setpoints, fleets)
def test_something_stays_unplaced_only_where_nobody_can_take_it(
    asked_mw: float, fleet: list[Capacity]
) -> None:
    """All are at their limits, or stand still before a step that would be too much."""
    result = split(asked_mw, fleet)
    missing_mw = result.unplaced_mw
    if abs(missing_mw) <= NEAR_MW:
        return
    sign = math.copysign(1, missing_mw)
    least_mw = 0.0
    waiting = []
    for member, share in by_id(result, fleet):
        end_mw = sign * (member.max_mw if missing_mw > 0 else member.min_mw)
        step_mw = sign * (member.dead_high_mw if missing_mw > 0 else member.dead_low_mw)
        stepped = step_mw > 0 and has_dead_band(member)
        runs = share.setpoint_mw != 0
        least_mw += step_mw if stepped and runs else sign * member.rest_mw
        if stepped and not runs and end_mw >= step_mw and member.weight_mw:
            waiting.append(step_mw)
        elif member.weight_mw and not (stepped and end_mw < step_mw):
            assert abs(sign * share.setpoint_mw - end_mw) <= NEAR_MW
    # Though all the others give way as far as they can, one more would be too much.
    assert all(least_mw + step_mw > sign * asked_mw - NEAR_MW for step_mw in waiting)


@given(setpoints, fleets)
def test_more_than_asked_is_placed_only_where_no_less_can_be(
    asked_mw: float, fleet: list[Capacity]
) -> None:
    """A step is never taken beyond the setpoint."""
    result = split(asked_mw, fleet)
    at_rest_mw = math.fsum(each.rest_mw for each in fleet if not each.excluded)
    if asked_mw >= at_rest_mw:
        assert result.unplaced_mw >= 0
    else:
        assert result.unplaced_mw <= 0


@given(setpoints, smooth_fleets)
def test_who_is_at_no_limit_has_its_part_by_size(asked_mw: float, fleet: list[Capacity]) -> None:
    """The level is one for all, and those at a limit would have more (less) by it."""
    free = [
        share.setpoint_mw / member.weight_mw
        for member, share in by_id(split(asked_mw, fleet), fleet)
        if not share.limit and member.weight_mw
    ]
    assert not free or max(free) - min(free) <= 1e-6


@given(setpoints, fleets)
def test_the_mirror_image_of_a_fleet_shares_the_mirror_image(
    asked_mw: float, fleet: list[Capacity]
) -> None:
    """Charging and discharging are treated alike."""
    mirrored = [
        replace(
            each,
            min_mw=-each.max_mw,
            max_mw=-each.min_mw,
            dead_low_mw=-each.dead_high_mw,
            dead_high_mw=-each.dead_low_mw,
        )
        for each in fleet
    ]
    one, other = split(asked_mw, fleet), split(-asked_mw, mirrored)
    for share, image in zip(one.allocations, other.allocations, strict=True):
        assert math.isclose(share.setpoint_mw, -image.setpoint_mw, abs_tol=NEAR_MW)


@given(setpoints, st.lists(smooth_fleets, min_size=1, max_size=3))
def test_sites_place_what_the_portfolio_gives_them(
    asked_mw: float, sites: list[list[Capacity]]
) -> None:
    """Without dead bands an aggregate promises neither more nor less than its members can do."""
    named = {str(index): site for index, site in enumerate(sites)}
    top = split(asked_mw, [aggregate(name, site) for name, site in named.items()])
    for site in top.allocations:
        assert abs(split(site.setpoint_mw, named[site.id]).unplaced_mw) <= NEAR_MW
