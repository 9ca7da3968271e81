"""`dercp watch`, on virtual time."""

import io
from collections import deque

import pytest
import trio
from fake_api import parsed
from fake_stream import T0_US, row, telling, update
from rich.console import Console

from dercp.cli.exits import CommandError
from dercp.cli.parse import Duration
from dercp.cli.watching import Watch
from dercp.client import Lost, Update

URL = "http://headend"
GONE = Lost("the connection was closed")
SNAPSHOT = (update("snapshot"), telling(row(1), row(2)), update("live"))


class Script:
    """Tells this; numbers are pauses in seconds. Then it is silent."""

    def __init__(self, *told: Update | Lost | float) -> None:
        self._told = deque(told)

    def __aiter__(self) -> "Script":
        return self

    async def __anext__(self) -> Update | Lost:
        while self._told:
            each = self._told.popleft()
            if not isinstance(each, float):
                await trio.lowlevel.checkpoint()
                return each
            await trio.sleep(each)
        await trio.sleep_forever()
        raise AssertionError("for ever is over")


async def lines(
    capsys: pytest.CaptureFixture[str], *told: Update | Lost | float, count: int
) -> list[str]:
    """What is printed for programs."""
    await Watch(Script(*told), URL, (), count=count).lines()
    return capsys.readouterr().out.splitlines()


async def screen(
    *told: Update | Lost | float,
    count: int,
    named: tuple[str, ...] = (),
    height: int = 10,
    width: int = 100,
) -> str:
    """What stands on a terminal at the end."""
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, no_color=True)
    await Watch(Script(*told), URL, named, count=count).table(console, Duration(1))
    return file.getvalue().rpartition("asset ")[2]


async def test_a_sample_makes_one_line_however_often_it_is_told(
    capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    """Programs get samples; an asset without one is told once."""
    news = telling(row(1, time_us=T0_US + 1_000_000), row(2, stale=True), row(3, time_us=None))
    printed = await lines(capsys, *SNAPSHOT, news, news, count=3)
    told = [parsed(line) for line in printed]
    assert [(line["asset_id"], line["source_time"]) for line in told] == [
        ("bess-1", "2026-11-23T14:00:00.250000Z"),
        ("bess-2", "2026-11-23T14:00:00.250000Z"),
        ("bess-3", None),
        ("bess-1", "2026-11-23T14:00:01.250000Z"),
    ]
    assert told[0]["points"]["soc_pct"] == {
        "value": None,
        "unit": "%",
        "quality": "bad",
        "reasons": ["out_of_range"],
    }


async def test_a_headend_that_goes_and_comes_is_told_once_each(
    capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    """The lines go on by themselves; standard error says why they paused."""
    back = (update("resume"), telling(row(1)), update("live"))
    await Watch(Script(*SNAPSHOT, GONE, 5.0, *back), URL, (), count=3).lines()
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "watch: the headend at http://headend cannot be heard: the connection was closed",
        "watch: the headend answers again",
    ]


async def test_an_unknown_asset_ends_the_watch(autojump_clock: trio.testing.MockClock) -> None:
    """A misspelt id is not waited for."""
    with pytest.raises(CommandError, match="there is no asset 'nix'"):
        await Watch(Script(*SNAPSHOT), URL, ("bess-1", "nix"), count=1).lines()


async def test_the_table_grows_older_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    """A live row says how old it is now, in the order in which assets were named."""
    last = await screen(*SNAPSHOT, count=3, named=("bess-2", "bess-1"))
    assert "2.4 s" in last
    assert "live" in last
    assert last.index("bess-2") < last.index("bess-1")


async def test_what_a_silent_headend_said_last_never_looks_live(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Every number bears the mark, the state is unknown, the age goes on."""
    last = await screen(*SNAPSHOT, GONE, count=4)
    assert "?+1.250" in last
    assert "unknown" in last
    assert "live" not in last
    assert "3.4 s" in last
    assert "cannot be heard: the connection was closed" in last


async def test_a_reset_forgets(autojump_clock: trio.testing.MockClock) -> None:
    """What the headend does not know any more is not shown."""
    reset = (update("reset"), telling(row(2)), update("live"))
    last = await screen(*SNAPSHOT, 0.5, *reset, count=2)
    assert "bess-2" in last
    assert "bess-1" not in last


async def test_more_assets_than_lines_are_counted_not_hidden(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The table never scrolls away; the note says how to see the others."""
    told = telling(*(row(number) for number in range(10, 60)))
    last = await screen(update("snapshot"), told, update("live"), count=1, width=120)
    assert "bess-16" in last
    assert "bess-17" not in last
    assert "the first 7 of 50 assets" in last
