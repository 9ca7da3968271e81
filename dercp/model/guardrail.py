"""What a setpoint must pass before it may reach a device. Pure; narrows, never widens.

The guardrails hold whatever the headend says: they are the site's own word.
"""

import math
from typing import TypeAlias

import msgspec

from dercp.model.dispatch import DispatchReason

__all__ = [
    "Bounds",
    "Guardrails",
    "Narrowed",
    "Permitted",
    "Refused",
    "Verdict",
    "judge",
    "readback_agrees",
]

# A device rounds to its own resolution (SunSpec: a scale factor, often whole per mille).
READBACK_TOLERANCE = 0.01


class Bounds(msgspec.Struct, frozen=True):
    """A range of active power in MW, both ends included."""

    low_mw: float
    high_mw: float

    def contains(self, power_mw: float) -> bool:
        """Whether the power lies within; NaN lies nowhere."""
        return self.low_mw <= power_mw <= self.high_mw

    def nearest(self, power_mw: float) -> float:
        """The power itself, or the end it lies beyond."""
        return min(max(power_mw, self.low_mw), self.high_mw)


class Guardrails(msgspec.Struct, frozen=True):
    """An asset's nameplate, and the limits its site has configured inside it."""

    nameplate: Bounds
    limits: Bounds


class Permitted(msgspec.Struct, frozen=True):
    """Write it as asked."""

    setpoint_mw: float


class Narrowed(msgspec.Struct, frozen=True):
    """Write this instead, and say so."""

    setpoint_mw: float
    reason: str
    detail: str


class Refused(msgspec.Struct, frozen=True):
    """Write nothing."""

    reason: str
    detail: str


Verdict: TypeAlias = Permitted | Narrowed | Refused


def judge(setpoint_mw: float, guardrails: Guardrails) -> Verdict:
    """Whether and how a setpoint may be written.

    Beyond the nameplate it was never meant for this asset and is refused. Inside, but
    beyond the site's own limits, the asset gives what the site allows.
    """
    nameplate, limits = guardrails.nameplate, guardrails.limits
    if not math.isfinite(setpoint_mw):
        return Refused(DispatchReason.OUT_OF_RANGE, f"{setpoint_mw} is no setpoint")
    if not nameplate.contains(setpoint_mw):
        return Refused(
            DispatchReason.OUT_OF_RANGE,
            f"{setpoint_mw:g} MW lies outside the nameplate "
            f"({nameplate.low_mw:g} to {nameplate.high_mw:g} MW)",
        )
    if not limits.contains(setpoint_mw):
        narrowed_mw = limits.nearest(setpoint_mw)
        return Narrowed(
            narrowed_mw,
            DispatchReason.NARROWED,
            f"{setpoint_mw:g} MW asked, narrowed to {narrowed_mw:g} MW by the site's limits "
            f"({limits.low_mw:g} to {limits.high_mw:g} MW)",
        )
    return Permitted(setpoint_mw)


def readback_agrees(asked_mw: float, readback_mw: float, nameplate_mw: float) -> bool:
    """Whether what the device says is in force is what was written, within its resolution."""
    return abs(readback_mw - asked_mw) <= READBACK_TOLERANCE * nameplate_mw
