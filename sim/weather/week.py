"""The week of hourly observations that ships with the simulator."""

import csv
import functools
import math
from importlib import resources
from typing import Final

import msgspec

from sim.angles import turn_deg, turned

__all__ = ["HOURS_PER_WEEK", "HourlyMean", "WeatherWeek", "load_week"]

HOURS_PER_WEEK: Final = 168

# No hour of this week brought more than 0.59 of what reaches the top of the air as beam.
_CLEAREST_BEAM_SHARE = 0.6
_SUNLIT_SHARE_MIN = 0.05


class HourlyMean(msgspec.Struct, frozen=True):
    """The weather as an hourly record knows it, without what happens within the hour.

    `sunlit_share` is the share of the time at which no cloud stands before the sun.
    Wind is measured 10 m above ground; it comes from `wind_direction_deg`.
    """

    beam_w_m2: float
    diffuse_w_m2: float
    sunlit_share: float
    air_temperature_c: float
    wind_speed_m_s: float
    wind_direction_deg: float


class _Row(msgspec.Struct, frozen=True):
    """One line of the CSV file; its comment says what the columns mean."""

    date: str
    hour_ending: int
    etr_w_m2: float
    ghi_w_m2: float
    dhi_w_m2: float
    opaque_cloud_tenths: float
    air_temperature_c: float
    wind_direction_deg: float
    wind_speed_m_s: float


class WeatherWeek:
    """Hourly weather from Monday 00:00 to Sunday 24:00, read at any instant, week after week.

    Irradiance is recorded as the mean of the hour before the stamp, so its value belongs to
    the middle of that hour: joining the middles by straight lines keeps the energy of the
    week exactly. Temperature and wind belong to the stamp itself.
    """

    def __init__(self, hours: tuple[HourlyMean, ...]) -> None:
        if len(hours) != HOURS_PER_WEEK:
            raise ValueError(f"a week has {HOURS_PER_WEEK} hours, this one {len(hours)}")
        self._hours = hours

    def at(self, hour: float) -> HourlyMean:
        """The weather this many hours after Monday 00:00, local standard time."""
        sun_before, sun_after, sun_share = self._around(hour - 0.5)
        before, after, share = self._around(hour - 1.0)
        return HourlyMean(
            beam_w_m2=_mix(sun_before.beam_w_m2, sun_after.beam_w_m2, sun_share),
            diffuse_w_m2=_mix(sun_before.diffuse_w_m2, sun_after.diffuse_w_m2, sun_share),
            sunlit_share=_mix(sun_before.sunlit_share, sun_after.sunlit_share, sun_share),
            air_temperature_c=_mix(before.air_temperature_c, after.air_temperature_c, share),
            wind_speed_m_s=_mix(before.wind_speed_m_s, after.wind_speed_m_s, share),
            wind_direction_deg=turned(
                before.wind_direction_deg,
                share * turn_deg(before.wind_direction_deg, after.wind_direction_deg),
            ),
        )

    def _around(self, position: float) -> tuple[HourlyMean, HourlyMean, float]:
        """The records before and after a position in the list, and how far between them."""
        before = math.floor(position)
        return (
            self._hours[before % HOURS_PER_WEEK],
            self._hours[(before + 1) % HOURS_PER_WEEK],
            position - before,
        )


@functools.cache
def load_week() -> WeatherWeek:
    """Monday 12 to Sunday 18 June 1989 at Greensboro, North Carolina (TMY3 station 723170)."""
    text = resources.files("sim.weather").joinpath("greensboro_june_week.csv").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    rows = (msgspec.convert(row, _Row, strict=False) for row in csv.DictReader(lines))
    return WeatherWeek(tuple(map(_hourly_mean, rows)))


def _hourly_mean(row: _Row) -> HourlyMean:
    beam = max(0.0, row.ghi_w_m2 - row.dhi_w_m2)
    # The cloud cover says how long the sun was seen; but it was seen long enough for a sun
    # no brighter than the clearest sky allows to bring the beam that was measured.
    seen_at_least = beam / (_CLEAREST_BEAM_SHARE * row.etr_w_m2) if row.etr_w_m2 else 0.0
    sunlit = max(1.0 - row.opaque_cloud_tenths / 10.0, seen_at_least)
    return HourlyMean(
        beam_w_m2=beam,
        diffuse_w_m2=row.dhi_w_m2,
        sunlit_share=min(1.0, max(_SUNLIT_SHARE_MIN, sunlit)),
        air_temperature_c=row.air_temperature_c,
        wind_speed_m_s=row.wind_speed_m_s,
        wind_direction_deg=row.wind_direction_deg,
    )


def _mix(before: float, after: float, share: float) -> float:
    return before + (after - before) * share
