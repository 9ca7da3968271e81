"""A plan and its token: what was seen, and where the fleet has moved since."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.dispatch import PortfolioTarget, SiteTarget, Target
from dercp.model.plan import PLAN_VALID_S, Difference, Plan, PlanError, moved, planned_for, token_of
from dercp.model.split import Capacity, aggregate, excluding, split

NORTH = SiteTarget("north")
FLEET = [Capacity(id=f"a{n}", min_mw=-2, max_mw=2, weight_mw=2) for n in range(3)]
SINGLE = Capacity(id="z", min_mw=0, max_mw=1, weight_mw=1)
NOW_US = 1_800_000_000_000_000


def plan(setpoint_mw: float = 3.0, *, target: Target = NORTH, later_s: float = 0) -> Plan:
    """The whole fleet, shared evenly."""
    return planned_for(target, split(setpoint_mw, FLEET), NOW_US + round(later_s * 1e6))


def plan_without(**reasons: str) -> Plan:
    """Some are left out."""
    return planned_for(NORTH, split(3.0, excluding(FLEET, reasons)), NOW_US + 1)


def test_a_fleet_that_stands_still_has_not_moved() -> None:
    """A moment later the plan is the same."""
    assert moved(plan(later_s=60), token_of(plan())) == ()


def test_who_has_gone_and_who_carries_it_is_told() -> None:
    """By ids, with the reason where there is one."""
    assert moved(plan_without(a1="offline"), token_of(plan())) == (
        Difference("a0", 1.0, 1.5),
        Difference("a1", 1.0, 0.0, "offline"),
        Difference("a2", 1.0, 1.5),
    )


def test_who_has_come_counts_too() -> None:
    """The other way round."""
    differences = moved(plan(), token_of(plan_without(a1="offline")))
    assert [each.now_mw for each in differences] == [1.0, 1.0, 1.0]


def test_what_cannot_be_placed_any_more_is_a_difference() -> None:
    """Of nobody in particular."""
    weak = [Capacity(id="a0", min_mw=0, max_mw=1, weight_mw=2, limit_high="available")]
    strong = [Capacity(id="a0", min_mw=0, max_mw=2, weight_mw=2)]
    token = token_of(planned_for(NORTH, split(1.5, strong), NOW_US))
    assert moved(planned_for(NORTH, split(1.5, weak), NOW_US), token) == (
        Difference("a0", 1.5, 1.0, "available"),
        Difference(None, 0.0, 0.5),
    )


def test_small_movements_are_within_tolerance() -> None:
    """2 % of the setpoint: clouds move all the time."""

    def sunny(available_mw: float) -> Plan:
        members = [FLEET[0], Capacity(id="pv", min_mw=0, max_mw=available_mw, weight_mw=9)]
        return planned_for(NORTH, split(2.0, members), NOW_US)

    assert moved(sunny(1.03), token_of(sunny(1.0))) == ()
    assert [each.id for each in moved(sunny(1.05), token_of(sunny(1.0)))] == ["a0", "pv"]


def test_a_portfolio_is_compared_by_the_assets_of_its_sites() -> None:
    """The shares of the second stage, not only of the first."""
    target = PortfolioTarget("all")

    def two_stages(**reasons: str) -> Plan:
        site = excluding(FLEET, reasons)
        shared = split(3.0, [aggregate("north", site), SINGLE])
        parts = {"north": split(shared.allocations[0].setpoint_mw, site)}
        return planned_for(target, shared, NOW_US, parts)

    differences = moved(two_stages(a2="offline"), token_of(two_stages()))
    assert [each.id for each in differences] == ["a0", "a1", "a2", "z"]
    assert differences[2].reason == "offline"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (plan(later_s=PLAN_VALID_S), "token_expired"),
        (plan(2.9), "token_for_another"),
        (plan(target=SiteTarget("south")), "token_for_another"),
    ],
)
def test_a_token_is_for_one_wish_and_a_short_time(now: Plan, reason: str) -> None:
    """Nobody dispatches by a plan of this morning."""
    with pytest.raises(PlanError) as caught:
        moved(now, token_of(plan()))
    assert caught.value.reason == reason


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_what_is_no_token_is_refused(text: str) -> None:
    """In one way, whatever it is."""
    with pytest.raises(PlanError) as caught:
        moved(plan(), text)
    assert caught.value.reason == "bad_token"


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_token_does_no_harm(place: int, value: int) -> None:
    """It is refused, or it is a token."""
    damaged = bytearray(token_of(plan()).encode())
    damaged[place % len(damaged)] = value
    with contextlib.suppress(PlanError):
        moved(plan(), damaged.decode("latin-1"))
