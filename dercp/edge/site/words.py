"""What is said of a dispatch that a site's assets share: sums, limits, the outcome. Pure."""

import math
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from dercp.edge.asset.lease import Lease
from dercp.edge.site.parts import Part
from dercp.model.dispatch import (
    Applied,
    Completed,
    DeviatingSeen,
    DispatchReason,
    Failed,
    FollowingSeen,
    Placement,
    Rejected,
    ShareState,
    placement,
    planned,
)
from dercp.model.following import Following, Outcome, Verdict, combined
from dercp.model.following import outcome as outcome_of
from dercp.model.guardrail import Clamp, OnLimit
from dercp.model.split import TOLERANCE_MW, Split
from dercp.model.time import us_from_s

__all__ = ["common", "completed_as", "in_force", "placed", "refusal", "total"]

_US_PER_H = 3.6e9


def placed(lease: Lease, parts: Iterable[Part], round_: int) -> Placement:
    """What the parts come to."""
    return placement(lease.setpoint_mw, [part.share for part in parts], round_=round_)


def refusal(lease: Lease, split: Split) -> Rejected | None:
    """Why a dispatch is not taken, if nobody could take anything, or all of it is wanted."""
    asked_mw = lease.setpoint_mw
    shares = planned(split)
    everyone = tuple(ShareState)
    if not split.allocations:
        detail = "no asset of the site can take a share now"
    elif abs(asked_mw) > TOLERANCE_MW and abs(split.placed_mw) <= TOLERANCE_MW:
        detail = f"no asset of the site has room for any of {asked_mw:g} MW now"
    elif split.unplaced_mw and lease.on_limit is OnLimit.REJECT:
        detail = f"{split.unplaced_mw:g} of {asked_mw:g} MW have no place at the site now"
    else:
        return None
    return Rejected(reason=common(shares, *everyone), detail=detail, placement=shares)


def in_force(
    lease: Lease, shares: Placement, verdict: Verdict
) -> Applied | FollowingSeen | DeviatingSeen:
    """The word for a dispatch that is in force, with all that is known of it."""
    clamps = _clamps(lease.setpoint_mw, shares)
    detail = "; ".join(clamp.detail for clamp in clamps)
    match verdict:
        case Verdict.FOLLOWING:
            return FollowingSeen(placement=shares, clamps=clamps)
        case Verdict.DEVIATING:
            detail = "the assets together are off what was written to them"
            return DeviatingSeen(detail=detail, placement=shares, clamps=clamps)
        case Verdict.SETTLING:
            reason = "" if not clamps else DispatchReason.NARROWED
            readback_mw = _readback_mw(shares)
            return Applied(readback_mw, reason, detail, placement=shares, clamps=clamps)


def completed_as(shares: Placement, *, has_run: bool) -> Completed | Failed:
    """The word for one whose time is over."""
    if not has_run:
        reason = common(shares, ShareState.FAILED, ShareState.EXCLUDED)
        return Failed(reason=reason, detail="no asset has taken its share")
    if any(share.state is ShareState.FAILED for share in shares.shares):
        return Completed(reason=DispatchReason.PARTIAL)
    return Completed()


def common(shares: Placement, *states: ShareState) -> str:
    """The reason that all shares of these states have, or that there are several."""
    reasons = {share.reason or share.limit for share in shares.shares if share.state in states}
    reasons.discard("")
    if not reasons:
        return DispatchReason.OUT_OF_SERVICE
    return min(reasons) if len(reasons) == 1 else DispatchReason.SEVERAL


def total(
    lease: Lease, parts: Iterable[Part], following: Following | None, now_s: float
) -> Outcome | None:
    """What the assets together came to, against what was asked of the site.

    Energy and samples are the sum of the assets' own. Of an asset that has not told its
    outcome nothing is known for all of the time. Followed is what the sum did.
    """
    told = [part for part in parts if part.outcome is not None]
    known = [part.outcome for part in told if part.outcome is not None]
    if not known:
        return None
    from_us = min(each.from_us for each in known)
    until_us = max(each.until_us for each in known)
    hours = (until_us - from_us) / _US_PER_H
    silent = [
        Outcome(
            setpoint_mw=part.given_mw,
            from_us=from_us,
            until_us=until_us,
            energy_asked_mwh=part.given_mw * hours,
            energy_delivered_mwh=None,
            followed_pct=None,
            known_pct=0.0,
            samples_good=0,
            samples_expected=0,
        )
        for part in parts
        if part.outcome is None and part.share.readback_mw is not None
    ]
    summed = combined(lease.setpoint_mw, [*known, *silent])
    if summed is None:
        return None
    followed_pct = summed.followed_pct
    if following is not None:
        of_sum = outcome_of(following, us_from_s(now_s)).followed_pct
        followed_pct = followed_pct if of_sum is None else of_sum
    return replace(summed, energy_asked_mwh=lease.setpoint_mw * hours, followed_pct=followed_pct)


def _readback_mw(shares: Placement) -> float | None:
    applied = [share for share in shares.shares if share.state is ShareState.APPLIED]
    known: Sequence[float] = [s.readback_mw for s in applied if s.readback_mw is not None]
    return math.fsum(known) if len(known) == len(applied) else None


def _clamps(asked_mw: float, shares: Placement) -> tuple[Clamp, ...]:
    """From what was asked to what the site was given: without room, then what has failed."""
    clamps, at_mw = [], asked_mw
    if shares.unplaced_mw:
        reason = common(shares, ShareState.APPLIED, ShareState.PLANNED, ShareState.EXCLUDED)
        detail = f"{shares.unplaced_mw:g} MW have no place"
        clamps.append(Clamp(reason, at_mw, at_mw - shares.unplaced_mw, detail))
        at_mw -= shares.unplaced_mw
    if abs(shares.failed_mw) > TOLERANCE_MW:
        failed = [share.id for share in shares.shares if share.state is ShareState.FAILED]
        detail = f"{shares.failed_mw:g} MW have failed ({', '.join(failed)})"
        reason = common(shares, ShareState.FAILED)
        clamps.append(Clamp(reason, at_mw, at_mw - shares.failed_mw, detail[:500]))
    return tuple(clamps)
