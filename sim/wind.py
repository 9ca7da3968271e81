"""A wind turbine: rotor, pitch and yaw in a gusty wind."""

import msgspec

from dercp.model.points import OperatingState
from sim.angles import turn_deg, turned
from sim.conditions import Conditions
from sim.plant import PlantState, Values, approach, clamp, lag

__all__ = ["WindPlant", "WindState"]

# Station wind is measured at 10 m; IEC 61400-1 takes this exponent for normal wind profiles.
_STATION_HEIGHT_M = 10.0
_SHEAR_EXPONENT = 0.2
# The rotor averages gusts over its disc and stores them in its inertia.
_ROTOR_TAU_S = 6.0
_YAW_DEADBAND_DEG = 8.0
_PITCH_DEG_PER_S = 4.0
_PITCH_FEATHERED_DEG = 90.0
_PITCH_DEG_PER_EXCESS = 1.8  # near this for each m/s above what the power asked for needs
_PITCH_RUNNING_MAX_DEG = 30.0
_ROUNDING_M_S = 1e-6  # of the power curve and its inverse
_IDLE_RPM = 0.5
_THROTTLED_BELOW = 0.98
_STOPPED_MW = 1e-9


class WindState(PlantState, frozen=True, kw_only=True):
    """The wind as the rotor feels it, and where rotor, blades and nacelle stand."""

    rotor_wind_m_s: float
    nacelle_direction_deg: float
    rotor_speed_rpm: float
    pitch_deg: float
    possible_mw: float
    storm: bool


class WindPlant(msgspec.Struct, frozen=True, kw_only=True):
    """A turbine, or a row of equal ones reported as one.

    A setpoint is an upper limit, held by pitching the blades. Above the cut-out wind the
    turbine stops, and starts again only below the restart wind.
    """

    p_max_mw: float
    p_min_mw: float = 0.0
    hub_height_m: float = 110.0
    cut_in_m_s: float = 3.0
    rated_m_s: float = 11.5
    cut_out_m_s: float = 25.0
    restart_m_s: float = 22.0
    rotor_rpm_min: float = 5.0
    rotor_rpm_max: float = 12.5
    yaw_deg_per_s: float = 0.3
    ramp_share_per_s: float = 0.2

    @property
    def own_setpoint_mw(self) -> float:
        """Left to itself it gives what the wind gives."""
        return self.p_max_mw

    def start(self, conditions: Conditions) -> WindState:
        """Uncurtailed, looking into the wind."""
        wind = self._hub_wind_m_s(conditions)
        storm = wind > self.cut_out_m_s
        possible = 0.0 if storm else self.power_mw(wind)
        return WindState(
            active_power_mw=possible,
            rotor_wind_m_s=wind,
            nacelle_direction_deg=conditions.wind_direction_deg,
            rotor_speed_rpm=self._rotor_speed_rpm(wind, possible),
            pitch_deg=self._pitch_deg(wind, possible),
            possible_mw=possible,
            storm=storm,
        )

    def step(
        self, state: WindState, elapsed_s: float, conditions: Conditions, setpoint_mw: float
    ) -> WindState:
        """Follow wind and setpoint; the ramp bounds every move but the fall of the wind itself."""
        hours = elapsed_s / 3600.0
        wind = lag(state.rotor_wind_m_s, self._hub_wind_m_s(conditions), elapsed_s, _ROTOR_TAU_S)
        storm = wind > (self.restart_m_s if state.storm else self.cut_out_m_s)
        possible = 0.0 if storm else self.power_mw(wind)
        ramp = self.ramp_share_per_s * self.p_max_mw * elapsed_s
        limit = clamp(setpoint_mw, 0.0, self.p_max_mw)
        power = min(possible, approach(state.active_power_mw, limit, ramp))
        return WindState(
            active_power_mw=power,
            energy_exported_mwh=state.energy_exported_mwh + power * hours,
            rotor_wind_m_s=wind,
            nacelle_direction_deg=self._yawed(state, elapsed_s, conditions),
            rotor_speed_rpm=lag(
                state.rotor_speed_rpm, self._rotor_speed_rpm(wind, power), elapsed_s, _ROTOR_TAU_S
            ),
            pitch_deg=approach(
                state.pitch_deg, self._pitch_deg(wind, power), _PITCH_DEG_PER_S * elapsed_s
            ),
            possible_mw=possible,
            storm=storm,
        )

    def values(self, state: WindState, conditions: Conditions) -> Values:
        """What the turbine controller shows."""
        return {
            "available_min_mw": 0.0,
            "available_max_mw": state.possible_mw,
            "operating_state": float(_operating_state(state)),
            "wind_speed_m_s": self._hub_wind_m_s(conditions),
            "wind_direction_deg": conditions.wind_direction_deg,
            "rotor_speed_rpm": state.rotor_speed_rpm,
            "nacelle_direction_deg": state.nacelle_direction_deg,
            "pitch_deg": state.pitch_deg,
        }

    def power_mw(self, wind_m_s: float) -> float:
        """The power curve: with the cube of the wind from cut-in to rated, then flat."""
        if wind_m_s <= self.cut_in_m_s:
            return 0.0
        span = self.rated_m_s**3 - self.cut_in_m_s**3
        share = (wind_m_s**3 - self.cut_in_m_s**3) / span
        return self.p_max_mw * min(1.0, share)

    def _wind_for_m_s(self, power_mw: float) -> float:
        """The wind that would just give this power: `power_mw` solved for the wind."""
        span = self.rated_m_s**3 - self.cut_in_m_s**3
        return float((self.cut_in_m_s**3 + span * power_mw / self.p_max_mw) ** (1.0 / 3.0))

    def _hub_wind_m_s(self, conditions: Conditions) -> float:
        height_ratio = self.hub_height_m / _STATION_HEIGHT_M
        return float(conditions.wind_speed_m_s * height_ratio**_SHEAR_EXPONENT)

    def _rotor_speed_rpm(self, wind_m_s: float, power_mw: float) -> float:
        """In proportion to the wind that is used, within what the generator can turn at."""
        if power_mw < _STOPPED_MW:
            return _IDLE_RPM if wind_m_s > 1.0 else 0.0
        used = self._wind_for_m_s(power_mw) / self.rated_m_s
        return clamp(self.rotor_rpm_max * used, self.rotor_rpm_min, self.rotor_rpm_max)

    def _pitch_deg(self, wind_m_s: float, power_mw: float) -> float:
        """Fine while all wind is used, coarser the more is let through, feathered at rest."""
        if power_mw < _STOPPED_MW:
            return _PITCH_FEATHERED_DEG
        excess = max(0.0, wind_m_s - self._wind_for_m_s(power_mw) - _ROUNDING_M_S)
        return min(_PITCH_RUNNING_MAX_DEG, _PITCH_DEG_PER_EXCESS * excess)

    def _yawed(self, state: WindState, elapsed_s: float, conditions: Conditions) -> float:
        """The nacelle turns slowly, and only when the wind has left the dead band."""
        error = turn_deg(state.nacelle_direction_deg, conditions.wind_direction_deg)
        if abs(error) <= _YAW_DEADBAND_DEG:
            return state.nacelle_direction_deg
        return turned(
            state.nacelle_direction_deg, approach(0.0, error, self.yaw_deg_per_s * elapsed_s)
        )


def _operating_state(state: WindState) -> OperatingState:
    if state.possible_mw < _STOPPED_MW:
        return OperatingState.STANDBY
    if state.active_power_mw < _THROTTLED_BELOW * state.possible_mw:
        return OperatingState.THROTTLED
    return OperatingState.RUNNING
