"""Whether a dispatch that arrives is in time, and from when to when it holds. Pure."""

from typing import Final

from dercp.edge.asset.lease import Lease
from dercp.model.dispatch import DispatchReason, ExpiredAtEdge, Rejected
from dercp.wire.dispatch import Order

__all__ = ["admit"]

# The headend grants 48 h, so that a day-ahead plan fits; an hour more for clocks that differ.
LEASE_S_MAX: Final = 49 * 3600.0
# What starts later than this is kept, and after a restart begun by this machine's clock.
STARTS_LATER_S: Final = 5.0


def admit(
    order: Order, *, now_us: int, now_s: float, clock_off_s: float, clock_off_s_max: float
) -> Lease | ExpiredAtEdge | Rejected:
    """A lease in monotonic time, or the word that turns the order away.

    `now_us` is the headend's time. Once the lease is in monotonic seconds, no clock that
    somebody sets can lengthen it. Should the agent start anew with the headend gone, though,
    it knows the time from its own clock only: one that is off by `clock_off_s` must not be
    given a plan to keep.
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
    if starts_in_s > STARTS_LATER_S and abs(clock_off_s) > clock_off_s_max:
        return Rejected(
            reason=DispatchReason.CLOCK_SUSPECT,
            detail=f"the clock at the site is {clock_off_s:+.1f} s off the headend's, and "
            f"{clock_off_s_max:g} s are allowed for what starts later: set it right",
        )
    return Lease(
        dispatch_id=order.dispatch_id,
        revision=order.revision,
        setpoint_mw=request.setpoint_mw,
        start_s=now_s + starts_in_s,
        until_s=now_s + ends_in_s,
        priority=request.priority,
        on_limit=request.on_limit,
        schedule_id=request.schedule_id,
        authority=request.authority,
    )
