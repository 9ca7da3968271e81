"""A battery: state of charge, losses, and what they allow."""

import math

import msgspec

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.plant import PlantState, Values, approach, clamp, lag

__all__ = ["StoragePlant", "StorageState"]

# Cells warm up by this much at rated power, and take this long about it.
_CELL_RISE_C = 12.0
_CELL_TAU_S = 3600.0
# The container's air conditioning keeps its air within these.
_ROOM_MIN_C = 18.0
_ROOM_MAX_C = 27.0
_IDLE_MW = 1e-6


class StorageState(PlantState, frozen=True, kw_only=True):
    """The energy in the cells and their temperature; limits as of the last step."""

    energy_mwh: float
    temperature_c: float
    available_min_mw: float
    available_max_mw: float


class StoragePlant(msgspec.Struct, frozen=True, kw_only=True):
    """A battery system as seen at its point of connection.

    Half of the round-trip loss falls on charging, half on discharging (each keeps the
    square root). Power tapers to zero over the last `taper_pct` before either end of the
    state of charge window. Idle cells lose `standby_mw`, below the window too.
    """

    p_min_mw: float
    p_max_mw: float
    energy_capacity_mwh: float
    initial_soc_pct: float = 50.0
    soc_min_pct: float = 5.0
    soc_max_pct: float = 95.0
    taper_pct: float = 5.0
    round_trip_efficiency: float = 0.88
    ramp_share_per_s: float = 2.0
    standby_mw: float = 0.002
    soh_pct: float = 98.0

    @property
    def own_setpoint_mw(self) -> float:
        """Left to itself it waits."""
        return 0.0

    def start(self, conditions: Conditions) -> StorageState:
        """Idle, at the initial state of charge and room temperature."""
        energy = self.initial_soc_pct / 100.0 * self.energy_capacity_mwh
        low, high = self._available(energy)
        return StorageState(
            energy_mwh=energy,
            temperature_c=_room_c(conditions),
            available_min_mw=low,
            available_max_mw=high,
        )

    def step(
        self, state: StorageState, elapsed_s: float, conditions: Conditions, setpoint_mw: float
    ) -> StorageState:
        """Follow the setpoint as far as ramp and state of charge allow."""
        hours = elapsed_s / 3600.0
        way = math.sqrt(self.round_trip_efficiency)
        low, high = self._reachable(state.energy_mwh, hours, way)
        ramp = self.ramp_share_per_s * max(-self.p_min_mw, self.p_max_mw) * elapsed_s
        power = clamp(approach(state.active_power_mw, setpoint_mw, ramp), low, high)
        drawn = power / way if power > 0 else power * way
        energy = max(0.0, state.energy_mwh - (drawn + self.standby_mw) * hours)
        available_min, available_max = self._available(energy)
        return StorageState(
            active_power_mw=power,
            energy_exported_mwh=state.energy_exported_mwh + max(0.0, power) * hours,
            energy_imported_mwh=state.energy_imported_mwh + max(0.0, -power) * hours,
            energy_mwh=energy,
            temperature_c=self._temperature(state, power, elapsed_s, conditions),
            available_min_mw=available_min,
            available_max_mw=available_max,
        )

    def values(self, state: StorageState, conditions: Conditions) -> Values:
        """What the battery management system shows."""
        idle = abs(state.active_power_mw) < _IDLE_MW
        return {
            "available_min_mw": state.available_min_mw,
            "available_max_mw": state.available_max_mw,
            "operating_state": float(OperatingState.STANDBY if idle else OperatingState.RUNNING),
            "soc_pct": self._soc_pct(state.energy_mwh),
            "soh_pct": self.soh_pct,
            "energy_capacity_mwh": self.energy_capacity_mwh,
            "temperature_c": state.temperature_c,
        }

    def _soc_pct(self, energy_mwh: float) -> float:
        return 100.0 * energy_mwh / self.energy_capacity_mwh

    def _available(self, energy_mwh: float) -> tuple[float, float]:
        """The nameplate, tapered near the ends of the window."""
        soc = self._soc_pct(energy_mwh)
        discharge_share = clamp((soc - self.soc_min_pct) / self.taper_pct, 0.0, 1.0)
        charge_share = clamp((self.soc_max_pct - soc) / self.taper_pct, 0.0, 1.0)
        return self.p_min_mw * charge_share, self.p_max_mw * discharge_share

    def _reachable(self, energy_mwh: float, hours: float, way: float) -> tuple[float, float]:
        """What is available and does not leave the window within this time."""
        low, high = self._available(energy_mwh)
        floor = self.soc_min_pct / 100.0 * self.energy_capacity_mwh
        ceiling = self.soc_max_pct / 100.0 * self.energy_capacity_mwh
        to_floor = max(0.0, energy_mwh - floor) * way / hours
        to_ceiling = max(0.0, ceiling - energy_mwh) / way / hours
        return max(low, -to_ceiling), min(high, to_floor)

    def _temperature(
        self, state: StorageState, power: float, elapsed_s: float, conditions: Conditions
    ) -> float:
        """Losses go with the square of the current, so nearly of the power."""
        rating = max(-self.p_min_mw, self.p_max_mw)
        settles_at = _room_c(conditions) + _CELL_RISE_C * (power / rating) ** 2
        return lag(state.temperature_c, settles_at, elapsed_s, _CELL_TAU_S)


def _room_c(conditions: Conditions) -> float:
    return clamp(conditions.air_temperature_c, _ROOM_MIN_C, _ROOM_MAX_C)
