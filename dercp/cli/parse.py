"""What people type: addresses and durations."""

import ipaddress
import re

import typer

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smh])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def parse_duration_s(text: str) -> float:
    """Seconds of "90s", "10m", "1h30m", or of a plain number of seconds."""
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f'"{text}" is no duration; write 90s, 10m or 1h30m')
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(f'"{text}" is no address; write host:port, as 127.0.0.1:8080')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
