"""What the register map of a site.toml may say, and what is said of one that is wrong."""

import tomllib

import pytest

from adapters.modbus import ModbusOptions
from dercp.edge.config.toml_reader import Fault, convert

GOOD = """
host = "10.0.0.5"
unit_id = 3
framing = "rtu"
word_order = "little"
poll_groups = { slow = 60 }
[[points]]
point = "active_power_mw"
address = 100
type = "int32"
scale = 0.1
unit = "kW"
sign = -1
[[points]]
point = "soc_pct"
table = "input"
address = 7
type = "uint16"
scale = 0.1
unknown = [65535]
poll = "slow"
[[points]]
point = "door_open"
table = "discrete"
address = 0
[setpoint]
address = 200
type = "int16"
unit = "kW"
min_mw = -1
max_mw = 1
enable = { address = 210 }
"""


def read(text: str) -> tuple[ModbusOptions | None, list[Fault]]:
    """The options as the edge reads those of the third asset."""
    faults: list[Fault] = []
    return convert(tomllib.loads(text), ModbusOptions, "assets[2].options", faults), faults


def test_a_register_map_is_read() -> None:
    """With defaults for what it does not say."""
    options, faults = read(GOOD)
    assert not faults
    assert options is not None
    power, soc, door = options.points
    assert (power.span.count, soc.span.count, door.span.count) == (2, 1, 1)
    assert power.value_of(-5_000) * power.factor == pytest.approx(0.5)
    assert options.setpoint is not None
    assert options.setpoint.number_of(0.25 / options.setpoint.factor) == pytest.approx(250)


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        (
            'type = "int32"',
            'type = "int31"',
            (
                'assets[2].options.points[0].type: expected "int16", "uint16", "int32", "uint32", '
                '"int64", "uint64", "float32" or "float64", got "int31" (did you mean "int32"?)'
            ),
        ),
        (
            'poll = "slow"',
            'pol = "slow"',
            'assets[2].options.points[1].pol: unknown key (did you mean "poll"?)',
        ),
        (
            "address = 100",
            "address = 65536",
            "assets[2].options.points[0].address: expected int <= 65535",
        ),
        (
            "address = 100",
            "address = 65535",
            "assets[2].options.points[0]: address: the last registers of 65535 are beyond 65535",
        ),
        (
            'unit = "kW"\nsign',
            'unit = "A"\nsign',
            (
                'assets[2].options.points[0]: unit: expected "W" or "kW" or "MW" '
                'for active_power_mw, got "A"'
            ),
        ),
        ("sign = -1", "sign = 0", "assets[2].options.points[0]: sign: expected 1 or -1, got 0"),
        (
            "scale = 0.1\nunit",
            "scale = 0\nunit",
            "assets[2].options.points[0]: scale: expected a number other than 0",
        ),
        (
            'type = "uint16"\n',
            "",
            (
                "assets[2].options.points[1]: type: missing (expected one of int16, uint16, int32, "
                "uint32, int64, uint64, float32, float64)"
            ),
        ),
        (
            'table = "discrete"',
            'table = "discrete"\ntype = "int16"',
            "assets[2].options.points[2]: type: a single bit has none",
        ),
        (
            'table = "discrete"',
            'table = "discrete"\nbit = 3',
            "assets[2].options.points[2]: bit: the items of discrete are single bits already",
        ),
        (
            'table = "discrete"',
            'table = "discrete"\nunit = "V"',
            (
                "assets[2].options.points[2]: unit: door_open is no standard point, so nothing is "
                "known of its unit; use scale"
            ),
        ),
        (
            'poll = "slow"',
            'poll = "lazy"',
            'assets[2].options: points[1].poll: expected one of live, slow, got "lazy"',
        ),
        (
            'point = "soc_pct"',
            'point = "active_power_mw"',
            "assets[2].options: points[1].point: active_power_mw is already points[0]",
        ),
        (
            "max_mw = 1",
            "max_mw = -2",
            "assets[2].options.setpoint: max_mw: expected min_mw (-1) or more",
        ),
        (
            'unit = "kW"\nmin',
            'unit = "%"\nmin',
            (
                'assets[2].options.setpoint: unit: expected "W" or "kW" or "MW" for the setpoint, '
                'got "%"'
            ),
        ),
        (
            "max_mw = 1",
            'max_mw = 1\nreadback_table = "coil"',
            'assets[2].options.setpoint: readback_table: expected "holding" or "input"',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(good: str, bad: str, sentence: str) -> None:
    """So that a technician finds it in the file."""
    assert good in GOOD
    _, faults = read(GOOD.replace(good, bad, 1))
    assert [str(fault) for fault in faults] == [sentence]
