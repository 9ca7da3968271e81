"""Whether an asset does what it was asked, measured: while it runs, and in the end.

A `Following` takes in one measurement after the other and is replaced by the next each
time; it can be kept and taken up again. All times are of one clock, in microseconds.

    following = follow(2.0, from_us=start, until_us=end, tolerance=..., interval_s=1.0)
    following = observe(following, time_us, 1.98)
    following.verdict                 # to tell while it changes
    outcome(following, ended_us)      # for the record

A measurement holds until the next one, for `STALE_INTERVALS` expected intervals at most;
after that the power is not known. Of time that is not known nothing is said: it counts
neither as followed nor as deviated, and its energy is missing, not zero.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from dercp.model.asset import AssetSpec
from dercp.model.latest import STALE_INTERVALS
from dercp.model.quality import Quality
from dercp.model.time import us_from_s

__all__ = [
    "Following",
    "Outcome",
    "Tolerance",
    "Verdict",
    "combined",
    "follow",
    "observe",
    "outcome",
    "redirect",
    "tolerance_of",
]

SETTLING_S: Final = 30.0
TOLERANCE_OF_SETPOINT: Final = 0.02
TOLERANCE_OF_NAMEPLATE: Final = 0.01

_US_PER_H: Final = 3.6e9


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far, and how long, the measured power may be off.

    It may be off by the greater of `absolute_mw` and `relative` times the setpoint. It
    deviates when it has been off for `settling_s` without a break, from the start too.
    """

    absolute_mw: float
    relative: float = 0.0
    settling_s: float = SETTLING_S

    def holds(self, setpoint_mw: float, power_mw: float) -> bool:
        """Whether the power follows the setpoint."""
        most_mw = max(self.absolute_mw, self.relative * abs(setpoint_mw))
        return abs(power_mw - setpoint_mw) <= most_mw


class Verdict(StrEnum):
    """What the measurements say so far."""

    SETTLING = "settling"
    FOLLOWING = "following"
    DEVIATING = "deviating"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a lease, as measured from `from_us` to `until_us`, its actual end.

    Attributes:
        energy_asked_mwh: The setpoint over that time.
        energy_delivered_mwh: The measured power over the time it was known; None = never.
        followed_pct: Share of the known time, after settling, within tolerance; None = there
            was none.
        known_pct: Share of all the time for which the power was known.
        samples_good: How many measurements of good quality there were.
        samples_expected: How many there should have been.
    """

    setpoint_mw: float
    from_us: int
    until_us: int
    energy_asked_mwh: float
    energy_delivered_mwh: float | None
    followed_pct: float | None
    known_pct: float
    samples_good: int
    samples_expected: int

    @property
    def complete_pct(self) -> float:
        """Share of the expected measurements that came and were good."""
        if not self.samples_expected:
            return 100.0
        return min(100.0, 100.0 * self.samples_good / self.samples_expected)


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """A setpoint and what has been measured against it up to `at_us`.

    Attributes:
        power_mw: The latest measurement; None = not known.
        power_until_us: How long it may be taken for the present.
        sampled_us: When the latest measurement was made.
        out_since_us: Since when the power has been out of tolerance; None = it is within.
        since_us: Since when it is this setpoint; settling counts from here.
    """

    setpoint_mw: float
    from_us: int
    until_us: int
    tolerance: Tolerance
    interval_s: float
    at_us: int
    power_mw: float | None = None
    power_until_us: int = 0
    sampled_us: int | None = None
    out_since_us: int | None
    since_us: int
    verdict: Verdict = Verdict.SETTLING
    delivered_mwh: float = 0.0
    known_us: int = 0
    judged_us: int = 0
    followed_us: int = 0
    samples_good: int = 0


def tolerance_of(spec: AssetSpec) -> Tolerance:
    """As the site has stated it, or else the usual."""
    settling_s = SETTLING_S if spec.settling_s is None else spec.settling_s
    if spec.tolerance_mw is not None:
        return Tolerance(absolute_mw=spec.tolerance_mw, settling_s=settling_s)
    return Tolerance(
        absolute_mw=TOLERANCE_OF_NAMEPLATE * spec.nameplate_mw,
        relative=TOLERANCE_OF_SETPOINT,
        settling_s=settling_s,
    )


def follow(
    setpoint_mw: float, *, from_us: int, until_us: int, tolerance: Tolerance, interval_s: float
) -> Following:
    """Begin. `interval_s` is how often a measurement is expected."""
    return Following(
        setpoint_mw=setpoint_mw,
        from_us=from_us,
        until_us=until_us,
        tolerance=tolerance,
        interval_s=interval_s,
        at_us=from_us,
        out_since_us=from_us,
        since_us=from_us,
    )


def observe(
    before: Following, time_us: int, power_mw: float | None, quality: Quality = Quality.GOOD
) -> Following:
    """Take in a measurement; one that is not newer than the latest changes nothing."""
    if before.sampled_us is not None and time_us <= before.sampled_us:
        return before
    if quality is Quality.BAD or power_mw is None or not math.isfinite(power_mw):
        power_mw = None
    counts = before.from_us <= time_us < before.until_us
    good = counts and power_mw is not None and quality is Quality.GOOD
    now = replace(
        _accounted(before, time_us),
        power_mw=power_mw,
        power_until_us=time_us + us_from_s(STALE_INTERVALS * before.interval_s),
        sampled_us=time_us,
        samples_good=before.samples_good + good,
    )
    return now if power_mw is None or not counts else _judged(now, time_us, power_mw)


def redirect(before: Following, time_us: int, setpoint_mw: float, until_us: int) -> Following:
    """Go on against another setpoint, or to another end; a new setpoint may take its settling."""
    now = replace(_accounted(before, time_us), until_us=until_us)
    if setpoint_mw == now.setpoint_mw:
        return now
    return replace(now, setpoint_mw=setpoint_mw, since_us=time_us, out_since_us=time_us)


def outcome(following: Following, ended_us: int) -> Outcome:
    """What became of it, for a lease that has ended then."""
    until_us = max(following.from_us, min(ended_us, following.until_us))
    final = _accounted(following, until_us)
    lasted_us = until_us - final.from_us
    return Outcome(
        setpoint_mw=final.setpoint_mw,
        from_us=final.from_us,
        until_us=until_us,
        energy_asked_mwh=final.setpoint_mw * lasted_us / _US_PER_H,
        energy_delivered_mwh=final.delivered_mwh if final.known_us else None,
        followed_pct=100.0 * final.followed_us / final.judged_us if final.judged_us else None,
        known_pct=100.0 * final.known_us / lasted_us if lasted_us else 0.0,
        samples_good=final.samples_good,
        samples_expected=int(lasted_us / 1e6 / final.interval_s),
    )


def combined(setpoint_mw: float, outcomes: Iterable[Outcome]) -> Outcome | None:
    """The outcome of what was shared among several; None of none.

    Energies and samples add up. The shares of time are means, weighted by the energy asked
    (evenly where none was): what most was asked of says most.
    """
    parts = list(outcomes)
    if not parts:
        return None
    weights = [abs(part.energy_asked_mwh) for part in parts]
    if not any(weights):
        weights = [1.0] * len(parts)
    delivered = [p.energy_delivered_mwh for p in parts if p.energy_delivered_mwh is not None]
    return Outcome(
        setpoint_mw=setpoint_mw,
        from_us=min(part.from_us for part in parts),
        until_us=max(part.until_us for part in parts),
        energy_asked_mwh=math.fsum(part.energy_asked_mwh for part in parts),
        energy_delivered_mwh=math.fsum(delivered) if delivered else None,
        followed_pct=_mean([part.followed_pct for part in parts], weights),
        known_pct=_mean([part.known_pct for part in parts], weights) or 0.0,
        samples_good=sum(part.samples_good for part in parts),
        samples_expected=sum(part.samples_expected for part in parts),
    )


def _accounted(before: Following, time_us: int) -> Following:
    """Count the time that has passed, with the power that was held."""
    end_us = min(time_us, before.until_us)
    if end_us <= before.at_us:
        return before
    known_end_us = max(before.at_us, min(end_us, before.power_until_us))
    if before.power_mw is None or known_end_us == before.at_us:
        return replace(before, at_us=end_us)
    known_us = known_end_us - before.at_us
    settled_us = before.since_us + us_from_s(before.tolerance.settling_s)
    judged_us = max(0, known_end_us - max(before.at_us, settled_us))
    followed = before.tolerance.holds(before.setpoint_mw, before.power_mw)
    return replace(
        before,
        at_us=end_us,
        delivered_mwh=before.delivered_mwh + before.power_mw * known_us / _US_PER_H,
        known_us=before.known_us + known_us,
        judged_us=before.judged_us + judged_us,
        followed_us=before.followed_us + (judged_us if followed else 0),
    )


def _judged(now: Following, time_us: int, power_mw: float) -> Following:
    if now.tolerance.holds(now.setpoint_mw, power_mw):
        return replace(now, out_since_us=None, verdict=Verdict.FOLLOWING)
    out_since_us = time_us if now.out_since_us is None else now.out_since_us
    off_us = time_us - out_since_us
    verdict = Verdict.DEVIATING if off_us >= us_from_s(now.tolerance.settling_s) else now.verdict
    return replace(now, out_since_us=out_since_us, verdict=verdict)


def _mean(values: list[float | None], weights: list[float]) -> float | None:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w > 0]
    total = math.fsum(weight for _, weight in known)
    return math.fsum(value * weight for value, weight in known) / total if total else None
