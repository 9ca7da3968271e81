"""Sums over a site or a fleet, with what they stand on."""

import math
from collections.abc import Iterable

import msgspec

from dercp.model.points import point_named
from dercp.model.quality import Quality, worst

_POWER = point_named("active_power_mw")


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One asset's share in a sum: its nameplate (>= 0) and what is latest known of it.

    `quality` is that of the active power; None is not known.
    """

    nameplate_mw: float
    active_power_mw: float | None = None
    available_min_mw: float | None = None
    available_max_mw: float | None = None
    quality: Quality = Quality.GOOD
    stale: bool = False
    age_s: float | None = None

    @property
    def reports(self) -> bool:
        """Whether its active power may stand in a sum: fresh, not bad, physically possible."""
        return (
            not self.stale
            and self.quality is not Quality.BAD
            and _is_possible(self.active_power_mw)
        )

    @property
    def states_available(self) -> bool:
        """Whether it says, in numbers that can be, between which powers it could run."""
        return _is_possible(self.available_min_mw) and _is_possible(self.available_max_mw)


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A sum over the assets that report; the others are missing, not zero.

    Attributes:
        active_power_mw: Sum over the reporting assets; None when none reports.
        available_min_mw: Sum over the reporting assets that state both bounds of what is
            available; None when none does. The others are left out, so the fleet is never
            promised to be wider than it is known to be.
        available_max_mw: As `available_min_mw`.
        coverage_pct: Share of the nameplate that stands in `active_power_mw`.
        available_coverage_pct: Share of the nameplate that stands in the available sums.
        assets_total: How many assets there are.
        assets_reporting: How many stand in `active_power_mw`.
        oldest_age_s: Age of the oldest sample in the sum; None when no age is known.
        worst_quality: Worst quality in the sum; bad when none reports.
    """

    active_power_mw: float | None
    available_min_mw: float | None
    available_max_mw: float | None
    coverage_pct: float
    available_coverage_pct: float
    assets_total: int
    assets_reporting: int
    oldest_age_s: float | None
    worst_quality: Quality


def aggregate(members: Iterable[Member]) -> Aggregate:
    """Sum up. The order of the members does not matter, not even in the last bit."""
    everyone = list(members)
    reporting = [m for m in everyone if m.reports]
    available = [m for m in reporting if m.states_available]
    return Aggregate(
        active_power_mw=_sum(m.active_power_mw for m in reporting),
        available_min_mw=_sum(m.available_min_mw for m in available),
        available_max_mw=_sum(m.available_max_mw for m in available),
        coverage_pct=_share_pct(reporting, everyone),
        available_coverage_pct=_share_pct(available, everyone),
        assets_total=len(everyone),
        assets_reporting=len(reporting),
        oldest_age_s=max((m.age_s for m in reporting if m.age_s is not None), default=None),
        worst_quality=worst(m.quality for m in reporting),
    )


def _is_possible(power_mw: float | None) -> bool:
    return power_mw is not None and _POWER.low <= power_mw <= _POWER.high


def _sum(values: Iterable[float | None]) -> float | None:
    terms = [value for value in values if value is not None]
    return math.fsum(terms) if terms else None


def _share_pct(part: list[Member], whole: list[Member]) -> float:
    """By nameplate; 0 of nothing, for then nothing is known."""
    total_mw = math.fsum(m.nameplate_mw for m in whole)
    part_mw = math.fsum(m.nameplate_mw for m in part)
    return part_mw / total_mw * 100.0 if total_mw > 0 else 0.0
