"""Clouds and gusts come and go within the hour, and leave its mean alone."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.conditions import Conditions, SiteConditions, sunlit_now
from sim.weather import HOURS_PER_WEEK, HourlyMean, WeatherWeek


def constant_week(*, sunlit_share: float = 0.5, wind_m_s: float = 6.0) -> WeatherWeek:
    """A week in which only what happens within the hour happens at all."""
    hour = HourlyMean(
        beam_w_m2=400.0,
        diffuse_w_m2=100.0,
        sunlit_share=sunlit_share,
        air_temperature_c=20.0,
        wind_speed_m_s=wind_m_s,
        wind_direction_deg=180.0,
    )
    return WeatherWeek((hour,) * HOURS_PER_WEEK)


def path(site: SiteConditions, seconds: int, *, every: int = 1) -> list[Conditions]:
    """The first so many seconds, or every so manieth of them."""
    return [site.at(second) for second in range(0, seconds, every)]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95, 1.0])
def test_the_sun_is_seen_as_long_as_was_recorded(share: float) -> None:
    """Whatever the cloud cover, the expected share of sun is the recorded one."""
    draw = random.Random(1)
    seen = statistics.fmean(sunlit_now(share, draw.gauss(0, 1)) for _ in range(20_000))
    assert seen == pytest.approx(share, abs=0.01)


def test_the_hours_keep_their_means() -> None:
    """A day and a half of clouds and gusts averages to what the week says, within noise."""
    seen = path(SiteConditions(5, start_hour=0, week=constant_week()), 120_000, every=20)
    assert statistics.fmean(c.irradiance_w_m2 for c in seen) == pytest.approx(500, rel=0.08)
    assert statistics.fmean(c.wind_speed_m_s for c in seen) == pytest.approx(6, rel=0.02)


def test_gusts_have_the_turbulence_intensity_of_the_standard() -> None:
    """The standard deviation of the wind over its mean is 0.14."""
    seen = path(SiteConditions(5, start_hour=0, week=constant_week()), 60_000, every=10)
    winds = [c.wind_speed_m_s for c in seen]
    intensity = statistics.pstdev(winds) / statistics.fmean(winds)
    assert intensity == pytest.approx(0.14, rel=0.1)


def test_a_partly_cloudy_hour_has_fast_ramps() -> None:
    """Within half a minute the sensor sees both sun and shade."""
    seen = [
        c.irradiance_w_m2 for c in path(SiteConditions(2, start_hour=0, week=constant_week()), 3600)
    ]
    swings = [max(seen[i : i + 30]) - min(seen[i : i + 30]) for i in range(0, 3600, 30)]
    assert max(swings) > 400


def test_a_clear_hour_has_none() -> None:
    """Without clouds nothing moves but the haze."""
    week = constant_week(sunlit_share=1.0)
    seen = [c.irradiance_w_m2 for c in path(SiteConditions(2, start_hour=0, week=week), 3600)]
    assert max(seen) - min(seen) < 100


@settings(max_examples=25)
@given(times=st.lists(st.floats(0, 20_000), min_size=1, max_size=5), asked=st.floats(0, 20_000))
def test_two_objects_of_one_seed_agree_whatever_they_were_asked(
    times: list[float], asked: float
) -> None:
    """Devices of a site share its weather even where they cannot share an object."""
    busy, fresh = SiteConditions(3, start_hour=10), SiteConditions(3, start_hour=10)
    for time_s in times:
        busy.at(time_s)
    here, there = busy.at(asked), fresh.at(asked)
    assert here.irradiance_w_m2 == pytest.approx(there.irradiance_w_m2, abs=1.5)
    assert here.wind_speed_m_s == pytest.approx(there.wind_speed_m_s, abs=0.01)
    assert here.voltage_pu == pytest.approx(there.voltage_pu, abs=1e-5)


def test_sites_of_other_seeds_have_other_weather_but_one_frequency() -> None:
    """They may lie far apart, yet hang on one grid."""
    here, there = SiteConditions(1, start_hour=10).at(30), SiteConditions(2, start_hour=10).at(30)
    assert here.irradiance_w_m2 != there.irradiance_w_m2
    assert here.frequency_pu == there.frequency_pu


def test_the_start_hour_says_which_hour_it_is() -> None:
    """Time 0 of a start at 34 h is Tuesday, ten o'clock."""
    site = SiteConditions(1, start_hour=34)
    assert site.at(0).hour_of_day == pytest.approx(10)
    assert site.at(5400).hour_of_day == pytest.approx(11.5)


def test_the_first_minutes_of_a_demo_are_worth_watching() -> None:
    """At ten on Monday sun and clouds take turns and the turbines turn."""
    seen = path(SiteConditions(0, start_hour=10), 600)
    irradiance = [c.irradiance_w_m2 for c in seen]
    assert max(irradiance) - min(irradiance) > 200
    assert statistics.fmean(c.wind_speed_m_s for c in seen) > 5
