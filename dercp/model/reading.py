"""One value of one point, with its quality."""

import msgspec

from dercp.model.quality import Quality, Reason


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What is known of a point: `value` in the point's unit, None when it is not known."""

    point: str
    value: float | None
    quality: Quality = Quality.GOOD
    reasons: Reason = Reason.NONE
