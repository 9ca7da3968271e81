"""Which registrations are refused, and how they say why."""

import math

import pytest
from msgspec.structs import replace

from dercp.model.asset import (
    AssetSpec,
    FallbackValue,
    PointSpec,
    Registration,
    RegistrationError,
    RegistrationLimits,
    check_registration,
    standard_point,
)
from dercp.model.points import Kind

POWER = standard_point("active_power_mw")
HUMIDITY = PointSpec("humidity_pct", "%")
BATTERY = AssetSpec(
    asset_id="bess-1",
    name="Battery 1, hall B",
    kind=Kind.STORAGE,
    p_min_mw=-4.0,
    p_max_mw=5.0,
    energy_capacity_mwh=10.0,
    points=(POWER, HUMIDITY),
)
LIMITS = RegistrationLimits(assets_max=3, points_per_asset_max=4)


def site(*assets: AssetSpec) -> Registration:
    """A site where these assets stand."""
    return Registration(site_id="north", site_name="Nordhof", assets=assets)


def test_a_good_registration_passes() -> None:
    """Custom points, any kind's points, a load without generation, and an empty site too."""
    load = replace(BATTERY, asset_id="ev-1", kind=Kind.EV, p_max_mw=0, energy_capacity_mwh=None)
    warm = replace(load, asset_id="ev-2", points=(standard_point("temperature_c"),))
    check_registration(site(BATTERY, load, warm), LIMITS)
    check_registration(site(), LIMITS)


def test_the_nameplate_is_the_greater_side() -> None:
    """Shares of a fleet are counted by it."""
    assert BATTERY.nameplate_mw == 5.0
    assert replace(BATTERY, p_max_mw=0.0).nameplate_mw == 4.0


def pointing(point: PointSpec, **changes: object) -> AssetSpec:
    """The battery with one point, changed."""
    return replace(BATTERY, points=(replace(point, **changes),))


@pytest.mark.parametrize(
    ("asset", "reason", "path"),
    [
        (replace(BATTERY, asset_id="bess 1"), "bad_id", "asset_id"),
        (replace(BATTERY, name="x" * 201), "bad_name", "name"),
        (replace(BATTERY, name="a\x00b"), "bad_name", "name"),
        (replace(BATTERY, p_min_mw=1.0), "bad_nameplate", "p_min_mw"),
        (replace(BATTERY, p_min_mw=math.nan), "bad_nameplate", "p_min_mw"),
        (replace(BATTERY, p_min_mw=-math.inf), "bad_nameplate", "p_min_mw"),
        (replace(BATTERY, p_max_mw=-1.0), "bad_nameplate", "p_max_mw"),
        (replace(BATTERY, p_max_mw=10_001.0), "bad_nameplate", "p_max_mw"),
        (replace(BATTERY, energy_capacity_mwh=0.0), "bad_energy_capacity", "energy_capacity_mwh"),
        (
            replace(BATTERY, energy_capacity_mwh=math.nan),
            "bad_energy_capacity",
            "energy_capacity_mwh",
        ),
        (replace(BATTERY, sample_interval_s=0.001), "bad_sample_interval", "sample_interval_s"),
        (replace(BATTERY, sample_interval_s=math.inf), "bad_sample_interval", "sample_interval_s"),
        (replace(BATTERY, limit_max_mw=5.1), "bad_limits", "limits"),
        (replace(BATTERY, limit_min_mw=1.0, limit_max_mw=0.5), "bad_limits", "limits"),
        (replace(BATTERY, limit_min_mw=math.nan), "bad_limits", "limits"),
        (replace(BATTERY, fallback="zero", limit_min_mw=1.0), "bad_fallback", "fallback"),
        (replace(BATTERY, fallback=FallbackValue(math.nan)), "bad_fallback", "fallback"),
        (replace(BATTERY, soc_min_pct=90.0, soc_max_pct=10.0), "bad_soc_window", "limits"),
        (replace(BATTERY, soc_max_pct=101.0), "bad_soc_window", "limits"),
        (replace(BATTERY, tolerance_mw=6.0), "bad_tolerance", "tolerance_mw"),
        (replace(BATTERY, settling_s=-1.0), "bad_settling", "settling_s"),
        (replace(BATTERY, dead_band_mw=math.nan), "bad_dead_band", "dead_band_mw"),
        (replace(BATTERY, points=(HUMIDITY,) * 5), "too_many_points", "points"),
        (replace(BATTERY, points=(POWER, POWER)), "duplicate_point", "points[1]"),
        (pointing(POWER, unit="kW"), "wrong_point", "points[0]"),
        (pointing(POWER, name="p"), "wrong_point", "points[0]"),
        (pointing(POWER, number=999), "unknown_point", "points[0].number"),
        (pointing(HUMIDITY, low=9, high=1), "bad_range", "points[0]"),
        (pointing(HUMIDITY, low=math.nan), "bad_range", "points[0]"),
        (pointing(HUMIDITY, name="soc_pct"), "reserved_name", "points[0].name"),
        (pointing(HUMIDITY, name=""), "bad_id", "points[0].name"),
        (pointing(HUMIDITY, unit="x" * 33), "bad_unit", "points[0].unit"),
    ],
)
def test_a_bad_asset_is_refused(asset: AssetSpec, reason: str, path: str) -> None:
    """Each fault has its word for programs and the path to the place."""
    with pytest.raises(RegistrationError) as caught:
        check_registration(site(replace(BATTERY, asset_id="first"), asset), LIMITS)
    assert (caught.value.reason, caught.value.path) == (reason, f"assets[1].{path}")
    assert caught.value.detail.startswith(f"assets[1].{path}: ")
    assert caught.value.detail.count("assets[1]") == 1


@pytest.mark.parametrize(
    ("registration", "reason", "path"),
    [
        (replace(site(), site_id=""), "bad_id", "site_id"),
        (replace(site(), site_name="\n"), "bad_name", "site_name"),
        (site(BATTERY, BATTERY), "duplicate_asset", "assets[1]"),
        (site(*[BATTERY] * 4), "too_many_assets", "assets"),
    ],
)
def test_a_bad_site_is_refused(registration: Registration, reason: str, path: str) -> None:
    """The count is looked at before the contents."""
    with pytest.raises(RegistrationError) as caught:
        check_registration(registration, LIMITS)
    assert (caught.value.reason, caught.value.path) == (reason, path)


def test_a_refusal_says_what_is_expected_and_what_was_there() -> None:
    """The sentence is for the one who wrote the site's file."""
    with pytest.raises(RegistrationError) as caught:
        check_registration(site(replace(BATTERY, p_max_mw=-5.0)), LIMITS)
    assert str(caught.value) == (
        "assets[0].p_max_mw: expected 0 to 10000 MW (positive flows into the grid), got -5"
    )
