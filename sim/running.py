"""A plant at work: stepped to the present, with the setpoint and timer of its controller."""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from sim.conditions import Conditions, SiteConditions
from sim.plant import Plant, PlantState, Values, approach, clamp

__all__ = ["Connection", "RunningPlant"]

# A device left alone for longer than a slice is stepped in several; after an absence so
# long that there would be more than this of them, in longer ones.
_SLICE_S = 5.0
_SLICES_MAX = 900

_VOLTAGE_RISE_PU = 0.01  # at full export: the feeder's resistance, seen from the plant
_VOLT_VAR_DROOP = 5.0  # reactive power per voltage deviation, both per unit
_REACTIVE_SHARE_MAX = 0.44  # IEEE 1547-2018, category B

StateT = TypeVar("StateT", bound=PlantState)


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plant meets the grid."""

    rating_mva: float
    nominal_voltage_v: float
    nominal_frequency_hz: float

    def values(self, active_power_mw: float, conditions: Conditions) -> Values:
        """Voltage as grid and plant make it, and the reactive power that answers it."""
        rise = _VOLTAGE_RISE_PU * active_power_mw / self.rating_mva
        voltage = conditions.voltage_pu + rise
        reactive = clamp(
            _VOLT_VAR_DROOP * (1.0 - voltage), -_REACTIVE_SHARE_MAX, _REACTIVE_SHARE_MAX
        )
        return {
            "reactive_power_mvar": self.rating_mva * reactive,
            "voltage_v": self.nominal_voltage_v * voltage,
            "frequency_hz": self.nominal_frequency_hz * conditions.frequency_pu,
        }


class _Revert(msgspec.Struct, frozen=True):
    """A setpoint that takes over at `due_s`, `within_s` after it was last put off."""

    active_power_mw: float
    within_s: float
    due_s: float


class RunningPlant(Generic[StateT]):
    """One plant, its state, and what its controller was told. Times are those of the world.

    Knows no clock: every call says what time it is. A time before the last one is taken
    for the last one.
    """

    def __init__(
        self,
        plant: Plant[StateT],
        site: SiteConditions,
        connection: Connection,
        *,
        started_s: float,
        ramp_mw_per_s: float = math.inf,
    ) -> None:
        self._plant = plant
        self._site = site
        self._connection = connection
        self._conditions = site.at(started_s)
        self._state = plant.start(self._conditions)
        self._time_s = started_s
        self._setpoint_mw: float | None = None
        self._ramp_mw_per_s = ramp_mw_per_s
        # Where the controller is on its way to the setpoint.
        self._reached_mw = self._state.active_power_mw
        self._revert: _Revert | None = None

    def set(self, active_power_mw: float, now_s: float) -> float:
        """Put a setpoint in force and return it, clamped to the nameplate; a timer starts anew."""
        self.advance(now_s)
        self._setpoint_mw = self._within_nameplate(active_power_mw)
        if self._revert is not None:
            self._arm(self._revert.active_power_mw, self._revert.within_s)
        return self._setpoint_mw

    def release(self, now_s: float) -> None:
        """Take setpoint and timer away."""
        self.advance(now_s)
        self._setpoint_mw = None
        self._revert = None

    def arm_revert(self, active_power_mw: float, within_s: float, now_s: float) -> None:
        """Let this setpoint take over after a time, unless armed or set again before."""
        self.advance(now_s)
        self._arm(self._within_nameplate(active_power_mw), within_s)

    def advance(self, now_s: float) -> None:
        """Step the physics to this time, through the moment at which the timer runs out."""
        revert = self._revert
        if revert is not None and revert.due_s <= now_s:
            self._step_to(revert.due_s)
            self._setpoint_mw = revert.active_power_mw
            self._revert = None
        self._step_to(now_s)

    def values(self) -> Values:
        """All points of its kind, as of the last step."""
        state = self._state
        return {
            "active_power_mw": state.active_power_mw,
            "setpoint_mw": self._setpoint_mw,
            "fault_code": 0.0,
            "energy_exported_mwh": state.energy_exported_mwh,
            "energy_imported_mwh": state.energy_imported_mwh,
            **self._connection.values(state.active_power_mw, self._conditions),
            **self._plant.values(state, self._conditions),
        }

    def _arm(self, active_power_mw: float, within_s: float) -> None:
        self._revert = _Revert(active_power_mw, within_s, self._time_s + within_s)

    def _within_nameplate(self, active_power_mw: float) -> float:
        return clamp(active_power_mw, self._plant.p_min_mw, self._plant.p_max_mw)

    def _step_to(self, time_s: float) -> None:
        setpoint = self._plant.own_setpoint_mw if self._setpoint_mw is None else self._setpoint_mw
        for instant_s in instants(self._time_s, time_s):
            elapsed_s = instant_s - self._time_s
            self._conditions = self._site.at(instant_s)
            self._reached_mw = approach(self._reached_mw, setpoint, self._ramp_mw_per_s * elapsed_s)
            self._state = self._plant.step(
                self._state, elapsed_s, self._conditions, self._reached_mw
            )
            self._time_s = instant_s


def instants(from_s: float, to_s: float) -> Iterator[float]:
    """Where to step to on the way, the end included; nothing when there is no way to go.

    The stops within are multiples of the slice, whatever the way: devices of one site that
    are polled at different times ask for the same conditions.
    """
    gap_s = to_s - from_s
    if gap_s > _SLICE_S:
        slice_s = _SLICE_S * math.ceil(gap_s / (_SLICE_S * _SLICES_MAX))
        first, end = math.floor(from_s / slice_s) + 1, math.ceil(to_s / slice_s)
        yield from (number * slice_s for number in range(first, end))
    if gap_s > 0:
        yield to_s
