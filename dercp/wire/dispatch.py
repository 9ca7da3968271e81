"""A dispatch on its way to the edge, and the edge's word about it on its way back."""

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypedDict, assert_never

import msgspec
from msgspec.structs import replace

from dercp.model.dispatch import (
    Acked,
    Applied,
    AssetTarget,
    Authority,
    Cancelled,
    Completed,
    DeviatingSeen,
    Dispatch,
    DispatchRequest,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Placement,
    PortfolioTarget,
    Rejected,
    Share,
    ShareState,
    SiteTarget,
    Superseded,
    Target,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp, OnLimit
from dercp.model.ids import IdError, check_id
from dercp.wire import v1
from dercp.wire.errors import WireError

__all__ = [
    "EdgeWord",
    "Order",
    "cancel_to_wire",
    "dispatch_to_wire",
    "event_from_update",
    "local_from_update",
    "order_from_wire",
    "update_to_wire",
]

CLAMPS_MAX: Final = 16
SHARES_MAX: Final = 10_000
WORD_CHARS_MAX: Final = 64
SENTENCE_CHARS_MAX: Final = 500

EdgeWord: TypeAlias = (
    Acked
    | Applied
    | FollowingSeen
    | DeviatingSeen
    | Completed
    | Rejected
    | ExpiredAtEdge
    | Cancelled
    | Superseded
    | Failed
)
"""What an edge can say of a dispatch."""

_ON_LIMIT = {v1.OnLimit.CLAMP: OnLimit.CLAMP, v1.OnLimit.REJECT: OnLimit.REJECT}
_ON_LIMIT_NUMBERS = {word: number for number, word in _ON_LIMIT.items()}

_PLAIN_WORDS: Mapping[v1.DispatchState, Callable[..., EdgeWord]] = {
    v1.DispatchState[word.state.name]: word
    for word in (
        Acked,
        FollowingSeen,
        DeviatingSeen,
        Completed,
        Rejected,
        ExpiredAtEdge,
        Cancelled,
        Failed,
    )
}


_AUTHORITIES = {v1.Authority[authority.name]: authority for authority in Authority}
_SHARE_STATES = {v1.AllocationState[state.name]: state for state in ShareState}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch as the edge is given it: what is asked, and by which name."""

    dispatch_id: str
    revision: int
    request: DispatchRequest


class _Said(TypedDict):
    source_time_us: int | None
    reason: str
    detail: str
    clamps: tuple[Clamp, ...]
    placement: Placement | None
    outcome: Outcome | None


def dispatch_to_wire(dispatch: Dispatch) -> v1.Dispatch:
    """The message that hands a dispatch to an edge.

    Raises:
        ValueError: It is for a portfolio, which the headend divides.
    """
    request = dispatch.request
    message = v1.Dispatch(
        dispatch_id=dispatch.dispatch_id,
        revision=dispatch.revision,
        setpoint_mw=request.setpoint_mw,
        start_us=request.start_us,
        until_us=request.until_us,
        deliver_by_us=request.deliver_by_us,
        priority=request.priority,
        reason=request.reason,
        requested_by=request.requested_by,
        on_limit=_ON_LIMIT_NUMBERS[request.on_limit],
        schedule_id=request.schedule_id,
    )
    match request.target:
        case AssetTarget(asset_id):
            message.asset_id = asset_id
        case SiteTarget(site_id):
            message.site_id = site_id
        case PortfolioTarget(portfolio_id):
            raise ValueError(f"{portfolio_id}: a portfolio is divided, and sent to no edge")
        case _:
            assert_never(request.target)
    return message


def cancel_to_wire(dispatch: Dispatch) -> v1.CancelDispatch:
    """The message that asks an edge to end a dispatch early."""
    return v1.CancelDispatch(
        dispatch_id=dispatch.dispatch_id,
        revision=dispatch.revision,
        reason=dispatch.timeline[-1].detail,
    )


def order_from_wire(message: v1.Dispatch) -> Order:
    """What a dispatch asks of this edge. Whether it may be done is not looked at here.

    Raises:
        WireError: MALFORMED: no id, no target, no number of MW, an end before its start.
    """
    try:
        check_id(message.dispatch_id, "dispatch_id")
        target = _target(message)
    except IdError as error:
        raise WireError(v1.RejectCode.MALFORMED, error.detail) from error
    if not math.isfinite(message.setpoint_mw):
        raise WireError(
            v1.RejectCode.MALFORMED,
            f"setpoint_mw: expected a finite number of MW, got {message.setpoint_mw}",
        )
    if message.until_us <= message.start_us:
        raise WireError(
            v1.RejectCode.MALFORMED,
            f"until_us: expected after start_us {message.start_us}, got {message.until_us}",
        )
    return Order(
        dispatch_id=message.dispatch_id,
        revision=message.revision,
        request=DispatchRequest(
            target=target,
            setpoint_mw=message.setpoint_mw,
            start_us=message.start_us,
            until_us=message.until_us,
            deliver_by_us=message.deliver_by_us,
            priority=message.priority,
            reason=message.reason,
            requested_by=message.requested_by,
            # One that a newer headend knows asks for caution, at least.
            on_limit=_ON_LIMIT.get(message.on_limit, OnLimit.REJECT),
            schedule_id=message.schedule_id[:WORD_CHARS_MAX],
        ),
    )


def update_to_wire(
    dispatch_id: str, revision: int, word: EdgeWord, local: DispatchRequest | None = None
) -> v1.DispatchUpdate:
    """The message that carries the edge's word to the headend.

    `local` is what was asked, of a dispatch that began at the site.
    """
    return v1.DispatchUpdate(
        dispatch_id=dispatch_id,
        revision=revision,
        state=v1.DispatchState[word.state.name],
        time_us=word.source_time_us or 0,
        reason=word.reason,
        detail=word.detail,
        readback_mw=word.readback_mw if isinstance(word, Applied) else None,
        superseded_by=(word.by or "") if isinstance(word, Superseded) else "",
        clamps=[_clamp(each) for each in word.clamps],
        split=None if word.placement is None else _split(word.placement),
        outcome=None if word.outcome is None else _outcome(word.outcome),
        local=None if local is None else _local(local),
    )


def event_from_update(update: v1.DispatchUpdate) -> EdgeWord:
    """What the edge said, for `dercp.model.dispatch.advance`. Texts too long are cut.

    Raises:
        WireError: MALFORMED: a state that this version does not know.
    """
    said = _Said(
        source_time_us=update.time_us or None,
        reason=update.reason[:WORD_CHARS_MAX],
        detail=update.detail[:SENTENCE_CHARS_MAX],
        clamps=tuple(_read_clamp(each) for each in update.clamps[:CLAMPS_MAX]),
        placement=None if update.split is None else _read_split(update.split),
        outcome=None if update.outcome is None else _read_outcome(update.outcome),
    )
    if update.state is v1.DispatchState.APPLIED:
        return Applied(readback_mw=_finite(update.readback_mw), **said)
    if update.state is v1.DispatchState.SUPERSEDED:
        return Superseded(by=update.superseded_by[:WORD_CHARS_MAX] or None, **said)
    word = _PLAIN_WORDS.get(update.state)
    if word is None:
        raise WireError(
            v1.RejectCode.MALFORMED,
            f"state: {update.state.value} is no state of a dispatch that this version knows",
        )
    return word(**said)


def local_from_update(update: v1.DispatchUpdate) -> DispatchRequest | None:
    """What was asked at the site; None of a dispatch that the headend sent.

    Raises:
        WireError: MALFORMED: no id, no target, no number of MW, an end before its start.
    """
    local = update.local
    if local is None:
        return None
    order = order_from_wire(
        v1.Dispatch(
            dispatch_id=update.dispatch_id,
            asset_id=local.asset_id,
            site_id=local.site_id,
            setpoint_mw=local.setpoint_mw,
            start_us=local.start_us,
            until_us=local.until_us,
            deliver_by_us=local.until_us,
            reason=local.reason[:SENTENCE_CHARS_MAX],
            requested_by=local.requested_by[:SENTENCE_CHARS_MAX],
        )
    )
    # Of whoever a newer edge knows, the headend knows that it was not itself.
    authority = _AUTHORITIES.get(local.authority, Authority.LOCAL_OPERATOR)
    return replace(order.request, authority=authority)


def _local(request: DispatchRequest) -> v1.LocalDispatch:
    message = v1.LocalDispatch(
        setpoint_mw=request.setpoint_mw,
        start_us=request.start_us,
        until_us=request.until_us,
        authority=v1.Authority[request.authority.name],
        requested_by=request.requested_by,
        reason=request.reason,
    )
    match request.target:
        case AssetTarget(asset_id):
            message.asset_id = asset_id
        case SiteTarget(site_id):
            message.site_id = site_id
        case PortfolioTarget(portfolio_id):
            raise ValueError(f"{portfolio_id}: no site has a portfolio")
        case _:
            assert_never(request.target)
    return message


def _clamp(clamp: Clamp) -> v1.Clamp:
    return v1.Clamp(
        reason=clamp.reason, from_mw=clamp.from_mw, to_mw=clamp.to_mw, detail=clamp.detail
    )


def _read_clamp(message: v1.Clamp) -> Clamp:
    return Clamp(
        message.reason[:WORD_CHARS_MAX],
        message.from_mw,
        message.to_mw,
        message.detail[:SENTENCE_CHARS_MAX],
    )


def _split(placement: Placement) -> v1.Split:
    """How a site's setpoint stands; what is pending is the sum of the shares that are."""
    return v1.Split(
        allocations=[
            v1.Allocation(
                asset_id=share.id,
                setpoint_mw=share.setpoint_mw,
                state=v1.AllocationState[share.state.name],
                limit=share.limit,
                reason=share.reason,
                detail=share.detail,
                readback_mw=share.readback_mw,
            )
            for share in placement.shares
        ],
        placed_mw=placement.placed_mw,
        failed_mw=placement.failed_mw,
        unplaced_mw=placement.unplaced_mw,
        round=placement.round,
    )


def _read_split(message: v1.Split) -> Placement:
    shares = tuple(_read_share(each) for each in message.allocations[:SHARES_MAX])
    planned = (share.setpoint_mw for share in shares if share.state is ShareState.PLANNED)
    return Placement(
        shares=shares,
        placed_mw=message.placed_mw,
        pending_mw=math.fsum(planned),
        failed_mw=message.failed_mw,
        unplaced_mw=message.unplaced_mw,
        round=message.round,
    )


def _read_share(message: v1.Allocation) -> Share:
    # A state that a newer edge knows is none that could be relied on.
    state = _SHARE_STATES.get(message.state, ShareState.FAILED)
    return Share(
        id=message.asset_id[:WORD_CHARS_MAX],
        setpoint_mw=message.setpoint_mw,
        state=state,
        limit=message.limit[:WORD_CHARS_MAX],
        reason=message.reason[:WORD_CHARS_MAX],
        detail=message.detail[:SENTENCE_CHARS_MAX],
        readback_mw=_finite(message.readback_mw),
    )


def _outcome(outcome: Outcome) -> v1.Outcome:
    """What was never measured is NaN, as in telemetry."""
    followed_pct, delivered_mwh = outcome.followed_pct, outcome.energy_delivered_mwh
    return v1.Outcome(
        followed_share=math.nan if followed_pct is None else followed_pct / 100,
        delivered_mwh=math.nan if delivered_mwh is None else delivered_mwh,
        asked_mwh=outcome.energy_asked_mwh,
        completeness=outcome.known_pct / 100,
        from_us=outcome.from_us,
        to_us=outcome.until_us,
        setpoint_mw=outcome.setpoint_mw,
        samples_good=outcome.samples_good,
        samples_expected=outcome.samples_expected,
    )


def _read_outcome(message: v1.Outcome) -> Outcome:
    followed_share = _finite(message.followed_share)
    return Outcome(
        setpoint_mw=message.setpoint_mw,
        from_us=message.from_us,
        until_us=message.to_us,
        energy_asked_mwh=message.asked_mwh,
        energy_delivered_mwh=_finite(message.delivered_mwh),
        followed_pct=None if followed_share is None else 100 * followed_share,
        known_pct=100 * message.completeness,
        samples_good=message.samples_good,
        samples_expected=message.samples_expected,
    )


def _target(message: v1.Dispatch) -> Target:
    if message.asset_id is not None:
        return AssetTarget(check_id(message.asset_id, "asset_id"))
    if message.site_id is not None:
        return SiteTarget(check_id(message.site_id, "site_id"))
    raise WireError(v1.RejectCode.MALFORMED, "target: expected an asset_id or a site_id, got none")


def _finite(value: float | None) -> float | None:
    """What was measured, or None: a device that answers NaN has said nothing."""
    return value if value is not None and math.isfinite(value) else None
