"""How lists look at a terminal. Colour only for what is not as it should be, never alone."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from dercp.cli.shapes import Agent, Asset, Point, Telemetry

# In front of a number that must not be taken for the present one, colours or not.
DOUBT = "?"
GIVING_WAY = frozenset({"site", "name", "peer"})


def assets_table(assets: Iterable[Asset]) -> Table:
    """The registry of assets."""
    table = _table(names=("asset", "site", "kind", "name"), numbers=("p min MW", "p max MW"))
    _end_with(table, "state", "age")
    for asset in assets:
        table.add_row(
            asset.id,
            _cut(asset.site_id),
            asset.kind,
            _cut(asset.name),
            f"{asset.p_min_mw:.3f}",
            f"{asset.p_max_mw:.3f}",
            freshness(online=asset.online, stale=asset.stale, age_s=asset.age_s),
            age(asset.age_s),
        )
    return table


def agents_table(agents: Iterable[Agent]) -> Table:
    """The agents and how their sessions went."""
    table = _table(
        names=("agent", "site", "status", "since", "peer"),
        numbers=("assets", "flaps", "clock off s"),
    )
    table.add_column("last end", no_wrap=True)
    for agent in agents:
        connected = agent.status == "connected"
        last = agent.recent_sessions[0] if agent.recent_sessions else None
        since = agent.session.connected_time if agent.session else None
        if since is None and last is not None:
            since = last.disconnected_time
        table.add_row(
            agent.id,
            _cut(agent.site_name or agent.site_id),
            Text(agent.status, "" if connected else "red"),
            clock_time(since, with_date=True),
            _cut(agent.peer or ""),
            str(len(agent.assets)),
            str(agent.flaps),
            "" if agent.clock_offset_s is None else f"{agent.clock_offset_s:+z.3f}",
            (last.reason or "") if last else "",
        )
    return table


class Column(NamedTuple):
    """A number of the live table: its point, its form, and the terminal it is shown on."""

    point: str
    header: str
    form: str
    min_width: int = 0


COLUMNS = (
    Column("active_power_mw", "power MW", "+z.3f"),
    Column("setpoint_mw", "setpoint MW", "+z.3f", 60),
    Column("soc_pct", "SoC %", "z.1f", 60),
    Column("available_min_mw", "from MW", "+z.3f", 78),
    Column("available_max_mw", "to MW", "+z.3f", 78),
)


def telemetry_table(items: Iterable[Telemetry], *, width: int, unanswered_s: float = 0.0) -> Table:
    """The latest of some assets; `unanswered_s`: the headend has been silent for so long.

    On a narrow terminal columns are left out: half a number is a wrong number.
    """
    columns = [column for column in COLUMNS if width >= column.min_width]
    table = _table(names=("asset",), numbers=[column.header for column in columns])
    _end_with(table, "state", "age")
    for item in items:
        old = item.stale or unanswered_s > 0
        numbers = (value(item.points.get(each.point), each.form, old=old) for each in columns)
        state = freshness(online=True, stale=item.stale, age_s=item.age_s)
        age_s = None if item.age_s is None else item.age_s + unanswered_s
        table.add_row(
            item.asset_id,
            *numbers,
            Text("unknown", "yellow") if unanswered_s > 0 else state,
            age(age_s),
        )
    return table


def freshness(*, online: bool, stale: bool, age_s: float | None) -> Text:
    """Whether an asset can be believed now, in a word."""
    if not online:
        return Text("offline", "red")
    if age_s is None:
        return Text("no data", "yellow")
    return Text("stale", "yellow") if stale else Text("live")


def age(age_s: float | None) -> str:
    """How long ago, short."""
    if age_s is None:
        return "never"
    for unit, seconds, ends_s in (("s", 1, 100), ("m", 60, 5_400), ("h", 3_600, 172_800)):
        if age_s < ends_s:
            return f"{age_s / seconds:.1f} {unit}"
    return f"{age_s / 86_400:.1f} d"


def value(point: Point | None, form: str, *, old: bool) -> Text:
    """A number; one that must not be believed never looks like one that may."""
    if point is None:
        return Text("")
    if point.value is None:
        # Without a reason the device simply has none, as a setpoint when none is in force.
        return Text("unknown", "yellow") if point.reasons else Text("-")
    number = format(point.value, form)
    if old:
        return Text(DOUBT + number, "yellow strike")
    return Text(number) if point.quality == "good" else Text(DOUBT + number, "yellow")


def clock_time(instant: datetime | None, *, with_date: bool = False) -> str:
    """A time of day in UTC, as the plant's logs have it."""
    if instant is None:
        return ""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%SZ}" if with_date else f"{utc:%H:%M:%S}.{utc:%f}"[:12] + "Z"


def _table(*, names: Sequence[str], numbers: Sequence[str]) -> Table:
    """A table whose ids and numbers are not cut while a name can give way."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name not in GIVING_WAY)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table


def _end_with(table: Table, state: str, how_old: str) -> None:
    table.add_column(state, no_wrap=True)
    table.add_column(how_old, justify="right", no_wrap=True)


def _cut(text: str) -> Text:
    """A text that is shortened, not wrapped, where room is scarce."""
    return Text(text, no_wrap=True, overflow="ellipsis")
