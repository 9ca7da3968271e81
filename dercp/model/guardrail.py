"""What a setpoint must pass before it may reach a device. Narrows, never widens.

The guardrails hold whatever the headend says: they are the site's own word. `judge` says
whether, and which, setpoint the asset may be brought to; `next_write` of `ramp.py` how fast.
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec

from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.capability import limits_of
from dercp.model.reasons import DispatchReason

__all__ = [
    "Clamp",
    "Clamped",
    "Condition",
    "Control",
    "Guardrails",
    "OnLimit",
    "Permitted",
    "Refused",
    "Remote",
    "Verdict",
    "guardrails_of",
    "judge",
    "readback_agrees",
]

# A device rounds to its own resolution (SunSpec: a scale factor, often whole per mille).
READBACK_TOLERANCE = 0.01


class OnLimit(StrEnum):
    """What a dispatch wants where a limit stands against it."""

    CLAMP = "clamp"
    """Give what the limit allows, and say so."""
    REJECT = "reject"
    """All or nothing."""


class Remote(StrEnum):
    """Whether a device must be under remote control before it is written to."""

    REQUIRED = "required"
    NOT_ASKED = "not_asked"


class Control(StrEnum):
    """Who the device says controls it (SunSpec model 701 `LocRemCtl`)."""

    REMOTE = "remote"
    LOCAL = "local"
    NOT_KNOWN = "not_known"


class Guardrails(msgspec.Struct, frozen=True):
    """An asset's nameplate, and what its site has configured inside it.

    Attributes:
        dead_band_mw: The smallest power other than 0 that the device can do, either way.
        soc_min_pct: Not discharged at or below; None = no such limit.
        soc_max_pct: Not charged at or above.
        remote: Whether remote control is a precondition.
        ramp_mw_per_min: How fast the setpoint may move; None = at once.
        write_interval_s: The least time between two writes (of flash memory, of a slow bus).
        least_change_mw: A lesser change is not worth a write.
    """

    nameplate: Bounds
    limits: Bounds
    dead_band_mw: float = 0.0
    soc_min_pct: float | None = None
    soc_max_pct: float | None = None
    remote: Remote = Remote.NOT_ASKED
    ramp_mw_per_min: float | None = None
    write_interval_s: float = 0.0
    least_change_mw: float = 0.0


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the asset when a setpoint is judged."""

    soc_pct: float | None = None
    control: Control = Control.NOT_KNOWN
    locked_out: bool = False


class Clamp(msgspec.Struct, frozen=True):
    """One limit that moved a setpoint; `reason` is a `DispatchReason`."""

    reason: str
    from_mw: float
    to_mw: float
    detail: str = ""


class Permitted(msgspec.Struct, frozen=True):
    """Write it as asked."""

    setpoint_mw: float


class Clamped(msgspec.Struct, frozen=True):
    """Write this instead, and say why; the clamps lead from what was asked to it."""

    setpoint_mw: float
    clamps: tuple[Clamp, ...]


class Refused(msgspec.Struct, frozen=True):
    """Write nothing."""

    reason: str
    detail: str


Verdict: TypeAlias = Permitted | Clamped | Refused

_ANYTHING = Condition()


def guardrails_of(spec: AssetSpec) -> Guardrails:
    """The part of the guardrails that a registration tells."""
    return Guardrails(
        nameplate=Bounds(spec.p_min_mw, spec.p_max_mw),
        limits=limits_of(spec),
        dead_band_mw=spec.dead_band_mw,
        soc_min_pct=spec.soc_min_pct,
        soc_max_pct=spec.soc_max_pct,
    )


def judge(
    setpoint_mw: float,
    guardrails: Guardrails,
    condition: Condition = _ANYTHING,
    on_limit: OnLimit = OnLimit.CLAMP,
) -> Verdict:
    """Whether and how a setpoint may be written.

    Beyond the nameplate it was never meant for this asset, and it is refused whatever
    `on_limit` says. Inside of it each limit moves the setpoint towards 0, or, where the
    site's limits do not hold 0, to the nearest power they hold.
    """
    obstacle = _obstacle(setpoint_mw, guardrails, condition)
    if obstacle is not None:
        return obstacle
    clamps = tuple(_clamps(setpoint_mw, guardrails, condition))
    if not clamps:
        return Permitted(setpoint_mw)
    allowed_mw = clamps[-1].to_mw
    if on_limit is OnLimit.REJECT:
        return Refused(clamps[0].reason, clamps[0].detail)
    if not (guardrails.limits.contains(allowed_mw) and guardrails.nameplate.contains(allowed_mw)):
        # It may not run, and must not stand still.
        return Refused(clamps[-1].reason, clamps[-1].detail)
    return Clamped(allowed_mw, clamps)


def readback_agrees(asked_mw: float, readback_mw: float, nameplate_mw: float) -> bool:
    """Whether what the device says is in force is what was written, within its resolution."""
    return abs(readback_mw - asked_mw) <= READBACK_TOLERANCE * nameplate_mw


def _obstacle(setpoint_mw: float, guardrails: Guardrails, condition: Condition) -> Refused | None:
    nameplate = guardrails.nameplate
    if not math.isfinite(setpoint_mw):
        return Refused(DispatchReason.OUT_OF_RANGE, f"{setpoint_mw} is no setpoint")
    if condition.locked_out:
        return Refused(DispatchReason.LOCAL_LOCKOUT, "the asset is locked out at the site")
    if guardrails.remote is Remote.REQUIRED and condition.control is not Control.REMOTE:
        says = "is not known to be" if condition.control is Control.NOT_KNOWN else "is not"
        return Refused(DispatchReason.NOT_REMOTE, f"the device {says} under remote control")
    if not nameplate.contains(setpoint_mw):
        return Refused(
            DispatchReason.OUT_OF_RANGE,
            f"{setpoint_mw:g} MW lies outside the nameplate "
            f"({nameplate.low_mw:g} to {nameplate.high_mw:g} MW)",
        )
    return None


def _clamps(setpoint_mw: float, guardrails: Guardrails, condition: Condition) -> Iterator[Clamp]:
    """One after the other, each from where the one before has led."""
    limits, dead_band_mw = guardrails.limits, guardrails.dead_band_mw
    within_mw = limits.nearest(setpoint_mw)
    if within_mw != setpoint_mw:
        yield Clamp(
            DispatchReason.CONFIGURED_LIMIT,
            setpoint_mw,
            within_mw,
            f"the site allows {limits.low_mw:g} to {limits.high_mw:g} MW",
        )
    forbids = _charge_forbids(within_mw, guardrails, condition)
    if forbids:
        yield Clamp(DispatchReason.STATE_OF_CHARGE, within_mw, 0.0, forbids)
    elif 0 < abs(within_mw) < dead_band_mw:
        yield Clamp(
            DispatchReason.DEAD_BAND,
            within_mw,
            0.0,
            f"the device runs at 0 MW or from {dead_band_mw:g} MW on",
        )


def _charge_forbids(power_mw: float, guardrails: Guardrails, condition: Condition) -> str:
    """Why the state of charge stands against a power, or "". Not known is no permission."""
    soc_pct = condition.soc_pct
    full_pct, empty_pct = guardrails.soc_max_pct, guardrails.soc_min_pct
    known = "not known" if soc_pct is None else f"{soc_pct:g} %"
    if power_mw < 0 and full_pct is not None and (soc_pct is None or soc_pct >= full_pct):
        return f"the state of charge is {known}; charging ends at {full_pct:g} %"
    if power_mw > 0 and empty_pct is not None and (soc_pct is None or soc_pct <= empty_pct):
        return f"the state of charge is {known}; discharging ends at {empty_pct:g} %"
    return ""
