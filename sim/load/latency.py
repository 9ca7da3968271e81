"""Times, counted in buckets: those of many processes add up, and any quantile can be told."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

__all__ = ["Latencies"]

_SHORTEST_S: Final = 1e-4
_GROWTH: Final = 1.05


class Latencies:
    """A histogram whose buckets grow by a twentieth: a quantile is at most so much too long.

    Characteristics:
        Memory: a number per bucket; some 330 of them reach from 0.1 ms to 17 minutes.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    @property
    def counts(self) -> Mapping[int, int]:
        """How many are in each bucket."""
        return self._counts

    @property
    def total(self) -> int:
        """How many there are."""
        return self._counts.total()

    def note(self, seconds: float) -> None:
        """One more. A time below zero is a clock's mistake, and counts as none at all."""
        shortest = max(seconds, _SHORTEST_S) / _SHORTEST_S
        self._counts[math.ceil(math.log(shortest) / math.log(_GROWTH))] += 1

    def add(self, counts: Mapping[int, int]) -> None:
        """All that another one has counted."""
        self._counts.update(counts)

    def clear(self) -> None:
        """Begin anew."""
        self._counts.clear()

    def quantile(self, share: float) -> float | None:
        """The time that this share of all does not exceed; None when there are none."""
        awaited = share * self._counts.total()
        for bucket, count in sorted(self._counts.items()):
            awaited -= count
            if awaited <= 0:
                return float(_SHORTEST_S * _GROWTH**bucket)
        return None
