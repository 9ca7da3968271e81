"""How dispatches, plans, schedules and portfolios look at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from dercp.cli.following import MISSED, SHORTFALL_MW
from dercp.cli.shapes import Dispatch, Placement, Plan, Portfolio, Split
from dercp.cli.tables import Cell, Column, clock_time, table_of

DISPATCHES = (
    Column("dispatch"),
    Column("target", shortened=True),
    Column("MW", number=True),
    Column("state"),
    Column("placed MW", 100, number=True),
    Column("start", 160),
    Column("until", 120),
    Column("why", 130, shortened=True),
)
BLOCKS = (
    Column("start"),
    Column("until", 50),
    Column("MW", number=True),
    Column("state"),
    Column("why", 70, shortened=True),
    Column("dispatch", 110),
)
PLAN = (
    Column("site", 60),
    Column("member"),
    Column("MW", number=True),
    Column("bound by, or left out because"),
)
PORTFOLIOS = (
    Column("portfolio"),
    Column("name", 80, shortened=True),
    Column("revision", 60, number=True),
    Column("sites", shortened=True),
    Column("assets", shortened=True),
)


def dispatches_table(found: Iterable[Dispatch], *, width: int) -> Table:
    """Dispatches, each with what it came to."""
    return table_of(DISPATCHES, map(_dispatch_row, found), width)


def blocks_table(blocks: Iterable[Dispatch], *, width: int) -> Table:
    """The blocks of a schedule."""
    return table_of(BLOCKS, map(_block_row, blocks), width)


def plan_table(plan: Plan, *, width: int) -> Table:
    """Who would get what, and what keeps him from more."""
    return table_of(PLAN, _plan_rows(plan), width)


def portfolios_table(portfolios: Iterable[Portfolio], *, width: int) -> Table:
    """Portfolios and who belongs to them."""
    return table_of(PORTFOLIOS, map(_portfolio_row, portfolios), width)


def state_of(dispatch: Dispatch) -> Text:
    """The state; another end than the wanted one is red."""
    return Text(dispatch.state, "red" if dispatch.state in MISSED else "")


def _dispatch_row(dispatch: Dispatch) -> Sequence[Cell]:
    return (
        dispatch.id,
        dispatch.target.name,
        f"{dispatch.setpoint_mw:+z.3f}",
        state_of(dispatch),
        _placed(dispatch.placement),
        clock_time(dispatch.start, with_date=True),
        clock_time(dispatch.until, with_date=True),
        _why(dispatch),
    )


def _block_row(block: Dispatch) -> Sequence[Cell]:
    return (
        clock_time(block.start, with_date=True),
        clock_time(block.until, with_date=True),
        f"{block.setpoint_mw:+z.3f}",
        state_of(block),
        _why(block),
        block.id,
    )


def _placed(placement: Placement | None) -> Text:
    if placement is None:
        return Text("")
    short = abs(placement.failed_mw + placement.unplaced_mw) > SHORTFALL_MW
    return Text(f"{placement.placed_mw:+z.3f}", "yellow" if short else "")


def _why(dispatch: Dispatch) -> Text:
    last = dispatch.last
    why = "" if last is None else last.detail or last.reason
    return Text(why, no_wrap=True, overflow="ellipsis")


def _plan_rows(plan: Plan) -> Iterator[Sequence[Cell]]:
    """Members in the order of the plan; of a site that is split in turn, its assets instead."""
    home = plan.target.site_id
    for share in plan.allocations:
        if share.id in plan.sites:
            yield from _split_rows(share.id, plan.sites[share.id])
        else:
            yield home, share.id, f"{share.setpoint_mw:+z.3f}", share.limit
    for left_out in plan.excluded:
        yield home, left_out.id, "-", Text(left_out.reason, "yellow")


def _split_rows(site_id: str, split: Split) -> Iterator[Sequence[Cell]]:
    for share in split.allocations:
        yield site_id, share.id, f"{share.setpoint_mw:+z.3f}", share.limit
    for left_out in split.excluded:
        yield site_id, left_out.id, "-", Text(left_out.reason, "yellow")


def _portfolio_row(portfolio: Portfolio) -> Sequence[Cell]:
    return (
        portfolio.id,
        portfolio.name,
        str(portfolio.revision),
        ", ".join(portfolio.sites),
        ", ".join(portfolio.assets),
    )
