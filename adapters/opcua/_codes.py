"""What a value of OPC UA is worth."""

import math
from typing import Final

from asyncua import ua

from adapters._judging import reading_of
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading

__all__ = ["number_in", "read_value"]

_Codes = ua.StatusCodes
# The upper 16 bits say what it is; the lower ones what else is known of it.
_CODE: Final = 0xFFFF0000
_REASONS: Final[dict[int, Reason]] = {
    _Codes.UncertainLastUsableValue: Reason.STALE,
    _Codes.UncertainNoCommunicationLastUsableValue: Reason.STALE,
    _Codes.UncertainSubstituteValue: Reason.SUBSTITUTED,
    _Codes.UncertainInitialValue: Reason.SUBSTITUTED,
    _Codes.UncertainEngineeringUnitsExceeded: Reason.OUT_OF_RANGE,
    _Codes.GoodLocalOverride: Reason.SUBSTITUTED,
    _Codes.BadSensorFailure: Reason.OUT_OF_RANGE,
    _Codes.BadOutOfRange: Reason.OUT_OF_RANGE,
    _Codes.BadNotConnected: Reason.DEVICE_COMMS_LOST,
    _Codes.BadNoCommunication: Reason.DEVICE_COMMS_LOST,
    _Codes.BadCommunicationError: Reason.DEVICE_COMMS_LOST,
    _Codes.BadDeviceFailure: Reason.DEVICE_COMMS_LOST,
}


def number_in(data: ua.DataValue) -> float | None:
    """The number of a value, of whatever numeric type; None for everything else."""
    variant = data.Value
    if variant is None or variant.is_array or not isinstance(variant.Value, bool | int | float):
        return None
    try:
        number = float(variant.Value)
    except OverflowError:
        return None
    return None if math.isnan(number) else number


def read_value(
    point: PointSpec, value: float | None, status: ua.StatusCode | None, asset: AssetSpec
) -> Reading:
    """The reading for a value in the point's unit, never better than its status."""
    code = int(_Codes.Good) if status is None else int(status.value)
    reasons = _REASONS.get(code & _CODE, Reason.NONE)
    if ua.StatusCode(code).is_bad():
        return Reading(point.name, None, Quality.BAD, reasons)
    judged = reading_of(point, value, asset)
    quality = judged.quality
    if not ua.StatusCode(code).is_good() or reasons:
        quality = max(quality, Quality.UNCERTAIN)
    return Reading(point.name, judged.value, quality, judged.reasons | reasons)
