"""How lists look at a terminal. Colour only for what is not as it should be."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

WATCHED_POINTS = (
    "active_power_mw",
    "setpoint_mw",
    "soc_pct",
    "available_min_mw",
    "available_max_mw",
)


def assets_table(assets: Iterable[Mapping[str, Any]]) -> Table:
    """The registry of assets."""
    table = Table("asset", "site", "kind", "name", box=None, header_style="dim")
    table.add_column("p_min MW", justify="right")
    table.add_column("p_max MW", justify="right")
    table.add_column("state")
    table.add_column("age", justify="right")
    for asset in assets:
        table.add_row(
            asset["id"],
            asset["site_id"],
            asset["kind"],
            asset["name"],
            f"{asset['p_min_mw']:.3f}",
            f"{asset['p_max_mw']:.3f}",
            freshness(online=asset["online"], stale=asset["stale"]),
            age(asset["age_s"]),
        )
    return table


def agents_table(agents: Iterable[Mapping[str, Any]]) -> Table:
    """The agents and how their sessions went."""
    table = Table("agent", "site", "status", "peer", box=None, header_style="dim")
    for column in ("assets", "flaps", "clock offset"):
        table.add_column(column, justify="right")
    table.add_column("last end")
    for agent in agents:
        recent = agent["recent_sessions"]
        offset_s = agent["clock_offset_s"]
        table.add_row(
            agent["id"],
            agent["site_name"] or agent["site_id"],
            _status(agent["status"]),
            agent["peer"] or "",
            str(len(agent["assets"])),
            str(agent["flaps"]),
            "" if offset_s is None else f"{offset_s:+.3f} s",
            (recent[0]["reason"] or "") if recent else "",
        )
    return table


def telemetry_table(items: Iterable[Mapping[str, Any]]) -> Table:
    """The latest of some assets."""
    table = Table("asset", box=None, header_style="dim")
    for name in ("power MW", "setpoint MW", "SoC %", "available MW"):
        table.add_column(name, justify="right")
    table.add_column("state")
    table.add_column("age", justify="right")
    for item in items:
        power, setpoint, soc, low, high = (
            item["points"].get(name, {}).get("value") for name in WATCHED_POINTS
        )
        stale = item["stale"]
        table.add_row(
            item["asset_id"],
            _value(power, item["points"].get("active_power_mw", {}), stale=stale),
            _number(setpoint),
            _number(soc, 1),
            "" if low is None or high is None else f"{low:.2f} … {high:.2f}",
            Text("stale", "yellow") if stale else Text("live"),
            age(item["age_s"]),
        )
    return table


def freshness(*, online: bool, stale: bool) -> Text:
    """Whether an asset can be believed now, in a word."""
    if not online:
        return Text("offline", "red")
    return Text("stale", "yellow") if stale else Text("live")


def age(age_s: float | None) -> str:
    """How long ago, short."""
    if age_s is None:
        return "never"
    if age_s < 100:
        return f"{age_s:.1f} s"
    return f"{age_s / 60:.0f} min" if age_s < 5_400 else f"{age_s / 3_600:.1f} h"


def _status(status: str) -> Text:
    return Text(status) if status == "connected" else Text(status, "red")


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _value(value: float | None, point: Mapping[str, Any], *, stale: bool) -> Text:
    """A value which must not be believed never looks like one that may."""
    if value is None:
        return Text("unknown", "yellow")
    doubtful = stale or point.get("quality") != "good"
    return Text(f"{value:+.3f}", "yellow strike" if stale else "yellow" if doubtful else "")
