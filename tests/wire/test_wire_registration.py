"""The registration, to bytes and back, and its id."""

import hashlib
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.asset import (
    AssetSpec,
    FallbackValue,
    PointSpec,
    Registration,
    RegistrationLimits,
    standard_point,
)
from dercp.model.points import POINTS, Kind
from dercp.wire import v1
from dercp.wire.errors import WireError
from dercp.wire.registration import (
    REGISTRATION_BYTES_MAX,
    decode_registration,
    encode_registration,
    registration_id,
)
from dercp.wire.v1 import edge_link_pb2

LIMITS = RegistrationLimits()

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(categories=["L", "N"]), max_size=20)
# "x-" keeps custom names apart from those of the table.
points = st.sampled_from([standard_point(point.name) for point in POINTS]) | st.builds(
    PointSpec, name=ids.map("x-{}".format), unit=texts
)
assets = st.builds(
    AssetSpec,
    asset_id=ids,
    name=texts,
    kind=st.sampled_from(Kind),
    p_min_mw=st.floats(-10_000, 0),
    p_max_mw=st.floats(0, 10_000),
    energy_capacity_mwh=st.none() | st.floats(1e-6, 1_000_000),
    sample_interval_s=st.integers(10, 3_600_000).map(lambda interval_ms: interval_ms / 1000),
    limit_min_mw=st.none() | st.just(-0.0),
    limit_max_mw=st.none() | st.just(0.0),
    fallback=st.sampled_from([None, "release", "hold", "zero", FallbackValue(0.0)]),
    tolerance_mw=st.none() | st.just(5e-324),
    settling_s=st.none() | st.integers(1, 86_400_000).map(lambda settling_ms: settling_ms / 1000),
    soc_min_pct=st.none() | st.floats(0, 49),
    soc_max_pct=st.none() | st.floats(50, 100),
    points=st.lists(points, max_size=8, unique_by=lambda point: point.name).map(tuple),
)
registrations = st.builds(
    Registration,
    site_id=ids,
    site_name=texts,
    assets=st.lists(assets, max_size=5, unique_by=lambda asset: asset.asset_id).map(tuple),
)

BATTERY = AssetSpec(
    asset_id="bess-1",
    name="Battery",
    kind=Kind.STORAGE,
    p_min_mw=-2.0,
    p_max_mw=2.0,
    energy_capacity_mwh=4.0,
    points=(standard_point("active_power_mw"), PointSpec("humidity", "%")),
)
SITE = Registration(site_id="site-1", site_name="Site", assets=(BATTERY,))


def message() -> edge_link_pb2.Registration:
    """The site on the wire, to be changed by a test."""
    return edge_link_pb2.Registration.FromString(encode_registration(SITE))


@given(registrations)
def test_a_registration_arrives(registration: Registration) -> None:
    """Everything that the headend needs to know of a site goes over."""
    assert decode_registration(encode_registration(registration), LIMITS) == registration


@given(registrations)
def test_both_libraries_agree_on_a_registration(registration: Registration) -> None:
    """An edge may be built with any protobuf."""
    other = v1.Registration.parse(encode_registration(registration))
    assert decode_registration(bytes(other), LIMITS) == registration


@given(registrations)
def test_the_same_registration_has_the_same_id(registration: Registration) -> None:
    """An edge that restarts does not begin a new schema."""
    again = msgspec.structs.replace(registration)
    content = encode_registration(registration)
    assert registration_id(content) == registration_id(encode_registration(again))
    assert registration_id(content) == hashlib.sha256(content).digest()[:16]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Whatever a Hello carries, it is a registration or a WireError."""
    survives(content)


@given(registrations, st.data())
def test_spoiled_registrations_are_read_or_refused(
    registration: Registration, data: st.DataObject
) -> None:
    """Damage is never more than a WireError."""
    content = encode_registration(registration)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 3, len(content))))
    survives(content[:start] + data.draw(st.binary(max_size=4)) + content[end:])


def survives(content: bytes) -> None:
    """What is read is valid and can be written again; all else is refused with a sentence."""
    try:
        registration = decode_registration(content, LIMITS)
    except WireError:
        return
    assert decode_registration(encode_registration(registration), LIMITS) == registration


def bad_kind(site: edge_link_pb2.Registration) -> None:
    """A kind of asset that a later version may have."""
    site.assets[0].kind = 99  # type: ignore[assignment]  # the stub knows no open enums


def bad_power(site: edge_link_pb2.Registration) -> None:
    """A nameplate that is no number."""
    site.assets[0].p_max_mw = math.nan


def twins(site: edge_link_pb2.Registration) -> None:
    """Two assets by one name."""
    site.assets.append(site.assets[0])


def many_points(site: edge_link_pb2.Registration) -> None:
    """An asset with a million points."""
    asset = edge_link_pb2.AssetRegistration.FromString(b"\x42\x00" * 1_000_000)
    site.assets[0].MergeFrom(asset)


def later_point(site: edge_link_pb2.Registration) -> None:
    """A standard point that a later version may have."""
    site.assets[0].points[0].point = 999  # type: ignore[assignment]  # the stub knows no open enums


def other_unit(site: edge_link_pb2.Registration) -> None:
    """A standard point in a unit that is not its own."""
    site.assets[0].points[0].unit = "kW"


def no_interval(site: edge_link_pb2.Registration) -> None:
    """No sample interval."""
    site.assets[0].sample_interval_ms = 0


def bad_site(site: edge_link_pb2.Registration) -> None:
    """A site whose id is a megabyte."""
    site.site_id = "x" * 1_000_000


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (bad_kind, r"^assets\[0\]\.kind: 99 is none"),
        (bad_power, r"^assets\[0\]\.p_max_mw: "),
        (twins, r"^assets\[1\]: 'bess-1' stands here twice"),
        (many_points, r"^assets\[0\]\.points: expected at most 64, got more"),
        (later_point, r"^assets\[0\]\.points\[0\]\.number: "),
        (other_unit, r"^assets\[0\]\.points\[0\]: point 1 is active_power_mw in MW"),
        (no_interval, r"^assets\[0\]\.sample_interval_s: "),
        (bad_site, r"^site_id: .{,200}$"),
    ],
)
def test_a_registration_that_cannot_be_right_is_refused(
    spoil: Callable[[edge_link_pb2.Registration], None], sentence: str
) -> None:
    """The sentence leads to the place."""
    site = message()
    spoil(site)
    with pytest.raises(WireError, match=sentence) as caught:
        decode_registration(site.SerializeToString(), LIMITS)
    assert caught.value.code is v1.RejectCode.BAD_REGISTRATION


def test_a_standard_point_may_be_spelled_out() -> None:
    """An edge that sends name and unit with the number means the same."""
    site = message()
    site.assets[0].points[0].name = "active_power_mw"
    site.assets[0].points[0].unit = "MW"
    assert decode_registration(site.SerializeToString(), LIMITS) == SITE


def test_a_million_assets_are_refused_by_their_count() -> None:
    """None of them becomes an object."""
    with pytest.raises(WireError, match="of more than 10000 assets") as caught:
        decode_registration(b"\x1a\x00" * 1_000_000, LIMITS)
    assert caught.value.code is v1.RejectCode.TOO_MANY_ASSETS


def test_a_huge_registration_is_refused_by_its_size() -> None:
    """It is not even parsed."""
    with pytest.raises(WireError, match="at most 4194304") as caught:
        decode_registration(bytes(REGISTRATION_BYTES_MAX + 1), LIMITS)
    assert caught.value.code is v1.RejectCode.TOO_LARGE


def test_assets_with_the_same_points_share_them() -> None:
    """Ten thousand batteries keep one list of points."""
    site = message()
    site.assets.append(site.assets[0])
    site.assets[1].asset_id = "bess-2"
    first, second = decode_registration(site.SerializeToString(), LIMITS).assets
    assert first.points is second.points
