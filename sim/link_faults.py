"""What befalls a link, and when: faults on a schedule that a seed decides. Pure."""

import math
from random import Random
from typing import Final, TypeAlias

import msgspec

from sim.seeded import seeded

__all__ = ["BlackHole", "Cut", "Delay", "Fault", "Reset", "ScheduleLimits", "Throttle", "schedule"]

_DIGITS: Final = 3  # of a second: short enough to be read in a failure


class _Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time on the link's own clock, which begins at 0; half-open."""

    from_s: float
    to_s: float


class Cut(_Span, frozen=True, kw_only=True):
    """Both ends see their connection end, and new ones end at once."""


class Reset(_Span, frozen=True, kw_only=True):
    """Connections that are there at the beginning are torn down (RST); new ones are well."""


class BlackHole(_Span, frozen=True, kw_only=True):
    """Half-open: connections are accepted, and what is sent disappears without a word.

    A connection that lost a byte stays lost afterwards, as behind a router that forgot it.
    """


class Delay(_Span, frozen=True, kw_only=True):
    """Everything arrives `delay_s` later, and up to `jitter_s` on top; nothing overtakes."""

    delay_s: float
    jitter_s: float


class Throttle(_Span, frozen=True, kw_only=True):
    """So many bytes per second pass, in each direction of each connection."""

    bytes_per_s: float


Fault: TypeAlias = Cut | Reset | BlackHole | Delay | Throttle


class ScheduleLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Between which bounds chance may choose. All faults are over by `lasts_s`."""

    lasts_s: float = 300.0
    calm_s: tuple[float, float] = (2.0, 40.0)
    fault_s: tuple[float, float] = (0.2, 60.0)
    delay_s_max: float = 3.0
    bytes_per_s: tuple[float, float] = (500.0, 50_000.0)


def schedule(seed: int, name: str, limits: ScheduleLimits) -> tuple[Fault, ...]:
    """Faults in order, one after the other with calm between; the same for the same seed.

    Args:
        seed: Of the whole run.
        name: Of the link: each has its own faults.
        limits: How long, how bad.
    """
    draw = seeded(seed, name, "link")
    faults: list[Fault] = []
    at_s = 0.0
    while True:
        from_s = round(at_s + draw.uniform(*limits.calm_s), _DIGITS)
        to_s = round(from_s + _log_uniform(draw, *limits.fault_s), _DIGITS)
        if to_s > limits.lasts_s:
            return tuple(faults)
        faults.append(_fault(draw, from_s, to_s, limits))
        at_s = to_s


def _fault(draw: Random, from_s: float, to_s: float, limits: ScheduleLimits) -> Fault:
    kind: type[Fault] = draw.choice((Cut, Reset, BlackHole, Delay, Throttle))
    if kind is Delay:
        delay_s = draw.uniform(0.0, limits.delay_s_max)
        jitter_s = draw.uniform(0.0, limits.delay_s_max - delay_s)
        return Delay(
            from_s=from_s,
            to_s=to_s,
            delay_s=round(delay_s, _DIGITS),
            jitter_s=round(jitter_s, _DIGITS),
        )
    if kind is Throttle:
        rate = round(_log_uniform(draw, *limits.bytes_per_s), _DIGITS)
        return Throttle(from_s=from_s, to_s=to_s, bytes_per_s=rate)
    if kind is BlackHole:
        return BlackHole(from_s=from_s, to_s=to_s)
    return Reset(from_s=from_s, to_s=to_s) if kind is Reset else Cut(from_s=from_s, to_s=to_s)


def _log_uniform(draw: Random, low: float, high: float) -> float:
    """Short ones as often as long ones."""
    return math.exp(draw.uniform(math.log(low), math.log(high)))
