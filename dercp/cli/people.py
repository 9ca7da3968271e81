"""Commands for people at a terminal: look at the fleet, follow it, dispatch an asset."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dercp.cli.client import ApiClient
from dercp.cli.exits import Exit, fail
from dercp.cli.parse import parse_duration_s
from dercp.cli.tables import agents_table, assets_table, telemetry_table

Url = Annotated[
    str, typer.Option("--url", envvar="DERCP_URL", help="The headend's API.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]

DEFAULT_URL = "http://127.0.0.1:8080"
# States after which a dispatch has been applied, or never will be.
SETTLED = {
    "applied", "following", "deviating", "completed",
    "rejected", "expired", "cancelled", "superseded", "failed", "unknown",
}  # fmt: skip
IN_FORCE = {"applied", "following", "deviating", "completed"}


def assets(
    url: Url = DEFAULT_URL,
    site: Annotated[str | None, typer.Option(help="Only this site's.")] = None,
    kind: Annotated[str | None, typer.Option(help="storage, pv, wind or ev.")] = None,
    *,
    json: Json = False,
) -> None:
    """List the assets: what they are, and whether they can be believed now."""
    query = {key: value for key, value in (("site_id", site), ("kind", kind)) if value}
    found = list(ApiClient(url).items("/assets", **query))
    _show(found, assets_table(found), json=json)


def agents(url: Url = DEFAULT_URL, *, json: Json = False) -> None:
    """List the agents: their sessions, peers, and why the last one ended."""
    found = list(ApiClient(url).items("/agents"))
    _show(found, agents_table(found), json=json)


def watch(
    asset: Annotated[list[str] | None, typer.Argument(help="Assets to follow; none = all.")] = None,
    url: Url = DEFAULT_URL,
    every: Annotated[
        str, typer.Option(metavar="DURATION", help="How often to look.", show_default=True)
    ] = "1s",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many looks.")] = None,
    *,
    json: Json = False,
) -> None:
    """Follow the latest telemetry until Ctrl-C; one line of JSON a sample with --json."""
    every_s = max(0.1, parse_duration_s(every))
    client = ApiClient(url)
    console = Console()
    plain = json or not console.is_terminal
    try:
        if plain:
            _watch_lines(client, asset or [], every_s, count)
        else:
            _watch_live(client, asset or [], every_s, count, console)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.OK) from None


def dispatch(
    asset: Annotated[str, typer.Argument(help="The asset's id.")],
    setpoint_mw: Annotated[
        float,
        typer.Argument(
            metavar="MW",
            help="Positive into the grid, negative into the asset. For a negative number "
            "write -- before the arguments: dercp dispatch --for 10m -- bess-1 -0.5",
        ),
    ],
    duration: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long the setpoint holds.")
    ] = "15m",
    reason: Annotated[str, typer.Option(help="Why; kept with the dispatch.")] = "",
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key never dispatches twice.")
    ] = None,
    within: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait until it is applied.")
    ] = "10s",
    url: Url = DEFAULT_URL,
    *,
    json: Json = False,
) -> None:
    """Set an asset's active power for a while, and follow the dispatch until it is applied.

    Exit code 0: applied. 1: it ended otherwise, or was not applied in time.
    """
    client = ApiClient(url)
    body: dict[str, object] = {
        "asset_id": asset,
        "setpoint_mw": setpoint_mw,
        "duration_s": parse_duration_s(duration),
    }
    if reason:
        body["reason"] = reason
    taken = client.post("/dispatch", body, {"Idempotency-Key": key or str(uuid.uuid4())})
    last = _follow(client, taken, time.monotonic() + parse_duration_s(within), quiet=json)
    if json:
        _print_json(last)
    if last["state"] not in IN_FORCE:
        entry = last["timeline"][-1]
        why = entry.get("detail") or entry.get("reason") or "not applied in time"
        fail(f"dispatch {last['id']} is {last['state']}: {why}", Exit.FAILED)


def _follow(
    client: ApiClient, taken: dict[str, Any], deadline: float, *, quiet: bool
) -> dict[str, Any]:
    console, shown = Console(highlight=False), 0
    while True:
        if not quiet:
            for entry in taken["timeline"][shown:]:
                note = entry.get("detail") or entry.get("reason") or ""
                console.print(f"{entry['time']}  {entry['state']:<10} {entry['source']:<9} {note}")
        shown = len(taken["timeline"])
        if taken["state"] in SETTLED or time.monotonic() >= deadline:
            return taken
        time.sleep(0.1)  # noqa: TID251 - a command of its own, nothing else runs here
        taken = client.get(f"/dispatches/{taken['id']}")


def _latest(client: ApiClient, asset_ids: list[str]) -> list[dict[str, Any]]:
    if asset_ids:
        return [client.get(f"/assets/{asset_id}/telemetry") for asset_id in asset_ids]
    return list(client.items("/telemetry"))


def _watch_lines(
    client: ApiClient, asset_ids: list[str], every_s: float, count: int | None
) -> None:
    shown: dict[str, str | None] = {}
    while count is None or count > 0:
        for item in _latest(client, asset_ids):
            if shown.get(item["asset_id"], "") != item["source_time"]:
                shown[item["asset_id"]] = item["source_time"]
                _print_json(item)
        count = _count_down(count, every_s)


def _watch_live(
    client: ApiClient, asset_ids: list[str], every_s: float, count: int | None, console: Console
) -> None:
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while count is None or count > 0:
            items = _latest(client, asset_ids)
            note = Text(f"{len(items)} assets, every {every_s:g} s, Ctrl-C ends", "dim")
            live.update(Group(telemetry_table(items), note), refresh=True)
            count = _count_down(count, every_s)


def _count_down(count: int | None, every_s: float) -> int | None:
    if count == 1:
        return 0
    time.sleep(every_s)  # noqa: TID251 - a command of its own, nothing else runs here
    return None if count is None else count - 1


def _show(items: list[dict[str, Any]], table: object, *, json: bool) -> None:
    console = Console()
    if json or not console.is_terminal:
        _print_json(items)
    else:
        console.print(table)


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()
