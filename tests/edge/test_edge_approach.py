"""Whatever is asked, whatever the battery says: what is written keeps to the site's limits."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dercp.edge.asset.approach import Approach, Move
from dercp.edge.asset.lease import Lease
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Condition, Guardrails, OnLimit
from dercp.model.ramp import RAMP_STEP_S

powers = st.floats(-4, 4)


def lease(setpoint_mw: float, on_limit: OnLimit = OnLimit.CLAMP) -> Lease:
    """A lease for ever."""
    return Lease(
        dispatch_id="d-1",
        revision=1,
        setpoint_mw=setpoint_mw,
        start_s=0,
        until_s=math.inf,
        on_limit=on_limit,
    )


@given(
    limits=st.tuples(st.floats(-2, 0), st.floats(0, 2)),
    ramp_mw_per_min=st.none() | st.floats(0.1, 100),
    write_interval_s=st.sampled_from([0.0, 2.5, 30.0]),
    begins_mw=st.none() | powers,
    story=st.lists(
        st.one_of(
            powers,  # another lease
            st.floats(0.01, 40).map(lambda passes_s: ("time", passes_s)),
            st.none() | st.floats(0, 100).map(lambda soc_pct: ("charge", soc_pct)),
        ),
        max_size=40,
    ),
)
def test_nothing_that_is_written_breaks_a_limit(
    limits: tuple[float, float],
    ramp_mw_per_min: float | None,
    write_interval_s: float,
    begins_mw: float | None,
    story: list[float | tuple[str, float] | None],
) -> None:
    """In range, no faster than the ramp and a step of it, no sooner than the interval."""
    bounds = Bounds(*limits)
    rails = Guardrails(
        nameplate=Bounds(-2.0, 2.0),
        limits=bounds,
        soc_min_pct=10.0,
        soc_max_pct=90.0,
        ramp_mw_per_min=ramp_mw_per_min,
        write_interval_s=write_interval_s,
    )
    approach = Approach(rails)
    held, soc_pct, now_s = lease(0.0), 50.0, 0.0
    written: list[tuple[float, float]] = []
    for event in story:
        match event:
            case float():
                held = lease(event)
                approach.begin()
            case ("time", float(passes_s)):
                now_s += passes_s
            case ("charge", float(percent)):
                soc_pct = percent
            case _:
                pass
        move = approach.move(held, Condition(soc_pct=soc_pct), begins_mw, now_s)
        if not isinstance(move, Move):
            continue
        assert bounds.contains(move.power_mw)
        assert not (soc_pct >= 90 and move.aim_mw < 0)
        assert not (soc_pct <= 10 and move.aim_mw > 0)
        if written:
            last_s, last_mw = written[-1]
            assert now_s - last_s >= write_interval_s - 1e-9
            if ramp_mw_per_min is not None:
                step_mw = ramp_mw_per_min / 60 * max(RAMP_STEP_S, write_interval_s)
                assert abs(move.power_mw - last_mw) <= step_mw + 1e-9
        approach.written(move, now_s)
        written.append((now_s, move.power_mw))
        assert approach.next_at_s > now_s


def test_a_battery_at_its_limit_is_not_topped_up_every_other_second() -> None:
    """It goes on when there is a percent of room."""
    approach = Approach(Guardrails(Bounds(-2, 2), Bounds(-2, 2), soc_max_pct=90.0))
    aims = []
    for second, soc_pct in enumerate([89.9, 90.0, 89.9, 89.1, 88.9, 89.9]):
        move = approach.move(lease(-1.0), Condition(soc_pct=soc_pct), None, float(second))
        if isinstance(move, Move):
            approach.written(move, float(second))
            aims.append((soc_pct, move.power_mw))
    assert aims == [(89.9, -1.0), (90.0, 0.0), (88.9, -1.0)]
