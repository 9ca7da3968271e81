"""Whole commands about what was: history, gaps and export, off a terminal and on one."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_api import FakePause, parsed, served
from fake_past import BEGIN, END, FakePast, gap, sample, samples
from rich.console import Console
from typer.testing import CliRunner, Result

from dercp.cli import app
from dercp.cli.client import ApiClient
from dercp.cli.destination import new_file
from dercp.cli.exits import CommandError, Exit
from dercp.cli.export_progress import Bar, Lines, Tally, progress
from dercp.cli.history import History, Question
from dercp.cli.patience import PatientClient
from dercp.cli.span import Span
from dercp.model.time import parse_rfc3339

NOBODY = "http://127.0.0.1:1"
HOUR = ("--from", BEGIN, "--to", END)
SAME_HOUR = "dercp gaps --from 2026-11-23T13:00:00.000000Z --to 2026-11-23T14:00:00.000000Z"


def dercp(*arguments: str) -> Result:
    """One run of the command."""
    return CliRunner().invoke(app, arguments)


def test_an_export_to_standard_output_is_the_data_and_nothing_else() -> None:
    """What there is to say goes to standard error."""
    with served(FakePast({"bess-1": samples(3)})) as url:
        done = dercp("export", *HOUR, "--url", url)
    assert done.exit_code == Exit.OK
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["source_time"] for row in rows] == [each["source_time"] for each in samples(3)]
    assert done.stderr.startswith("1 of 1 asset, 3 rows, ")


def test_what_is_missing_is_told_and_is_no_failure(tmp_path: Path) -> None:
    """Scripts go on; people and logs can read it."""
    past = FakePast({"bess-1": samples(3)}, complete_until=BEGIN, gaps=[gap(), gap(samples=12)])
    with served(past) as url:
        file = str(tmp_path / "h.csv")
        done = dercp("export", *HOUR, "--url", url, "--output", file, "--quiet")
    assert (done.exit_code, done.stdout) == (Exit.OK, "")
    assert done.stderr.splitlines() == [
        "not complete: agent north-edge: complete until 2026-11-23 13:00:00Z, more may come",
        "              2 gaps in this time, 42 samples lost for ever: " + SAME_HOUR,
    ]


def test_the_name_of_the_file_says_its_form(tmp_path: Path) -> None:
    """Unless --format does."""
    with served(FakePast({"bess-1": samples(3)})) as url:
        for name, options in (("a.parquet", ()), ("b", ("--format", "parquet"))):
            done = dercp("export", *HOUR, "--url", url, "-o", str(tmp_path / name), *options)
            assert done.exit_code == Exit.OK
            assert (tmp_path / name).read_bytes().startswith(b"PAR1")


def test_without_its_package_parquet_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked; CSV needs no package."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    done = dercp("export", *HOUR, "--output", "h.parquet", "--url", NOBODY)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "pip install 'dercp[export]'" in done.stderr
    assert "no headend answers" not in done.stderr


def test_ctrl_c_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, and 130 for the script."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PatientClient, "get", interrupted)
    file = tmp_path / "h.csv"
    with served(FakePast({"bess-1": samples(3)})) as url:
        done = dercp("export", *HOUR, "--url", url, "--output", str(file))
    assert done.exit_code == Exit.INTERRUPTED
    assert done.stderr == f"error: cut short; {file} was not written\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("export --output h.csv", "--from or --last"),
        ("export --from -2h --last 1h", "--from or --last"),
        ("export --from yesterday", "'--from'"),
        ("export --from 2026-11-23T14:00:00", "write 2026-11-23T14:00:00Z for UTC"),
        ("export --from -2h --to -3h", "is not before --to"),
        ("export --last 1h --to 0001-01-01", "--from, --to"),
        ("export --last 1h --resolution 0.5s", "'--resolution'"),
        ("export --last 1h --format xlsx", "'--format'"),
        ("export --last 1h --asset a --site b", "--asset or --site"),
        ("history a --to 2026-02-30", "'--to'"),
        ("history a --json --csv", "--json or --csv"),
        ("history a --from now", "is not before --to"),
        ("gaps --last soon", "'--last'"),
    ],
)
def test_a_wrong_command_line_is_2_and_names_the_option(line: str, told: str) -> None:
    """Before anything was asked."""
    done = dercp(*line.split(), "--url", NOBODY)
    assert done.exit_code == Exit.USAGE
    assert told in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("command", [["export", "--last", "1h"], ["history", "a"], ["gaps"]])
def test_no_headend_is_69(command: list[str]) -> None:
    """At once: patience is for a headend that was there."""
    done = dercp(*command, "--url", NOBODY)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "no headend answers" in done.stderr


def test_history_off_a_terminal_is_as_the_api_writes_it() -> None:
    """Lines of JSON, or CSV; what is missing is told beside it."""
    past = FakePast({"bess-1": samples(2)}, gaps=[gap()])
    with served(past) as url:
        lines = dercp("history", "bess-1", *HOUR, "--url", url, "--points", "soc_pct")
        table = dercp("history", "bess-1", *HOUR, "--url", url, "--csv")
    assert [parsed(line) for line in lines.stdout.splitlines()] == samples(2)
    assert "1 gap in this time, 30 samples lost" in lines.stderr
    assert table.stdout.startswith("source_time\n")
    assert {request.url.params.get("points") for request in past.asked} == {None, "soc_pct"}


def test_history_of_nobody_is_a_sentence() -> None:
    """As the API has it."""
    with served(FakePast({})) as url:
        done = dercp("history", "bess-9", "--url", url)
    assert (done.exit_code, done.stdout) == (Exit.FAILED, "")
    assert done.stderr == "error: there is no /assets/bess-9\n"


def test_history_that_is_cut_off_is_no_whole_history() -> None:
    """What came is printed, and 69 tells that it is not all."""

    class Cut(httpx.SyncByteStream):
        def __iter__(self) -> "Iterator[bytes]":
            yield b"{}\n"
            raise httpx.RemoteProtocolError("incomplete chunked read")

    past = FakePast({"bess-1": samples(2)})
    past.trouble = lambda request: (
        httpx.Response(200, stream=Cut()) if request.headers["Accept"] == "text/csv" else None
    )
    asking = History(ApiClient("http://headend.example", past.transport), question())
    with pytest.raises(CommandError, match="incomplete chunked read") as cut:
        asking.stream("text/csv")
    assert cut.value.code is Exit.UNAVAILABLE


def question(resolution_s: int | None = None) -> Question:
    """The whole hour of the battery."""
    span = Span(parse_rfc3339(BEGIN), parse_rfc3339(END))
    return Question(asset="bess-1", span=span, points=None, resolution_s=resolution_s)


def on_terminal(past: FakePast, width: int, resolution_s: int | None = None) -> list[str]:
    """What a terminal of that width shows of the hour, line by line."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    client = ApiClient("http://headend.example", past.transport)
    History(client, question(resolution_s)).table(console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_history_on_a_terminal_is_a_table() -> None:
    """A doubtful number has its question mark; what the asset had not is empty."""
    doubtful = sample(1, active_power_mw=1.5, soc_pct=None)
    doubtful["doubts"] = {
        "active_power_mw": {"quality": "uncertain", "reasons": ["clock_suspect"]},
        "soc_pct": {"quality": "bad", "reasons": ["device_comms_lost"]},
    }
    past = FakePast({"bess-1": [sample(0), doubtful, sample(2, soc_pct=50.0)]})
    assert on_terminal(past, 80) == [
        "time                         active_power_mw     soc_pct",
        "2026-11-23T13:00:00Z                   0.000      50.000",
        "2026-11-23T13:00:01Z                  ?1.500     unknown",
        "2026-11-23T13:00:02Z                              50.000",
        "3 rows",
    ]
    narrow = on_terminal(past, 55)
    assert narrow[0].endswith("active_power_mw")
    assert narrow[-1] == "3 rows; no room for 1 column, choose with --points"


def test_buckets_on_a_terminal_have_three_numbers_a_point() -> None:
    """The question mark says that some of it was not good."""
    summary = {"min": 1.0, "mean": 2.0, "max": 3.0, "count": 60, "good": 59}
    past = FakePast({"bess-1": [{"start": BEGIN, "samples": 60, "points": {"soc_pct": summary}}]})
    past.points["bess-1"] = {"soc_pct": "%"}
    assert on_terminal(past, 80, 60) == [
        "start                        soc_pct min  soc_pct mean  soc_pct max",
        "2026-11-23T13:00:00Z              ?1.000        ?2.000       ?3.000",
        "1 row",
    ]


def test_a_long_history_is_read_in_parts() -> None:
    """The header stands once."""
    shown = on_terminal(FakePast({"bess-1": samples(2_500)}), 80)
    assert len(shown) == 2_502
    assert shown[-1] == "2,500 rows"


def test_gaps_are_listed() -> None:
    """As the API gave them."""
    past = FakePast({}, gaps=[gap(), gap(reason="too_old")])
    with served(past) as url:
        done = dercp("gaps", *HOUR, "--agent", "north-edge", "--url", url)
    assert parsed(done.stdout) == [gap(), gap(reason="too_old")]
    assert past.asked[0].url.params["agent_id"] == "north-edge"
    assert past.asked[0].url.params["from"] == "2026-11-23T13:00:00.000000Z"


def test_progress_off_a_terminal_is_a_line_now_and_then() -> None:
    """Every five seconds, and one at the end."""
    pause, console = FakePause(), Console(file=io.StringIO(), width=200)
    lines, tally = Lines(console, pause), Tally(assets=4)
    for _ in range(12):
        pause.sleep(1)
        tally.rows += 1_000
        lines.show(tally)
    tally.assets_done, tally.bytes = 4, 3_000_000
    lines.end(tally)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "0 of 4 assets, 5,000 rows, 0 bytes, 1,000 rows/s, 5.0 s",
        "0 of 4 assets, 10,000 rows, 0 bytes, 1,000 rows/s, 10.0 s",
        "4 of 4 assets, 12,000 rows, 3.0 MB, 1,000 rows/s, 12.0 s",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves within an asset too, and leaves a line behind."""
    error = io.StringIO()
    error.isatty = lambda: True  # type: ignore[method-assign]  # a terminal
    monkeypatch.setattr(sys, "stderr", error)
    monkeypatch.setenv("TERM", "xterm")
    with progress(FakePause(), quiet=False) as shown:
        assert isinstance(shown, Bar)
        shown.show(Tally(assets=2, assets_done=1, share=0.5, rows=7))
        shown.end(Tally(assets=2, assets_done=2, rows=8))
    assert "2 of 2 assets, 8 rows" in error.getvalue()


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """It names the option; 69."""
    for path in (tmp_path, tmp_path / "none" / "h.csv"):
        with pytest.raises(CommandError, match="--output") as no, new_file(path):
            pass
        assert no.value.code is Exit.UNAVAILABLE


def test_a_disk_that_fills_leaves_no_part_behind(tmp_path: Path) -> None:
    """The space is needed."""

    def fill() -> None:
        with new_file(tmp_path / "h") as file:
            file.write(b"x" * 100_000)
            raise OSError(28, "No space left on device")

    with pytest.raises(CommandError, match="no space left on device"):
        fill()
    assert not list(tmp_path.iterdir())
