"""Commands at the dispatch desk: what is asked of the API, and what is told of its answers."""

import io
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fake_api import T0, FakeApi, dispatch, parsed, placement, portfolio, problem
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner, Result

from dercp.cli import app
from dercp.cli.desk_tables import (
    blocks_table,
    dispatches_table,
    plan_table,
    portfolios_table,
)
from dercp.cli.exits import Exit
from dercp.cli.shapes import Dispatch, Plan, Portfolio

PLAN: dict[str, Any] = {
    "target": {"portfolio_id": "east"},
    "setpoint_mw": 4.0,
    "placed_mw": 3.0,
    "unplaced_mw": 1.0,
    "allocations": [
        {"id": "north", "setpoint_mw": 2.0, "limit": "nameplate"},
        {"id": "pv-1", "setpoint_mw": 1.0, "limit": "available"},
    ],
    "excluded": [{"id": "south", "reason": "stale"}],
    "sites": {
        "north": {
            "setpoint_mw": 2.0,
            "placed_mw": 2.0,
            "unplaced_mw": 0.0,
            "allocations": [{"id": "bess-1", "setpoint_mw": 2.0}],
            "excluded": [{"id": "bess-2", "reason": "offline"}],
        }
    },
    "issued": T0,
    "expires": T0,
    "token": "lJO",
}
LAST = {"state": "failed", "time": T0, "source": "edge", "reason": "device_failed"}


def dercp(*arguments: str) -> Result:
    """One run of the command."""
    return CliRunner().invoke(app, arguments)


def shown(table: Table, width: int = 160) -> list[list[str]]:
    """The cells of a table on a terminal without colours."""
    file = io.StringIO()
    Console(file=file, width=width, no_color=True).print(table)
    lines = [line.split("  ") for line in file.getvalue().splitlines()]
    return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def listed(**changes: object) -> dict[str, Any]:
    """A dispatch as it stands in a list."""
    whole = dispatch("failed", last=LAST, start=T0)
    del whole["timeline"]
    return whole | changes


# --- dispatch


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("bess-1 1", {"asset_id": "bess-1", "setpoint_mw": 1.0}),
        ("--site north -2.5", {"site_id": "north", "setpoint_mw": -2.5}),
        ("--portfolio east 1 --for 1h", {"portfolio_id": "east", "duration_s": 3600.0}),
        ("a 1 --until 2026-11-24T17:00:00Z", {"until": "2026-11-24T17:00:00.000000Z"}),
        ("a 1 --start 2026-11-24T17:00:00+01:00", {"start": "2026-11-24T16:00:00.000000Z"}),
        ("a 1 --reject-if-limited", {"on_limit": "reject"}),
    ],
)
def test_what_is_typed_is_what_is_asked(
    api: FakeApi, url: str, line: str, body: dict[str, object]
) -> None:
    """And nothing that was not typed."""
    api.on("/dispatch", dispatch("submitted", "applied"))
    done = dercp("dispatch", *line.split(), "--url", url)
    assert done.exit_code == Exit.OK, done.stderr
    asked = parsed(api.asked[0].content.decode())
    assert asked | body == asked
    assert len(asked) <= 3


def test_a_time_from_now_on_is_written_out(api: FakeApi, url: str) -> None:
    """The headend is told a time of the calendar."""
    api.on("/dispatch", dispatch("submitted", "applied"))
    dercp("dispatch", "a", "1", "--until", "+1h", "--url", url)
    until = parsed(api.asked[0].content.decode())["until"]
    assert until.endswith("Z")
    assert until > "2026-11-23"


def test_a_detached_dispatch_is_not_followed(api: FakeApi, url: str) -> None:
    """It is on the headend's disk; that is all that is promised."""
    api.on("/dispatch", dispatch("submitted"))
    done = dercp("dispatch", "bess-1", "1", "--detach", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout)["state"] == "submitted"
    assert len(api.asked) == 1


def test_a_dispatch_that_is_waited_for(api: FakeApi, url: str) -> None:
    """The last document is the one that is printed."""
    api.on("/dispatch", dispatch("submitted"))
    api.on("/dispatches/0193", dispatch("submitted", "applied", "completed"))
    done = dercp("dispatch", "bess-1", "1", "--wait", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout)["state"] == "completed"


def test_a_preview_asks_for_a_plan_and_dispatches_nothing(api: FakeApi, url: str) -> None:
    """The answer as the API gave it, for --plan."""
    api.on("/dispatch/preview", PLAN)
    done = dercp("dispatch", "--portfolio", "east", "4", "--preview", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout) == PLAN
    assert [request.url.path for request in api.asked] == ["/dispatch/preview"]
    assert "Idempotency-Key" not in api.asked[0].headers


def test_a_plan_is_handed_back(api: FakeApi, url: str, tmp_path: Path) -> None:
    """Its token; when the fleet has moved, the shares that are others now."""
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(PLAN))
    answer = {
        "type": "/problems/fleet-moved",
        "title": "No",
        "status": 409,
        "detail": "the fleet has moved",
        "moved": [
            {"id": "pv-1", "planned_mw": 1.0, "now_mw": 0.0, "reason": "offline"},
            {"id": None, "planned_mw": 0.0, "now_mw": 1.0},
        ],
    }
    api.on("/dispatch", httpx.Response(409, json=answer))
    done = dercp(
        "dispatch", "--portfolio", "east", "4", "--plan", str(file), "--detach", "--url", url
    )
    assert parsed(api.asked[0].content.decode())["plan_token"] == PLAN["token"]
    assert done.exit_code == Exit.FAILED
    assert done.stderr.splitlines() == [
        "error: the fleet has moved",
        "       pv-1: +1.000 MW planned, +0.000 MW now (offline)",
        "       unplaced: +0.000 MW planned, +1.000 MW now",
    ]


@pytest.mark.parametrize("content", [None, b"{}", b"no"])
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes | None) -> None:
    """78, before anybody is asked."""
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_bytes(content)
    done = dercp("dispatch", "a", "1", "--plan", str(file))
    assert done.exit_code == Exit.CONFIG
    assert "plan.json: " in done.stderr


def test_a_dispatch_is_cancelled(api: FakeApi, url: str) -> None:
    """0 when it has ended so."""
    api.on("/dispatches/0193/cancel", dispatch("submitted", "cancelled"))
    done = dercp("dispatch", "--cancel", "0193", "--reason", "storm", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout)["state"] == "cancelled"
    assert parsed(api.asked[0].content.decode()) == {"reason": "storm"}


def test_what_has_ended_is_not_cancelled(api: FakeApi, url: str) -> None:
    """The headend says how it ended."""
    api.on("/dispatches/0193/cancel", problem(409, "dispatch 0193 has ended: completed"))
    done = dercp("dispatch", "--cancel", "0193", "--url", url)
    assert done.exit_code == Exit.FAILED
    assert done.stderr == "error: dispatch 0193 has ended: completed\n"


# --- lists


def test_dispatches_are_asked_for_as_typed(api: FakeApi, url: str) -> None:
    """One page, the newest."""
    api.on("/dispatches", {"items": [listed()], "next": "more"})
    done = dercp("dispatches", "--site", "north", "--open", "--count", "7", "--url", url)
    assert parsed(done.stdout) == [listed()]
    asked = dict(api.asked[0].url.params)
    assert asked == {"site_id": "north", "open": "true", "limit": "7"}


def test_the_table_of_dispatches_tells_why() -> None:
    """What was asked, where it stands, and the newest reason."""
    items = [listed(), listed(target={"site_id": "north"}, placement=placement(unplaced_mw=-0.1))]
    header, one, site = shown(dispatches_table(msgspec.convert(items, list[Dispatch]), width=160))
    assert header == ["dispatch", "target", "MW", "state", "placed MW", "start", "until", "why"]
    assert one[:4] == ["0193", "bess-1", "-0.500", "failed"]
    assert one[-1] == "device_failed"
    assert site[1] == "site north"
    assert site[4] == "-0.500"


def test_the_table_of_a_plan_names_everyone() -> None:
    """The assets of a site that is split in turn; who is left out has no number."""
    _, *rows = shown(plan_table(msgspec.convert(PLAN, Plan), width=100))
    assert rows == [
        ["north", "bess-1", "+2.000"],
        ["north", "bess-2", "-", "offline"],
        ["pv-1", "+1.000", "available"],
        ["south", "-", "stale"],
    ]


# --- schedules


def schedule(*states: str) -> dict[str, Any]:
    """A schedule of blocks in these states."""
    blocks = [listed(state=state) for state in states]
    return {"id": "s1", "target": {"site_id": "north"}, "blocks": blocks}


TOML = """
site_id = "north"
[[blocks]]
start = 2026-11-24T17:00:00Z
until = 2026-11-24T18:00:00+01:00
setpoint_mw = 1.5
"""
CSV = "start,until,setpoint_mw\n2026-11-24T17:00:00Z,2026-11-24T17:15:00Z,1.5\n"


def test_a_schedule_of_a_toml_file(api: FakeApi, url: str, tmp_path: Path) -> None:
    """The members of the API; an option wins over the file."""
    file = tmp_path / "plan.toml"
    file.write_text(TOML, encoding="utf-8")
    api.on("/schedules", schedule("submitted"))
    done = dercp("schedule", str(file), "--reason", "day ahead", "--key", "k", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout)["id"] == "s1"
    assert api.asked[0].headers["Idempotency-Key"] == "k"
    assert parsed(api.asked[0].content.decode()) == {
        "site_id": "north",
        "reason": "day ahead",
        "blocks": [
            {
                "start": "2026-11-24T17:00:00Z",
                "until": "2026-11-24T18:00:00+01:00",
                "setpoint_mw": 1.5,
            }
        ],
    }


def test_a_schedule_of_a_csv_file(api: FakeApi, url: str, tmp_path: Path) -> None:
    """Three columns; whom it is for the option says."""
    file = tmp_path / "plan.csv"
    file.write_text("\ufeff" + CSV, encoding="utf-8")
    api.on("/schedules", schedule("submitted"))
    done = dercp("schedule", str(file), "--asset", "bess-1", "--reject-if-limited", "--url", url)
    assert done.exit_code == Exit.OK
    assert parsed(api.asked[0].content.decode()) == {
        "asset_id": "bess-1",
        "on_limit": "reject",
        "blocks": [
            {"start": "2026-11-24T17:00:00Z", "until": "2026-11-24T17:15:00Z", "setpoint_mw": 1.5}
        ],
    }


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.toml", None, "no such file"),
        ("plan.txt", "", "ends in .toml or .csv"),
        ("plan.toml", "\na = \n", "line 2"),
        ("plan.csv", "", "line 1: expected the header start,until,setpoint_mw"),
        ("plan.csv", "until,start,setpoint_mw\n", "line 1"),
        ("plan.csv", CSV + "a,b\n", "line 3: expected 3 values"),
        ("plan.csv", CSV + "a,b,1,2\n", "line 3: expected 3 values"),
        ("plan.csv", CSV + 'a,b,"1,5"\n', "with a point as decimal mark"),
        ("plan.toml", "#" * 1_100_000, "more than 1,048,576 bytes"),
        ("plan.toml", b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_schedule(
    tmp_path: Path, name: str, content: str | bytes | None, sentence: str
) -> None:
    """78, with the line, before anybody is asked."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = dercp("schedule", str(file), "--site", "north")
    assert done.exit_code == Exit.CONFIG
    assert sentence in done.stderr


def test_silence_after_handing_in_a_schedule_names_the_key(
    api: FakeApi, url: str, tmp_path: Path
) -> None:
    """A headend that cannot answer has done nothing; a made-up key is told only in doubt."""
    file = tmp_path / "plan.csv"
    file.write_text(CSV, encoding="utf-8")
    api.on("/schedules", problem(503, "the store takes nothing now"))
    done = dercp("schedule", str(file), "--site", "north", "--url", url)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "--key" not in done.stderr


def test_a_schedule_is_shown_and_cancelled(api: FakeApi, url: str) -> None:
    """By its id."""
    api.on("/schedules/s1", schedule("following", "submitted"))
    api.on("/schedules/s1/cancel", schedule("completed", "cancelled"))
    assert len(parsed(dercp("schedule", "--show", "s1", "--url", url).stdout)["blocks"]) == 2
    done = dercp("schedule", "--cancel", "s1", "--reason", "storm", "--url", url)
    assert parsed(done.stdout)["blocks"][1]["state"] == "cancelled"
    assert parsed(api.asked[1].content.decode()) == {"reason": "storm"}


def test_the_table_of_blocks() -> None:
    """In order, each with how it stands."""
    blocks = msgspec.convert(schedule("completed", "failed")["blocks"], list[Dispatch])
    header, *rows = shown(blocks_table(blocks, width=120))
    assert header == ["start", "until", "MW", "state", "why", "dispatch"]
    assert [row[3] for row in rows] == ["completed", "failed"]


# --- portfolios


def test_portfolios_are_listed_and_shown(api: FakeApi, url: str) -> None:
    """As the API gives them."""
    api.items("/portfolios", portfolio()).on("/portfolios/east", portfolio())
    assert parsed(dercp("portfolio", "list", "--url", url).stdout) == [portfolio()]
    assert parsed(dercp("portfolio", "show", "east", "--url", url).stdout) == portfolio()
    _, row = shown(portfolios_table([msgspec.convert(portfolio(), Portfolio)], width=100))
    assert row == ["east", "The east", "3", "north", "pv-1"]


@pytest.mark.parametrize(
    ("options", "first", "header"),
    [
        ([], [httpx.Response(200, json=portfolio())], ("If-Match", "*")),
        ([], [problem(404, "there is no portfolio 'east'")], ("If-None-Match", "*")),
        (["--revision", "3"], [], ("If-Match", '"3"')),
    ],
)
def test_a_portfolio_is_set(
    api: FakeApi, url: str, options: list[str], first: list[httpx.Response], header: tuple[str, str]
) -> None:
    """Made where there is none; changed as somebody has seen it, if he says so."""
    api.on("/portfolios/east", *first, portfolio())
    members = ["--site", "north", "--site", "south", "--asset", "pv-1", "--name", "The east"]
    done = dercp("portfolio", "set", "east", *members, *options, "--url", url)
    assert done.exit_code == Exit.OK, done.stderr
    put = api.asked[-1]
    assert put.method == "PUT"
    assert put.headers[header[0]] == header[1]
    assert parsed(put.content.decode()) == {
        "name": "The east",
        "sites": ["north", "south"],
        "assets": ["pv-1"],
    }


def test_a_portfolio_is_removed(api: FakeApi, url: str) -> None:
    """Or the headend says why not."""
    api.on("/portfolios/east", portfolio(), problem(409, "dispatches name it: d1"))
    done = dercp("portfolio", "remove", "east", "--revision", "3", "--url", url)
    assert parsed(done.stdout) == portfolio()
    assert (api.asked[0].method, api.asked[0].headers["If-Match"]) == ("DELETE", '"3"')
    refused = dercp("portfolio", "remove", "east", "--url", url)
    assert refused.exit_code == Exit.FAILED
    assert refused.stderr == "error: dispatches name it: d1\n"
