"""The clocks of this process, handed to whoever needs one."""

import time


def utc_now_us() -> int:
    """Unix time in microseconds: what the agents and the headend go by."""
    return time.time_ns() // 1_000


class Pause:
    """Time as a command at a terminal spends it: alone in its process, between two looks."""

    def now_s(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def utc_s(self) -> float:
        """Unix time in seconds."""
        return utc_now_us() / 1_000_000

    def sleep(self, seconds: float) -> None:
        """Let time pass; Ctrl-C ends it."""
        time.sleep(seconds)  # noqa: TID251 - a command of its own, nothing else runs here
