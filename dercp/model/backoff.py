"""How long to wait before trying again, so that many who lost one thing do not return at once."""


def full_jitter(attempt: int, *, draw: float, first_s: float = 1.0, max_s: float = 60.0) -> float:
    """Seconds to wait before attempt number `attempt` + 1 (the first wait has `attempt` 0).

    The wait is a random share of a bound that starts at `first_s` and doubles up to `max_s`;
    `draw` is that share, from 0 (included) to 1 (excluded). The mean is half the bound, and
    the waits of many callers spread evenly over all of it ("full jitter").
    """
    doublings = min(max(attempt, 0), 1000)  # 2.0**1024 would overflow
    return draw * min(max_s, first_s * 2.0**doublings)
