"""What the gateway of a site sees of its assets: what they can do, and what they do."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from dercp.edge.asset.device import AssetMemory
from dercp.edge.asset.lease import Lease, leases_of
from dercp.edge.site.parts import parent_of
from dercp.model.capability import capacity_ahead, capacity_of
from dercp.model.dispatch import DispatchReason
from dercp.model.following import Tolerance, tolerance_of
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from dercp.model.split import Capacity

__all__ = ["SiteAssets", "Sum"]

INTERVAL_S_MIN: Final = 1.0


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """The power of some assets together: as measured (None = not of all), and as written."""

    power_mw: float | None
    written_mw: float
    quality: Quality
    tolerance: Tolerance
    interval_s: float


class SiteAssets:
    """Looks at the memories of the assets; changes nothing."""

    def __init__(self, memories: Mapping[str, AssetMemory]) -> None:
        self._memories = memories

    def capacities(self, lease: Lease, now_s: float) -> list[Capacity]:
        """What each can do for a lease, by its latest readings."""
        return [
            capacity_of(memory.spec, memory.live(now_s), excluded=_obstacle(memory, lease))
            for memory in self._memories.values()
        ]

    def capacities_ahead(self) -> list[Capacity]:
        """What each can do by its nameplate and limits, some time."""
        return [capacity_ahead(memory.spec) for memory in self._memories.values()]

    def out_of_reach(self, assets: list[str], now_s: float) -> list[str]:
        """Those of which nothing fresh is known."""
        return [each for each in assets if not self._memories[each].is_fresh(now_s)]

    def sum_of(self, assets: list[str], now_s: float) -> Sum:
        """What these do together. One that is not known makes the sum unknown, not smaller."""
        memories = [self._memories[each] for each in assets]
        power_mw: float | None = 0.0
        written_mw, quality = 0.0, Quality.GOOD
        for memory in memories:
            power = _power(memory) if memory.is_fresh(now_s) else None
            standing_mw = memory.keeper.written_mw
            if power is None or power.value is None or standing_mw is None or power_mw is None:
                power_mw = None
                continue
            power_mw += power.value
            written_mw += standing_mw
            quality = max(quality, power.quality)
        tolerances = [tolerance_of(memory.spec) for memory in memories]
        return Sum(
            power_mw=power_mw,
            written_mw=written_mw,
            quality=quality,
            tolerance=Tolerance(
                absolute_mw=math.fsum(each.absolute_mw for each in tolerances),
                relative=max((each.relative for each in tolerances), default=0.0),
                settling_s=max((each.settling_s for each in tolerances), default=0.0),
            ),
            interval_s=max((INTERVAL_S_MIN, *(each.spec.sample_interval_s for each in memories))),
        )


def _obstacle(memory: AssetMemory, lease: Lease) -> str:
    """Why the asset takes no part, or ""."""
    obstacle = memory.obstacle()
    if obstacle:
        return obstacle
    for other in leases_of(memory.keeper.book):
        overlaps = other.start_s < lease.until_s and lease.start_s < other.until_s
        ours = parent_of(other.dispatch_id) == lease.dispatch_id
        if overlaps and not ours and other.rank > lease.rank:
            same = other.authority is lease.authority
            return DispatchReason.OUTRANKED if same else DispatchReason.LOCAL_OPERATOR
    return ""


def _power(memory: AssetMemory) -> Reading | None:
    return next((each for each in memory.readings if each.point == "active_power_mw"), None)
