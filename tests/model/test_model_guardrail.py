"""Guardrails: whether a setpoint may be written, and which one instead."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.bounds import Bounds
from dercp.model.guardrail import (
    Clamp,
    Clamped,
    Condition,
    Control,
    Guardrails,
    OnLimit,
    Permitted,
    Refused,
    Remote,
    judge,
    readback_agrees,
)

NAMEPLATE = Bounds(-2.0, 2.0)
RAILS = Guardrails(NAMEPLATE, Bounds(-1.0, 1.5), dead_band_mw=0.2, soc_min_pct=10, soc_max_pct=90)
HALF = Condition(soc_pct=50)


@pytest.mark.parametrize("setpoint_mw", [1.5, -1.0, 0.2, 0.0, -0.0])
def test_what_no_limit_touches_passes_unchanged(setpoint_mw: float) -> None:
    """The ends of the limits and of the dead band included."""
    for wish in OnLimit:
        assert judge(setpoint_mw, RAILS, HALF, wish) == Permitted(setpoint_mw)


def test_beyond_the_sites_limits_it_is_clamped_and_said() -> None:
    """The asset gives what the site allows."""
    verdict = judge(2.0, RAILS, HALF)
    clamp = Clamp("configured_limit", 2.0, 1.5, "the site allows -1 to 1.5 MW")
    assert verdict == Clamped(1.5, (clamp,))


def test_who_wants_all_or_nothing_gets_nothing() -> None:
    """The limit is named in the refusal."""
    verdict = judge(2.0, RAILS, HALF, OnLimit.REJECT)
    assert verdict == Refused("configured_limit", "the site allows -1 to 1.5 MW")


@pytest.mark.parametrize("setpoint_mw", [2.1, -2.1, math.nan, math.inf])
@pytest.mark.parametrize("wish", OnLimit)
def test_beyond_the_nameplate_it_is_refused(setpoint_mw: float, wish: OnLimit) -> None:
    """It was never meant for this asset."""
    verdict = judge(setpoint_mw, RAILS, HALF, wish)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "out_of_range"


@pytest.mark.parametrize(
    ("soc_pct", "asked_mw", "given_mw"),
    [(90, -1, 0), (90, 1, 1), (10, 1, 0), (10, -1, -1), (None, -1, 0), (None, 1, 0), (None, 0, 0)],
)
def test_the_state_of_charge_keeps_to_its_window(
    soc_pct: float | None, asked_mw: float, given_mw: float
) -> None:
    """Full takes nothing, empty gives nothing; where it is not known, neither."""
    verdict = judge(asked_mw, RAILS, Condition(soc_pct=soc_pct))
    assert not isinstance(verdict, Refused)
    assert verdict.setpoint_mw == given_mw
    if isinstance(verdict, Clamped):
        assert [clamp.reason for clamp in verdict.clamps] == ["state_of_charge"]


def test_within_the_dead_band_the_device_stands_still() -> None:
    """To 0, not up to the least power: narrower, never wider."""
    verdict = judge(-0.1, RAILS, HALF)
    assert isinstance(verdict, Clamped)
    assert verdict.setpoint_mw == 0
    assert verdict.clamps[0].detail == "the device runs at 0 MW or from 0.2 MW on"


def test_clamps_lead_step_by_step_from_what_was_asked() -> None:
    """Each begins where the one before has led."""
    verdict = judge(2.0, RAILS, Condition(soc_pct=5))
    assert isinstance(verdict, Clamped)
    assert [(each.reason, each.from_mw, each.to_mw) for each in verdict.clamps] == [
        ("configured_limit", 2.0, 1.5),
        ("state_of_charge", 1.5, 0.0),
    ]


def test_what_may_neither_run_nor_stand_still_is_refused() -> None:
    """Limits that do not hold 0, and a state of charge that allows nothing else."""
    rails = replace(RAILS, limits=Bounds(0.5, 1.5))
    assert isinstance(judge(1.0, rails, Condition(soc_pct=5)), Refused)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition(soc_pct=50, control=Control.LOCAL), "not_remote"),
        (Condition(soc_pct=50), "not_remote"),
        (Condition(soc_pct=50, control=Control.REMOTE, locked_out=True), "local_lockout"),
    ],
)
def test_whoever_is_at_the_site_comes_first(condition: Condition, reason: str) -> None:
    """A device under local control would take the write and ignore it."""
    rails = replace(RAILS, remote=Remote.REQUIRED)
    verdict = judge(1.0, rails, condition)
    assert isinstance(verdict, Refused)
    assert verdict.reason == reason
    assert judge(1.0, rails, replace(HALF, control=Control.REMOTE)) == Permitted(1.0)


within = st.floats(-2, 2)
conditions = st.builds(
    Condition,
    soc_pct=st.none() | st.floats(0, 100),
    control=st.sampled_from(Control),
    locked_out=st.booleans(),
)


@st.composite
def guardrails(draw: st.DrawFn) -> Guardrails:
    """Limits that may lie anywhere inside the nameplate."""
    low_mw, high_mw = sorted((draw(within), draw(within)))
    return Guardrails(
        NAMEPLATE,
        Bounds(low_mw, high_mw),
        dead_band_mw=draw(st.floats(0, 2)),
        soc_min_pct=draw(st.none() | st.floats(0, 100)),
        soc_max_pct=draw(st.none() | st.floats(0, 100)),
        remote=draw(st.sampled_from(Remote)),
    )


@given(st.floats() | within, guardrails(), conditions, st.sampled_from(OnLimit))
def test_guardrails_narrow_and_never_widen(
    asked_mw: float, rails: Guardrails, condition: Condition, wish: OnLimit
) -> None:
    """What is written lies within all limits, and no further from 0 than they make it."""
    verdict = judge(asked_mw, rails, condition, wish)
    if isinstance(verdict, Refused):
        return
    given_mw = verdict.setpoint_mw
    assert NAMEPLATE.contains(asked_mw)
    assert rails.limits.contains(given_mw)
    assert given_mw == 0 or abs(given_mw) >= rails.dead_band_mw
    assert abs(given_mw) <= max(abs(asked_mw), abs(rails.limits.nearest(0.0)))
    assert judge(given_mw, rails, condition, wish) == Permitted(given_mw)
    if isinstance(verdict, Clamped):
        assert wish is OnLimit.CLAMP
        assert verdict.clamps[0].from_mw == asked_mw
        assert verdict.clamps[-1].to_mw == given_mw


@given(within, guardrails(), conditions)
def test_a_tighter_limit_permits_no_more(
    asked_mw: float, rails: Guardrails, condition: Condition
) -> None:
    """What passes under the site's limits passes under the nameplate alone, as itself."""
    if judge(asked_mw, rails, condition) == Permitted(asked_mw):
        wider = Guardrails(NAMEPLATE, NAMEPLATE)
        assert judge(asked_mw, wider, condition) in {
            Permitted(asked_mw),
            Refused("local_lockout", "the asset is locked out at the site"),
        }


def test_a_readback_agrees_within_a_hundredth_of_the_nameplate() -> None:
    """Devices round; a device that says nothing does not agree."""
    assert readback_agrees(1.0, 1.019, 2.0)
    assert not readback_agrees(1.0, 1.03, 2.0)
    assert not readback_agrees(1.0, math.nan, 2.0)
