"""A turbine follows its power curve, its setpoint and, slowly, the wind's direction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.wind import WindPlant, WindState

TURBINE = WindPlant(p_max_mw=4.0)


def run(weather: Conditions, setpoint_mw: float, *, seconds: int) -> WindState:
    """The state after so many seconds of this, from the start."""
    return go_on(TURBINE.start(weather), weather, setpoint_mw, seconds=seconds)


def go_on(state: WindState, weather: Conditions, setpoint_mw: float, *, seconds: int) -> WindState:
    """The state after so many more seconds of this."""
    for _ in range(seconds):
        state = TURBINE.step(state, 1.0, weather, setpoint_mw)
    return state


def test_the_power_curve_has_its_corners() -> None:
    """Nothing below cut-in, the rating from the rated wind on."""
    assert TURBINE.power_mw(2.9) == 0
    assert TURBINE.power_mw(11.5) == pytest.approx(4.0)
    assert TURBINE.power_mw(20) == 4.0
    assert 0.4 < TURBINE.power_mw(6.0) < 0.7


@given(slow=st.floats(0, 25), faster_by=st.floats(0, 10))
def test_more_wind_never_gives_less(slow: float, faster_by: float) -> None:
    """The curve is monotone up to the storm."""
    assert TURBINE.power_mw(slow) <= TURBINE.power_mw(slow + faster_by)


def test_a_storm_stops_it_until_it_has_passed(noon: Conditions) -> None:
    """Out above 25 m/s at the hub, in again only below 22."""
    at_hub = 11**0.2
    storm, easing, gone = (replace(noon, wind_speed_m_s=v / at_hub) for v in (27, 23.5, 20))
    state = run(storm, 4.0, seconds=60)
    assert state.active_power_mw == 0
    assert state.pitch_deg == 90
    assert TURBINE.values(state, storm)["operating_state"] == OperatingState.STANDBY
    state = go_on(state, easing, 4.0, seconds=120)
    assert state.active_power_mw == 0
    assert go_on(state, gone, 4.0, seconds=120).active_power_mw == 4.0


@given(share=st.floats(0, 1))
def test_it_is_curtailed_to_the_setpoint_within_seconds(noon: Conditions, share: float) -> None:
    """The lower of setpoint and possible power, five seconds after the order."""
    state = run(noon, 4.0 * share, seconds=6)
    assert state.active_power_mw == pytest.approx(min(4.0 * share, state.possible_mw))


def test_curtailed_it_pitches_and_says_what_it_could(noon: Conditions) -> None:
    """The blades let wind through; possible power stays that of the wind."""
    free, curtailed = run(noon, 4.0, seconds=60), run(noon, 1.0, seconds=60)
    assert curtailed.possible_mw == free.possible_mw > 1.0
    assert free.pitch_deg == pytest.approx(0, abs=0.01)
    assert curtailed.pitch_deg > 1
    assert curtailed.rotor_speed_rpm < free.rotor_speed_rpm
    assert TURBINE.values(curtailed, noon)["operating_state"] == OperatingState.THROTTLED


def test_the_rotor_averages_a_gust(noon: Conditions) -> None:
    """A second of double wind is not a second of eight times the power."""
    gust = replace(noon, wind_speed_m_s=12.0)
    before = TURBINE.start(noon)
    after = TURBINE.step(before, 1.0, gust, 4.0)
    assert before.active_power_mw < after.active_power_mw < 2 * before.active_power_mw


def test_the_nacelle_follows_slowly_and_not_every_breath(noon: Conditions) -> None:
    """Inside of the dead band it stands; after a turn of the wind it takes its time."""
    breath = replace(noon, wind_direction_deg=227.0)
    assert run(noon, 4.0, seconds=1).nacelle_direction_deg == 220
    state = go_on(TURBINE.start(noon), breath, 4.0, seconds=60)
    assert state.nacelle_direction_deg == 220
    turn = replace(noon, wind_direction_deg=280.0)
    state = go_on(state, turn, 4.0, seconds=60)
    assert state.nacelle_direction_deg == pytest.approx(238)
    state = go_on(state, turn, 4.0, seconds=300)
    assert abs(280 - state.nacelle_direction_deg) <= 8


def test_a_calm_feathers_the_blades(noon: Conditions) -> None:
    """Without wind it stands by."""
    state = run(replace(noon, wind_speed_m_s=0.5), 4.0, seconds=60)
    assert state.active_power_mw == 0
    assert TURBINE.values(state, noon)["operating_state"] == OperatingState.STANDBY
