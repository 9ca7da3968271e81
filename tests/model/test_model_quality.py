"""How values are judged."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dercp.model.quality import Quality, Reason, judge, worst


@given(st.none() | st.floats(), st.floats(-100, 0), st.floats(0, 100))
def test_what_is_judged_good_is_a_number_within_the_range(
    value: float | None, low: float, high: float
) -> None:
    """Good is never unknown, infinite or impossible; and a value is kept or None, never altered."""
    kept, quality, reasons = judge(value, low, high)
    assert kept is None or kept == value
    assert kept is None or math.isfinite(kept)
    assert (quality is Quality.GOOD) == (kept is not None and low <= kept <= high)
    assert (quality is Quality.BAD) == (kept is None)
    assert reasons in {Reason.NONE, Reason.OUT_OF_RANGE}


def test_unknown_is_not_out_of_range() -> None:
    """NaN is how the wire says unknown; infinity is a fault of the device."""
    assert judge(None, 0, 1) == (None, Quality.BAD, Reason.NONE)
    assert judge(math.nan, 0, 1) == (None, Quality.BAD, Reason.NONE)
    assert judge(-math.inf, -math.inf, math.inf) == (None, Quality.BAD, Reason.OUT_OF_RANGE)
    assert judge(1.5, 0, 1) == (1.5, Quality.UNCERTAIN, Reason.OUT_OF_RANGE)
    assert judge(1, 0, 1) == (1, Quality.GOOD, Reason.NONE)


def test_the_worst_of_several() -> None:
    """Of none at all it is bad: nothing is known."""
    assert worst([Quality.GOOD, Quality.UNCERTAIN]) is Quality.UNCERTAIN
    assert worst([]) is Quality.BAD
