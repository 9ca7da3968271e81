"""docs/edge.md against the options of the Modbus adapters."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from adapters.modbus import ModbusOptions
from adapters.modbus._options import EnableMap, PointMap, SetpointMap
from adapters.sunspec import SunSpecOptions
from adapters.sunspec._mapping import MEASURED
from dercp.edge.config.toml_reader import Fault, convert

PAGE = (Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a title."""
    return PAGE.split(f"\n{title}\n")[1].split("\n#")[0]


@pytest.mark.parametrize(
    ("title", "options"),
    [
        ("### sunspec", SunSpecOptions),
        ("#### modbus options", ModbusOptions),
        ("#### modbus points", PointMap),
        ("#### modbus setpoint", SetpointMap),
    ],
)
def test_the_page_explains_every_option_and_no_other(
    title: str, options: type[msgspec.Struct]
) -> None:
    """Whichever table of the section it stands in."""
    table = section(title).split("| meaning |")[1].split("\n\n")[0]
    told = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert told == {field.encode_name for field in msgspec.structs.fields(options)}


def test_the_page_names_every_point_that_sunspec_gives() -> None:
    """And the one that a site gives its own name to."""
    text = section("### sunspec")
    assert {name for name in (*MEASURED, "setpoint_mw") if f"`{name}`" not in text} == set()


def test_the_example_is_a_register_map() -> None:
    """Whoever copies it has one that loads."""
    (example,) = re.findall(r"~~~toml\n(.*?)~~~", section("### modbus"), re.DOTALL)
    faults: list[Fault] = []
    table = tomllib.loads("[[assets]]\n" + example)["assets"][0]["options"]
    options = convert(table, ModbusOptions, "options", faults)
    assert not faults
    assert options is not None
    assert options.setpoint is not None
    assert options.setpoint.enable == EnableMap(210, on=1, off=0)
