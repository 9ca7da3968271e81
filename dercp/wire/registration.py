"""The registration: what stands at a site, and the schema of its telemetry."""

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from dercp.model.asset import (
    CUSTOM,
    AssetSpec,
    Fallback,
    FallbackValue,
    PointSpec,
    Registration,
    RegistrationError,
    RegistrationLimits,
    check_registration,
    standard_point,
)
from dercp.model.points import POINTS, Kind
from dercp.wire._codec import parse
from dercp.wire._scan import spans
from dercp.wire.errors import WireError
from dercp.wire.v1 import AssetKind, RejectCode
from dercp.wire.v1 import Fallback as FallbackNumber
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = [
    "REGISTRATION_BYTES_MAX",
    "decode_registration",
    "encode_registration",
    "registration_id",
]

REGISTRATION_BYTES_MAX: Final = 4 * 1024 * 1024
"""How large a registration may be; 10,000 assets of ten standard points are 1 MB."""

_ASSETS = upb.Registration.ASSETS_FIELD_NUMBER
_POINTS = upb.AssetRegistration.POINTS_FIELD_NUMBER
_STANDARD = {point.number: standard_point(point.name) for point in POINTS}
_NUMBERS = {
    Kind.STORAGE: AssetKind.STORAGE,
    Kind.PV: AssetKind.PV,
    Kind.WIND: AssetKind.WIND,
    Kind.EV: AssetKind.EV,
}
_KINDS: dict[int, Kind] = {number: kind for kind, number in _NUMBERS.items()}
_FALLBACKS: dict[int, Fallback] = {
    FallbackNumber.RELEASE: "release",
    FallbackNumber.HOLD: "hold",
    FallbackNumber.ZERO: "zero",
}
_FALLBACK_NUMBERS = {word: number for number, word in _FALLBACKS.items()}


def registration_id(content: bytes) -> bytes:
    """The id of a registration: the first 16 bytes of the SHA-256 of its bytes."""
    return hashlib.sha256(content).digest()[:16]


def encode_registration(registration: Registration) -> bytes:
    """The bytes of a registration; the same registration always gives the same bytes.

    The range of a custom point stays at the edge; sample intervals are kept to the millisecond.
    """
    message = upb.Registration(site_id=registration.site_id, site_name=registration.site_name)
    for asset in registration.assets:
        _write_asset(message.assets.add(), asset)
    return message.SerializeToString(deterministic=True)


def _write_asset(message: upb.AssetRegistration, asset: AssetSpec) -> None:
    message.asset_id = asset.asset_id
    message.name = asset.name
    message.kind = _NUMBERS[asset.kind]  # type: ignore[assignment]  # the same enum twice
    message.p_min_mw = asset.p_min_mw
    message.p_max_mw = asset.p_max_mw
    message.energy_capacity_mwh = asset.energy_capacity_mwh or 0
    message.sample_interval_ms = round(asset.sample_interval_s * 1000)
    _write_obedience(message, asset)
    for point in asset.points:
        if point.number == CUSTOM:
            message.points.add(name=point.name, unit=point.unit)
        else:
            message.points.add(point=point.number)


def _write_obedience(message: upb.AssetRegistration, asset: AssetSpec) -> None:
    """What the site says of how the asset takes a setpoint; what it does not say costs nothing."""
    if asset.limit_min_mw is not None:
        message.limit_min_mw = asset.limit_min_mw
    if asset.limit_max_mw is not None:
        message.limit_max_mw = asset.limit_max_mw
    if asset.soc_min_pct is not None:
        message.soc_min_pct = asset.soc_min_pct
    if asset.soc_max_pct is not None:
        message.soc_max_pct = asset.soc_max_pct
    message.tolerance_mw = asset.tolerance_mw or 0
    message.settling_ms = round((asset.settling_s or 0) * 1000)
    message.dead_band_mw = asset.dead_band_mw
    match asset.fallback:
        case None:
            pass
        case FallbackValue(value_mw):
            message.fallback = FallbackNumber.VALUE  # type: ignore[assignment]  # the same enum twice
            message.fallback_mw = value_mw
        case word:
            message.fallback = _FALLBACK_NUMBERS[word]  # type: ignore[assignment]  # the same enum twice


def decode_registration(content: bytes, limits: RegistrationLimits) -> Registration:
    """Read a registration and check it.

    Takes some 15 µs an asset of ten points, and at most about 2 s: for 4 MB of custom points.

    Raises:
        WireError: TOO_LARGE, TOO_MANY_ASSETS or BAD_REGISTRATION.
    """
    if len(content) > REGISTRATION_BYTES_MAX:
        raise WireError(
            RejectCode.TOO_LARGE,
            f"a registration of {len(content)} bytes, at most {REGISTRATION_BYTES_MAX} are read",
        )
    _check_counts(content, limits)
    message = parse(upb.Registration, content, RejectCode.BAD_REGISTRATION)
    for index, asset in enumerate(message.assets):
        if asset.kind not in _KINDS:
            raise WireError(
                RejectCode.BAD_REGISTRATION,
                f"assets[{index}].kind: {asset.kind} is none that this version knows",
            )
    registration = _read(message)
    try:
        check_registration(registration, limits)
    except RegistrationError as error:
        raise WireError(RejectCode.BAD_REGISTRATION, error.detail) from error
    return registration


def _check_counts(content: bytes, limits: RegistrationLimits) -> None:
    """Refuse too many assets or points at the first one too many, before any is built."""
    assets, points = limits.assets_max, limits.points_per_asset_max
    for index, (start, end) in enumerate(spans(content, _ASSETS, 0, len(content))):
        if index == assets:
            raise WireError(
                RejectCode.TOO_MANY_ASSETS,
                f"a registration of more than {assets} assets: spread them over more agents",
            )
        # One byte of a point's tag, one of its length: few bytes hold few points.
        if end - start > 2 * points and _more_than(points, spans(content, _POINTS, start, end)):
            raise WireError(
                RejectCode.BAD_REGISTRATION,
                f"assets[{index}].points: expected at most {points}, got more",
            )


def _more_than(most: int, parts: Iterator[object]) -> bool:
    return any(index == most for index, _ in enumerate(parts))


def _read(message: upb.Registration) -> Registration:
    # Assets of one kind mostly have the same points: one tuple then serves them all.
    layouts: dict[tuple[PointSpec, ...], tuple[PointSpec, ...]] = {}
    assets = []
    for asset in message.assets:
        points = tuple(_read_point(point) for point in asset.points)
        assets.append(_read_asset(asset, layouts.setdefault(points, points)))
    return Registration(site_id=message.site_id, site_name=message.site_name, assets=tuple(assets))


def _read_asset(message: upb.AssetRegistration, points: tuple[PointSpec, ...]) -> AssetSpec:
    return AssetSpec(
        asset_id=message.asset_id,
        name=message.name,
        kind=_KINDS[message.kind],
        p_min_mw=message.p_min_mw,
        p_max_mw=message.p_max_mw,
        energy_capacity_mwh=message.energy_capacity_mwh or None,
        sample_interval_s=message.sample_interval_ms / 1000,
        limit_min_mw=message.limit_min_mw if message.HasField("limit_min_mw") else None,
        limit_max_mw=message.limit_max_mw if message.HasField("limit_max_mw") else None,
        fallback=_read_fallback(message),
        tolerance_mw=message.tolerance_mw or None,
        settling_s=message.settling_ms / 1000 or None,
        soc_min_pct=message.soc_min_pct if message.HasField("soc_min_pct") else None,
        soc_max_pct=message.soc_max_pct if message.HasField("soc_max_pct") else None,
        dead_band_mw=message.dead_band_mw,
        points=points,
    )


def _read_fallback(message: upb.AssetRegistration) -> Fallback | None:
    """A fallback that a newer edge knows counts as not stated."""
    number: int = message.fallback
    if number == FallbackNumber.VALUE:
        return FallbackValue(message.fallback_mw)
    return _FALLBACKS.get(number)


def _read_point(message: upb.PointRegistration) -> PointSpec:
    standard = _STANDARD.get(message.point)
    if standard is None:
        return PointSpec(message.name, message.unit, message.point)
    if not message.name and not message.unit:
        return standard
    # Whoever spells a standard point out must mean the same: the model's check will see.
    return msgspec.structs.replace(
        standard, name=message.name or standard.name, unit=message.unit or standard.unit
    )
