"""From a device's numbers to the units of our points, and back."""

from typing import Annotated, Final

import msgspec

from dercp.model.points import PointNotFoundError, point_named

__all__ = ["POWER_UNITS", "Scaling", "unit_factor"]

_Sign = Annotated[int, msgspec.Meta(ge=-1, le=1)]

POWER_UNITS: Final = {"W": 1e-6, "kW": 1e-3, "MW": 1.0}
# By the unit of our points: what a device may count in, and how much of ours that is.
_UNITS: Final[dict[str, dict[str, float]]] = {
    "MW": POWER_UNITS,
    "Mvar": {"var": 1e-6, "kvar": 1e-3, "Mvar": 1.0},
    "MWh": {"Wh": 1e-6, "kWh": 1e-3, "MWh": 1.0, "GWh": 1e3},
    "V": {"V": 1.0, "kV": 1e3},
    "Hz": {"Hz": 1.0, "mHz": 1e-3},
    "°C": {"°C": 1.0, "C": 1.0},
}


class Scaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From the device's number to a value in the device's unit, and back.

    value = sign * (number * scale + offset)
    """

    scale: float = 1.0
    offset: float = 0.0
    sign: _Sign = 1

    def check(self) -> None:
        """See that it can be undone.

        Raises:
            ValueError: It cannot.
        """
        if self.sign == 0:
            raise ValueError("sign: expected 1 or -1, got 0")
        if self.scale == 0:
            raise ValueError("scale: expected a number other than 0")

    def value_of(self, number: float) -> float:
        """What the number means, in the device's unit."""
        return self.sign * (number * self.scale + self.offset)

    def number_of(self, value: float) -> float:
        """The number that means this."""
        return (self.sign * value - self.offset) / self.scale


def unit_factor(point: str, unit: str) -> float:
    """How much of a point's unit one of the device's unit is.

    Raises:
        ValueError: They do not measure the same, or nobody knows.
    """
    try:
        own = point_named(point).unit
    except PointNotFoundError:
        raise ValueError(
            f"unit: {point} is no standard point, so nothing is known of its unit; use scale"
        ) from None
    factors = _UNITS.get(own, {own: 1.0})
    if unit not in factors:
        listed = " or ".join(f'"{name}"' for name in factors)
        raise ValueError(f'unit: expected {listed} for {point}, got "{unit}"')
    return factors[unit]
