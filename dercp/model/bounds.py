"""A range of active power."""

import msgspec

__all__ = ["Bounds"]


class Bounds(msgspec.Struct, frozen=True):
    """A range of active power in MW, both ends included."""

    low_mw: float
    high_mw: float

    def contains(self, power_mw: float) -> bool:
        """Whether the power lies within; NaN lies nowhere."""
        return self.low_mw <= power_mw <= self.high_mw

    def nearest(self, power_mw: float) -> float:
        """The power itself, or the end it lies beyond."""
        return min(max(power_mw, self.low_mw), self.high_mw)
