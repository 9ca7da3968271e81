"""A dispatch on its way to the edge, and the edge's word about it on its way back."""

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypedDict, assert_never

import msgspec

from dercp.model.dispatch import (
    Acked,
    Applied,
    AssetTarget,
    Cancelled,
    Completed,
    DeviatingSeen,
    Dispatch,
    DispatchRequest,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Rejected,
    SiteTarget,
    Superseded,
    Target,
)
from dercp.model.ids import IdError, check_id
from dercp.wire import v1
from dercp.wire.errors import WireError

__all__ = [
    "EdgeWord",
    "Order",
    "dispatch_to_wire",
    "event_from_update",
    "order_from_wire",
    "update_to_wire",
]

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


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch as the edge is given it: what is asked, and by which name."""

    dispatch_id: str
    revision: int
    request: DispatchRequest


class _Said(TypedDict):
    source_time_us: int | None
    reason: str
    detail: str


def dispatch_to_wire(dispatch: Dispatch) -> v1.Dispatch:
    """The message that hands a dispatch to an edge."""
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
    )
    match request.target:
        case AssetTarget(asset_id):
            message.asset_id = asset_id
        case SiteTarget(site_id):
            message.site_id = site_id
        case _:
            assert_never(request.target)
    return message


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
        ),
    )


def update_to_wire(dispatch_id: str, revision: int, word: EdgeWord) -> v1.DispatchUpdate:
    """The message that carries the edge's word to the headend."""
    return v1.DispatchUpdate(
        dispatch_id=dispatch_id,
        revision=revision,
        state=v1.DispatchState[word.state.name],
        time_us=word.source_time_us or 0,
        reason=word.reason,
        detail=word.detail,
        readback_mw=word.readback_mw if isinstance(word, Applied) else None,
        superseded_by=(word.by or "") if isinstance(word, Superseded) else "",
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


def _target(message: v1.Dispatch) -> Target:
    if message.asset_id is not None:
        return AssetTarget(check_id(message.asset_id, "asset_id"))
    if message.site_id is not None:
        return SiteTarget(check_id(message.site_id, "site_id"))
    raise WireError(v1.RejectCode.MALFORMED, "target: expected an asset_id or a site_id, got none")


def _finite(power_mw: float | None) -> float | None:
    """What was read back, or None: a device that answers NaN has said nothing."""
    return power_mw if power_mw is not None and math.isfinite(power_mw) else None
