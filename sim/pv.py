"""A photovoltaic plant: from irradiance to curtailable alternating current."""

import math

import msgspec

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.plant import PlantState, Values, approach, clamp, lag

__all__ = ["PvPlant", "PvState"]

# Sandia Array Performance Model (King et al. 2004, eq. 11 and 12), glass/glass, open rack.
_SANDIA_A = -3.47
_SANDIA_B = -0.0594
_CELL_ABOVE_MODULE_C = 3.0
_MODULE_TAU_S = 300.0
# A plant of some hectares feels a cloud's edge as it passes, not at once.
_PLANT_TAU_S = 15.0
# PVWatts version 5 (Dobos 2014, eq. 11): part-load efficiency, relative to full load.
_INVERTER_SQUARE = -0.0162
_INVERTER_LINEAR = 0.9858
_INVERTER_OWN = -0.0059
_INVERTER_REFERENCE = 0.9637
_THROTTLED_BELOW = 0.999
_SLEEPING_MW = 1e-9


class PvState(PlantState, frozen=True, kw_only=True):
    """Irradiance as the whole plant feels it, and what follows from it."""

    plant_irradiance_w_m2: float
    module_temperature_c: float
    dc_power_mw: float
    possible_mw: float


class PvPlant(msgspec.Struct, frozen=True, kw_only=True):
    """Modules lying flat behind inverters whose rating is the plant's `p_max_mw`.

    A setpoint is an upper limit: the inverters move the modules off their best voltage
    until no more than that arrives.
    """

    p_max_mw: float
    p_min_mw: float = 0.0
    dc_to_ac_ratio: float = 1.25
    power_per_c: float = -0.0035
    dc_losses: float = 0.10
    inverter_efficiency: float = 0.98
    ramp_share_per_s: float = 0.5

    @property
    def own_setpoint_mw(self) -> float:
        """Left to itself it gives what the sun gives."""
        return self.p_max_mw

    def start(self, conditions: Conditions) -> PvState:
        """Uncurtailed, with modules as warm as they get in this sun."""
        irradiance = conditions.irradiance_w_m2
        module_c = _module_temperature_c(irradiance, conditions)
        dc = self._dc_mw(irradiance, module_c)
        possible = self._ac_mw(dc)
        return PvState(
            active_power_mw=possible,
            plant_irradiance_w_m2=irradiance,
            module_temperature_c=module_c,
            dc_power_mw=min(dc, self._dc_for_mw(possible)),
            possible_mw=possible,
        )

    def step(
        self, state: PvState, elapsed_s: float, conditions: Conditions, setpoint_mw: float
    ) -> PvState:
        """Follow sun and setpoint; the ramp bounds every move but the fall of the sun itself."""
        hours = elapsed_s / 3600.0
        irradiance = lag(
            state.plant_irradiance_w_m2, conditions.irradiance_w_m2, elapsed_s, _PLANT_TAU_S
        )
        settles_at = _module_temperature_c(irradiance, conditions)
        module_c = lag(state.module_temperature_c, settles_at, elapsed_s, _MODULE_TAU_S)
        dc = self._dc_mw(irradiance, module_c)
        possible = self._ac_mw(dc)
        ramp = self.ramp_share_per_s * self.p_max_mw * elapsed_s
        limit = clamp(setpoint_mw, 0.0, self.p_max_mw)
        power = min(possible, approach(state.active_power_mw, limit, ramp))
        return PvState(
            active_power_mw=power,
            energy_exported_mwh=state.energy_exported_mwh + power * hours,
            plant_irradiance_w_m2=irradiance,
            module_temperature_c=module_c,
            dc_power_mw=min(dc, self._dc_for_mw(power)),
            possible_mw=possible,
        )

    def values(self, state: PvState, conditions: Conditions) -> Values:
        """What the plant controller and its weather station show."""
        return {
            "available_min_mw": 0.0,
            "available_max_mw": state.possible_mw,
            "operating_state": float(_operating_state(state)),
            "irradiance_w_m2": conditions.irradiance_w_m2,
            "dc_power_mw": state.dc_power_mw,
            "module_temperature_c": state.module_temperature_c,
        }

    def _dc_mw(self, irradiance_w_m2: float, module_c: float) -> float:
        """What the modules could give: rated power at 1,000 W/m2 and 25 C, less heat and losses."""
        cell_c = module_c + _CELL_ABOVE_MODULE_C * irradiance_w_m2 / 1000.0
        rated = self.p_max_mw * self.dc_to_ac_ratio * (1.0 - self.dc_losses)
        return rated * irradiance_w_m2 / 1000.0 * (1.0 + self.power_per_c * (cell_c - 25.0))

    def _inverter_scale_mw(self) -> tuple[float, float]:
        """Direct current at full load, and alternating current per unit of the load curve."""
        dc_rated = self.p_max_mw / self.inverter_efficiency
        return dc_rated, dc_rated * self.inverter_efficiency / _INVERTER_REFERENCE

    def _ac_mw(self, dc_mw: float) -> float:
        """What arrives behind the inverters, clipped at their rating; asleep in the dark."""
        dc_rated, scale = self._inverter_scale_mw()
        load = dc_mw / dc_rated
        share = _INVERTER_SQUARE * load * load + _INVERTER_LINEAR * load + _INVERTER_OWN
        return clamp(scale * share, 0.0, self.p_max_mw)

    def _dc_for_mw(self, ac_mw: float) -> float:
        """The direct current that gives this alternating current: `_ac_mw` solved for the load."""
        dc_rated, scale = self._inverter_scale_mw()
        offset = _INVERTER_OWN - ac_mw / scale
        root = math.sqrt(_INVERTER_LINEAR**2 - 4.0 * _INVERTER_SQUARE * offset)
        return dc_rated * (root - _INVERTER_LINEAR) / (2.0 * _INVERTER_SQUARE)


def _module_temperature_c(irradiance_w_m2: float, conditions: Conditions) -> float:
    """What the back of a module settles at."""
    warming = math.exp(_SANDIA_A + _SANDIA_B * conditions.wind_speed_m_s)
    return conditions.air_temperature_c + irradiance_w_m2 * warming


def _operating_state(state: PvState) -> OperatingState:
    if state.possible_mw < _SLEEPING_MW:
        return OperatingState.SLEEPING
    if state.active_power_mw < _THROTTLED_BELOW * state.possible_mw:
        return OperatingState.THROTTLED
    return OperatingState.RUNNING
