"""How far a value may be trusted, and why not further."""

import math
from collections.abc import Iterable
from enum import IntEnum, IntFlag


class Quality(IntEnum):
    """Three degrees; a greater number is a worse quality (numbers of the wire's Quality)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Reason(IntFlag):
    """Why a value is not good; a set (bits of the wire's QualityReason)."""

    NONE = 0
    STALE = 1
    OUT_OF_RANGE = 2
    SUBSTITUTED = 4
    CLOCK_SUSPECT = 8
    DEVICE_COMMS_LOST = 16


def worst(qualities: Iterable[Quality]) -> Quality:
    """The worst of them; of none at all it is BAD, for then nothing is known."""
    return max(qualities, default=Quality.BAD)


def judge(value: float | None, low: float, high: float) -> tuple[float | None, Quality, Reason]:
    """What a raw value is worth, given the range (inclusive) that physics allows.

    | value            | becomes | quality   | reason       |
    |------------------|---------|-----------|--------------|
    | within the range | itself  | good      | none         |
    | outside of it    | itself  | uncertain | out of range |
    | infinite         | None    | bad       | out of range |
    | None or NaN      | None    | bad       | none         |

    A value out of range is kept, because it is what the device said and the operator
    wants to see it. A value that is missing without a word from the edge is simply unknown.
    """
    if value is None or math.isnan(value):
        return None, Quality.BAD, Reason.NONE
    if math.isinf(value):
        return None, Quality.BAD, Reason.OUT_OF_RANGE
    if low <= value <= high:
        return value, Quality.GOOD, Reason.NONE
    return value, Quality.UNCERTAIN, Reason.OUT_OF_RANGE
