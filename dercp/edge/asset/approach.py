"""How the asset is brought to what the lease in force asks: what may be written, and when.

Decides and remembers; writes nothing. The guardrails are asked anew for each step, so that a
setpoint follows the limits as they move.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from dercp.edge.asset.lease import Lease
from dercp.model.dispatch import Acked, Applied, DispatchReason
from dercp.model.guardrail import (
    Clamp,
    Clamped,
    Condition,
    Guardrails,
    Permitted,
    Refused,
    Remote,
    Verdict,
    judge,
)
from dercp.model.ramp import Later, Settled, WriteNow, Written, next_write

__all__ = ["Approach", "Move", "acked"]

# A battery that was stopped at its limit goes on when it is that far inside: a full one loses
# a little while it rests, and must not be topped up every other second.
CHARGE_MARGIN_PCT: Final = 1.0


class Move(msgspec.Struct, frozen=True):
    """Write this power, which is `aim_mw` or a step on the way there.

    The clamps lead from what was asked to `aim_mw`. `is_news` says that another aim, or none,
    was there before.
    """

    power_mw: float
    aim_mw: float
    clamps: tuple[Clamp, ...]
    is_news: bool

    @property
    def arrives(self) -> bool:
        """Whether this is no mere step."""
        return self.power_mw == self.aim_mw

    def applied(self, readback_mw: float) -> Applied:
        """The word for it, once it is written."""
        clamps = self.clamps
        if not self.arrives:
            detail = "on its way, as fast as the site allows"
            clamps = (*clamps, Clamp(DispatchReason.RAMP, self.aim_mw, self.power_mw, detail))
        if not clamps:
            return Applied(readback_mw=readback_mw)
        reason, detail = DispatchReason.NARROWED, _told(clamps)
        return Applied(readback_mw=readback_mw, reason=reason, detail=detail, clamps=clamps)


class Approach:
    """The way to the setpoint of one lease after the other. Times are monotonic seconds.

    Attributes:
        next_at_s: When `move` next matters; infinite while there is nowhere to go.
    """

    def __init__(self, guardrails: Guardrails) -> None:
        self.next_at_s = math.inf
        self._guardrails = guardrails
        # What is known to stand in the device by our hand.
        self._last: Written | None = None
        self._aim: Move | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything was written for the lease in force."""
        return self._aim is not None

    @property
    def is_ours(self) -> bool:
        """Whether what stands in the device was written for a lease."""
        return self._last is not None

    @property
    def standing_mw(self) -> float | None:
        """What is known to stand in the device by our hand."""
        return None if self._last is None else self._last.setpoint_mw

    def begin(self) -> None:
        """Another lease, or the same one once more."""
        self._aim, self.next_at_s = None, math.inf

    def forget(self) -> None:
        """What stands in the device is no longer known, or of no more concern."""
        self._last = None
        self.begin()

    def foresee(self, lease: Lease) -> Verdict:
        """What holds at all times; the charge, and who controls, is not known before."""
        standing = replace(
            self._guardrails, soc_min_pct=None, soc_max_pct=None, remote=Remote.NOT_ASKED
        )
        return judge(lease.setpoint_mw, standing, on_limit=lease.on_limit)

    def judge(self, lease: Lease, condition: Condition) -> Verdict:
        """What may be written for a lease now."""
        rails = self._guardrails
        if self._aim is not None and _is_by_charge(self._aim.clamps):
            rails = _narrower(rails, CHARGE_MARGIN_PCT)
        return judge(lease.setpoint_mw, rails, condition, lease.on_limit)

    def move(
        self, lease: Lease, condition: Condition, power_mw: float | None, now_s: float
    ) -> Move | Refused | None:
        """What is to be written now; None for nothing before `next_at_s`.

        `power_mw` is what the device says is in force, or does: a ramp has to begin somewhere,
        and at a power that the site allows.
        """
        clamps: tuple[Clamp, ...] = ()
        verdict = self.judge(lease, condition)
        match verdict:
            case Refused():
                return verdict
            case Clamped(aim_mw, clamps):
                pass
            case Permitted(aim_mw):
                pass
        last = self._last or Written(self._guardrails.limits.nearest(power_mw or 0.0), -math.inf)
        step = next_write(aim_mw, self._guardrails, last, now_s)
        if isinstance(step, Settled) and self._aim is None:
            # A new lease says it again, for the device may have been told something else.
            due_s = last.at_s + self._guardrails.write_interval_s
            step = WriteNow(aim_mw, arrives=True) if due_s <= now_s else Later(due_s)
        aim = self._aim
        is_news = aim is None or (aim.aim_mw, aim.clamps) != (aim_mw, clamps)
        match step:
            case WriteNow(write_mw):
                return Move(write_mw, aim_mw, clamps, is_news)
            case Later(at_s):
                self.next_at_s = at_s
            case Settled():
                self.next_at_s = math.inf
                self._aim = Move(last.setpoint_mw, aim_mw, clamps, is_news)
        return None

    def written(self, move: Move, now_s: float) -> None:
        """The device has confirmed a move."""
        self._aim, self._last = move, Written(move.power_mw, now_s)
        step = next_write(move.aim_mw, self._guardrails, self._last, now_s)
        self.next_at_s = step.at_s if isinstance(step, Later) else math.inf


def acked(verdict: Permitted | Clamped) -> Acked:
    """The word for a lease that is taken."""
    match verdict:
        case Permitted():
            return Acked()
        case Clamped(clamps=clamps):
            return Acked(reason=DispatchReason.NARROWED, detail=_told(clamps), clamps=clamps)


def _is_by_charge(clamps: Sequence[Clamp]) -> bool:
    return any(clamp.reason == DispatchReason.STATE_OF_CHARGE for clamp in clamps)


def _narrower(guardrails: Guardrails, margin_pct: float) -> Guardrails:
    low_pct, high_pct = guardrails.soc_min_pct, guardrails.soc_max_pct
    return replace(
        guardrails,
        soc_min_pct=None if low_pct is None else low_pct + margin_pct,
        soc_max_pct=None if high_pct is None else high_pct - margin_pct,
    )


def _told(clamps: Sequence[Clamp]) -> str:
    return f"narrowed to {clamps[-1].to_mw:g} MW: " + "; ".join(each.detail for each in clamps)
