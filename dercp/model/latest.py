"""Latest known: which sample is current, when it is stale, and whose clock is believed.

The order of the three questions for a sample that arrives:
    1. `plausible_time`: a suspect clock makes the sample history only. It is stored
       with its reason and counted, but it never becomes current; so a sample from the
       far future cannot freeze the latest known.
    2. `supersedes`: a late or backfilled sample is history only.
    3. `is_stale`: asked whenever somebody reads.
"""

import msgspec

from dercp.model.quality import Reason
from dercp.model.reading import Reading

STALE_INTERVALS = 3
"""A sample is stale when none has come for this many expected intervals."""


class Sample(msgspec.Struct, frozen=True):
    """The values of one asset at one instant, as the device or edge stamped it."""

    asset_id: str
    source_time_us: int
    ingest_time_us: int
    readings: tuple[Reading, ...]


class ClockLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The source times that are believed.

    `earliest_us` is 2020-01-01: a device whose clock has lost its battery wakes in 1970 or 2000.
    """

    ahead_s_max: float = 600.0
    earliest_us: int = 1_577_836_800_000_000


def plausible_time(source_time_us: int, now_us: int, limits: ClockLimits) -> Reason:
    """`CLOCK_SUSPECT` when no working clock gives this source time, else `NONE`."""
    ahead_us = source_time_us - now_us
    if source_time_us < limits.earliest_us or ahead_us > limits.ahead_s_max * 1_000_000:
        return Reason.CLOCK_SUSPECT
    return Reason.NONE


def supersedes(candidate_us: int, current_us: int | None) -> bool:
    """Whether a sample taken at `candidate_us` becomes current: it must not be older."""
    return current_us is None or candidate_us >= current_us


def is_stale(age_s: float | None, interval_s: float, *, online: bool) -> bool:
    """Whether the latest known must not be taken for the present.

    `age_s` counts from the current sample's arrival on the monotonic clock, so that a
    wrong wall clock at either end cannot make a living asset look dead; None = no sample yet.
    Stale is an asset without a session (`online` False), and one whose sample is as old as
    `STALE_INTERVALS` expected intervals or older.
    """
    return not online or age_s is None or age_s >= STALE_INTERVALS * interval_s
