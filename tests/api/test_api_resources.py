"""Times and reasons as JSON has them."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.api.resources import micros, moment, moment_or_none, reason_words
from dercp.model.quality import Reason


@given(st.integers(0, 253_402_300_799_999_999))
def test_a_moment_comes_back(time_us: int) -> None:
    """To the microsecond, up to the end of the year 9999."""
    assert micros(moment(time_us)) == time_us


def test_offsets_are_heard() -> None:
    """An instant is the same wherever it is written down."""
    there = datetime.fromisoformat("2026-11-23T15:00:00+01:00")
    assert moment(micros(there)) == there


@pytest.mark.parametrize("time_us", [None, 2**63 - 1, -(2**63)])
def test_a_time_that_no_calendar_has(time_us: int | None) -> None:
    """Is not known; it must not spoil the answer it stands in."""
    assert moment_or_none(time_us) is None


def test_reasons_are_words() -> None:
    """Each once, in a fixed order; none of a good value."""
    assert reason_words(Reason.OUT_OF_RANGE | Reason.STALE) == ("stale", "out_of_range")
    assert reason_words(Reason.NONE) == ()
