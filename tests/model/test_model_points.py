"""The points table agrees with itself, with the wire, and with its page."""

import re
from pathlib import Path

import pytest

from dercp.model.points import (
    POINTS,
    Kind,
    PointNotFoundError,
    page,
    point_named,
    point_numbered,
    points_of,
)
from dercp.model.quality import Quality, Reason

ROOT = Path(__file__).parents[2]
PROTO = (ROOT / "proto/dercp/v1/edge_link.proto").read_text()


def enum_of_proto(name: str) -> dict[str, int]:
    """The members of an enum in edge_link.proto, without the enum's prefix."""
    found = re.search(rf"^enum {name} {{\n(.*?)^}}", PROTO, re.DOTALL | re.MULTILINE)
    assert found, f"edge_link.proto has no enum {name}"
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    members = re.findall(r"^\s*(\w+) = (\d+);", found[1], re.MULTILINE)
    return {member.removeprefix(prefix): int(number) for member, number in members}


def test_the_wire_and_the_table_have_the_same_points() -> None:
    """A point is added to both, or to neither."""
    table = {point.name.upper(): point.number for point in POINTS}
    assert enum_of_proto("Point") == {"CUSTOM": 0, **table}


def test_the_wire_and_the_model_have_the_same_kinds() -> None:
    """A kind is added to both, or to neither."""
    assert set(enum_of_proto("AssetKind")) == {"UNSPECIFIED", *(kind.name for kind in Kind)}


def test_the_wire_and_the_model_have_the_same_qualities() -> None:
    """Numbers and bits are equal, so that nothing has to be translated."""
    assert enum_of_proto("Quality") == {q.name: q.value for q in Quality}
    assert enum_of_proto("QualityReason") == {
        str(name): reason.value for name, reason in Reason.__members__.items()
    }


def test_the_page_is_current() -> None:
    """docs/points.md is what points.py prints."""
    assert (ROOT / "docs/points.md").read_text() == page()


def test_names_end_in_their_units() -> None:
    """Who reads `active_power_mw` need not look up the unit."""
    suffixes = {
        "MW": "_mw",
        "Mvar": "_mvar",
        "MWh": "_mwh",
        "V": "_v",
        "Hz": "_hz",
        "%": "_pct",
        "°C": "_c",
        "W/m²": "_w_m2",
        "m/s": "_m_s",
        "°": "_deg",
        "1/min": "_rpm",
    }
    for point in POINTS:
        assert point.name.endswith(suffixes.get(point.unit, "")), point.name


def test_each_point_is_found_by_name_and_number() -> None:
    """Names and numbers are unique, ranges are not empty, sentences are sentences."""
    for point in POINTS:
        assert point_named(point.name) is point
        assert point_numbered(point.number) is point
        assert point.low < point.high
        assert point.kinds
        assert point.meaning.endswith(".")


def test_points_of_a_kind_are_the_common_core_and_its_own() -> None:
    """In the order of the table."""
    assert [point.name for point in points_of(Kind.EV)][-5:] == [
        "energy_imported_mwh",
        "connectors_total",
        "connectors_occupied",
        "session_energy_mwh",
        "vehicle_soc_pct",
    ]
    assert all(points_of(kind)[0].name == "active_power_mw" for kind in Kind)


def test_a_point_that_is_not_there_is_named() -> None:
    """The error says which one was asked for."""
    with pytest.raises(PointNotFoundError, match="'soc'"):
        point_named("soc")
    with pytest.raises(PointNotFoundError, match="number 999"):
        point_numbered(999)
