"""How lists look at a terminal. Colour only for what is not as it should be, never alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import compress
from typing import NamedTuple, TypeAlias

from rich.table import Table
from rich.text import Text

from dercp.cli.shapes import Agent, Asset, Gap, Point, Spool, Telemetry

Cell: TypeAlias = str | Text

# In front of a number that must not be taken for the present one, colours or not.
DOUBT = "?"


class Column(NamedTuple):
    """A column, and how wide a terminal must be for it.

    On a narrow one columns are left out: half a number is a wrong number, and half an id
    is nobody's. Only names that tell what an id tells too are shortened.
    """

    header: str
    from_width: int = 0
    number: bool = False
    shortened: bool = False


ASSETS = (
    Column("asset"),
    Column("site", 80, shortened=True),
    Column("kind", 70),
    Column("name", 100, shortened=True),
    Column("p min MW", 60, number=True),
    Column("p max MW", 60, number=True),
    Column("state"),
    Column("age", 36, number=True),
)
AGENTS = (
    Column("agent"),
    Column("site", 95, shortened=True),
    Column("status"),
    Column("since", 60),
    Column("peer", 138, shortened=True),
    Column("assets", 80, number=True),
    Column("flaps", 80, number=True),
    Column("backlog", 115, number=True),
    Column("clock off s", 105, number=True),
    Column("last end", 60),
)
TELEMETRY = (
    Column("asset"),
    Column("power MW", number=True),
    Column("setpoint MW", 60, number=True),
    Column("SoC %", 60, number=True),
    Column("from MW", 78, number=True),
    Column("to MW", 78, number=True),
    Column("state", 36),
    Column("age", 44, number=True),
)

GAPS = (
    Column("agent"),
    Column("from"),
    Column("to"),
    Column("samples", number=True),
    Column("reason"),
    Column("batches", 100, number=True),
    Column("declared", 120),
)


def assets_table(assets: Iterable[Asset], *, width: int) -> Table:
    """The registry of assets."""
    return table_of(ASSETS, map(_asset_row, assets), width)


def agents_table(agents: Iterable[Agent], *, width: int) -> Table:
    """The agents and how their sessions went."""
    return table_of(AGENTS, map(_agent_row, agents), width)


def gaps_table(gaps: Iterable[Gap], *, width: int) -> Table:
    """What was declared as lost."""
    return table_of(GAPS, map(_gap_row, gaps), width)


def telemetry_table(items: Iterable[Telemetry], *, width: int, unanswered_s: float = 0.0) -> Table:
    """The latest of some assets; `unanswered_s`: the headend has been silent for so long."""
    return table_of(TELEMETRY, (_telemetry_row(item, unanswered_s) for item in items), width)


def table_of(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int) -> Table:
    """A table with as many of the columns as fit the width."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    shown = [column.from_width <= width for column in columns]
    for column in compress(columns, shown):
        table.add_column(
            column.header,
            justify="right" if column.number else "left",
            no_wrap=not column.shortened,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*compress(row, shown))
    return table


def _asset_row(asset: Asset) -> Sequence[Cell]:
    return (
        asset.id,
        _cut(asset.site_id),
        asset.kind,
        _cut(asset.name),
        f"{asset.p_min_mw:.3f}",
        f"{asset.p_max_mw:.3f}",
        freshness(online=asset.online, stale=asset.stale, age_s=asset.age_s),
        age(asset.age_s),
    )


def _agent_row(agent: Agent) -> Sequence[Cell]:
    last = agent.recent_sessions[0] if agent.recent_sessions else None
    since = agent.session.connected_time if agent.session else None
    if since is None and last is not None:
        since = last.disconnected_time
    return (
        agent.id,
        _cut(agent.site_name or agent.site_id),
        Text(agent.status, "" if agent.status == "connected" else "red"),
        clock_time(since, with_date=True),
        _cut(agent.peer or ""),
        str(len(agent.assets)),
        str(agent.flaps),
        backlog(agent.spool),
        "" if agent.clock_offset_s is None else f"{agent.clock_offset_s:+z.3f}",
        (last.reason or "") if last else "",
    )


def _gap_row(gap: Gap) -> Sequence[Cell]:
    return (
        gap.agent_id,
        clock_time(gap.from_, with_date=True) or "unknown",
        clock_time(gap.to, with_date=True) or "unknown",
        f"{gap.samples:,}",
        gap.reason,
        f"{gap.last_sequence - gap.first_sequence + 1:,}",
        clock_time(gap.declared_time, with_date=True),
    )


def _telemetry_row(item: Telemetry, unanswered_s: float) -> Sequence[Cell]:
    silent = unanswered_s > 0
    point = partial(value, points=item.points, old=item.stale or silent)
    return (
        item.asset_id,
        point("active_power_mw", "+z.3f"),
        point("setpoint_mw", "+z.3f"),
        point("soc_pct", "z.1f"),
        point("available_min_mw", "+z.3f"),
        point("available_max_mw", "+z.3f"),
        Text("unknown", "yellow")
        if silent
        else freshness(online=True, stale=item.stale, age_s=item.age_s),
        age(None if item.age_s is None else item.age_s + unanswered_s),
    )


def backlog(spool: Spool | None) -> Text:
    """How much waits in a spool, and since when; what is wrong with it, if anything."""
    if spool is None:
        return Text("")
    text = Text(f"{spool.batches:,}")
    if spool.oldest_age_s is not None:
        text.append(f" / {age(spool.oldest_age_s)}")
    if spool.trouble:
        text.append(f" {spool.trouble}", "red")
    return text


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


def value(name: str, form: str, *, points: Mapping[str, Point], old: bool) -> Text:
    """A number; one that must not be believed never looks like one that may."""
    point = points.get(name)
    if point is None:
        return Text("")
    if point.value is None:
        # Without a reason the device simply has none, as a setpoint when none is in force.
        return Text("unknown", "yellow") if point.reasons or old else Text("-")
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


def _cut(text: str) -> Text:
    """A text that is shortened, not wrapped, where room is scarce."""
    return Text(text, no_wrap=True, overflow="ellipsis")
