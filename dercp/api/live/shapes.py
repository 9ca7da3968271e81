"""What the stream tells, in JSON: the `data` of its events."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from dercp.api.asset_resources import AssetResource, asset_resource
from dercp.api.dispatch_resources import (
    TargetResource,
    TimelineResource,
    target_resource,
    timeline_resource,
)
from dercp.api.resources import (
    Megawatts,
    Resource,
    SessionResource,
    moment,
    session_resource,
)
from dercp.headend.fleet.changes import AgentChanged, AssetChange, AssetChanged, DispatchChanged
from dercp.headend.views import AgentStatus, AssetView
from dercp.model.dispatch import DispatchState


class AssetNews(Resource, frozen=True, kw_only=True):
    """An asset, and what has become of it."""

    changes: Annotated[
        tuple[AssetChange, ...], Meta(description="Since it was last told; none in a snapshot")
    ]
    asset: AssetResource


class AgentNews(Resource, frozen=True, kw_only=True):
    """An agent, and the session that has begun or ended."""

    id: str
    site_id: str
    site_name: str
    status: AgentStatus
    software_version: str
    session: SessionResource | None


class DispatchNews(Resource, frozen=True, kw_only=True):
    """A dispatch in its newest state; `GET /dispatches/{id}` has the rest."""

    id: str
    state: DispatchState
    target: TargetResource
    setpoint_mw: Megawatts
    until: datetime
    readback_mw: float | None
    last: Annotated[TimelineResource, Meta(description="The newest entry of its timeline")]


def asset_news(change: AssetChanged) -> AssetNews:
    """A change of an asset."""
    return AssetNews(changes=change.changes, asset=asset_resource(change.asset))


def known_asset(view: AssetView) -> AssetNews:
    """An asset in a snapshot."""
    return AssetNews(changes=(), asset=asset_resource(view))


def agent_news(change: AgentChanged) -> AgentNews:
    """An agent."""
    return AgentNews(
        id=change.agent_id,
        site_id=change.site_id,
        site_name=change.site_name,
        status=change.status,
        software_version=change.software_version,
        session=None if change.session is None else session_resource(change.session),
    )


def dispatch_news(change: DispatchChanged) -> DispatchNews:
    """A dispatch."""
    dispatch = change.dispatch
    return DispatchNews(
        id=dispatch.dispatch_id,
        state=dispatch.state,
        target=target_resource(dispatch.request.target),
        setpoint_mw=dispatch.request.setpoint_mw,
        until=moment(dispatch.request.until_us),
        readback_mw=dispatch.readback_mw,
        last=timeline_resource(dispatch.timeline[-1]),
    )
