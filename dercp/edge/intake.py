"""Whether a dispatch that arrives is still to be obeyed, and with which power. Pure."""

from typing import Final, assert_never

from dercp.edge.lease import Lease
from dercp.model.dispatch import DispatchReason, ExpiredAtEdge, Rejected
from dercp.model.guardrail import Clamped, Guardrails, Permitted, Refused, judge
from dercp.wire.dispatch import Order

__all__ = ["admit"]

# The headend grants 48 h, so that a day-ahead plan fits; an hour more for clocks that differ.
LEASE_S_MAX: Final = 49 * 3600.0


def admit(
    order: Order, guardrails: Guardrails, *, now_us: int, now_s: float
) -> Lease | ExpiredAtEdge | Rejected:
    """A lease in monotonic time, or the word that turns the order away.

    `now_us` is the headend's time. Once the lease is in monotonic seconds, no clock that
    somebody sets can lengthen it.
    """
    request = order.request
    deliver_by_us = min(request.deliver_by_us, request.until_us)
    if now_us >= deliver_by_us:
        return ExpiredAtEdge(detail=f"it came {(now_us - deliver_by_us) / 1e6:.1f} s too late")
    starts_in_s = max(0.0, (request.start_us - now_us) / 1e6)
    ends_in_s = (request.until_us - now_us) / 1e6
    if not starts_in_s < ends_in_s <= LEASE_S_MAX:
        return Rejected(
            reason="bad_window",
            detail=f"it would start in {starts_in_s:.0f} s and end in {ends_in_s:.0f} s; expected "
            f"an end after the start and within {LEASE_S_MAX:.0f} s",
        )
    match verdict := judge(request.setpoint_mw, guardrails):
        case Refused():
            return Rejected(reason=verdict.reason, detail=verdict.detail)
        case Permitted():
            reason = detail = ""
        case Clamped(setpoint_mw, clamps):
            reason = DispatchReason.NARROWED
            detail = f"narrowed to {setpoint_mw:g} MW: " + "; ".join(each.detail for each in clamps)
        case _:
            assert_never(verdict)
    return Lease(
        dispatch_id=order.dispatch_id,
        revision=order.revision,
        setpoint_mw=verdict.setpoint_mw,
        start_s=now_s + starts_in_s,
        until_s=now_s + ends_in_s,
        priority=request.priority,
        reason=reason,
        detail=detail,
    )
