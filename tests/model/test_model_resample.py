"""Buckets say no more than the samples did, and lose none."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.quality import Quality
from dercp.model.reading import Reading
from dercp.model.resample import Bucket, Resampler, Summary

POINTS = ("active_power_mw", "soc_pct")
SECOND = 1_000_000

values = st.floats(allow_nan=False, allow_infinity=False)
readings = st.builds(Reading, st.sampled_from(POINTS), st.none() | values, st.sampled_from(Quality))
samples = st.lists(
    st.tuples(st.integers(-(10**9), 10**9), st.lists(readings, max_size=2)), max_size=30
)
resolutions = st.integers(1, 10**9)


def resampled(
    taken: Sequence[tuple[int, Sequence[Reading]]], resolution_us: int = 60 * SECOND
) -> list[Bucket]:
    """All buckets of these samples."""
    resampler = Resampler(resolution_us)
    for time_us, found in taken:
        resampler.add(time_us, found)
    return resampler.buckets()


def known(found: Sequence[Reading], point: str) -> list[Reading]:
    """Those that count."""
    return [
        each
        for each in found
        if each.point == point and each.value is not None and each.quality is not Quality.BAD
    ]


def test_a_bucket_ends_where_the_next_begins() -> None:
    """Its start belongs to it, its end to the next."""
    power = [Reading("active_power_mw", 1.0)]
    found = resampled([(time_s * SECOND, power) for time_s in (0, 59, 60, 119, 120)])
    assert [(each.start_us // SECOND, each.samples) for each in found] == [
        (0, 2),
        (60, 2),
        (120, 1),
    ]


def test_only_what_is_known_counts() -> None:
    """A bad or missing value is not zero; an uncertain one counts and is told apart."""
    [bucket] = resampled(
        [
            (0, [Reading("active_power_mw", 1.0)]),
            (1, [Reading("active_power_mw", 4.0, Quality.UNCERTAIN)]),
            (2, [Reading("active_power_mw", None)]),
            (3, [Reading("active_power_mw", 99.0, Quality.BAD), Reading("soc_pct", None)]),
        ]
    )
    assert bucket.samples == 4
    assert bucket.points["active_power_mw"] == Summary(1.0, 2.5, 4.0, 2, 1)
    assert bucket.points["soc_pct"] == Summary(None, None, None, 0, 0)


def test_a_resolution_of_nothing_is_refused() -> None:
    """There is no bucket without a length."""
    with pytest.raises(ValueError, match="at least 1"):
        Resampler(0)


@given(samples, resolutions)
def test_every_sample_is_in_the_bucket_of_its_time(
    taken: list[tuple[int, list[Reading]]], resolution_us: int
) -> None:
    """Buckets are in order, apart, aligned, and together hold as many samples as came."""
    found = resampled(taken, resolution_us)
    starts = [each.start_us for each in found]
    assert starts == sorted({time_us // resolution_us * resolution_us for time_us, _ in taken})
    assert sum(each.samples for each in found) == len(taken)


@given(samples, resolutions)
def test_a_summary_is_that_of_its_values(
    taken: list[tuple[int, list[Reading]]], resolution_us: int
) -> None:
    """Extremes and counts are exact; the mean is finite, between them, and about right."""
    for bucket in resampled(taken, resolution_us):
        end_us = bucket.start_us + resolution_us
        within = [
            each
            for time_us, found in taken
            if bucket.start_us <= time_us < end_us
            for each in found
        ]
        for point, summary in bucket.points.items():
            counted = known(within, point)
            numbers = [each.value for each in counted if each.value is not None]
            assert summary.count == len(numbers)
            assert summary.good == sum(each.quality is Quality.GOOD for each in counted)
            if not numbers:
                assert summary.minimum is summary.mean is summary.maximum is None
                continue
            assert (summary.minimum, summary.maximum) == (min(numbers), max(numbers))
            assert summary.mean is not None
            assert min(numbers) <= summary.mean <= max(numbers)
            exact = math.fsum(number / len(numbers) for number in numbers)
            largest = max(map(abs, numbers))
            assert summary.mean == pytest.approx(exact, rel=1e-9, abs=largest * 1e-12)


@given(samples, resolutions, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(
    taken: list[tuple[int, list[Reading]]], resolution_us: int, random: Random
) -> None:
    """The log gives them as they came, a backlog last: all but the mean's digits is the same."""
    shuffled = list(taken)
    random.shuffle(shuffled)
    for one, other in zip(
        resampled(taken, resolution_us), resampled(shuffled, resolution_us), strict=True
    ):
        assert (one.start_us, one.samples) == (other.start_us, other.samples)
        assert one.points.keys() == other.points.keys()
        for point, summary in one.points.items():
            twin = other.points[point]
            assert (summary.minimum, summary.maximum) == (twin.minimum, twin.maximum)
            assert (summary.count, summary.good) == (twin.count, twin.good)
