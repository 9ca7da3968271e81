"""What can happen to a dispatch."""

from typing import ClassVar, TypeAlias

import msgspec

from dercp.model.dispatch._placement import Placement
from dercp.model.dispatch._record import GRACE_S, DispatchState, Source
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp
from dercp.model.reasons import DispatchReason

# ------------------------------------------------------------ of the headend itself


class Sent(msgspec.Struct, frozen=True, tag=True):
    """It is about to leave; when this changes nothing in a submitted dispatch, it must not."""


class Undelivered(msgspec.Struct, frozen=True, tag=True):
    """The session it was sent on ended before an answer; it may go out again on the next."""

    reason: str = DispatchReason.LINK_LOST


class Tick(msgspec.Struct, frozen=True, tag=True):
    """Time has passed; `next_deadline_us` says when this matters."""

    grace_s: float = GRACE_S


# ------------------------------------------------------------------- of the edge


class _Telling(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the edge may add to whatever it says; `source_time_us` is the edge's clock.

    `clamps` lead from the setpoint to what its limits left of it, `placement` says how a
    site's setpoint stands with each asset, `outcome` what was measured until now.
    """

    source_time_us: int | None = None
    clamps: tuple[Clamp, ...] = ()
    placement: Placement | None = None
    outcome: Outcome | None = None


class _EdgeWord(_Telling, frozen=True, kw_only=True):
    """Something only the edge can say."""

    source: ClassVar[Source] = Source.EDGE


class Acked(_EdgeWord, frozen=True):
    """The edge accepted it and has it in its journal."""

    state: ClassVar = DispatchState.ACKED
    reason: str = ""
    detail: str = ""


class Applied(_EdgeWord, frozen=True):
    """Written to the device; `readback_mw` is what the device then said is in force."""

    state: ClassVar = DispatchState.APPLIED
    readback_mw: float | None = None
    reason: str = ""
    detail: str = ""


class Completed(_EdgeWord, frozen=True):
    """The lease ran to its end."""

    state: ClassVar = DispatchState.COMPLETED
    reason: str = ""
    detail: str = ""


class Failed(_EdgeWord, frozen=True):
    """The write or its read-back did not succeed."""

    state: ClassVar = DispatchState.FAILED
    reason: str = DispatchReason.DEVICE_FAILED
    detail: str = ""


class ExpiredAtEdge(_EdgeWord, frozen=True):
    """It reached the edge too late and was not accepted."""

    state: ClassVar = DispatchState.EXPIRED
    reason: str = DispatchReason.EXPIRED
    detail: str = ""


# ----------------------------------------------------- of the edge, or of others


class _Word(_Telling, frozen=True, kw_only=True):
    """Something the edge says, unless `source` tells otherwise."""

    source: Source = Source.EDGE


class FollowingSeen(_Word, frozen=True):
    """The measured power is within tolerance of the setpoint."""

    state: ClassVar = DispatchState.FOLLOWING
    reason: str = ""
    detail: str = ""


class DeviatingSeen(_Word, frozen=True):
    """The measured power is out of tolerance after the settling time."""

    state: ClassVar = DispatchState.DEVIATING
    reason: str = ""
    detail: str = ""


class Rejected(_Word, frozen=True):
    """Not accepted: by the edge, or by the headend while it has not left."""

    state: ClassVar = DispatchState.REJECTED
    reason: str
    detail: str = ""


class Cancelled(_Word, frozen=True):
    """By the edge: it has ended early. By an operator or the headend: it shall."""

    state: ClassVar = DispatchState.CANCELLED
    reason: str = ""
    detail: str = ""


class Superseded(_Word, frozen=True):
    """By the edge: `by` has taken its place. By the headend: it shall."""

    state: ClassVar = DispatchState.SUPERSEDED
    by: str | None = None
    reason: str = DispatchReason.NEWER_DISPATCH
    detail: str = ""


Measured: TypeAlias = FollowingSeen | DeviatingSeen
Withdrawing: TypeAlias = Rejected | Cancelled | Superseded
Word: TypeAlias = Acked | Applied | Completed | Failed | ExpiredAtEdge | Measured | Withdrawing
DispatchEvent: TypeAlias = Sent | Undelivered | Tick | Word
