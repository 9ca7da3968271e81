"""`dercp watch`: the latest telemetry, as the headend's live stream tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import trio
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dercp.cli.client import Unavailable
from dercp.cli.exits import CommandError, tell
from dercp.cli.output import counted, write_json
from dercp.cli.parse import Duration
from dercp.cli.shapes import Point, Telemetry
from dercp.cli.tables import telemetry_table
from dercp.client import Lost, NoHeadend, Refused, Sample, Update, Wanted, open_stream, samples

# Header, note and the line on which the cursor stands.
LINES_BESIDE_ROWS = 3


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which assets: the named ones, or all that pass the filters."""

    assets: tuple[str, ...] = ()
    site: str | None = None
    kind: str | None = None

    def wanted(self) -> Wanted:
        """The same as the stream is asked for it."""
        return Wanted(
            site_id=self.site, kind=self.kind, asset_id=self.assets, events=("telemetry",)
        )


class Fleet:
    """What was last told of each asset, and since when nothing can be heard."""

    def __init__(self, url: str, named: tuple[str, ...]) -> None:
        self._url = url
        self._named = named
        self._known: dict[str, tuple[Sample, float]] = {}
        self._lost_at_s: float | None = None
        self._whole = trio.Event()
        self.because = ""

    def __len__(self) -> int:
        return len(self._known)

    def take(self, told: Update | Lost) -> list[Sample]:
        """Take in what is told; the samples in it.

        Raises:
            CommandError: A named asset is none.
        """
        if isinstance(told, Lost):
            self._lost_at_s = trio.current_time()
            self.because = f"the headend at {self._url} cannot be heard: {told.because}"
            return []
        if told.event == "live":
            self._lost_at_s, self.because = None, ""
            self._miss_nobody()
            self._whole.set()
        if told.event == "reset":
            self._known.clear()
        if told.event != "telemetry":
            return []
        found, now_s = list(samples(told.data)), trio.current_time()
        self._known |= {sample.asset_id: (sample, now_s) for sample in found}
        return found

    @property
    def is_whole(self) -> bool:
        """Whether everything has been told once."""
        return self._whole.is_set()

    async def wait_whole(self) -> None:
        """Wait until it has."""
        await self._whole.wait()

    def _miss_nobody(self) -> None:
        for asset_id in self._named:
            if asset_id not in self._known:
                raise CommandError(f"there is no asset {asset_id!r}")

    def silent_s(self) -> float:
        """For how long nothing can be heard; 0 when it can."""
        if self._lost_at_s is None:
            return 0.0
        return max(0.001, trio.current_time() - self._lost_at_s)

    def rows(self, count: int) -> list[Telemetry]:
        """The first of them, as they were when last heard."""
        heard_at_s = trio.current_time() if self._lost_at_s is None else self._lost_at_s
        ids = [each for each in self._named or sorted(self._known) if each in self._known]
        return [_shown(*self._known[each], heard_at_s) for each in ids[:count]]


class Watch:
    """Follows the stream. A headend that goes away later is waited for, not left."""

    def __init__(
        self,
        told: AsyncIterator[Update | Lost],
        url: str,
        named: tuple[str, ...],
        *,
        count: int | None,
    ) -> None:
        self._told = told
        self._fleet = Fleet(url, named)
        self._left = count

    async def lines(self) -> None:
        """A line of JSON for each new sample; a look is whatever is told together."""
        shown: dict[str, datetime | None] = {}
        async for told in self._told:
            was_lost = bool(self._fleet.because)
            for sample in self._fleet.take(told):
                if sample.asset_id not in shown or shown[sample.asset_id] != sample.source_time:
                    shown[sample.asset_id] = sample.source_time
                    write_json(msgspec.Raw(msgspec.json.encode(sample)))
            if bool(self._fleet.because) != was_lost:
                tell("watch", self._fleet.because or "the headend answers again")
            if self._is_look(told) and self._is_last():
                return

    async def table(self, console: Console, every: Duration) -> None:
        """A table that changes in place, no longer than the terminal is high."""
        with Live(console=console, auto_refresh=False) as live:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear)
                await self._fleet.wait_whole()
                while True:
                    live.update(self._picture(console.size, every), refresh=True)
                    if self._is_last():
                        break
                    await trio.sleep(every.seconds)
                nursery.cancel_scope.cancel("as many looks as were asked for")

    async def _hear(self) -> None:
        try:
            async for told in self._told:
                self._fleet.take(told)
        except Refused as error:
            raise _ended(error) from None

    def _is_look(self, told: Update | Lost) -> bool:
        """Whether something is whole with it: the first picture, or a change of it."""
        if isinstance(told, Lost) or not self._fleet.is_whole:
            return False
        return told.event in {"live", "telemetry"}

    def _is_last(self) -> bool:
        if self._left is not None:
            self._left -= 1
        return self._left == 0

    def _picture(self, size: ConsoleDimensions, every: Duration) -> RenderableType:
        rows = max(1, size.height - LINES_BESIDE_ROWS)
        fleet = self._fleet
        table = telemetry_table(fleet.rows(rows), width=size.width, unanswered_s=fleet.silent_s())
        note = f"{counted(len(fleet), 'asset')}, every {every}, Ctrl-C ends"
        if len(fleet) > rows:
            note = f"the first {rows} of {note}; name assets, or give --site or --kind"
        return Group(table, _line(fleet.because, "red") if fleet.because else _line(note, "dim"))


async def watch_headend(
    url: str, selection: Selection, console: Console | None, *, every: Duration, count: int | None
) -> None:
    """Follow a headend: a table on this console, or lines without one.

    Raises:
        CommandError: Nobody answers the first call, or the answer is no.
    """
    try:
        async with open_stream(url, selection.wanted()) as stream:
            watching = Watch(stream, url, selection.assets, count=count)
            if console is None:
                await watching.lines()
            else:
                await watching.table(console, every)
    except NoHeadend as error:
        raise Unavailable(
            f"no headend answers at {url} ({error}); start one with `dercp demo` or "
            "`dercp headend`, or name another with --url or DERCP_URL"
        ) from None
    except Refused as error:
        raise _ended(error) from None


def _ended(error: Refused) -> Unavailable:
    return Unavailable(f"the headend cannot be followed: {error}")


def _shown(sample: Sample, told_at_s: float, now_s: float) -> Telemetry:
    """A sample as the table has it, so much older."""
    age_s = sample.age_s
    return Telemetry(
        asset_id=sample.asset_id,
        source_time=sample.source_time,
        age_s=None if age_s is None else age_s + max(0.0, now_s - told_at_s),
        stale=sample.stale,
        points={
            name: Point(point.value, point.quality, point.reasons)
            for name, point in sample.points.items()
        },
    )


def _line(text: str, style: str) -> Text:
    """One line, whatever the terminal's width."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
