"""What a number from a device is worth."""

from typing import Final

from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.quality import Quality, Reason, judge
from dercp.model.reading import Reading

__all__ = ["reading_of", "refused", "stale"]

# No device gives or takes twice its nameplate for long; one that says so has its registers,
# or its scale, wrong.
NAMEPLATES_MAX: Final = 2.0
_POWER_UNITS: Final = frozenset({"MW", "Mvar"})


def reading_of(point: PointSpec, value: float | None, asset: AssetSpec) -> Reading:
    """The reading for a value in the point's unit; None means that the device has none.

    It is good within the point's physical range only; powers also within twice the nameplate.
    """
    low, high = point.low, point.high
    if point.unit in _POWER_UNITS:
        most = NAMEPLATES_MAX * asset.nameplate_mw
        low, high = max(low, -most), min(high, most)
    return Reading(point.name, *judge(value, low, high))


def refused(point: PointSpec) -> Reading:
    """The reading for a point that the device did not let be read."""
    return Reading(point.name, None, Quality.BAD, Reason.DEVICE_COMMS_LOST)


def stale(reading: Reading) -> Reading:
    """The reading of a device that answers, but measures no more."""
    quality = max(reading.quality, Quality.UNCERTAIN)
    return Reading(reading.point, reading.value, quality, reading.reasons | Reason.STALE)
