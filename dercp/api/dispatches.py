"""Dispatches: how one is asked for, handed in, and told."""

from datetime import datetime
from typing import Annotated, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dercp.api.idempotency import HEADER, fingerprint, read_key
from dercp.api.problems import (
    DISPATCH_REFUSED,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_BODY,
    NOT_FOUND,
    STORE_UNAVAILABLE,
    TOO_MANY_DISPATCHES,
    UNKNOWN_TARGET,
    UNSUPPORTED_TARGET,
    Fault,
    Refusal,
)
from dercp.api.queries import Query
from dercp.api.resources import Megawatts, Resource, micros, moment, moment_or_none
from dercp.api.routes import BodyCall, Call, Reply
from dercp.headend.errors import DeskBusy, KeyReused, StoreAwaited, UnknownTarget
from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchError,
    DispatchRequest,
    DispatchState,
    PortfolioTarget,
    SiteTarget,
    Source,
    Target,
    TimelineEntry,
    default_deliver_by_us,
    default_until_us,
)
from dercp.model.time import us_from_s

# Who asks, until callers can be told apart.
REQUESTED_BY = "rest"
PATH = "/dispatch"

Instant = Annotated[datetime, Meta(tz=True)]
AssetId = Annotated[str, Meta(max_length=64, description="Wins over site_id")]
SiteId = Annotated[str, Meta(max_length=64, description="Not served yet")]
Duration = Annotated[float, Meta(gt=0, le=86_400, description="s from now; 900 when left out")]
Until = Annotated[Instant, Meta(description="The end, instead of duration_s")]
DeliverBy = Annotated[
    Instant,
    Meta(description="Not handed to the asset after this; 30 s from now when left out"),
]
Why = Annotated[str, Meta(max_length=500, description="For those who read it later")]


class DispatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """A setpoint for an asset, and how long it holds. A null member counts as left out."""

    asset_id: AssetId | None = None
    site_id: SiteId | None = None
    setpoint_mw: Megawatts
    duration_s: Duration | None = None
    until: Until | None = None
    deliver_by: DeliverBy | None = None
    priority: int | None = None
    reason: Why | None = None


class TargetResource(Resource, omit_defaults=True, frozen=True, kw_only=True):
    """What a dispatch is for: one of the three."""

    asset_id: str | UnsetType = UNSET
    site_id: str | UnsetType = UNSET
    portfolio_id: str | UnsetType = UNSET


class TimelineResource(Resource, omit_defaults=True, frozen=True, kw_only=True):
    """A state that the dispatch reached, when, and who said so."""

    state: DispatchState
    time: datetime
    source: Source
    reason: str = ""
    detail: str = ""
    source_time: Annotated[datetime, Meta(description="By the edge's own clock")] | None = None


class DispatchResource(Resource, frozen=True, kw_only=True):
    """A dispatch and all that happened to it."""

    id: str
    state: DispatchState
    revision: int
    target: TargetResource
    setpoint_mw: Megawatts
    start: datetime
    until: datetime
    deliver_by: datetime
    priority: int
    reason: str
    requested_by: str
    readback_mw: Annotated[float, Meta(description="What the asset read back, MW")] | None
    withdrawn_as: (
        Annotated[
            DispatchState, Meta(description="How the headend wants it to end; only the edge can")
        ]
        | None
    )
    superseded_by: str | None
    timeline: tuple[TimelineResource, ...]


async def submit(call: BodyCall[DispatchBody]) -> Reply[DispatchResource]:
    """Hand in a dispatch; the answer comes when it is safely on disk."""
    key = read_key(call.headers.get(HEADER))
    body = call.body
    request = request_of(body, call.services.clock())
    try:
        dispatch = await call.services.desk.submit(
            request, key=key, fingerprint=fingerprint("POST", PATH, body)
        )
    except KeyReused as error:
        raise Refusal(
            IDEMPOTENCY_KEY_REUSED, "this key was used with another body; take a fresh one"
        ) from error
    except UnknownTarget as error:
        detail = f"asset_id: there is no asset {body.asset_id!r}"
        faults = [Fault(pointer="#/asset_id", detail=detail)]
        raise Refusal(UNKNOWN_TARGET, detail, faults=faults) from error
    except DispatchError as error:
        faults = [Fault(pointer=f"#{error.pointer}", detail=error.detail, reason=error.reason)]
        raise Refusal(DISPATCH_REFUSED, error.detail, faults=faults) from error
    except StoreAwaited as error:
        raise _store_unavailable(error) from error
    except DeskBusy as error:
        raise Refusal(TOO_MANY_DISPATCHES, str(error), retry_after_s=error.retry_after_s) from error
    return Reply(
        content=msgspec.json.encode(dispatch_resource(dispatch)),
        headers={"Location": f"/dispatches/{dispatch.dispatch_id}"},
    )


async def get_dispatch(call: Call[Query]) -> DispatchResource:
    """One dispatch with its timeline."""
    try:
        dispatch = await call.services.desk.dispatch(call.id)
    except StoreAwaited as error:
        raise _store_unavailable(error) from error
    if dispatch is None:
        raise Refusal(NOT_FOUND, f"there is no dispatch {call.id[:80]!r}")
    return dispatch_resource(dispatch)


def _store_unavailable(error: StoreAwaited) -> Refusal:
    return Refusal(STORE_UNAVAILABLE, str(error), retry_after_s=error.retry_after_s)


def request_of(body: DispatchBody, now_us: int) -> DispatchRequest:
    """The request of a body, with what was left out filled in.

    Raises:
        Refusal: `unsupported-target` for a site; `invalid-body` without any target or with
            two ends.
    """
    if body.duration_s is not None and body.until is not None:
        raise _invalid("duration_s", "duration_s: give either this or until, not both")
    until_us = default_until_us(now_us, now_us)
    if body.duration_s is not None:
        until_us = now_us + us_from_s(body.duration_s)
    if body.until is not None:
        until_us = micros(body.until)
    deliver_by_us = default_deliver_by_us(until_us, now_us)
    if body.deliver_by is not None:
        deliver_by_us = micros(body.deliver_by)
    return DispatchRequest(
        target=_target(body),
        setpoint_mw=body.setpoint_mw,
        start_us=now_us,
        until_us=until_us,
        deliver_by_us=deliver_by_us,
        priority=body.priority or 0,
        reason=body.reason or "",
        requested_by=REQUESTED_BY,
    )


def dispatch_resource(dispatch: Dispatch) -> DispatchResource:
    """A dispatch as it is told."""
    request = dispatch.request
    return DispatchResource(
        id=dispatch.dispatch_id,
        state=dispatch.state,
        revision=dispatch.revision,
        target=target_resource(request.target),
        setpoint_mw=request.setpoint_mw,
        start=moment(request.start_us),
        until=moment(request.until_us),
        deliver_by=moment(request.deliver_by_us),
        priority=request.priority,
        reason=request.reason,
        requested_by=request.requested_by,
        readback_mw=dispatch.readback_mw,
        withdrawn_as=dispatch.withdrawn_as,
        superseded_by=dispatch.superseded_by,
        timeline=tuple(map(timeline_resource, dispatch.timeline)),
    )


def _target(body: DispatchBody) -> AssetTarget:
    if body.asset_id is not None:
        return AssetTarget(asset_id=body.asset_id)
    if body.site_id is not None:
        detail = "site_id: dispatching a whole site is not served yet; name one of its assets"
        faults = [Fault(pointer="#/site_id", detail=detail)]
        raise Refusal(UNSUPPORTED_TARGET, detail, faults=faults)
    raise _invalid("asset_id", "asset_id: is required")


def _invalid(member: str, detail: str) -> Refusal:
    return Refusal(INVALID_BODY, detail, faults=[Fault(pointer=f"#/{member}", detail=detail)])


def target_resource(target: Target) -> TargetResource:
    """What a dispatch is for."""
    match target:
        case AssetTarget(asset_id):
            return TargetResource(asset_id=asset_id)
        case SiteTarget(site_id):
            return TargetResource(site_id=site_id)
        case PortfolioTarget(portfolio_id):
            return TargetResource(portfolio_id=portfolio_id)
        case _:
            assert_never(target)


def timeline_resource(entry: TimelineEntry) -> TimelineResource:
    """A state that a dispatch reached."""
    return TimelineResource(
        state=entry.state,
        time=moment(entry.time_us),
        source=entry.source,
        reason=entry.reason,
        detail=entry.detail,
        source_time=moment_or_none(entry.source_time_us),
    )
