"""Qualities and refusals as the status codes of OPC UA."""

from datetime import UTC, datetime
from typing import Final, TypeAlias

from asyncua import ua

from dercp.model.dispatch import Acked, DispatchReason
from dercp.model.quality import Quality, Reason
from dercp.wire.dispatch import EdgeWord

__all__ = ["answer_code", "data_value", "moment", "quality_code"]

_Codes = ua.StatusCodes
_Table: TypeAlias = tuple[tuple[Reason, int], ...]
# The first that applies. Ignition tells few of them apart; these are among those.
_UNCERTAIN: Final[_Table] = (
    (Reason.OUT_OF_RANGE, _Codes.UncertainEngineeringUnitsExceeded),
    (Reason.STALE, _Codes.UncertainLastUsableValue),
    (Reason.SUBSTITUTED, _Codes.UncertainSubstituteValue),
    (Reason.NONE, _Codes.Uncertain),
)
_BAD: Final[_Table] = (
    (Reason.DEVICE_COMMS_LOST, _Codes.BadNotConnected),
    (Reason.OUT_OF_RANGE, _Codes.BadSensorFailure),
    (Reason.NONE, _Codes.Bad),
)
_REFUSALS: Final[dict[str, int]] = {
    DispatchReason.OUT_OF_RANGE: _Codes.BadOutOfRange,
    DispatchReason.STATE_OF_CHARGE: _Codes.BadOutOfRange,
    DispatchReason.DEAD_BAND: _Codes.BadOutOfRange,
    DispatchReason.LOCAL_LOCKOUT: _Codes.BadInvalidState,
    DispatchReason.NOT_REMOTE: _Codes.BadInvalidState,
    DispatchReason.LOCAL_OPERATOR: _Codes.BadUserAccessDenied,
    DispatchReason.OUTRANKED: _Codes.BadUserAccessDenied,
    DispatchReason.DEVICE_FAILED: _Codes.BadNotConnected,
    DispatchReason.STALE: _Codes.BadNotConnected,
    DispatchReason.NO_FALLBACK: _Codes.BadConfigurationError,
    DispatchReason.SCHEDULE_FULL: _Codes.BadResourceUnavailable,
    DispatchReason.EXPIRED: _Codes.BadTimeout,
    "busy": _Codes.BadResourceUnavailable,
}


def quality_code(quality: Quality, reasons: Reason) -> int:
    """The status code of a value."""
    match quality:
        case Quality.GOOD:
            return int(_Codes.Good)
        case Quality.UNCERTAIN:
            table = _UNCERTAIN
        case Quality.BAD:
            table = _BAD
    return next(int(code) for reason, code in table if reason in reasons)


def answer_code(word: EdgeWord | None) -> int:
    """The status code of a write, by the first word on what was asked."""
    if word is None:
        return int(_Codes.BadTimeout)
    if isinstance(word, Acked):
        return int(_Codes.GoodClamped if word.clamps else _Codes.Good)
    return int(_REFUSALS.get(word.reason, _Codes.BadInvalidState))


def data_value(
    value: float | str | datetime | None,
    variant: ua.VariantType,
    code: int,
    source: datetime,
    now: datetime,
) -> ua.DataValue:
    """What is put into the address space."""
    if value is None:
        variant = ua.VariantType.Null
    return ua.DataValue(
        ua.Variant(value, variant),
        ua.StatusCode(code),
        SourceTimestamp=source,
        ServerTimestamp=now,
    )


def moment(time_us: int) -> datetime:
    """An instant as asyncua takes it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC)
