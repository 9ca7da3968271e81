"""A lease as it outlives its process: from monotonic time into instants, and back. Pure."""

import msgspec

from dercp.edge.asset.lease import Lease
from dercp.model.authority import Authority
from dercp.model.guardrail import OnLimit
from dercp.model.time import us_from_s

__all__ = ["KeptLease", "keep", "revive"]


class KeptLease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease by the headend's clock, and how far the edge's own was behind that one."""

    setpoint_mw: float
    start_us: int
    until_us: int
    priority: int
    behind_us: int
    on_limit: OnLimit = OnLimit.CLAMP
    schedule_id: str = ""
    authority: Authority = Authority.HEADEND


def keep(lease: Lease, *, headend_us: int, own_us: int, now_s: float) -> KeptLease:
    """The lease in instants."""
    return KeptLease(
        setpoint_mw=lease.setpoint_mw,
        start_us=headend_us + us_from_s(lease.start_s - now_s),
        until_us=headend_us + us_from_s(lease.until_s - now_s),
        priority=lease.priority,
        behind_us=headend_us - own_us,
        on_limit=lease.on_limit,
        schedule_id=lease.schedule_id,
        authority=lease.authority,
    )


def revive(
    dispatch_id: str, revision: int, kept: KeptLease, *, own_us: int, now_s: float
) -> Lease | None:
    """The lease in the monotonic time of another process; None if its time has passed.

    What time it is at the headend is not known before its first word, so the own clock
    stands in, as far behind as it was. Should it have been set back meanwhile, the lease
    takes no longer than it was meant to take.
    """
    now_us = own_us + kept.behind_us
    if now_us >= kept.until_us:
        return None
    return Lease(
        dispatch_id=dispatch_id,
        revision=revision,
        setpoint_mw=kept.setpoint_mw,
        # Before this process began, if so: its outcome speaks of all of it.
        start_s=now_s + (kept.start_us - now_us) / 1e6,
        until_s=now_s + (kept.until_us - now_us) / 1e6,
        priority=kept.priority,
        on_limit=kept.on_limit,
        schedule_id=kept.schedule_id,
        authority=kept.authority,
    )
