"""What time it is at the headend, told by what it answers.

`deliver_by` and `until` are instants of the headend's clock, and a site PC's own clock
may be years off. So they are judged by the headend's time: its answers carry the time they
left, and monotonic time counts on from there. Telemetry keeps the edge's own clock, whose
offset the headend sees in every heartbeat.

An answer left after its question did and before it came. So the headend's clock minus the
edge's monotonic one lies between two bounds, as far apart as the round trip took:

    at least   the answer's time minus when the answer came
    at most    the answer's time minus when the question left

The Welcome answers the Hello, and each heartbeat of the headend that states a time the
oldest one of the edge that has no answer yet.
"""

import sys
from collections import deque
from typing import Final

import trio

from dercp.model.time import Clock, us_from_s

__all__ = ["HeadendTime"]

ANSWERS: Final = 8
# A session in which so many have no answer does not live long.
QUESTIONS_MAX: Final = 8


class HeadendTime:
    """The headend's present in Unix microseconds; the edge's own before the first Welcome.

    Never earlier than the truth, so that nothing stale is taken for timely, and later by no
    more than the shortest round trip among the last eight answers. A step of the headend's
    clock forward is followed at the next answer, one backward within eight.
    """

    def __init__(self, own: Clock) -> None:
        self._own = own
        # When the questions left that have no answer yet, by the monotonic clock.
        self._asked_us: deque[int] = deque()
        # Bounds of the headend's time minus the edge's monotonic time, one of each an answer.
        self._least_us: deque[int] = deque(maxlen=ANSWERS)
        self._most_us: deque[int] = deque(maxlen=ANSWERS)

    def begin(self) -> None:
        """A call begins: no answer comes any more to what was asked in the one before."""
        self._asked_us.clear()

    def ask(self) -> None:
        """A Hello or a heartbeat is about to leave."""
        if len(self._asked_us) < QUESTIONS_MAX:
            self._asked_us.append(_monotonic_us())

    def welcomed(self, time_us: int) -> None:
        """A Welcome: perhaps of another headend, so what was known counts no more."""
        self._least_us.clear()
        self._most_us.clear()
        self.answered(time_us)

    def answered(self, time_us: int) -> None:
        """The oldest question has been answered; 0 states no time: a mere sign of life."""
        if time_us > 0:
            self._least_us.append(time_us - _monotonic_us())
            if self._asked_us:
                self._most_us.append(time_us - self._asked_us.popleft())

    def now_us(self) -> int:
        """The present, or a little later."""
        if not self._least_us:
            return self._own()
        # They cross where a clock was set meanwhile.
        offset_us = max(*self._least_us, min(self._most_us, default=-sys.maxsize))
        return offset_us + _monotonic_us()


def _monotonic_us() -> int:
    return us_from_s(trio.current_time())
