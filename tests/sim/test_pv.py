"""A solar plant gives what sun, heat and inverters allow, and no more than it is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.pv import PvPlant, PvState

PLANT = PvPlant(p_max_mw=3.0)


def run(weather: Conditions, setpoint_mw: float, *, seconds: int) -> PvState:
    """The state after so many seconds of this."""
    state = PLANT.start(weather)
    for _ in range(seconds):
        state = PLANT.step(state, 1.0, weather, setpoint_mw)
    return state


def test_a_cool_bright_noon_clips_at_the_rating(noon: Conditions) -> None:
    """More modules than inverters: the rating is reached, and not passed."""
    cool = replace(noon, irradiance_w_m2=1050.0, air_temperature_c=5.0)
    state = run(cool, 3.0, seconds=60)
    assert state.active_power_mw == 3.0
    assert state.dc_power_mw == pytest.approx(3.0 / 0.98)


def test_a_module_in_the_sun_is_as_warm_as_sandia_says(noon: Conditions) -> None:
    """800 W/m2, 25 C, 6 m/s: 800 exp(-3.47 - 0.0594 * 6) above the air."""
    assert PLANT.start(noon).module_temperature_c == pytest.approx(25 + 17.43, abs=0.01)


def test_heat_costs_power(noon: Conditions) -> None:
    """Thirty degrees more cost about a tenth."""
    mild = replace(noon, irradiance_w_m2=500.0)
    hot = replace(mild, air_temperature_c=55.0)
    ratio = PLANT.start(hot).possible_mw / PLANT.start(mild).possible_mw
    assert ratio == pytest.approx(0.895, abs=0.01)


def test_the_night_is_quiet(noon: Conditions) -> None:
    """No sun: no power on either side, modules as cold as the air, inverters asleep."""
    state = run(replace(noon, irradiance_w_m2=0.0), 3.0, seconds=60)
    assert state.active_power_mw == state.dc_power_mw == state.possible_mw == 0
    assert state.module_temperature_c == pytest.approx(25)
    assert PLANT.values(state, noon)["operating_state"] == OperatingState.SLEEPING


@given(share=st.floats(0, 1))
def test_it_is_curtailed_to_the_setpoint_within_seconds(noon: Conditions, share: float) -> None:
    """The lower of setpoint and possible power, two seconds after the order."""
    state = run(noon, 3.0 * share, seconds=3)
    assert state.active_power_mw == pytest.approx(min(3.0 * share, state.possible_mw))


def test_curtailed_it_still_says_what_it_could(noon: Conditions) -> None:
    """Possible power is that of the sun; the direct current goes down with the alternating."""
    free, curtailed = run(noon, 3.0, seconds=10), run(noon, 1.0, seconds=10)
    assert curtailed.possible_mw == pytest.approx(free.possible_mw)
    assert 1.0 < curtailed.dc_power_mw < 1.1
    assert PLANT.values(curtailed, noon)["operating_state"] == OperatingState.THROTTLED


def test_a_setpoint_makes_no_sun(noon: Conditions) -> None:
    """A limit above what is possible changes nothing."""
    assert run(noon, 99.0, seconds=5) == run(noon, 3.0, seconds=5)


def test_a_plant_feels_a_cloud_later_than_its_sensor(noon: Conditions) -> None:
    """A cloud's edge takes some ten seconds to pass over the modules."""
    shade = replace(noon, irradiance_w_m2=200.0)
    before = PLANT.start(noon)
    after = PLANT.step(before, 5.0, shade, 3.0)
    assert 0.5 * before.active_power_mw < after.active_power_mw < before.active_power_mw


@given(irradiance=st.floats(0, 1400), air_c=st.floats(-20, 45))
def test_the_inverters_lose_energy_and_make_none(irradiance: float, air_c: float) -> None:
    """Alternating current never exceeds direct current; the loss at power is a few per cent."""
    weather = Conditions(
        hour_of_day=12.0,
        irradiance_w_m2=irradiance,
        air_temperature_c=air_c,
        wind_speed_m_s=3.0,
        wind_direction_deg=0.0,
        voltage_pu=1.0,
        frequency_pu=1.0,
    )
    state = PLANT.start(weather)
    assert 0 <= state.active_power_mw <= state.dc_power_mw
    if state.active_power_mw > 0.3:
        assert state.active_power_mw / state.dc_power_mw > 0.92
