"""The record of a dispatch: its state, its timeline, and what follows from them."""

from enum import StrEnum

import msgspec

from dercp.model.dispatch._placement import Placement
from dercp.model.dispatch._request import DispatchRequest
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp
from dercp.model.time import us_from_s

GRACE_S = 30.0
"""How long after `until` the edge's last word is waited for, unless configured."""

TIMELINE_ENTRIES_MAX = 64
"""From here on a repeated back and forth is folded; see `Dispatch.flips_folded`."""


class DispatchState(StrEnum):
    """Where a dispatch stands; the package's docstring says what each state means."""

    SUBMITTED = "submitted"
    SENT = "sent"
    ACKED = "acked"
    APPLIED = "applied"
    FOLLOWING = "following"
    DEVIATING = "deviating"
    COMPLETED = "completed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    UNKNOWN = "unknown"


FINAL = frozenset(
    {
        DispatchState.COMPLETED,
        DispatchState.REJECTED,
        DispatchState.EXPIRED,
        DispatchState.CANCELLED,
        DispatchState.SUPERSEDED,
        DispatchState.FAILED,
        DispatchState.UNKNOWN,
    }
)


class Source(StrEnum):
    """Who says so."""

    HEADEND = "headend"
    EDGE = "edge"
    OPERATOR = "operator"


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a dispatch's story.

    `time_us` is the headend's and never runs backwards within a timeline; `source_time_us`
    is what the edge's own clock said. `reason` is a `DispatchReason` or "".
    """

    state: DispatchState
    time_us: int
    source: Source
    reason: str = ""
    detail: str = ""
    source_time_us: int | None = None


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch as the headend keeps it.

    Attributes:
        timeline: The story so far, from `submitted`; its last entry bears `state`.
        readback_mw: What the device said is in force, in MW; None = not known.
        ever_sent: It may be with the edge. Never taken back.
        withdrawn_as: How the headend wants it to end, although only the edge can end it.
        superseded_by: The dispatch that took, or shall take, its place.
        flips_folded: Timeline entries left out of a long back and forth.
        parent_id: The dispatch that the headend divided, of which this is a part.
        children: The dispatches that the headend divided this one into.
        placement: How it stands with each of those who share it, as last told; None where
            it is not shared.
        clamps: The limits that made the edge apply less than asked, in order.
        applied_mw: What the limits left of the setpoint; None = not known.
        outcome: What was measured in the end.
    """

    dispatch_id: str
    tenant_id: str
    revision: int = 1
    request: DispatchRequest
    state: DispatchState
    timeline: tuple[TimelineEntry, ...]
    readback_mw: float | None = None
    ever_sent: bool = False
    withdrawn_as: DispatchState | None = None
    superseded_by: str | None = None
    flips_folded: int = 0
    parent_id: str | None = None
    children: tuple[str, ...] = ()
    placement: Placement | None = None
    clamps: tuple[Clamp, ...] = ()
    applied_mw: float | None = None
    outcome: Outcome | None = None

    @property
    def is_group(self) -> bool:
        """Whether the headend has divided it: then its children tell how it stands."""
        return bool(self.children)

    @property
    def is_final(self) -> bool:
        """Whether it has ended (`unknown` too, which a late word of the edge may resolve)."""
        return self.state in FINAL


def submit(
    dispatch_id: str,
    tenant_id: str,
    request: DispatchRequest,
    now_us: int,
    *,
    parent_id: str | None = None,
) -> Dispatch:
    """A new dispatch, from a request that was checked."""
    first = TimelineEntry(state=DispatchState.SUBMITTED, time_us=now_us, source=Source.OPERATOR)
    return Dispatch(
        dispatch_id=dispatch_id,
        tenant_id=tenant_id,
        request=request,
        state=first.state,
        timeline=(first,),
        parent_id=parent_id,
    )


def begun_at_site(
    dispatch_id: str, tenant_id: str, request: DispatchRequest, now_us: int
) -> Dispatch:
    """A dispatch that the headend first hears of from the edge: nobody has sent it there."""
    first = TimelineEntry(
        state=DispatchState.SENT, time_us=now_us, source=Source.EDGE, reason=request.authority
    )
    return Dispatch(
        dispatch_id=dispatch_id,
        tenant_id=tenant_id,
        request=request,
        state=first.state,
        timeline=(first,),
        ever_sent=True,
    )


def deliverable(dispatch: Dispatch, now_us: int) -> bool:
    """Whether it may be sent, or sent again: not answered, not withdrawn, not too late."""
    return (
        dispatch.state in {DispatchState.SUBMITTED, DispatchState.SENT}
        and not dispatch.is_group
        and dispatch.withdrawn_as is None
        and now_us < _deliver_before_us(dispatch)
    )


def cancel_due(dispatch: Dispatch) -> bool:
    """Whether the edge is to be told, or told again, that the dispatch is cancelled."""
    return (
        dispatch.withdrawn_as is DispatchState.CANCELLED
        and not dispatch.is_final
        and not dispatch.is_group
    )


def next_deadline_us(dispatch: Dispatch, grace_s: float = GRACE_S) -> int | None:
    """When a `Tick` with the same grace next changes the dispatch; None = never."""
    if dispatch.is_final or dispatch.is_group:
        return None
    if dispatch.ever_sent:
        return dispatch.request.until_us + us_from_s(grace_s)
    return _deliver_before_us(dispatch)


def _deliver_before_us(dispatch: Dispatch) -> int:
    return min(dispatch.request.deliver_by_us, dispatch.request.until_us)
