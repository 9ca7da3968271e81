"""The wall clock, handed to whoever needs one."""

import time


def utc_now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1_000
