"""How far an export has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn

from dercp.cli.clock import Pause
from dercp.cli.output import counted

LINE_EVERY_S = 5.0


class Tally(msgspec.Struct):
    """What was done so far. `share` is that of the asset at hand, 0 to 1."""

    assets: int
    assets_done: int = 0
    share: float = 0.0
    rows: int = 0
    bytes: int = 0

    def sentence(self, lasted_s: float) -> str:
        """In words."""
        rate = self.rows / lasted_s if lasted_s > 0 else 0.0
        return (
            f"{self.assets_done:,} of {counted(self.assets, 'asset')}, "
            f"{counted(self.rows, 'row')}, {decimal(self.bytes)}, {rate:,.0f} rows/s"
        )


class Shown(Protocol):
    """Shows a tally to whoever waits. Never on standard output, which may be the data's."""

    def show(self, tally: Tally) -> None:
        """It has changed."""

    def end(self, tally: Tally) -> None:
        """It will not change any more."""


class Silence:
    """Shows nothing."""

    def show(self, tally: Tally) -> None:
        """Nobody looks."""

    def end(self, tally: Tally) -> None:
        """Nor here."""


class Lines:
    """A line on standard error every few seconds, for logs, and one at the end."""

    def __init__(self, console: Console, pause: Pause) -> None:
        self._console = console
        self._pause = pause
        self._began_s = self._told_s = pause.now_s()

    def show(self, tally: Tally) -> None:
        """Say so, if the last time is long enough ago."""
        if self._pause.now_s() - self._told_s >= LINE_EVERY_S:
            self.end(tally)

    def end(self, tally: Tally) -> None:
        """Say so."""
        self._told_s = self._pause.now_s()
        lasted_s = self._told_s - self._began_s
        self._console.print(f"{tally.sentence(lasted_s)}, {lasted_s:.1f} s")


class Bar(Lines):
    """A bar that fills with the assets, and a line at the end."""

    def __init__(self, console: Console, pause: Pause, bar: Progress) -> None:
        super().__init__(console, pause)
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def show(self, tally: Tally) -> None:
        """Move it."""
        self._bar.update(
            self._task,
            total=tally.assets,
            completed=tally.assets_done + tally.share,
            description=tally.sentence(self._pause.now_s() - self._began_s),
        )


@contextmanager
def progress(pause: Pause, *, quiet: bool) -> Iterator[Shown]:
    """What suits standard error, for the length of the block."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if quiet:
        yield Silence()
    elif not console.is_terminal:
        yield Lines(console, pause)
    else:
        columns = BarColumn(bar_width=20), TextColumn("{task.description}")
        with Progress(*columns, console=console, transient=True) as bar:
            yield Bar(console, pause, bar)
