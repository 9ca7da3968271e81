"""What an asset can do now, of all that it was built for: its part in a split.

Each end of the range is the narrowest of the nameplate, the site's limits, what the device
says is available, and the state of charge; the word for whichever it is goes along.

What is not known is trusted neither as nothing nor as everything:

| the asset                                    | is counted on for                         |
|----------------------------------------------|-------------------------------------------|
| has nothing fresh to tell                    | nothing: it is excluded as `stale`        |
| never states what is available               | nameplate and limits                      |
| states it, but not now (bad, contradictory)  | what it does at present, down to 0        |
| a storage that tells no state of charge now  | what it does at present, down to 0        |

The third line neither promises power that may not be there nor gives up what is flowing.
"""

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.points import Kind, point_named
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from dercp.model.reasons import DispatchReason
from dercp.model.split import Capacity

__all__ = ["Live", "capacity_ahead", "capacity_of", "limits_of", "live_of"]

_End: TypeAlias = tuple[float, DispatchReason]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an asset at present; None = not known."""

    active_power_mw: float | None = None
    available_min_mw: float | None = None
    available_max_mw: float | None = None
    soc_pct: float | None = None
    stale: bool = False


def live_of(readings: Iterable[Reading], *, stale: bool) -> Live:
    """The part of a sample that says what an asset can do; what is bad is not known."""
    known = {
        each.point: each.value
        for each in readings
        if each.point in _POINTS and each.quality is not Quality.BAD and _possible(each)
    }
    return Live(stale=stale, **known)


def limits_of(spec: AssetSpec) -> Bounds:
    """The nameplate, narrowed by what the site allows."""
    low_mw = spec.p_min_mw if spec.limit_min_mw is None else spec.limit_min_mw
    high_mw = spec.p_max_mw if spec.limit_max_mw is None else spec.limit_max_mw
    return Bounds(low_mw, high_mw)


def capacity_of(spec: AssetSpec, live: Live, *, excluded: str = "") -> Capacity:
    """The asset as a member of a split; `excluded` is the caller's reason to leave it out."""
    limits = limits_of(spec)
    lows: list[_End] = [(spec.p_min_mw, DispatchReason.NAMEPLATE)]
    highs: list[_End] = [(spec.p_max_mw, DispatchReason.NAMEPLATE)]
    lows.append((limits.low_mw, DispatchReason.CONFIGURED_LIMIT))
    highs.append((limits.high_mw, DispatchReason.CONFIGURED_LIMIT))
    for low_mw, high_mw, reason in (*_available(spec, live), *_charge(spec, live)):
        lows.append((limits.nearest(low_mw), reason))
        highs.append((limits.nearest(high_mw), reason))
    low_mw, limit_low = max(lows, key=lambda end: end[0])
    high_mw, limit_high = min(highs, key=lambda end: end[0])
    if low_mw > high_mw:  # an empty battery of which a device says that it must discharge
        low_mw = high_mw = limits.nearest(0.0)
    return Capacity(
        id=spec.asset_id,
        min_mw=low_mw,
        max_mw=high_mw,
        weight_mw=spec.nameplate_mw,
        limit_low=limit_low,
        limit_high=limit_high,
        dead_low_mw=0.0 - spec.dead_band_mw,
        dead_high_mw=spec.dead_band_mw,
        excluded=excluded or (DispatchReason.STALE if live.stale else ""),
    )


def capacity_ahead(spec: AssetSpec, *, excluded: str = "") -> Capacity:
    """The asset as a member of a split for later: what it does now says nothing of then."""
    return capacity_of(replace(spec, points=()), Live(), excluded=excluded)


_POINTS = {
    name: point_named(name)
    for name in ("active_power_mw", "available_min_mw", "available_max_mw", "soc_pct")
}


def _possible(reading: Reading) -> bool:
    point = _POINTS[reading.point]
    return reading.value is not None and point.low <= reading.value <= point.high


def _available(spec: AssetSpec, live: Live) -> Iterator[tuple[float, float, DispatchReason]]:
    """The range that the device states."""
    declared = {point.name for point in spec.points}
    low_mw, high_mw = live.available_min_mw, live.available_max_mw
    if low_mw is not None and high_mw is not None and low_mw > high_mw:
        low_mw = high_mw = None
    for name, value_mw in (("available_min_mw", low_mw), ("available_max_mw", high_mw)):
        if value_mw is None and name in declared:
            low_now_mw, high_now_mw = _present(live)
            if name == "available_min_mw":
                yield low_now_mw, math.inf, DispatchReason.NOT_KNOWN
            else:
                yield -math.inf, high_now_mw, DispatchReason.NOT_KNOWN
    yield (
        -math.inf if low_mw is None else low_mw,
        math.inf if high_mw is None else high_mw,
        DispatchReason.AVAILABLE,
    )


def _charge(spec: AssetSpec, live: Live) -> Iterator[tuple[float, float, DispatchReason]]:
    """A full storage takes nothing, an empty one gives nothing."""
    if spec.kind is not Kind.STORAGE:
        return
    if live.soc_pct is None:
        if any(point.name == "soc_pct" for point in spec.points):
            yield (*_present(live), DispatchReason.NOT_KNOWN)
        return
    full_pct = 100.0 if spec.soc_max_pct is None else spec.soc_max_pct
    empty_pct = 0.0 if spec.soc_min_pct is None else spec.soc_min_pct
    yield (
        0.0 if live.soc_pct >= full_pct else -math.inf,
        0.0 if live.soc_pct <= empty_pct else math.inf,
        DispatchReason.STATE_OF_CHARGE,
    )


def _present(live: Live) -> tuple[float, float]:
    """From 0 to what it does now."""
    power_mw = live.active_power_mw or 0.0
    return min(0.0, power_mw), max(0.0, power_mw)
