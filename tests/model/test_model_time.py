"""Instants at the borders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.time import TimeError, format_rfc3339, parse_rfc3339, us_from_s

NOON_US = 1_795_435_200_123_456


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_what_is_written_is_read_back(time_us: int) -> None:
    """To the microsecond, from year 1 to 9999."""
    assert parse_rfc3339(format_rfc3339(time_us)) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00.123456Z",
        "2026-11-23t12:00:00.123456z",
        "2026-11-23 12:00:00.123456789Z",
        "2026-11-23T13:00:00.123456+01:00",
        "2026-11-23T06:30:00.123456-05:30",
    ],
)
def test_every_spelling_of_an_instant_is_read(text: str) -> None:
    """RFC 3339 section 5.6 allows all of them."""
    assert parse_rfc3339(text) == NOON_US
    assert format_rfc3339(NOON_US) == "2026-11-23T12:00:00.123456Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:00:00+25:00",
        "2026-11-23T12:00:00,5Z",
        "1795435200",
        "٢٠٢٦-11-23T12:00:00Z",
        "0001-01-01T00:00:00+23:59 ",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """A local time is none: it lacks its offset."""
    with pytest.raises(TimeError) as caught:
        parse_rfc3339(text)
    assert caught.value.reason == "bad_time"


def test_an_instant_that_no_calendar_has_is_refused() -> None:
    """A device may send any 64 bits."""
    with pytest.raises(TimeError, match="years 1 to 9999"):
        format_rfc3339(2**63 - 1)


def test_seconds_become_whole_microseconds() -> None:
    """Rounded, not cut off."""
    assert us_from_s(1.5) == 1_500_000
    assert us_from_s(0.1 + 0.2) == 300_000
