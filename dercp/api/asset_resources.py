"""How assets are told in JSON: what they are, what they may, and who holds them."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dercp.api.resources import Megawatts, PointName, Resource, moment, moment_or_none, rounded
from dercp.headend.views import AssetView, ControlView
from dercp.model.asset import Fallback
from dercp.model.dispatch import Authority, DispatchState
from dercp.model.points import Kind


class LimitsResource(Resource, frozen=True, kw_only=True):
    """What the site allows of an asset, inside its nameplate; null where it limits nothing."""

    p_min_mw: Megawatts | None
    p_max_mw: Megawatts | None
    soc_min_pct: Annotated[float, Meta(description="Not discharged below, %")] | None
    soc_max_pct: Annotated[float, Meta(description="Not charged above, %")] | None
    dead_band_mw: Annotated[
        float, Meta(description="The smallest power other than 0 that it can do, MW")
    ]


class ControlResource(Resource, frozen=True, kw_only=True):
    """Who holds the setpoint of an asset, until when, and what happens then."""

    dispatch_id: str
    setpoint_mw: Megawatts
    until: datetime
    then: Annotated[Fallback, Meta(description="Its fallback; null: the site has not said")] | None
    authority: Authority
    state: DispatchState


class AssetResource(Resource, frozen=True, kw_only=True):
    """An asset as registered, and whether it can be believed now."""

    id: str
    site_id: str
    agent_id: str
    kind: Kind
    name: str
    p_min_mw: Megawatts
    p_max_mw: Megawatts
    energy_capacity_mwh: float | None
    online: Annotated[bool, Meta(description="Its agent's session is up")]
    stale: Annotated[bool, Meta(description="Its values are too old to be taken for now")]
    age_s: Annotated[float, Meta(description="Age of its latest sample, s")] | None
    points: Annotated[tuple[PointName, ...], Meta(description="Left out in lists")] | UnsetType = (
        UNSET
    )
    limits: Annotated[LimitsResource, Meta(description="Left out in lists")] | UnsetType = UNSET
    fallback: (
        Annotated[
            Fallback,
            Meta(
                description="Where it goes when a lease ends: its own control (release), the "
                "last setpoint (hold), 0 MW, a power; null: not stated. Left out in lists"
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    tolerance_mw: (
        Annotated[
            float,
            Meta(
                description="How far its power may be off to count as following; null: the "
                "usual. Left out in lists"
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    settling_s: (
        Annotated[
            float,
            Meta(description="How long it may take to get there; null: the usual. As above"),
        ]
        | UnsetType
        | None
    ) = UNSET
    control: (
        Annotated[
            ControlResource,
            Meta(description="Null: no dispatch of this headend holds it. Left out in lists"),
        ]
        | UnsetType
        | None
    ) = UNSET
    complete_until: (
        Annotated[
            datetime,
            Meta(
                description="Before this its history has all there was, or a gap that says what "
                "is missing; null: not known. Left out in lists"
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    retained_from: (
        Annotated[
            datetime,
            Meta(
                description="History older than this has been aged out, at least in part; null: "
                "none has. Left out in lists"
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


def asset_resource(view: AssetView) -> AssetResource:
    """An asset as it stands in a list."""
    spec = view.spec
    return AssetResource(
        id=spec.asset_id,
        site_id=view.site_id,
        agent_id=view.agent_id,
        kind=spec.kind,
        name=spec.name,
        p_min_mw=spec.p_min_mw,
        p_max_mw=spec.p_max_mw,
        energy_capacity_mwh=spec.energy_capacity_mwh,
        online=view.online,
        stale=view.stale,
        age_s=rounded(view.age_s),
    )


def asset_detail(
    view: AssetView, complete_until_us: int | None, retained_from_us: int | None
) -> AssetResource:
    """An asset with its points, its limits, who holds it, and how far its history goes."""
    spec = view.spec
    points = tuple(PointName(name=point.name, unit=point.unit) for point in spec.points)
    return msgspec.structs.replace(
        asset_resource(view),
        points=points,
        limits=LimitsResource(
            p_min_mw=spec.limit_min_mw,
            p_max_mw=spec.limit_max_mw,
            soc_min_pct=spec.soc_min_pct,
            soc_max_pct=spec.soc_max_pct,
            dead_band_mw=spec.dead_band_mw,
        ),
        fallback=spec.fallback,
        tolerance_mw=spec.tolerance_mw,
        settling_s=spec.settling_s,
        control=None if view.control is None else _control(view.control),
        complete_until=moment_or_none(complete_until_us),
        retained_from=moment_or_none(retained_from_us),
    )


def _control(view: ControlView) -> ControlResource:
    return ControlResource(
        dispatch_id=view.dispatch_id,
        setpoint_mw=view.setpoint_mw,
        until=moment(view.until_us),
        then=view.fallback,
        authority=view.authority,
        state=view.state,
    )
