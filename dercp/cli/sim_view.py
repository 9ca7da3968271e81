"""A simulation while it runs: a table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from sim.load.words import Counts

LINE_EVERY_S: Final = 5.0


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown."""

    phase: str
    at_s: float
    counts: Counts
    produced_per_s: float
    acknowledged_per_s: float
    ack_p50_s: float | None
    ack_p99_s: float | None
    reconnects: int


class View(Protocol):
    """Who is shown it."""

    def show(self, moment: Moment) -> None:
        """How it is now; about twice a second."""


class _TableView:
    """A table that stays in its place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, moment: Moment) -> None:
        """Draw it anew."""
        self._live.update(_table(moment), refresh=True)


class _LineView:
    """A line at each change of phase, and each `LINE_EVERY_S` in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._next_s = 0.0

    def show(self, moment: Moment) -> None:
        """Print it, if it is time."""
        if moment.phase == self._phase and moment.at_s < self._next_s:
            return
        self._phase, self._next_s = moment.phase, moment.at_s + LINE_EVERY_S
        words = ", ".join(f"{name} {value}" for name, value in _rows(moment))
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def viewing(console: Console) -> Iterator[View]:
    """The view that fits where the output goes."""
    if not console.is_terminal:
        yield _LineView(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _TableView(live)


def _table(moment: Moment) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in _rows(moment):
        table.add_row(name, value)
    return table


def _rows(moment: Moment) -> list[tuple[str, str]]:
    counts = moment.counts
    return [
        (moment.phase, f"{moment.at_s:.0f} s"),
        ("agents up", f"{counts.up:,}/{counts.agents:,}"),
        ("produced/s", f"{moment.produced_per_s:,.0f}"),
        ("acknowledged/s", f"{moment.acknowledged_per_s:,.0f}"),
        ("backlog", f"{counts.waiting:,}"),
        ("missed", f"{counts.missed:,}"),
        ("ack p50", _ms(moment.ack_p50_s)),
        ("ack p99", _ms(moment.ack_p99_s)),
        ("reconnects", f"{moment.reconnects:,}"),
    ]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f} ms"
