"""What people type: addresses, durations, times, URLs and megawatts.

The functions are the parsers of options and arguments: they give a value, or raise the
`typer.BadParameter` that names the option. Typer hands them the default too, as a value.
"""

import ipaddress
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import typer

from dercp.model.time import TimeError, parse_rfc3339, us_from_s

# Longer than anything that is waited for here; keeps sums of durations finite.
DURATION_S_MAX = 366 * 86_400.0

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_DURATION = re.compile(rf"(?:{_NUMBER}[smhd])+")
_PART = re.compile(rf"({_NUMBER})([smhd])")
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOCAL_TIME = re.compile(rf"{_DATE.pattern}[Tt][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,9}})?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")


class Form(StrEnum):
    """Forms of a file of history."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True)
class Duration:
    """A length of time above zero."""

    seconds: float

    def __str__(self) -> str:
        """As one types it: 90s is 1m30s."""
        minutes, seconds = divmod(self.seconds, 60)
        hours, minutes = divmod(minutes, 60)
        parts = ((f"{hours:.0f}", "h"), (f"{minutes:.0f}", "m"), (f"{seconds:.9g}", "s"))
        return "".join(number + unit for number, unit in parts if number != "0") or "0s"


@dataclass(frozen=True)
class Moment:
    """A time as it was typed: of the calendar, or so long before the present (`time_us` None)."""

    text: str
    time_us: int | None
    ago_s: float = 0.0

    def __str__(self) -> str:
        """As it was typed."""
        return self.text

    def resolve(self, now_us: int) -> int:
        """The time in microseconds of Unix time."""
        return now_us - us_from_s(self.ago_s) if self.time_us is None else self.time_us


@dataclass(frozen=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """As one types it, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_duration(value: "str | Duration") -> Duration:
    """The duration of "90s", "10m", "1h30m", or of a plain number of seconds."""
    text = str(value)
    parts = [(text, "s")] if re.fullmatch(_NUMBER, text) else _PART.findall(text)
    if not parts or (not _DURATION.fullmatch(text) and parts != [(text, "s")]):
        raise typer.BadParameter(f'"{text}" is no duration; write 90s, 10m or 1h30m')
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds <= DURATION_S_MAX:
        raise typer.BadParameter(f'"{text}" is not above zero and at most 366 days')
    return Duration(seconds)


def parse_moment(value: "str | Moment") -> Moment:
    """The time of "2026-11-23T14:00:00Z", "2026-11-23" (its midnight in UTC), "now" or "-2h"."""
    text = str(value).strip()
    if text == "now":
        return Moment(text, None)
    if text.startswith("-"):
        return Moment(text, None, parse_duration(text[1:]).seconds)
    if _LOCAL_TIME.fullmatch(text):
        raise typer.BadParameter(
            f'"{text}" does not say in which time zone; write {text}Z for UTC, or {text}+01:00'
        )
    try:
        return Moment(text, parse_rfc3339(text + "T00:00:00Z" if _DATE.fullmatch(text) else text))
    except TimeError:
        raise typer.BadParameter(
            f'"{text}" is no time; write 2026-11-23T14:00:00Z, 2026-11-23, now, or -2h'
        ) from None


def parse_ahead(value: "str | Moment") -> Moment:
    """The time of "2026-11-23T17:00:00Z", or of "+15m" from now."""
    text = str(value).strip()
    if text.startswith("+"):
        return Moment(text, None, -parse_duration(text[1:]).seconds)
    if text.startswith("-"):
        raise typer.BadParameter(f'"{text}" has passed; write 2026-11-23T17:00:00Z, or +15m')
    return parse_moment(text)


def parse_resolution(value: "str | Duration") -> Duration:
    """The length of a bucket: a duration of whole seconds."""
    duration = parse_duration(value)
    if duration.seconds % 1:
        raise typer.BadParameter(f'"{value}" is no whole number of seconds; write 1s, 1m or 15m')
    return duration


def parse_address(value: "str | Address") -> Address:
    """Host and port of "host:port" or "[v6]:port"."""
    text = str(value)
    found = _ADDRESS.fullmatch(text)
    if found is not None and int(found["port"]) <= 65_535:
        host = found["ipv6"] or found["host"]
        if _is_ipv6(host) if found["ipv6"] else _HOST.fullmatch(host):
            return Address(host, int(found["port"]))
    raise typer.BadParameter(
        f'"{text}" is no address; write host:port, as 127.0.0.1:8080 or [::1]:8080'
    )


def parse_url(text: str) -> str:
    """The address of a headend's API, without the slash at its end."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        alone = not parts.query and not parts.fragment and text.isprintable() and " " not in text
    except ValueError:  # brackets that do not match, a port that is no number
        whole = alone = False
    if not whole or not alone:
        raise typer.BadParameter(f'"{text}" is no URL of a headend; write http://127.0.0.1:8080')
    return text.rstrip("/")


def parse_megawatts(value: str | float) -> float:
    """A finite number; negative ones look like options, so unknown options end here too."""
    text = str(value)
    try:
        megawatts = float(text)
    except ValueError:
        megawatts = math.nan
    if math.isfinite(megawatts):
        return megawatts
    if re.fullmatch(r"[+-]?[0-9]*,[0-9]+", text):
        raise typer.BadParameter(f'"{text}" is no number; use a point as decimal mark')
    what = "neither a number nor an option" if text.startswith("-") else "no number"
    raise typer.BadParameter(f'"{text}" is {what}; write the setpoint in MW, as -0.5')


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
