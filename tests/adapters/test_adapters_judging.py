"""What a number from a device is worth."""

import math

from hypothesis import given
from hypothesis import strategies as st
from modbus_field import BATTERY

from adapters._judging import reading_of, refused, stale
from dercp.model.asset import PointSpec
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading


@given(st.sampled_from(BATTERY.points), st.none() | st.floats())
def test_only_what_can_be_is_good(point: PointSpec, value: float | None) -> None:
    """Within the point's range, and no power beyond twice the nameplate."""
    reading = reading_of(point, value, BATTERY)
    if reading.quality is Quality.GOOD:
        assert reading.value is not None
        assert point.low <= reading.value <= point.high
        assert point.unit not in {"MW", "Mvar"} or abs(reading.value) <= 4.0
    elif value is None or not math.isfinite(value):
        assert (reading.value, reading.quality) == (None, Quality.BAD)
    else:
        assert (reading.value, reading.reasons) == (value, Reason.OUT_OF_RANGE)


def test_a_point_of_the_sites_own_has_no_range() -> None:
    """Its unit may be anything."""
    assert reading_of(PointSpec("door_open", ""), 1e9, BATTERY) == Reading("door_open", 1e9)


def test_refused_and_stale() -> None:
    """Bad without a value; uncertain with the last one."""
    point = PointSpec("door_open", "")
    assert refused(point) == Reading("door_open", None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
    assert stale(Reading("a", 1.0)) == Reading("a", 1.0, Quality.UNCERTAIN, Reason.STALE)
    assert stale(refused(point)).quality is Quality.BAD
