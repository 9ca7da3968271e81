"""A token bucket: how often something may happen."""


class TokenBucket:
    """Says when the next one may happen.

    Characteristics:
        Rate: `per_s` in the long run.
        Burst: `burst` at once after a quiet time.
        Order: reservations are kept in the order they were made.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at = now

    def reserve(self, now: float, wait_max_s: float = 0.0) -> float | None:
        """Take one token, if need be of the future: the seconds until then.

        None, and no token is taken, where that would be later than `wait_max_s`.
        """
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        wait_s = max(0.0, (1 - self._tokens) / self._per_s)
        if wait_s > wait_max_s:
            return None
        self._tokens -= 1
        return wait_s

    def give(self) -> None:
        """Give one token back."""
        if self._tokens < self._burst:
            self._tokens += 1
