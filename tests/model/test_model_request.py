"""Which requests for a dispatch are refused, and what is assumed where they say nothing."""

import math

import pytest
from msgspec.structs import replace

from dercp.model.asset import AssetSpec, standard_point
from dercp.model.dispatch import (
    AssetTarget,
    DispatchError,
    DispatchLimits,
    DispatchRequest,
    SiteTarget,
    check_request,
    default_deliver_by_us,
    default_until_us,
    group_spec,
)
from dercp.model.points import Kind

S = 1_000_000
H = 3600 * S
NOW = 1_700_000_000 * S
BATTERY = AssetSpec(
    asset_id="bess-1",
    name="Battery 1",
    kind=Kind.STORAGE,
    p_min_mw=-5.0,
    p_max_mw=5.0,
    points=(standard_point("active_power_mw"),),
)
GOOD = DispatchRequest(
    target=AssetTarget("bess-1"),
    setpoint_mw=-5.0,
    start_us=NOW,
    until_us=NOW + 900 * S,
    deliver_by_us=NOW + 30 * S,
)


def test_a_good_request_passes() -> None:
    """Up to the nameplate, up to the horizon, delivered until the last moment."""
    check_request(GOOD, BATTERY, NOW, DispatchLimits())
    last = replace(GOOD, setpoint_mw=5.0, until_us=NOW + 48 * H, deliver_by_us=NOW + 48 * H)
    check_request(last, BATTERY, NOW, DispatchLimits())


@pytest.mark.parametrize(
    ("request_", "reason", "pointer"),
    [
        (replace(GOOD, setpoint_mw=math.nan), "not_finite", "/setpoint_mw"),
        (replace(GOOD, setpoint_mw=math.inf), "not_finite", "/setpoint_mw"),
        (replace(GOOD, setpoint_mw=5.1), "outside_nameplate", "/setpoint_mw"),
        (replace(GOOD, setpoint_mw=-5.1), "outside_nameplate", "/setpoint_mw"),
        (replace(GOOD, until_us=NOW), "until_passed", "/until"),
        (replace(GOOD, until_us=NOW + 48 * H + 1), "until_too_far", "/until"),
        (replace(GOOD, start_us=GOOD.until_us), "start_after_until", "/start"),
        (replace(GOOD, start_us=NOW - 49 * H), "start_too_early", "/start"),
        (replace(GOOD, deliver_by_us=NOW), "deliver_by_passed", "/deliver_by"),
        (replace(GOOD, deliver_by_us=GOOD.until_us + 1), "deliver_by_after_until", "/deliver_by"),
        (replace(GOOD, priority=1001), "bad_priority", "/priority"),
        (replace(GOOD, priority=-1001), "bad_priority", "/priority"),
        (replace(GOOD, reason="x" * 501), "text_too_long", "/reason"),
        (replace(GOOD, requested_by="x" * 501), "text_too_long", "/requested_by"),
    ],
)
def test_a_bad_request_is_refused(request_: DispatchRequest, reason: str, pointer: str) -> None:
    """Each fault has its word for programs and a pointer into the request's body."""
    with pytest.raises(DispatchError) as caught:
        check_request(request_, BATTERY, NOW, DispatchLimits())
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)


def test_a_refusal_says_what_would_be_right() -> None:
    """The sentence is for the one who must correct it."""
    with pytest.raises(DispatchError) as caught:
        check_request(replace(GOOD, setpoint_mw=7.5), BATTERY, NOW, DispatchLimits())
    assert caught.value.detail == ("setpoint_mw 7.5 is outside the nameplate of bess-1, -5 to 5 MW")


def test_a_site_is_checked_against_all_of_its_nameplates() -> None:
    """In sum; and it is named in the refusal."""
    site = group_spec("north", [BATTERY, replace(BATTERY, p_min_mw=0.0, p_max_mw=2.0)])
    assert (site.p_min_mw, site.p_max_mw) == (-5, 7)
    wish = replace(GOOD, target=SiteTarget("north"), setpoint_mw=7.0)
    check_request(wish, site, NOW, DispatchLimits())
    with pytest.raises(DispatchError, match="nameplate of north, -5 to 7 MW"):
        check_request(replace(wish, setpoint_mw=7.1), site, NOW, DispatchLimits())


def test_what_is_assumed_fits_together() -> None:
    """A quarter of an hour from its beginning, to be delivered in half a minute, within itself."""
    assert default_until_us(NOW - 60 * S, NOW) == NOW + 900 * S
    assert default_until_us(NOW + H, NOW) == NOW + H + 900 * S
    assert default_deliver_by_us(NOW + 900 * S, NOW) == NOW + 30 * S
    assert default_deliver_by_us(NOW + 5 * S, NOW) == NOW + 5 * S
