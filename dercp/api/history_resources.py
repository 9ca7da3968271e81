"""The shapes of history: samples, buckets, gaps; as JSON and as lines of CSV."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from dercp.api.resources import (
    PointName,
    QualityWord,
    Resource,
    moment,
    moment_or_none,
    quality_word,
    reason_words,
)
from dercp.headend.history.views import GapView, HistorySample
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from dercp.model.resample import Bucket, Summary

Cell = str | float | int | None


class DoubtResource(Resource, frozen=True, kw_only=True):
    """Why a value is not good."""

    quality: QualityWord
    reasons: tuple[str, ...]


class SampleResource(Resource, frozen=True, kw_only=True):
    """The values of an asset at one instant."""

    source_time: datetime
    ingest_time: datetime | None
    values: Annotated[
        dict[str, float | None],
        Meta(description="By point; null is not known. A point the asset had not then is absent"),
    ]
    doubts: (
        Annotated[
            dict[str, DoubtResource],
            Meta(description="The values that are not good; left out when all are"),
        ]
        | UnsetType
    ) = UNSET


class SummaryResource(Resource, frozen=True, kw_only=True):
    """The known values of one point within a bucket; null when none was known."""

    min: float | None
    mean: float | None
    max: float | None
    count: Annotated[int, Meta(description="Values that were known, good or uncertain")]
    good: Annotated[int, Meta(description="How many of them were good")]


class BucketResource(Resource, frozen=True, kw_only=True):
    """The samples from `start` to before the start of the next bucket."""

    start: datetime
    samples: int
    points: dict[str, SummaryResource]


class GapResource(Resource, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Batches of an agent that will never come, by its own word. Both ends are included."""

    agent_id: str
    spool_id: str
    first_sequence: int
    last_sequence: int
    from_: datetime | None
    to: datetime | None
    samples: Annotated[int, Meta(description="Samples lost, of all assets of the agent")]
    reason: Annotated[str, Meta(description="A stable word")]
    declared_time: datetime | None


class HistoryResource(Resource, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A part of an asset's history, and how far it can be relied upon.

    Either `samples` or, when a resolution was asked for, `buckets` is there.
    """

    asset_id: str
    from_: datetime
    to: datetime
    resolution_s: int | None
    points: list[PointName]
    complete_until: (
        Annotated[
            datetime,
            Meta(description="Before this all there was is here or in a gap; null: not known"),
        ]
        | None
    )
    retained_from: (
        Annotated[
            datetime,
            Meta(description="What is older has been aged out, at least in part; null: nothing"),
        ]
        | None
    )
    gaps: Annotated[list[GapResource], Meta(description="Of its agent, overlapping the range")]
    next_gap: Annotated[str, Meta(description="`cursor` of /gaps for those after")] | None
    bad_batches: Annotated[int, Meta(description="Batches that could not be read for this part")]
    next: (
        Annotated[str, Meta(description="`cursor` of the part after this; null at the end")] | None
    )
    # These stand last: they are written while they are sent.
    samples: list[SampleResource] | UnsetType = UNSET
    buckets: list[BucketResource] | UnsetType = UNSET


def sample_resource(sample: HistorySample) -> SampleResource:
    """A sample."""
    doubts = {
        reading.point: DoubtResource(
            quality=quality_word(reading.quality), reasons=reason_words(reading.reasons)
        )
        for reading in sample.readings
        if reading.quality is not Quality.GOOD
    }
    return SampleResource(
        source_time=moment(sample.key.source_time_us),
        ingest_time=moment_or_none(sample.key.ingest_time_us),
        values={reading.point: reading.value for reading in sample.readings},
        doubts=doubts or UNSET,
    )


def bucket_resource(bucket: Bucket) -> BucketResource:
    """A bucket."""
    return BucketResource(
        start=moment(bucket.start_us),
        samples=bucket.samples,
        points={
            name: SummaryResource(
                min=point.minimum,
                mean=point.mean,
                max=point.maximum,
                count=point.count,
                good=point.good,
            )
            for name, point in bucket.points.items()
        },
    )


def gap_resource(gap: GapView) -> GapResource:
    """A gap."""
    return GapResource(
        agent_id=gap.agent_id,
        spool_id=gap.spool_id,
        first_sequence=gap.first_sequence,
        last_sequence=gap.last_sequence,
        from_=moment_or_none(gap.from_us),
        to=moment_or_none(gap.to_us),
        samples=gap.samples,
        reason=gap.reason,
        declared_time=moment_or_none(gap.declared_us),
    )


def sample_columns(points: Sequence[str]) -> list[str]:
    """The head of a table of samples."""
    columns = ["source_time", "ingest_time"]
    for point in points:
        columns += [point, f"{point}.quality"]
    return columns


def sample_cells(sample: HistorySample, points: Sequence[str]) -> Iterator[Cell]:
    """A line of a table of samples. What is not known is empty."""
    yield _text(sample.key.source_time_us)
    yield _text(sample.key.ingest_time_us)
    readings = {reading.point: reading for reading in sample.readings}
    for point in points:
        reading = readings.get(point) or Reading(point, None, Quality.BAD)
        yield reading.value
        yield quality_word(reading.quality)


def bucket_columns(points: Sequence[str]) -> list[str]:
    """The head of a table of buckets."""
    parts = ("min", "mean", "max", "count", "good")
    return ["start", "samples", *(f"{point}.{part}" for point in points for part in parts)]


def bucket_cells(bucket: Bucket, points: Sequence[str]) -> Iterator[Cell]:
    """A line of a table of buckets."""
    yield _text(bucket.start_us)
    yield bucket.samples
    nothing = Summary(None, None, None, 0, 0)
    for point in points:
        summary = bucket.points.get(point, nothing)
        yield from (summary.minimum, summary.mean, summary.maximum, summary.count, summary.good)


def _text(time_us: int) -> str | None:
    instant = moment_or_none(time_us)
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
