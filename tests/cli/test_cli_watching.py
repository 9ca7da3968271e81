"""`dercp watch`, look after look."""

import io

import httpx
import pytest
from fake_api import FakeApi, FakePause, parsed, problem, telemetry
from rich.console import Console

from dercp.cli.client import ApiClient, Unavailable
from dercp.cli.exits import CommandError
from dercp.cli.parse import Duration
from dercp.cli.watching import Selection, Watch

LATER = "2026-11-23T14:00:01Z"


def watch(api: FakeApi, *assets: str, count: int | None = 2) -> Watch:
    """A watch of the fake, one look a second."""
    client = ApiClient("http://headend.example", httpx.MockTransport(api))
    selection = Selection(assets=assets, site=None if assets else "north")
    return Watch(client, selection, every=Duration(1), count=count, pause=FakePause())


def screen(api: FakeApi, *, count: int, height: int = 10, width: int = 100) -> str:
    """What stands on a terminal at the end."""
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, no_color=True)
    watch(api, count=count).table(console)
    return file.getvalue()


def test_a_sample_makes_one_line_however_often_it_is_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Programs get samples, not looks."""
    first, second = telemetry(1), telemetry(1, source_time=LATER)
    api = FakeApi().on(
        "/telemetry", *({"items": [each], "next": None} for each in (first, first, second))
    )
    watch(api, count=3).lines()
    lines = [parsed(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [first, second]
    assert api.asked[0].url.params["site_id"] == "north"


def test_an_asset_without_a_sample_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It exists, and nothing is known of it."""
    api = FakeApi().items("/telemetry", telemetry(1, source_time=None, age_s=None, stale=True))
    watch(api, count=3).lines()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_named_assets_are_asked_for_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which they were named."""
    api = FakeApi()
    for number in (1, 2):
        api.on(f"/assets/bess-{number}/telemetry", telemetry(number))
    watch(api, "bess-2", "bess-1", count=1).lines()
    found = [parsed(line)["asset_id"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["bess-2", "bess-1"]


def test_an_unknown_asset_ends_the_watch_with_its_sentence() -> None:
    """A misspelt id is not waited for."""
    api = FakeApi().on("/assets/nix/telemetry", problem(404, "there is no asset 'nix'"))
    with pytest.raises(CommandError, match="there is no asset 'nix'"):
        watch(api, "nix").lines()


def test_no_headend_at_the_first_look_is_an_end() -> None:
    """Nothing was seen yet: most likely the URL is wrong."""
    with pytest.raises(Unavailable):
        watch(FakeApi().on("/telemetry", httpx.ConnectError("refused"))).lines()


def test_a_headend_that_goes_and_comes_is_told_once_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The lines go on by themselves; standard error says why they paused."""
    page = {"items": [telemetry(1)], "next": None}
    gone = httpx.ConnectError("refused")
    watch(FakeApi().on("/telemetry", page, gone, gone, page), count=4).lines()
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert [line.partition(" ")[0] for line in told.err.splitlines()] == ["watch:", "watch:"]
    assert "answers again" in told.err


def test_what_a_silent_headend_said_last_never_looks_live() -> None:
    """Every number bears the mark, the state is unknown, the age goes on."""
    page = {"items": [telemetry(1)], "next": None}
    api = FakeApi().on("/telemetry", page, httpx.ConnectError("refused"))
    last = screen(api, count=4).rpartition("asset ")[2]
    assert "?+1.250" in last
    assert "unknown" in last
    assert "live" not in last
    assert "3.4 s" in last
    assert "no headend answers" in last


def test_more_assets_than_lines_are_counted_not_hidden() -> None:
    """The table never scrolls away; the note says how to see the others."""
    api = FakeApi().items("/telemetry", *(telemetry(number) for number in range(1, 51)))
    last = screen(api, count=1, height=10, width=120)
    assert "bess-7" in last
    assert "bess-8" not in last
    assert "the first 7 of 50 assets" in last


def test_ctrl_c_ends_it() -> None:
    """The command makes exit code 0 of it."""
    api = FakeApi().items("/telemetry", telemetry(1))
    client = ApiClient("http://headend.example", httpx.MockTransport(api))
    pause = FakePause(sleeps_max=2)
    endless = Watch(client, Selection(), every=Duration(1), count=None, pause=pause)
    with pytest.raises(KeyboardInterrupt):
        endless.lines()
    assert len(api.asked) == 3
