"""What every simulated device has in common: how it is stepped and what it reports.

A plant is its nameplate and parameters; it never changes. What changes is a frozen state
that `step` maps to the next one. No clock, no input, no output, no generator of random
numbers: the same calls give the same states.
"""

import math
from typing import Protocol, TypeVar

import msgspec

from sim.conditions import Conditions

__all__ = ["Plant", "PlantState", "Values", "approach", "clamp", "lag"]

# A device's points by name; None is a value it does not know just now.
Values = dict[str, float | None]


class PlantState(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a state that every plant has.

    Power is held through a step: the energy of a step is this power times its length,
    so the counters are the integral of the power exactly.
    """

    active_power_mw: float = 0.0
    energy_exported_mwh: float = 0.0
    energy_imported_mwh: float = 0.0


StateT = TypeVar("StateT", bound=PlantState)


class Plant(Protocol[StateT]):
    """One kind of device."""

    @property
    def p_min_mw(self) -> float:
        """The most it may take from the grid, as a power of zero or less."""
        ...

    @property
    def p_max_mw(self) -> float:
        """The most it may give to the grid."""
        ...

    @property
    def own_setpoint_mw(self) -> float:
        """What it follows when nobody sets anything."""
        ...

    def start(self, conditions: Conditions) -> StateT:
        """The state of a device that has been running under these conditions for a while."""
        ...

    def step(
        self, state: StateT, elapsed_s: float, conditions: Conditions, setpoint_mw: float
    ) -> StateT:
        """The state after `elapsed_s` (more than 0) under these conditions and this setpoint."""
        ...

    def values(self, state: StateT, conditions: Conditions) -> Values:
        """The points of its kind; those that every kind has come from `sim.running`."""
        ...


def clamp(value: float, low: float, high: float) -> float:
    """The value, or the limit it lies beyond; `low` wins where the limits cross."""
    return max(low, min(high, value))


def approach(value: float, target: float, distance_max: float) -> float:
    """The value moved towards the target, no further than this."""
    return clamp(target, value - distance_max, value + distance_max)


def lag(value: float, target: float, elapsed_s: float, tau_s: float) -> float:
    """A first-order lag: after `tau_s` the distance to a constant target is 1/e of what it was."""
    return target + (value - target) * math.exp(-elapsed_s / tau_s)
