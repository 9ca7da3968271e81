"""The week that ships is the week of the station, at every instant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.weather import HOURS_PER_WEEK, HourlyMean, WeatherWeek, load_week

HOUR = HourlyMean(
    beam_w_m2=0.0,
    diffuse_w_m2=0.0,
    sunlit_share=0.5,
    air_temperature_c=20.0,
    wind_speed_m_s=3.0,
    wind_direction_deg=350.0,
)


def test_monday_noon_is_as_recorded() -> None:
    """The row 1989-06-12 12:00: 26.7 C at noon; its irradiance belongs to 11:30."""
    week = load_week()
    assert week.at(12.0).air_temperature_c == pytest.approx(26.7)
    assert week.at(12.0).wind_speed_m_s == pytest.approx(5.2)
    half_past_eleven = week.at(11.5)
    assert half_past_eleven.diffuse_w_m2 == pytest.approx(306)
    assert half_past_eleven.beam_w_m2 == pytest.approx(862 - 306)


def test_the_energy_of_the_week_is_kept() -> None:
    """Joining the middles of the hours neither adds nor loses sunshine."""
    recorded_wh_m2 = 41_508.0
    week = load_week()
    steps = range(HOURS_PER_WEEK * 60)
    read = [week.at(minute / 60 + 1 / 120) for minute in steps]
    read_wh_m2 = sum(mean.beam_w_m2 + mean.diffuse_w_m2 for mean in read) / 60
    assert read_wh_m2 == pytest.approx(recorded_wh_m2, rel=1e-3)


def test_the_week_holds_both_sun_and_clouds() -> None:
    """A demo of it is neither dull nor all blue."""
    noons = [load_week().at(24 * day + 12.5).beam_w_m2 for day in range(7)]
    assert min(noons) < 50
    assert max(noons) > 600


@given(hour=st.floats(0, HOURS_PER_WEEK))
def test_every_instant_is_within_what_weather_can_be(hour: float) -> None:
    """No interpolation leaves the range of its neighbours."""
    mean = load_week().at(hour)
    assert 0 <= mean.beam_w_m2 <= 900
    assert 0 <= mean.diffuse_w_m2 <= 600
    assert 0.05 <= mean.sunlit_share <= 1
    assert 10 <= mean.air_temperature_c <= 40
    assert 0 <= mean.wind_speed_m_s <= 15
    assert 0 <= mean.wind_direction_deg < 360


@given(hour=st.floats(0, HOURS_PER_WEEK - 1e-6))
def test_sunday_night_leads_into_monday_again(hour: float) -> None:
    """The week wraps."""
    week = load_week()
    later = week.at(hour + HOURS_PER_WEEK)
    assert later.air_temperature_c == pytest.approx(week.at(hour).air_temperature_c, abs=1e-6)


def test_between_350_and_10_degrees_lies_north() -> None:
    """Wind directions are joined the short way round."""
    turned = HourlyMean(
        beam_w_m2=0.0,
        diffuse_w_m2=0.0,
        sunlit_share=0.5,
        air_temperature_c=20.0,
        wind_speed_m_s=3.0,
        wind_direction_deg=10.0,
    )
    week = WeatherWeek((HOUR, turned) * (HOURS_PER_WEEK // 2))
    assert week.at(1.5).wind_direction_deg == pytest.approx(0)


def test_a_week_of_another_length_is_refused() -> None:
    """What wraps must be whole."""
    with pytest.raises(ValueError, match="a week has 168 hours, this one 1"):
        WeatherWeek((HOUR,))
