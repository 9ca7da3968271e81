"""Tables: whole numbers, units in the header, and doubt that is seen without colours."""

import io
from typing import Any

import msgspec
import pytest
from fake_api import agent, asset, telemetry
from rich.console import Console
from rich.table import Table

from dercp.cli.shapes import Agent, Asset, Point, Spool, Telemetry
from dercp.cli.tables import (
    age,
    agents_table,
    assets_table,
    backlog,
    freshness,
    telemetry_table,
    value,
)


def shown(table: Table, width: int = 100) -> list[str]:
    """The lines of a table on a terminal without colours."""
    file = io.StringIO()
    Console(file=file, width=width, no_color=True).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_assets_table_tells_what_can_be_believed() -> None:
    """Live, stale, offline and without data are four things."""
    states: list[dict[str, Any]] = [
        {},
        {"stale": True, "age_s": 130.0},
        {"online": False, "stale": True},
        {"age_s": None, "stale": True},
    ]
    items = [asset(number, **each) for number, each in enumerate(states)]
    header, *rows = shown(assets_table(msgspec.convert(items, list[Asset]), width=100))
    assert " ".join(header.split()) == "asset site kind name p min MW p max MW state age"
    ends = [row.rpartition("2.000")[2].split() for row in rows]
    assert ends == [
        ["live", "0.4", "s"],
        ["stale", "2.2", "m"],
        ["offline", "0.4", "s"],
        ["no", "data", "never"],
    ]


def test_the_agents_table_tells_why_the_last_session_ended() -> None:
    """And since when the agent is as it is."""
    gone = agent(id="south-edge", status="disconnected", session=None, peer=None)
    _, first, second = shown(
        agents_table(msgspec.convert([agent(), gone], list[Agent]), width=140), 140
    )
    assert " ".join(first.split()) == (
        "north-edge North field connected 2026-11-23 14:00:00Z 10.0.0.7:40000 1 0"
        " 1,234 / 12.0 m +0.000 link_lost"
    )
    assert second.split()[3:6] == ["disconnected", "2026-11-23", "14:00:00Z"]


@pytest.mark.parametrize("width", [24, 40, 60, 77, 78, 95, 105, 115, 120, 138, 200])
def test_a_narrow_terminal_loses_columns_not_digits(width: int) -> None:
    """Half a number is a wrong number, and half an id is nobody's."""
    for table in (
        telemetry_table([msgspec.convert(telemetry(1), Telemetry)], width=width),
        assets_table([msgspec.convert(asset(1), Asset)], width=width),
        agents_table([msgspec.convert(agent(), Agent)], width=width),
    ):
        header, row = shown(table, width)
        assert "…" not in header + row
        assert row.startswith(("bess-1", "north-edge"))


@pytest.mark.parametrize(
    ("spool", "text"),
    [
        (None, ""),
        (Spool(batches=0, oldest_age_s=None, trouble=None), "0"),
        (Spool(batches=7, oldest_age_s=90.0, trouble="disk_full"), "7 / 90.0 s disk_full"),
    ],
)
def test_a_backlog_is_a_count_and_an_age(spool: Spool | None, text: str) -> None:
    """Nothing where nothing is known; trouble in a word."""
    assert backlog(spool).plain == text


def test_numbers_line_up_whether_doubtful_or_not() -> None:
    """The mark stands beside the digits."""
    items = [telemetry(1), telemetry(2, stale=True)]
    table = telemetry_table(msgspec.convert(items, list[Telemetry]), width=100)
    _, first, second = shown(table)
    assert first.index("+1.250") == second.index("?+1.250") + 1
    assert "live" in first
    assert "stale" in second


def shown_value(point: Point | None, form: str) -> str:
    """A value of a live sample, as text."""
    return value("p", form, points={} if point is None else {"p": point}, old=False).plain


def test_not_known_and_not_set_are_two_things() -> None:
    """Null with a reason is doubt; null without one is simply none."""
    known = Point(value=None, quality="bad")
    lost = Point(value=None, quality="bad", reasons=("device_comms_lost",))
    assert shown_value(known, "z.1f") == "-"
    assert shown_value(lost, "z.1f") == "unknown"
    assert shown_value(None, "z.1f") == ""
    assert shown_value(Point(value=-0.0001, quality="good"), "+z.3f") == "+0.000"
    assert shown_value(Point(value=2.0, quality="uncertain"), "z.1f") == "?2.0"


def test_only_the_abnormal_is_coloured() -> None:
    """A screen in order is grey."""
    assert freshness(online=True, stale=False, age_s=1).style == ""
    assert freshness(online=False, stale=True, age_s=1).style == "red"


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (None, "never"),
        (0.04, "0.0 s"),
        (99.94, "99.9 s"),
        (100, "1.7 m"),
        (5_400, "1.5 h"),
        (2e5, "2.3 d"),
    ],
)
def test_ages_are_short(age_s: float | None, text: str) -> None:
    """One decimal, the unit that fits."""
    assert age(age_s) == text
