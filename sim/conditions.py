"""What surrounds the devices of one site: the weather of the second, and the grid."""

import math
import statistics

import msgspec

from sim.angles import turn_deg, turned
from sim.wander import Wander
from sim.weather import HOURS_PER_WEEK, WeatherWeek, load_week

__all__ = ["Conditions", "SiteConditions"]

_CLOUD_TAU_S = 120.0  # a cumulus of some hundred metres at 5 to 10 m/s
_CLOUD_EDGE = 0.3  # how soft a cloud's edge is, in standard deviations of the cloud field
_DIFFUSE_SPREAD = 0.1
_GUST_TAU_S = 60.0
_TURBULENCE_INTENSITY = 0.14  # IEC 61400-1, class B at 15 m/s
_VEER_TAU_S = 180.0
_VEER_DEG = 8.0
_VOLTAGE_TAU_S = 90.0
_VOLTAGE_SPREAD_PU = 0.004
_FREQUENCY_TAU_S = 45.0
_FREQUENCY_SPREAD_PU = 0.00025  # 15 mHz of 60 Hz
# Sites of one process stand in one interconnection, whatever their own seed.
_INTERCONNECTION_SEED = 0

# Devices polled in turn ask for the same seconds; going back further restarts the chains.
_RECENT_SECONDS = 32

_NORMAL = statistics.NormalDist()


class Conditions(msgspec.Struct, frozen=True):
    """Weather and grid at one instant. Wind as measured 10 m above ground."""

    hour_of_day: float
    irradiance_w_m2: float
    air_temperature_c: float
    wind_speed_m_s: float
    wind_direction_deg: float
    voltage_pu: float
    frequency_pu: float


class SiteConditions:
    """The conditions that all devices of a site share.

    A function of seed and time: two objects of one seed agree at every instant, whatever
    each was asked before. Within the hour, clouds and gusts are added to the recorded
    means so that their expected value stays the recorded one.

    Args:
        seed: Sites of one seed have the same weather.
        start_hour: Where in the week time 0 falls, in hours after Monday 00:00.
        week: The hourly means; the week that ships with the simulator unless given.
    """

    def __init__(self, seed: int, *, start_hour: float, week: WeatherWeek | None = None) -> None:
        self._week = week if week is not None else load_week()
        self._start_hour = start_hour
        self._cloud = Wander(seed, "cloud", tau_s=_CLOUD_TAU_S)
        self._gust = Wander(seed, "gust", tau_s=_GUST_TAU_S)
        self._veer = Wander(seed, "veer", tau_s=_VEER_TAU_S)
        self._voltage = Wander(seed, "voltage", tau_s=_VOLTAGE_TAU_S)
        self._frequency = Wander(_INTERCONNECTION_SEED, "frequency", tau_s=_FREQUENCY_TAU_S)
        self._recent: dict[int, Conditions] = {}

    def at(self, time_s: float) -> Conditions:
        """The conditions this many seconds after the start: a straight line between seconds."""
        second = math.floor(time_s)
        return _between(self._of(second), self._of(second + 1), time_s - second)

    def _of(self, second: int) -> Conditions:
        """The conditions of a whole second, computed once for all devices that ask for it."""
        found = self._recent.get(second)
        if found is None:
            if len(self._recent) >= _RECENT_SECONDS:
                del self._recent[next(iter(self._recent))]
            found = self._recent[second] = self._compute(second)
        return found

    def _compute(self, second: int) -> Conditions:
        hour = (self._start_hour + second / 3600.0) % HOURS_PER_WEEK
        mean = self._week.at(hour)
        cloud = self._cloud.at(second)
        sunlit = sunlit_now(mean.sunlit_share, cloud) / mean.sunlit_share
        diffuse = max(0.0, 1.0 + _DIFFUSE_SPREAD * cloud)
        gust = max(0.0, 1.0 + _TURBULENCE_INTENSITY * self._gust.at(second))
        return Conditions(
            hour_of_day=hour % 24.0,
            irradiance_w_m2=mean.beam_w_m2 * sunlit + mean.diffuse_w_m2 * diffuse,
            air_temperature_c=mean.air_temperature_c,
            wind_speed_m_s=mean.wind_speed_m_s * gust,
            wind_direction_deg=turned(mean.wind_direction_deg, _VEER_DEG * self._veer.at(second)),
            voltage_pu=1.0 + _VOLTAGE_SPREAD_PU * self._voltage.at(second),
            frequency_pu=1.0 + _FREQUENCY_SPREAD_PU * self._frequency.at(second),
        )


def sunlit_now(sunlit_share: float, cloud: float) -> float:
    """How much of the sun is seen, 0 (covered) to 1, for a cloud field value N(0, 1).

    Its expected value is `sunlit_share` exactly: for normal x, E[Phi((a + x) / w)] is
    Phi(a / sqrt(1 + w^2)), and a is chosen so that this is the share asked for.
    """
    if sunlit_share >= 1.0:
        return 1.0
    threshold = _NORMAL.inv_cdf(sunlit_share) * math.sqrt(1.0 + _CLOUD_EDGE**2)
    return 0.5 * (1.0 + math.erf((threshold + cloud) / (_CLOUD_EDGE * math.sqrt(2.0))))


def _between(here: Conditions, there: Conditions, share: float) -> Conditions:
    back = 1.0 - share
    veer = turn_deg(here.wind_direction_deg, there.wind_direction_deg)
    return Conditions(
        hour_of_day=here.hour_of_day + share / 3600.0,
        irradiance_w_m2=here.irradiance_w_m2 * back + there.irradiance_w_m2 * share,
        air_temperature_c=here.air_temperature_c * back + there.air_temperature_c * share,
        wind_speed_m_s=here.wind_speed_m_s * back + there.wind_speed_m_s * share,
        wind_direction_deg=turned(here.wind_direction_deg, veer * share),
        voltage_pu=here.voltage_pu * back + there.voltage_pu * share,
        frequency_pu=here.frequency_pu * back + there.frequency_pu * share,
    )
