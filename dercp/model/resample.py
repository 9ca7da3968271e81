"""Resampling: many samples of an asset as one line per bucket of time."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from dercp.model.quality import Quality
from dercp.model.reading import Reading

__all__ = ["Bucket", "Resampler", "Summary"]


class Summary(msgspec.Struct, frozen=True, gc=False):
    """What the known values of one point were within a bucket; None when none was known.

    A value of uncertain quality is known and counts; `good` says how many were better.
    """

    minimum: float | None
    mean: float | None
    maximum: float | None
    count: int
    good: int


class Bucket(msgspec.Struct, frozen=True):
    """The samples from `start_us` to before the start of the next bucket."""

    start_us: int
    samples: int
    points: Mapping[str, Summary]


class Resampler:
    """Puts samples, in any order, into buckets that are aligned to the epoch.

    Characteristics:
        Memory: a tally for each point in each bucket that has a sample, none for samples.
        Mean: of the values as they came, each with the same weight; never outside of
            minimum and maximum. In its last digits it depends on the order.
    """

    def __init__(self, resolution_us: int) -> None:
        """Buckets of this length, at least a microsecond."""
        if resolution_us < 1:
            raise ValueError(f"resolution_us: expected at least 1, got {resolution_us}")
        self._resolution_us = resolution_us
        self._drafts: dict[int, _Draft] = {}

    def start_of(self, time_us: int) -> int:
        """The start of the bucket in which this time lies."""
        return time_us - time_us % self._resolution_us

    def add(self, time_us: int, readings: Iterable[Reading]) -> None:
        """Take in the values of one sample."""
        draft = self._drafts.setdefault(self.start_of(time_us), _Draft())
        draft.samples += 1
        for reading in readings:
            draft.tallies.setdefault(reading.point, _Tally()).add(reading)

    def buckets(self) -> list[Bucket]:
        """Those that have samples, in the order of time."""
        return [
            Bucket(
                start_us,
                draft.samples,
                {point: tally.summary() for point, tally in draft.tallies.items()},
            )
            for start_us, draft in sorted(self._drafts.items(), key=lambda item: item[0])
        ]


class _Draft:
    """A bucket while it fills."""

    def __init__(self) -> None:
        self.samples = 0
        self.tallies: dict[str, _Tally] = {}


class _Tally:
    """One point of a bucket while it fills."""

    def __init__(self) -> None:
        self._minimum = math.inf
        self._maximum = -math.inf
        self._mean = 0.0
        self._count = 0
        self._good = 0

    def add(self, reading: Reading) -> None:
        value = reading.value
        if value is None or reading.quality is Quality.BAD:
            return
        self._count += 1
        self._good += reading.quality is Quality.GOOD
        self._minimum = min(self._minimum, value)
        self._maximum = max(self._maximum, value)
        # Not a sum: custom points may hold numbers whose sum is no number any more.
        self._mean += value / self._count - self._mean / self._count

    def summary(self) -> Summary:
        if not self._count:
            return Summary(None, None, None, 0, 0)
        mean = min(max(self._mean, self._minimum), self._maximum)
        return Summary(self._minimum, mean, self._maximum, self._count, self._good)
