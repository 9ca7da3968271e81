"""Dispatches that the headend divides itself: sites with several agents, and portfolios.

The one that was handed in becomes a parent, which is never sent. What it is divided into
is written with it in one commit; each part is a dispatch like any other, and what becomes
of them is all that becomes of the parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from dercp.headend.dispatching.routes import route_of
from dercp.model.dispatch import (
    FINAL,
    AssetTarget,
    Dispatch,
    DispatchReason,
    DispatchState,
    Placement,
    Rejected,
    Share,
    ShareState,
    SiteTarget,
    Source,
    Target,
    grouped,
    id_of,
    planned,
    submit,
    summarise,
)
from dercp.model.guardrail import OnLimit
from dercp.model.time import us_from_s

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from dercp.headend.dispatching.planner import Planner
    from dercp.headend.dispatching.round import Round
    from dercp.headend.fleet.roster import Roster

ROUNDS_MAX: Final = 2
"""A shortfall is divided anew once; what is missing then is told, not chased."""

SHORTFALL_MW: Final = 0.001
REST_OF_LEASE_S_MIN: Final = 10.0
_ANSWERED = FINAL | {DispatchState.APPLIED, DispatchState.FOLLOWING, DispatchState.DEVIATING}


class Groups:
    """Divides dispatches and follows what becomes of the parts. Decides only; writes nothing."""

    def __init__(self, planner: Planner, roster: Roster, new_id: Callable[[int], str]) -> None:
        self._planner = planner
        self._roster = roster
        self._new_id = new_id

    def is_divided(self, target: Target) -> bool:
        """Whether the headend divides a dispatch for this target: no one agent answers for it."""
        return route_of(target, self._roster) is None

    def divide(self, parent: Dispatch, this: Round) -> tuple[Dispatch, ...]:
        """Divide a new dispatch of this round; the parts that can be sent, at any depth."""
        shares, sites = self._planned(parent, this.now_us, round_=1)
        parts = list(self._parts(parent, shares, sites, this.now_us))
        if not parts or (parent.request.on_limit is OnLimit.REJECT and shares.unplaced_mw):
            this.advance(parent, _refusal(shares))
            return ()
        return self._add(parent, parts, shares, this)

    def settle(self, parent: Dispatch, this: Round) -> tuple[Dispatch, ...]:
        """Let the parent follow its parts; more of them, where a shortfall is divided anew."""
        parts = [this.get(each) for each in parent.children]
        known = [each for each in parts if each is not None]
        if len(known) < len(parts):
            return ()  # the store has lost some; the parent then stands where it stood
        before, parent = parent.placement, this.change(summarise(parent, known, this.now_us))
        now = parent.placement
        if parent.is_final or now is None:
            return ()
        if now != before:
            this.keep(parent)
        if abs(now.failed_mw) <= SHORTFALL_MW or not _may_divide_anew(parent, known, this.now_us):
            return ()
        return self._divide_anew(parent, now, this)

    def _divide_anew(self, parent: Dispatch, now: Placement, this: Round) -> tuple[Dispatch, ...]:
        """Those that took their shares get what the others did not take, as far as they can."""
        before = {share.id: share for share in now.shares}
        failed = {
            share.id: share.reason or DispatchReason.DEVICE_FAILED
            for share in before.values()
            if share.state is ShareState.FAILED
        }
        shares, sites = self._planned(parent, this.now_us, round_=ROUNDS_MAX, without=failed)
        changed = [
            part
            for part in self._parts(parent, shares, sites, this.now_us)
            if _differs(part, before)
        ]
        return self._add(parent, changed, shares, this)

    def _planned(
        self,
        parent: Dispatch,
        now_us: int,
        *,
        round_: int,
        without: Mapping[str, str] | None = None,
    ) -> tuple[Placement, Container[str]]:
        """The shares, and which of them are for sites."""
        plan = self._planner.plan(parent.request, now_us, without=without)
        return planned(plan.split, round_=round_), plan.parts

    def _parts(
        self, parent: Dispatch, shares: Placement, sites: Container[str], now_us: int
    ) -> Iterator[Dispatch]:
        for share in shares.shares:
            if share.state is ShareState.EXCLUDED:
                continue
            request = replace(
                parent.request,
                target=SiteTarget(share.id) if share.id in sites else AssetTarget(share.id),
                setpoint_mw=share.setpoint_mw,
                # What the plan left out was told of; what the edge must leave out is too.
                on_limit=OnLimit.CLAMP,
            )
            yield submit(
                self._new_id(now_us),
                parent.tenant_id,
                request,
                now_us,
                parent_id=parent.dispatch_id,
            )

    def _add(
        self, parent: Dispatch, parts: list[Dispatch], shares: Placement, this: Round
    ) -> tuple[Dispatch, ...]:
        """Put the parts into the round, and divide those in turn that are sites of several."""
        if not parts:
            return ()
        this.change(grouped(parent, [each.dispatch_id for each in parts], shares, this.now_us))
        leaves: list[Dispatch] = []
        for part in parts:
            this.add(part)
            if self.is_divided(part.request.target):
                leaves += self.divide(part, this)
            else:
                leaves.append(part)
        return tuple(leaves)


def _may_divide_anew(parent: Dispatch, parts: list[Dispatch], now_us: int) -> bool:
    return (
        parent.withdrawn_as is None
        and parent.placement is not None
        and parent.placement.round < ROUNDS_MAX
        and parent.request.until_us - now_us > us_from_s(REST_OF_LEASE_S_MIN)
        and all(part.state in _ANSWERED for part in parts)
    )


def _differs(part: Dispatch, before: Mapping[str, Share]) -> bool:
    """Whether a share is worth writing anew."""
    share = before.get(id_of(part.request.target))
    return share is None or abs(part.request.setpoint_mw - share.setpoint_mw) > SHORTFALL_MW


def _refusal(shares: Placement) -> Rejected:
    """Nobody can take a share, or not all of it can be placed and that was asked for."""
    excluded = [share for share in shares.shares if share.state is ShareState.EXCLUDED]
    left_out = {share.reason for share in excluded}
    if len(excluded) < len(shares.shares):
        detail = f"{shares.unplaced_mw:g} MW of the setpoint could not be placed"
        return Rejected(source=Source.HEADEND, reason=DispatchReason.OUT_OF_RANGE, detail=detail)
    reason = left_out.pop() if len(left_out) == 1 else DispatchReason.OUT_OF_SERVICE
    return Rejected(
        source=Source.HEADEND, reason=reason, detail="none of its assets can take a share"
    )
