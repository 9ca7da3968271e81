"""What is asked of history, and what it answers: samples, buckets, gaps."""

from typing import NamedTuple

from dercp.headend.views import View
from dercp.model.asset import PointSpec
from dercp.model.reading import Reading
from dercp.model.resample import Bucket


class HistorySpan(View, frozen=True):
    """Whose history, of which points, from `from_us` (in) to `to_us` (out), by source time."""

    agent_id: str
    asset_id: str
    points: tuple[PointSpec, ...]
    from_us: int
    to_us: int


class SampleKey(NamedTuple):
    """Where a sample stands in the order of history: by source time, then as it came."""

    source_time_us: int
    ingest_time_us: int
    spool_id: str
    sequence: int
    # Counts the rows of the batch, from 0.
    row: int


class HistorySample(View, frozen=True):
    """The values of one asset at one instant."""

    key: SampleKey
    readings: tuple[Reading, ...]


class SamplePage(View, frozen=True):
    """Samples in the order of their keys. `next_after` is None on the last page."""

    samples: tuple[HistorySample, ...]
    next_after: SampleKey | None
    # Batches on the way to this page that could not be read.
    bad_batches: int


class BucketPage(View, frozen=True):
    """Buckets in the order of time. `next_from_us` is None on the last page."""

    buckets: tuple[Bucket, ...]
    next_from_us: int | None
    bad_batches: int


class GapView(View, frozen=True):
    """Batches of an agent that will never come, by its own word."""

    agent_id: str
    spool_id: str
    first_sequence: int
    last_sequence: int
    from_us: int
    to_us: int
    samples: int
    reason: str
    declared_us: int


class GapViews(View, frozen=True):
    """Gaps in the order in which they were declared. `next_after` is None on the last page."""

    gaps: tuple[GapView, ...]
    next_after: int | None


class NumberRange(NamedTuple):
    """Batch numbers without a hole, both ends included."""

    first: int
    last: int


class SpoolAccount(View, frozen=True):
    """What is held of one spool of an agent.

    The ranges are of all time, and of each batch it is known whether it was logged or, if
    not, declared. The counts are of the batches that are held still.
    """

    spool_id: str
    stored: tuple[NumberRange, ...]
    declared: tuple[NumberRange, ...]
    stored_batches: int
    stored_samples: int
    # Without what came after it had been declared.
    declared_samples: int
