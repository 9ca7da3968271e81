"""Latest known: which sample is current, when it is stale, and whose clock is believed.

The questions in their order:
    `order_time_us`: what is the sample ordered by? By its source time, unless the clock that
        stamped it cannot be believed. It is never later than the present, so that no sample
        from the future freezes the latest known.
    `supersedes`: is it current by that? A late or backfilled sample is history only.
    `age_at_ingest_s`: how old was it when it came, whoever's clock is wrong?
    `plausible_time`: does a reader have to be told that its clock is suspect? `stamped` tells.
    `is_stale`: may the latest known be taken for the present? Asked whenever somebody reads.
"""

import msgspec

from dercp.model.quality import Quality, Reason, worst
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


CLOCK_LIMITS = ClockLimits()


def order_time_us(
    source_time_us: int, now_us: int, *, live: bool, limits: ClockLimits = CLOCK_LIMITS
) -> int | None:
    """What a sample is ordered by among those of its asset; None = it is history only.

    | source time          | `live`      | from the backlog |
    |----------------------|-------------|------------------|
    | plausible, past      | source time | source time      |
    | plausible, ahead     | the present | the present      |
    | of a suspect clock   | the present | history only     |

    A live sample with a suspect clock is still the newest thing known of its asset: the
    operator sees it, marked. One from the backlog could be from any time.
    """
    if limits.earliest_us <= source_time_us <= now_us:
        return source_time_us
    if live or not plausible_time(source_time_us, now_us, limits):
        return now_us
    return None


def plausible_time(source_time_us: int, now_us: int, limits: ClockLimits = CLOCK_LIMITS) -> Reason:
    """`CLOCK_SUSPECT` when no working clock gives this source time, else `NONE`."""
    ahead_us = source_time_us - now_us
    if source_time_us < limits.earliest_us or ahead_us > limits.ahead_s_max * 1_000_000:
        return Reason.CLOCK_SUSPECT
    return Reason.NONE


def stamped(
    readings: tuple[Reading, ...], source_time_us: int, ingest_time_us: int
) -> tuple[Reading, ...]:
    """The readings of a sample, each no better than the clock that stamped it."""
    doubt = plausible_time(source_time_us, ingest_time_us)
    if not doubt:
        return readings
    return tuple(
        msgspec.structs.replace(
            reading,
            quality=worst((reading.quality, Quality.UNCERTAIN)),
            reasons=reading.reasons | doubt,
        )
        for reading in readings
    )


def age_at_ingest_s(order_us: int, ingest_time_us: int, clock_offset_us: int) -> float:
    """How old a sample was when it arrived, in seconds, never below 0.

    `order_us` is of `order_time_us`; `clock_offset_us` is the agent's clock minus the
    headend's: with it an agent whose clock is behind does not make its samples look old.
    """
    behind_us = min(0, clock_offset_us)
    return max(0.0, (ingest_time_us - order_us + behind_us) / 1_000_000)


def supersedes(candidate_us: int, current_us: int | None) -> bool:
    """Whether a sample ordered at `candidate_us` becomes current: it must not be older."""
    return current_us is None or candidate_us >= current_us


def is_stale(age_s: float | None, interval_s: float, *, online: bool) -> bool:
    """Whether the latest known must not be taken for the present.

    `age_s` is the age of the current sample, counted on by the monotonic clock since it
    arrived, so that a step of the wall clock changes nothing; None = no sample yet.
    Stale is an asset without a session (`online` False), and one whose sample is as old as
    `STALE_INTERVALS` expected intervals or older.
    """
    return not online or age_s is None or age_s >= STALE_INTERVALS * interval_s
