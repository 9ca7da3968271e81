"""How a plan is told in JSON: who would get what, and what keeps him from another share."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from dercp.api.dispatch_resources import TargetResource, target_resource
from dercp.api.resources import Megawatts, Resource, moment
from dercp.model.plan import Plan, token_of
from dercp.model.split import Allocation, Excluded, Split


class AllocationResource(Resource, omit_defaults=True, frozen=True, kw_only=True):
    """A share, and the limit that keeps it from another one."""

    id: str
    setpoint_mw: Megawatts
    limit: Annotated[str, Meta(description="A stable word; left out where none binds")] = ""


class ExcludedResource(Resource, frozen=True, kw_only=True):
    """Who takes no part."""

    id: str
    reason: Annotated[str, Meta(description="Why, a stable word")]


class SplitResource(Resource, frozen=True, kw_only=True):
    """How a setpoint would be shared, by id."""

    setpoint_mw: Megawatts
    placed_mw: Megawatts
    unplaced_mw: Annotated[float, Meta(description="What nobody has room for, MW")]
    allocations: tuple[AllocationResource, ...]
    excluded: tuple[ExcludedResource, ...]


class PlanResource(SplitResource, frozen=True, kw_only=True):
    """What a dispatch would come to now. Nothing was done."""

    target: TargetResource
    sites: Annotated[
        dict[str, SplitResource],
        Meta(description="Of a portfolio: how the share of each of its sites would be shared"),
    ]
    issued: datetime
    expires: Annotated[datetime, Meta(description="From here on the token is not taken")]
    token: Annotated[str, Meta(description="`plan_token` of the dispatch that wants this plan")]


def plan_resource(plan: Plan) -> PlanResource:
    """A plan with its token."""
    whole = split_resource(plan.split)
    return PlanResource(
        target=target_resource(plan.target),
        setpoint_mw=whole.setpoint_mw,
        placed_mw=whole.placed_mw,
        unplaced_mw=whole.unplaced_mw,
        allocations=whole.allocations,
        excluded=whole.excluded,
        sites={site_id: split_resource(part) for site_id, part in plan.parts.items()},
        issued=moment(plan.issued_us),
        expires=moment(plan.expires_us),
        token=token_of(plan),
    )


def split_resource(split: Split) -> SplitResource:
    """A split."""
    return SplitResource(
        setpoint_mw=split.setpoint_mw,
        placed_mw=split.placed_mw,
        unplaced_mw=split.unplaced_mw,
        allocations=tuple(map(_allocation, split.allocations)),
        excluded=tuple(map(_excluded, split.excluded)),
    )


def _allocation(share: Allocation) -> AllocationResource:
    return AllocationResource(id=share.id, setpoint_mw=share.setpoint_mw, limit=share.limit)


def _excluded(member: Excluded) -> ExcludedResource:
    return ExcludedResource(id=member.id, reason=member.reason)
