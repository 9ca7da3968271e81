"""How dispatches are told in JSON."""

from datetime import datetime
from typing import Annotated, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dercp.api.resources import Megawatts, Resource, moment, moment_or_none
from dercp.model.dispatch import (
    AssetTarget,
    Authority,
    Dispatch,
    DispatchRequest,
    DispatchState,
    Placement,
    PortfolioTarget,
    Share,
    ShareState,
    SiteTarget,
    Source,
    Target,
    TimelineEntry,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp, OnLimit


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


class BlockResource(Resource, frozen=True, kw_only=True):
    """Which block of a schedule a dispatch is."""

    id: Annotated[str, Meta(description="Of the schedule")]
    block: Annotated[int, Meta(description="Counts from 0")]


class ClampResource(Resource, omit_defaults=True, frozen=True, kw_only=True):
    """A limit that moved the setpoint, at the edge."""

    reason: Annotated[str, Meta(description="Which limit, a stable word")]
    from_mw: Megawatts
    to_mw: Megawatts
    detail: str = ""


class ShareResource(Resource, omit_defaults=True, frozen=True, kw_only=True):
    """The part of an asset, or of a site, in a setpoint that is shared."""

    id: str
    state: ShareState
    setpoint_mw: Annotated[
        float, Meta(description="What it was given, or what its own limits left of it, MW")
    ]
    limit: Annotated[str, Meta(description="What kept it from another share")] = ""
    reason: Annotated[str, Meta(description="Why it has none, or failed")] = ""
    detail: str = ""
    readback_mw: Annotated[float, Meta(description="What it read back, MW")] | None = None


class PlacementResource(Resource, frozen=True, kw_only=True):
    """What the shares of a setpoint come to; in sum the four are what was asked."""

    placed_mw: Annotated[float, Meta(description="Confirmed, MW")]
    pending_mw: Annotated[float, Meta(description="Given, and not confirmed yet, MW")]
    failed_mw: Annotated[float, Meta(description="Given, and not taken, MW")]
    unplaced_mw: Annotated[float, Meta(description="What nobody had room for, MW")]
    round: Annotated[int, Meta(description="2 after a shortfall was divided again")]
    shares: (
        Annotated[tuple[ShareResource, ...], Meta(description="Left out in lists")] | UnsetType
    ) = UNSET


class OutcomeResource(Resource, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What a lease came to, as measured from its start to its actual end."""

    setpoint_mw: Megawatts
    from_: datetime | None
    until: datetime | None
    energy_asked_mwh: float
    energy_delivered_mwh: (
        Annotated[float, Meta(description="Over the time that is known; null: none is, MWh")] | None
    )
    followed_pct: (
        Annotated[float, Meta(description="Share of the known time, after settling, %")] | None
    )
    known_pct: Annotated[float, Meta(description="Share of the time the power was known, %")]
    samples_good: int
    samples_expected: int
    complete_pct: Annotated[float, Meta(description="Share of the samples that came, %")]


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
    authority: Annotated[Authority, Meta(description="Whose word it is")]
    on_limit: OnLimit
    schedule: Annotated[BlockResource, Meta(description="Null: it stands alone")] | None
    parent_id: Annotated[str, Meta(description="The dispatch that it is a part of")] | None
    applied_mw: Annotated[float, Meta(description="What the limits left of it, MW")] | None
    readback_mw: Annotated[float, Meta(description="What the asset read back, MW")] | None
    withdrawn_as: (
        Annotated[
            DispatchState, Meta(description="How the headend wants it to end; only the edge can")
        ]
        | None
    )
    superseded_by: str | None
    placement: Annotated[PlacementResource, Meta(description="Null: it is not shared")] | None
    outcome: Annotated[OutcomeResource, Meta(description="Null: not measured, or not yet")] | None
    last: Annotated[TimelineResource, Meta(description="The newest entry of its timeline")]
    children: (
        Annotated[
            tuple[str, ...],
            Meta(description="The dispatches that it was divided into. Left out in lists"),
        ]
        | UnsetType
    ) = UNSET
    clamps: (
        Annotated[tuple[ClampResource, ...], Meta(description="In order. Left out in lists")]
        | UnsetType
    ) = UNSET
    timeline: (
        Annotated[tuple[TimelineResource, ...], Meta(description="Left out in lists")] | UnsetType
    ) = UNSET


def dispatch_resource(dispatch: Dispatch) -> DispatchResource:
    """A dispatch with all that happened to it."""
    return msgspec.structs.replace(
        listed_dispatch(dispatch),
        placement=None if dispatch.placement is None else _placement(dispatch.placement),
        children=dispatch.children,
        clamps=tuple(map(_clamp, dispatch.clamps)),
        timeline=tuple(map(timeline_resource, dispatch.timeline)),
    )


def listed_dispatch(dispatch: Dispatch) -> DispatchResource:
    """A dispatch as it stands in a list."""
    request, placement = dispatch.request, dispatch.placement
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
        authority=request.authority,
        on_limit=request.on_limit,
        schedule=_block(request),
        parent_id=dispatch.parent_id,
        applied_mw=dispatch.applied_mw,
        readback_mw=dispatch.readback_mw,
        withdrawn_as=dispatch.withdrawn_as,
        superseded_by=dispatch.superseded_by,
        placement=None if placement is None else _sums(placement),
        outcome=None if dispatch.outcome is None else _outcome(dispatch.outcome),
        last=timeline_resource(dispatch.timeline[-1]),
    )


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


def _block(request: DispatchRequest) -> BlockResource | None:
    if not request.schedule_id:
        return None
    return BlockResource(id=request.schedule_id, block=request.block)


def _placement(placement: Placement) -> PlacementResource:
    return msgspec.structs.replace(_sums(placement), shares=tuple(map(_share, placement.shares)))


def _sums(placement: Placement) -> PlacementResource:
    return PlacementResource(
        placed_mw=placement.placed_mw,
        pending_mw=placement.pending_mw,
        failed_mw=placement.failed_mw,
        unplaced_mw=placement.unplaced_mw,
        round=placement.round,
    )


def _share(share: Share) -> ShareResource:
    return ShareResource(
        id=share.id,
        state=share.state,
        setpoint_mw=share.setpoint_mw,
        limit=share.limit,
        reason=share.reason,
        detail=share.detail,
        readback_mw=share.readback_mw,
    )


def _clamp(clamp: Clamp) -> ClampResource:
    return ClampResource(
        reason=clamp.reason, from_mw=clamp.from_mw, to_mw=clamp.to_mw, detail=clamp.detail
    )


def _outcome(outcome: Outcome) -> OutcomeResource:
    return OutcomeResource(
        setpoint_mw=outcome.setpoint_mw,
        from_=moment_or_none(outcome.from_us),
        until=moment_or_none(outcome.until_us),
        energy_asked_mwh=outcome.energy_asked_mwh,
        energy_delivered_mwh=outcome.energy_delivered_mwh,
        followed_pct=outcome.followed_pct,
        known_pct=outcome.known_pct,
        samples_good=outcome.samples_good,
        samples_expected=outcome.samples_expected,
        complete_pct=outcome.complete_pct,
    )
