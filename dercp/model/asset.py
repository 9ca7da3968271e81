"""What a site says stands there: its assets, their nameplates and their points."""

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from dercp.model.errors import ModelError
from dercp.model.ids import IdError, check_id
from dercp.model.points import Kind, PointNotFoundError, point_named, point_numbered

CUSTOM = 0
"""The number of every point that is not in the points table."""


class PointSpec(msgspec.Struct, frozen=True, gc=False):
    """A point as an asset has it: of the table, or a custom one (`number` 0).

    `low` and `high` are the physical range in `unit`, inclusive; a custom point has none.
    """

    name: str
    unit: str
    number: int = CUSTOM
    low: float = -math.inf
    high: float = math.inf


class FallbackValue(msgspec.Struct, frozen=True):
    """A power in MW that the asset goes to when a lease ends."""

    value_mw: float


Fallback: TypeAlias = Literal["release", "hold", "zero"] | FallbackValue
"""Where an asset goes when a lease ends: its own control, the last setpoint, 0 MW, a power."""


class AssetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. The nameplate is in MW with `p_min_mw` <= 0 <= `p_max_mw`.

    Attributes:
        limit_min_mw: The least that the site allows inside the nameplate; None = all of it.
        limit_max_mw: The most.
        fallback: None = not stated.
        tolerance_mw: How far the measured power may be off to count as following; None = the
            usual.
        settling_s: How long after a write it may take to get there; None = the usual.
        soc_min_pct: Storage: not discharged below; None = no such limit.
        soc_max_pct: Storage: not charged above.
        dead_band_mw: The smallest power other than 0 that the device can do, either way.
    """

    asset_id: str
    name: str
    kind: Kind
    p_min_mw: float
    p_max_mw: float
    energy_capacity_mwh: float | None = None
    sample_interval_s: float = 1.0
    limit_min_mw: float | None = None
    limit_max_mw: float | None = None
    fallback: Fallback | None = None
    tolerance_mw: float | None = None
    settling_s: float | None = None
    soc_min_pct: float | None = None
    soc_max_pct: float | None = None
    dead_band_mw: float = 0.0
    points: tuple[PointSpec, ...]

    @property
    def nameplate_mw(self) -> float:
        """The size of the asset: the greater of what it can give and what it can take, in MW."""
        return max(self.p_max_mw, -self.p_min_mw)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A site as its edge describes it; the order of assets and points is the telemetry schema."""

    site_id: str
    site_name: str
    assets: tuple[AssetSpec, ...]


class RegistrationLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one registration may say."""

    assets_max: int = 10_000
    points_per_asset_max: int = 64
    name_chars_max: int = 200
    unit_chars_max: int = 32
    power_mw_max: float = 10_000.0
    energy_mwh_max: float = 1_000_000.0
    sample_interval_s_min: float = 0.01
    sample_interval_s_max: float = 3600.0
    settling_s_max: float = 86_400.0


class RegistrationError(ModelError):
    """A registration that cannot be right; `path` leads to the place, as `assets[3].p_max_mw`."""

    def __init__(self, reason: str, path: str, expectation: str) -> None:
        super().__init__(reason, f"{path}: {expectation}")
        self.path = path


def standard_point(name: str) -> PointSpec:
    """The point of the table by this name, as an asset has it.

    Raises:
        PointNotFoundError: The table has no such point.
    """
    point = point_named(name)
    return PointSpec(point.name, point.unit, point.number, point.low, point.high)


def check_registration(registration: Registration, limits: RegistrationLimits) -> None:
    """Refuse what no site can mean, at its first fault.

    A standard point is accepted on any kind of asset: a charger may well know its
    temperature. What is checked is that the name, number and unit belong together.

    Raises:
        RegistrationError: `bad_id`, `duplicate_asset`, `duplicate_point`, `too_many_assets`,
            `too_many_points`, `bad_name`, `bad_unit`, `bad_nameplate`, `bad_energy_capacity`,
            `bad_sample_interval`, `bad_limits`, `bad_fallback`, `bad_tolerance`,
            `bad_settling`, `bad_soc_window`, `bad_dead_band`, `bad_range`, `unknown_point`,
            `wrong_point`, `reserved_name`.
    """
    _check_id(registration.site_id, "site_id")
    _check_text(registration.site_name, "site_name", "bad_name", limits.name_chars_max)
    _check_count(registration.assets, "assets", "too_many_assets", limits.assets_max)
    _check_distinct((a.asset_id for a in registration.assets), "assets", "duplicate_asset")
    for index, asset in enumerate(registration.assets):
        _check_asset(asset, f"assets[{index}]", limits)


def _check_asset(asset: AssetSpec, path: str, limits: RegistrationLimits) -> None:
    _check_id(asset.asset_id, f"{path}.asset_id")
    _check_text(asset.name, f"{path}.name", "bad_name", limits.name_chars_max)
    _check_nameplate(asset, path, limits.power_mw_max)
    energy_mwh = asset.energy_capacity_mwh
    if energy_mwh is not None and not 0 < energy_mwh <= limits.energy_mwh_max:
        raise RegistrationError(
            "bad_energy_capacity",
            f"{path}.energy_capacity_mwh",
            f"expected more than 0 and at most {limits.energy_mwh_max:g} MWh, got {energy_mwh:g}",
        )
    shortest_s, longest_s = limits.sample_interval_s_min, limits.sample_interval_s_max
    if not shortest_s <= asset.sample_interval_s <= longest_s:
        raise RegistrationError(
            "bad_sample_interval",
            f"{path}.sample_interval_s",
            f"expected {shortest_s:g} to {longest_s:g} s, got {asset.sample_interval_s:g}",
        )
    _check_obedience(asset, path, limits)
    _check_count(asset.points, f"{path}.points", "too_many_points", limits.points_per_asset_max)
    _check_distinct((p.name for p in asset.points), f"{path}.points", "duplicate_point")
    for index, point in enumerate(asset.points):
        _check_point(point, f"{path}.points[{index}]", limits)


def _check_nameplate(asset: AssetSpec, path: str, most_mw: float) -> None:
    if not -most_mw <= asset.p_min_mw <= 0:
        raise RegistrationError(
            "bad_nameplate",
            f"{path}.p_min_mw",
            f"expected {-most_mw:g} to 0 MW (negative flows into the asset), "
            f"got {asset.p_min_mw:g}",
        )
    if not 0 <= asset.p_max_mw <= most_mw:
        raise RegistrationError(
            "bad_nameplate",
            f"{path}.p_max_mw",
            f"expected 0 to {most_mw:g} MW (positive flows into the grid), got {asset.p_max_mw:g}",
        )


def _check_obedience(asset: AssetSpec, path: str, limits: RegistrationLimits) -> None:
    """What is said of how the asset takes a setpoint."""
    size_mw = asset.nameplate_mw
    low_mw = asset.p_min_mw if asset.limit_min_mw is None else asset.limit_min_mw
    high_mw = asset.p_max_mw if asset.limit_max_mw is None else asset.limit_max_mw
    if not asset.p_min_mw <= low_mw <= high_mw <= asset.p_max_mw:
        raise RegistrationError(
            "bad_limits",
            f"{path}.limits",
            f"expected p_min_mw <= p_max_mw within the nameplate ({asset.p_min_mw:g} to "
            f"{asset.p_max_mw:g} MW), got {low_mw:g} and {high_mw:g}",
        )
    match asset.fallback:
        case FallbackValue(value_mw):
            fallback_mw = value_mw
        case "zero":
            fallback_mw = 0.0
        case "release" | "hold" | None:
            fallback_mw = low_mw
    if not low_mw <= fallback_mw <= high_mw:
        raise RegistrationError(
            "bad_fallback",
            f"{path}.fallback",
            f"{fallback_mw:g} MW is outside what the asset may do ({low_mw:g} to {high_mw:g} MW)",
        )
    soc_min_pct = 0.0 if asset.soc_min_pct is None else asset.soc_min_pct
    soc_max_pct = 100.0 if asset.soc_max_pct is None else asset.soc_max_pct
    if not 0 <= soc_min_pct < soc_max_pct <= 100:
        raise RegistrationError(
            "bad_soc_window",
            f"{path}.limits",
            f"expected 0 <= soc_min_pct < soc_max_pct <= 100, got {soc_min_pct:g} and "
            f"{soc_max_pct:g}",
        )
    for name, value, most, unit, reason in (
        ("tolerance_mw", asset.tolerance_mw, size_mw, "MW", "bad_tolerance"),
        ("settling_s", asset.settling_s, limits.settling_s_max, "s", "bad_settling"),
        ("dead_band_mw", asset.dead_band_mw, size_mw, "MW", "bad_dead_band"),
    ):
        if value is not None and not 0 <= value <= most:
            raise RegistrationError(
                reason, f"{path}.{name}", f"expected 0 to {most:g} {unit}, got {value:g}"
            )


def _check_point(point: PointSpec, path: str, limits: RegistrationLimits) -> None:
    if not point.low <= point.high:
        raise RegistrationError(
            "bad_range", path, f"expected low <= high, got {point.low:g} and {point.high:g}"
        )
    if point.number == CUSTOM:
        _check_custom_point(point, path, limits)
        return
    try:
        standard = point_numbered(point.number)
    except PointNotFoundError as exc:
        raise RegistrationError("unknown_point", f"{path}.number", exc.detail) from None
    if (point.name, point.unit) != (standard.name, standard.unit):
        raise RegistrationError(
            "wrong_point",
            path,
            f"point {standard.number} is {standard.name} in {standard.unit or 'no unit'}, "
            f"got {point.name[:80]!r} in {point.unit[:80]!r}",
        )


def _check_custom_point(point: PointSpec, path: str, limits: RegistrationLimits) -> None:
    _check_id(point.name, f"{path}.name")
    _check_text(point.unit, f"{path}.unit", "bad_unit", limits.unit_chars_max)
    try:
        standard = point_named(point.name)
    except PointNotFoundError:
        return
    raise RegistrationError(
        "reserved_name",
        f"{path}.name",
        f"{point.name} is standard point {standard.number}; declare it so, "
        "or give the custom point another name",
    )


def _check_id(text: str, path: str) -> None:
    try:
        check_id(text, path)
    except IdError as exc:
        raise RegistrationError(exc.reason, path, exc.detail.removeprefix(f"{path}: ")) from None


def _check_text(text: str, path: str, reason: str, chars_max: int) -> None:
    if len(text) > chars_max or not text.isprintable():
        raise RegistrationError(
            reason, path, f"expected at most {chars_max} printable characters, got {text[:80]!r}"
        )


def _check_count(items: tuple[object, ...], path: str, reason: str, most: int) -> None:
    if len(items) > most:
        raise RegistrationError(reason, path, f"expected at most {most}, got {len(items)}")


def _check_distinct(names: Iterable[str], path: str, reason: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise RegistrationError(reason, f"{path}[{index}]", f"{name[:80]!r} stands here twice")
        seen.add(name)
