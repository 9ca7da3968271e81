"""Instants: integers of microseconds inside, RFC 3339 at the borders."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dercp.model.errors import ModelError

Clock = Callable[[], int]
"""Gives the present in microseconds of Unix time; who needs the present is given one of these."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class TimeError(ModelError):
    """A text that is no instant, or an instant that no calendar has."""


def us_from_s(seconds: float) -> int:
    """A duration in whole microseconds, rounded to the nearest."""
    return round(seconds * 1_000_000)


def format_rfc3339(time_us: int) -> str:
    """An instant as text, always in UTC with six decimals: "2026-11-23T14:00:00.123456Z".

    Raises:
        TimeError: `time_out_of_range`, outside the years 1 to 9999.
    """
    try:
        instant = _EPOCH + time_us * _MICROSECOND
    except OverflowError:
        raise TimeError(
            "time_out_of_range", f"{time_us} µs lies outside the years 1 to 9999"
        ) from None
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """Read an instant; any offset is accepted, decimals after the sixth are cut off.

    Raises:
        TimeError: `bad_time`, when there is no offset too: a local time is no instant.
    """
    found = _RFC3339.fullmatch(text)
    if found:
        date, clock, fraction, offset = found.groups()
        micros = (fraction or "0")[:6].ljust(6, "0")
        try:
            instant = datetime.fromisoformat(f"{date}T{clock}.{micros}{offset.upper()}")
            return (instant - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass  # the 30th of February
    raise TimeError(
        "bad_time",
        f'expected a time with its offset, like "2026-11-23T14:00:00Z", got {text[:80]!r}',
    )
