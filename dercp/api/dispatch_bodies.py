"""What is asked of a dispatch: the bodies, and the requests they become."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from dercp.api.problems import INVALID_BODY, Fault, Refusal
from dercp.api.resources import Megawatts, micros
from dercp.model.dispatch import (
    AssetTarget,
    DispatchRequest,
    PortfolioTarget,
    SiteTarget,
    Target,
    default_deliver_by_us,
    default_until_us,
)
from dercp.model.guardrail import OnLimit
from dercp.model.plan import TOKEN_CHARS_MAX
from dercp.model.time import us_from_s

# Who asks, until callers can be told apart.
REQUESTED_BY = "rest"

Instant = Annotated[datetime, Meta(tz=True)]
AssetId = Annotated[str, Meta(max_length=64, description="Wins over the other two")]
SiteId = Annotated[str, Meta(max_length=64, description="Wins over portfolio_id")]
PortfolioId = Annotated[str, Meta(max_length=64, description="See /portfolios")]
Start = Annotated[Instant, Meta(description="When it begins; now when left out")]
Duration = Annotated[
    float, Meta(gt=0, le=172_800, description="s from the start; 900 when left out")
]
Until = Annotated[Instant, Meta(description="The end, instead of duration_s")]
DeliverBy = Annotated[
    Instant,
    Meta(description="Not handed to the asset after this; 30 s from now when left out"),
]
Priority = Annotated[int, Meta(description="The greater holds the asset; 0 when left out")]
Why = Annotated[str, Meta(max_length=500, description="For those who read it later")]
Limited = Annotated[
    OnLimit,
    Meta(
        description="Where a limit stands against it: give what the limit allows, and say so "
        "(clamp, the default), or all or nothing (reject)"
    ),
]
PlanToken = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=TOKEN_CHARS_MAX,
        description="Of a preview: refused (409) where the plan would be another one now",
    ),
]


class Targeted(msgspec.Struct, frozen=True, kw_only=True):
    """What a dispatch, or a schedule of them, is for: the first of the three that is given."""

    asset_id: AssetId | None = None
    site_id: SiteId | None = None
    portfolio_id: PortfolioId | None = None

    def target_member(self) -> str:
        """Which of them it is: the asset, and never more than that; else the site; else ..."""
        if self.asset_id is not None:
            return "asset_id"
        return "portfolio_id" if self.site_id is None else "site_id"

    def target(self) -> Target:
        """What it is for.

        Raises:
            Refusal: `invalid-body`, when none of them is given.
        """
        if self.asset_id is not None:
            return AssetTarget(self.asset_id)
        if self.site_id is not None:
            return SiteTarget(self.site_id)
        if self.portfolio_id is not None:
            return PortfolioTarget(self.portfolio_id)
        raise _invalid("asset_id", "asset_id, site_id or portfolio_id: one is required")


class DispatchBody(Targeted, frozen=True, kw_only=True):
    """A setpoint, and how long it holds. A null member counts as left out."""

    setpoint_mw: Megawatts
    start: Start | None = None
    duration_s: Duration | None = None
    until: Until | None = None
    deliver_by: DeliverBy | None = None
    priority: Priority | None = None
    reason: Why | None = None
    on_limit: Limited | None = None
    plan_token: PlanToken | None = None


class CancelBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is to end early."""

    reason: Why | None = None


def request_of(body: DispatchBody, now_us: int) -> DispatchRequest:
    """The request of a body, with what was left out filled in.

    Raises:
        Refusal: `invalid-body` without any target or with two ends.
    """
    target = body.target()
    start_us = now_us if body.start is None else micros(body.start)
    until_us = _until_us(body, start_us, now_us)
    return DispatchRequest(
        target=target,
        setpoint_mw=body.setpoint_mw,
        start_us=start_us,
        until_us=until_us,
        deliver_by_us=deliver_by_us_of(body.deliver_by, until_us, now_us),
        priority=body.priority or 0,
        reason=body.reason or "",
        requested_by=REQUESTED_BY,
        on_limit=body.on_limit or OnLimit.CLAMP,
    )


def deliver_by_us_of(given: datetime | None, until_us: int, now_us: int) -> int:
    """When it must have been accepted, also where nobody says."""
    return default_deliver_by_us(until_us, now_us) if given is None else micros(given)


def _until_us(body: DispatchBody, start_us: int, now_us: int) -> int:
    if body.duration_s is not None and body.until is not None:
        raise _invalid("duration_s", "duration_s: give either this or until, not both")
    if body.until is not None:
        return micros(body.until)
    if body.duration_s is not None:
        return start_us + us_from_s(body.duration_s)
    return default_until_us(start_us, now_us)


def _invalid(member: str, detail: str) -> Refusal:
    return Refusal(INVALID_BODY, detail, faults=[Fault(pointer=f"#/{member}", detail=detail)])
