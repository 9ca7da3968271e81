"""What is asked of a dispatch, and whether it may be asked."""

import math
from collections.abc import Iterable
from typing import TypeAlias, assert_never

import msgspec

from dercp.model.asset import AssetSpec
from dercp.model.authority import Authority
from dercp.model.errors import ModelError
from dercp.model.guardrail import OnLimit
from dercp.model.time import us_from_s

DEFAULT_DURATION_S = 900.0
DEFAULT_DELIVER_WITHIN_S = 30.0


class AssetTarget(msgspec.Struct, frozen=True, tag="asset"):
    """One asset; such a dispatch never fans out."""

    asset_id: str


class SiteTarget(msgspec.Struct, frozen=True, tag="site"):
    """A site as a whole; its gateway splits the setpoint."""

    site_id: str


class PortfolioTarget(msgspec.Struct, frozen=True, tag="portfolio"):
    """A portfolio; the headend splits the setpoint, once more at each of its sites."""

    portfolio_id: str


Target: TypeAlias = AssetTarget | SiteTarget | PortfolioTarget


def id_of(target: Target) -> str:
    """What the target is called, whatever it is."""
    match target:
        case AssetTarget(asset_id):
            return asset_id
        case SiteTarget(site_id):
            return site_id
        case PortfolioTarget(portfolio_id):
            return portfolio_id
        case _:
            assert_never(target)


class DispatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A lease on a setpoint: it ends at `until_us` whoever is there to see it.

    `setpoint_mw` is positive from the asset into the grid. The edge must have accepted by
    `deliver_by_us`, or never. Of two leases the greater `priority` holds the asset.
    `on_limit` is what the edge does where a limit stands against it. `schedule_id` names the
    plan that it is a block of ("" = it stands alone), `block` counts from 0 within it.
    `authority` is whose word it is; what came over the wire from the headend is the headend's.
    """

    target: Target
    setpoint_mw: float
    start_us: int
    until_us: int
    deliver_by_us: int
    priority: int = 0
    reason: str = ""
    requested_by: str = ""
    on_limit: OnLimit = OnLimit.CLAMP
    schedule_id: str = ""
    block: int = 0
    authority: Authority = Authority.HEADEND


class GroupSpec(msgspec.Struct, frozen=True):
    """What a site or portfolio was built for, as the sum of its assets' nameplates."""

    group_id: str
    p_min_mw: float
    p_max_mw: float


class DispatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one dispatch may ask. The horizon is 48 h, so that a day-ahead plan fits."""

    horizon_s_max: float = 172_800.0
    priority_max: int = 1_000
    text_chars_max: int = 500


class DispatchError(ModelError):
    """A dispatch that must not be; `pointer` leads to the member of the request's JSON body."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.pointer = pointer


def default_until_us(start_us: int, now_us: int) -> int:
    """The end of a lease that states none: `DEFAULT_DURATION_S` after it begins to act."""
    return max(start_us, now_us) + us_from_s(DEFAULT_DURATION_S)


def default_deliver_by_us(until_us: int, now_us: int) -> int:
    """When a dispatch that does not say must have been accepted; never after its end."""
    return min(until_us, now_us + us_from_s(DEFAULT_DELIVER_WITHIN_S))


def group_spec(group_id: str, specs: Iterable[AssetSpec]) -> GroupSpec:
    """The nameplate of all these assets together."""
    everyone = tuple(specs)
    return GroupSpec(
        group_id,
        math.fsum(spec.p_min_mw for spec in everyone),
        math.fsum(spec.p_max_mw for spec in everyone),
    )


def check_request(
    request: DispatchRequest, spec: AssetSpec | GroupSpec, now_us: int, limits: DispatchLimits
) -> None:
    """Refuse what the target cannot do or nobody can mean, at its first fault.

    `spec` is the asset's, or for a site or portfolio that of `group_spec`.

    Raises:
        DispatchError: `not_finite`, `outside_nameplate`, `start_too_early`,
            `start_after_until`, `until_passed`, `until_too_far`, `deliver_by_passed`,
            `deliver_by_after_until`, `bad_priority`, `text_too_long`.
    """
    _check_setpoint(request.setpoint_mw, spec)
    _check_times(request, now_us, us_from_s(limits.horizon_s_max))
    if abs(request.priority) > limits.priority_max:
        most = limits.priority_max
        raise DispatchError(
            "bad_priority", "/priority", f"priority must be within -{most} to {most}"
        )
    for name, text in (("reason", request.reason), ("requested_by", request.requested_by)):
        if len(text) > limits.text_chars_max:
            raise DispatchError(
                "text_too_long",
                f"/{name}",
                f"{name} must have at most {limits.text_chars_max} characters",
            )


def _check_setpoint(setpoint_mw: float, spec: AssetSpec | GroupSpec) -> None:
    pointer = "/setpoint_mw"
    if not math.isfinite(setpoint_mw):
        raise DispatchError("not_finite", pointer, "setpoint_mw must be a finite number of MW")
    name = spec.asset_id if isinstance(spec, AssetSpec) else spec.group_id
    if not spec.p_min_mw <= setpoint_mw <= spec.p_max_mw:
        raise DispatchError(
            "outside_nameplate",
            pointer,
            f"setpoint_mw {setpoint_mw:g} is outside the nameplate of {name}, "
            f"{spec.p_min_mw:g} to {spec.p_max_mw:g} MW",
        )


def _check_times(request: DispatchRequest, now_us: int, horizon_us: int) -> None:
    start_us, until_us, deliver_by_us = request.start_us, request.until_us, request.deliver_by_us
    horizon_h = horizon_us / 3.6e9
    if until_us <= now_us:
        raise DispatchError("until_passed", "/until", "until has passed already")
    if until_us > now_us + horizon_us:
        raise DispatchError(
            "until_too_far", "/until", f"until must be at most {horizon_h:g} h from now"
        )
    if start_us >= until_us:
        raise DispatchError("start_after_until", "/start", "start must come before until")
    if start_us < now_us - horizon_us:
        raise DispatchError(
            "start_too_early", "/start", f"start lies more than {horizon_h:g} h in the past"
        )
    if deliver_by_us <= now_us:
        raise DispatchError("deliver_by_passed", "/deliver_by", "deliver_by has passed already")
    if deliver_by_us > until_us:
        raise DispatchError(
            "deliver_by_after_until", "/deliver_by", "deliver_by must not come after until"
        )
