"""What time it is at the headend, told by what it sends.

`deliver_by` and `until` are instants of the headend's clock, and a site PC's own clock
may be years off. So they are judged by the headend's time: each of its messages carries
the time it left, and monotonic time counts on from there. Telemetry keeps the edge's own
clock, whose offset the headend sees in every heartbeat.
"""

from collections import deque
from typing import Final

import trio

from dercp.model.time import Clock, us_from_s

__all__ = ["HeadendTime"]

OBSERVATIONS: Final = 8


class HeadendTime:
    """The headend's present in Unix microseconds; the edge's own before the first Welcome.

    Each message gives a time that the headend has at least reached. The greatest of the
    last eight is kept: it came through fastest, so a message held up on its way (with a
    dispatch behind it) does not turn the clock back. The error left is the one-way delay
    of that fastest message. A step of the headend's clock is followed within eight heartbeats.
    """

    def __init__(self, own: Clock) -> None:
        self._own = own
        # Of each message: the headend's time minus the edge's monotonic time.
        self._offsets_us: deque[int] = deque(maxlen=OBSERVATIONS)

    def begin(self, time_us: int) -> None:
        """A Welcome: perhaps of another headend, so what was known counts no more."""
        self._offsets_us.clear()
        self.observe(time_us)

    def observe(self, time_us: int) -> None:
        """A message that left the headend at this time has arrived; 0 states no time."""
        if time_us > 0:
            self._offsets_us.append(time_us - _monotonic_us())

    def now_us(self) -> int:
        """The present."""
        if self._offsets_us:
            return max(self._offsets_us) + _monotonic_us()
        return self._own()


def _monotonic_us() -> int:
    return us_from_s(trio.current_time())
