"""When to poll: at fixed multiples of the interval, whatever the polls take."""

import math

import msgspec
from msgspec.structs import replace

__all__ = ["Pace"]


class Pace(msgspec.Struct, frozen=True):
    """The polls of one device, in seconds of the monotonic clock.

    Ticks are counted from `origin_s`, which all devices of an agent share: those of one
    interval report together and share a frame, and rounding never adds up over months.
    """

    origin_s: float
    interval_s: float
    tick: int = 0
    missed: int = 0

    @property
    def next_s(self) -> float:
        """When the next poll is due."""
        return self.origin_s + self.tick * self.interval_s

    def polled(self, now_s: float) -> "Pace":
        """After a poll that took until now: go on with the next tick ahead."""
        ahead = math.floor((now_s - self.origin_s) / self.interval_s) + 1
        if self.origin_s + ahead * self.interval_s <= now_s:  # rounded down onto a tick
            ahead += 1
        tick = max(ahead, self.tick + 1)
        return Pace(self.origin_s, self.interval_s, tick, self.missed + tick - self.tick - 1)

    def lost(self) -> "Pace":
        """The last poll came to nothing: count it as missed."""
        return replace(self, missed=self.missed + 1)
