"""`dercp watch`: the latest telemetry, look after look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dercp.cli.client import ApiClient, Unavailable, read
from dercp.cli.clock import Pause
from dercp.cli.exits import tell
from dercp.cli.output import counted, write_json
from dercp.cli.parse import Duration
from dercp.cli.shapes import Telemetry
from dercp.cli.tables import telemetry_table

# Header, note and the line on which the cursor stands.
LINES_BESIDE_ROWS = 3


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which assets: the named ones, or all that pass the filters."""

    assets: tuple[str, ...] = ()
    site: str | None = None
    kind: str | None = None


class Look(msgspec.Struct, frozen=True):
    """What was last known, and for how long the headend has been silent since."""

    items: tuple[msgspec.Raw, ...]
    unanswered_s: float = 0.0
    because: str = ""


class Watch:
    """Looks again and again. A headend that goes away later is waited for, not left."""

    def __init__(
        self,
        client: ApiClient,
        selection: Selection,
        *,
        every: Duration,
        count: int | None,
        pause: Pause,
    ) -> None:
        self._client = client
        self._selection = selection
        self._every = every
        self._count = count
        self._pause = pause

    def lines(self) -> None:
        """A line of JSON for each new sample."""
        shown: dict[str, datetime | None] = {}
        silent = False
        for look in self._looks():
            if bool(look.because) != silent:
                silent = bool(look.because)
                tell("watch", look.because or "the headend answers again")
            for raw in look.items:
                item = read(raw, Telemetry)
                if item.asset_id not in shown or shown[item.asset_id] != item.source_time:
                    shown[item.asset_id] = item.source_time
                    write_json(raw)

    def table(self, console: Console) -> None:
        """A table that changes in place, no longer than the terminal is high."""
        with Live(console=console, auto_refresh=False) as live:
            for look in self._looks():
                live.update(self._picture(look, console.size), refresh=True)

    def _looks(self) -> Iterator[Look]:
        """One look at a time, `count` in all.

        Raises:
            CommandError: The first look failed, or a later one was refused.
        """
        last, answered_s = Look(self._latest()), self._pause.now_s()
        yield last
        left = None if self._count is None else self._count - 1
        while left is None or left > 0:
            self._pause.sleep(self._every.seconds)
            try:
                last, answered_s = Look(self._latest()), self._pause.now_s()
            except Unavailable as error:
                silent_s = self._pause.now_s() - answered_s
                last = Look(last.items, silent_s, error.sentences[0])
            yield last
            left = None if left is None else left - 1

    def _latest(self) -> tuple[msgspec.Raw, ...]:
        wanted, client = self._selection, self._client
        if wanted.assets:
            return tuple(
                client.get(f"/assets/{asset}/telemetry", msgspec.Raw) for asset in wanted.assets
            )
        return tuple(client.items("/telemetry", site_id=wanted.site, kind=wanted.kind))

    def _picture(self, look: Look, size: ConsoleDimensions) -> RenderableType:
        rows = max(1, size.height - LINES_BESIDE_ROWS)
        items = [read(raw, Telemetry) for raw in look.items[:rows]]
        table = telemetry_table(items, width=size.width, unanswered_s=look.unanswered_s)
        note = f"{counted(len(look.items), 'asset')}, every {self._every}, Ctrl-C ends"
        if len(look.items) > rows:
            note = f"the first {rows} of {note}; name assets, or give --site or --kind"
        return Group(table, _line(look.because, "red") if look.because else _line(note, "dim"))


def _line(text: str, style: str) -> Text:
    """One line, whatever the terminal's width."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
