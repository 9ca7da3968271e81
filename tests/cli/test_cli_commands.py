"""Whole commands, off a terminal: what is printed, and the exit code for scripts."""

from pathlib import Path

import httpx
import pytest
from fake_api import FakeApi, agent, asset, dispatch, parsed, problem
from fake_stream import row, streamed, telling, update
from typer.testing import CliRunner, Result

from dercp.cli import app
from dercp.cli.exits import Exit
from dercp.cli.people import KindOption
from dercp.model.points import Kind

NOBODY = "http://127.0.0.1:1"
SITE = """
[agent]
id = "north"
[headend]
address = "127.0.0.1:50051"
[site]
id = "north-site"
[[assets]]
id = "bess-1"
kind = "storage"
p_min_mw = -2.0
p_max_mw = 2.0
energy_capacity_mwh = 4.0
adapter = "simulated"
"""


def dercp(*arguments: str) -> Result:
    """One run of the command."""
    return CliRunner().invoke(app, arguments)


def test_lists_are_json_as_the_api_gave_it(api: FakeApi, url: str) -> None:
    """Members of a later release come through."""
    api.items("/assets", asset(1), asset(2)).items("/agents", agent())
    found = dercp("assets", "--url", url, "--site", "north", "--kind", "storage")
    assert found.exit_code == Exit.OK
    assert parsed(found.stdout) == [asset(1), asset(2)]
    assert api.asked[0].url.params["kind"] == "storage"
    assert parsed(dercp("agents", "--url", url).stdout) == [agent()]


def test_an_empty_list_is_json_too(api: FakeApi, url: str) -> None:
    """Programs get a list, whatever is in it."""
    api.items("/assets")
    assert parsed(dercp("assets", "--url", url).stdout) == []


def test_a_watch_ends_after_its_looks() -> None:
    """The first picture is one, each change of it another; a line a sample."""
    told = (update("snapshot"), telling(row(1), row(2)), update("live"), telling(row(2, time_us=0)))
    with streamed(*told) as (url, asked):
        watched = dercp("watch", "--url", url, "--site", "north", "--count", "2")
    assert watched.exit_code == Exit.OK, watched.stderr
    lines = [parsed(line) for line in watched.stdout.splitlines()]
    assert [line["asset_id"] for line in lines] == ["bess-1", "bess-2", "bess-2"]
    assert lines[0]["points"]["active_power_mw"] == {"value": 1.25, "unit": "MW", "quality": "good"}
    assert asked[0]["subscribe"] == {"site_id": "north", "events": ["telemetry"]}


def test_a_watch_of_an_asset_that_nobody_has() -> None:
    """A misspelt id is not waited for."""
    with streamed(update("snapshot"), update("live")) as (url, _):
        watched = dercp("watch", "nix", "--url", url)
    assert watched.exit_code == Exit.FAILED
    assert watched.stderr == "error: there is no asset 'nix'\n"


@pytest.mark.parametrize("setpoint", ["-0.5", "-.5", "-5e-1"])
def test_a_negative_setpoint_needs_no_tricks(api: FakeApi, url: str, setpoint: str) -> None:
    """A battery is charged as one would type it."""
    api.on("/dispatch", dispatch("submitted", "applied"))
    done = dercp("dispatch", "bess-1", setpoint, "--for", "10m", "--url", url, "--reason", "peak")
    assert done.exit_code == Exit.OK
    assert parsed(done.stdout)["state"] == "applied"
    assert parsed(api.asked[0].content.decode()) == {
        "asset_id": "bess-1",
        "setpoint_mw": -0.5,
        "duration_s": 600.0,
        "reason": "peak",
    }


def test_a_dispatch_that_ends_badly_is_printed_and_fails(api: FakeApi, url: str) -> None:
    """The document for the program, the sentence for the person, a code for the script."""
    api.on("/dispatch", dispatch("submitted", "rejected"))
    done = dercp("dispatch", "bess-1", "1", "--url", url)
    assert done.exit_code == Exit.REJECTED
    assert parsed(done.stdout)["state"] == "rejected"
    assert "0193 is rejected" in done.stderr


def test_a_refused_dispatch_is_a_sentence(api: FakeApi, url: str) -> None:
    """Nothing goes to standard output that a program might take for a dispatch."""
    api.on("/dispatch", problem(422, "setpoint_mw 9 is outside the nameplate of bess-1"))
    done = dercp("dispatch", "bess-1", "9", "--url", url)
    assert (done.exit_code, done.stdout) == (Exit.FAILED, "")
    assert done.stderr == "error: setpoint_mw 9 is outside the nameplate of bess-1\n"


@pytest.mark.parametrize(
    "command",
    [
        ["assets"],
        ["agents"],
        ["watch"],
        ["watch", "a"],
        ["dispatch", "a", "1"],
        ["dispatch", "a", "1", "--preview"],
        ["dispatch", "--cancel", "x"],
        ["dispatches"],
        ["schedule", "--show", "x"],
        ["portfolio", "list"],
        ["portfolio", "set", "x"],
    ],
)
def test_no_headend_is_69(command: list[str]) -> None:
    """Scripts may wait for it."""
    done = dercp(*command, "--url", NOBODY)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "no headend answers" in done.stderr


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("assets --url localhost:8080", "--url"),
        ("assets --kind nuclear", "--kind"),
        ("watch --every soon", "--every"),
        ("watch --count 0", "--count"),
        ("dispatch a 1 --for 10x", "--for"),
        ("dispatch a 1 --within 0", "--within"),
        ("dispatch a much", "MW"),
        ("dispatch a nan", "MW"),
        ("dispatch a --fro 1", "--fro"),
        ("dispatch", "MW"),
        ("dispatch 1", "MW"),
        ("dispatch --site s", "MW"),
        ("dispatch --site s --portfolio p 1", "--portfolio"),
        ("dispatch --site s a 1", "MW"),
        ("dispatch a 1 --for 10m --until +1h", "--until"),
        ("dispatch a 1 --until -1h", "--until"),
        ("dispatch a 1 --preview --wait", "--wait"),
        ("dispatch a 1 --cancel x", "--cancel"),
        ("dispatches --count 0", "--count"),
        ("schedule", "FILE"),
        ("schedule a.toml --cancel x", "FILE"),
        ("portfolio set east --revision 0", "--revision"),
        ("dispatch a 1 --fro 10m", "--fro"),
        ("demo --http here", "--http"),
        ("demo --http 192.0.2.1:80", "--http"),
        ("demo --grpc 192.0.2.1:80", "--grpc"),
        ("demo --http 127.0.0.1:81 --grpc 127.0.0.1:81", "--grpc"),
        ("demo --duration 0", "--duration"),
        ("demo --sites 0", "--sites"),
        ("headend --http 192.0.2.1:80", "--http"),
        ("headend --grpc 192.0.2.1:80", "--grpc"),
        ("headend --tls-cert a.pem", "--tls-key"),
        ("headend --tls-client-ca a.pem", "--tls-client-ca"),
        ("edge --chek", "--chek"),
        ("frobnicate", "frobnicate"),
    ],
)
def test_a_wrong_command_line_is_2_and_names_the_option(line: str, option: str) -> None:
    """Before anything was started or asked."""
    done = dercp(*line.split())
    assert done.exit_code == Exit.USAGE
    assert option in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_watch_takes_names_or_filters() -> None:
    """Both would leave open which of them counts."""
    done = dercp("watch", "a", "--site", "b", "--url", NOBODY)
    assert done.exit_code == Exit.USAGE
    assert "not both" in done.stderr


def test_edge_check_of_a_good_file(tmp_path: Path) -> None:
    """It says what it found there."""
    file = tmp_path / "site.toml"
    file.write_text(SITE, encoding="utf-8")
    done = dercp("edge", "--config", str(file), "--check")
    assert done.exit_code == Exit.OK
    assert "agent north, site north-site, 1 asset; no faults found" in done.stdout


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("[agent]", "[agnet]"), 'agnet: unknown section (did you mean "agent"?)'),
        (("[agent]", "[agent"), "line 2"),
        (("p_max_mw = 2.0", 'p_max_mw = "2,0"'), "use a point as decimal mark"),
        (("simulated", "simulatde"), 'did you mean "simulated"?'),
        (("[site]", '[headend.tls]\nca_file = "site.toml"\n[site]'), "headend.tls: "),
        (("[site]", '[headend.tls]\nca_file = "no.pem"\n[site]'), "headend.tls.ca_file: "),
    ],
)
def test_edge_check_names_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    """Sections in brackets are shown as they are written; exit code 78."""
    file = tmp_path / "site.toml"
    file.write_text(SITE.replace(*change), encoding="utf-8")
    done = dercp("edge", "--config", str(file), "--check")
    assert done.exit_code == Exit.CONFIG
    assert sentence in done.stderr
    assert done.stderr.startswith("error: site.toml: ")


def test_edge_without_its_file_says_which_it_wants(tmp_path: Path) -> None:
    """The whole path: it may be looked for elsewhere."""
    done = dercp("edge", "--config", str(tmp_path / "none.toml"))
    assert done.exit_code == Exit.CONFIG
    assert f"no such file ({tmp_path / 'none.toml'})" in done.stderr


@pytest.mark.usefixtures("_logs_as_before")
def test_headend_certificates_that_cannot_be_used_are_78(tmp_path: Path) -> None:
    """Told before the data directory is touched."""
    junk = tmp_path / "junk.pem"
    junk.write_text("junk", encoding="utf-8")
    data = tmp_path / "data"
    done = dercp(
        "headend", "--tls-cert", str(junk), "--tls-key", str(junk), "--data-dir", str(data)
    )
    assert done.exit_code == Exit.CONFIG
    assert "junk.pem" in done.stderr
    assert not data.exists()


@pytest.mark.usefixtures("_logs_as_before")
@pytest.mark.parametrize("command", ["headend", "demo"])
def test_a_file_is_no_data_directory(tmp_path: Path, command: str) -> None:
    """The sentence names the option."""
    file = tmp_path / "file"
    file.touch()
    for directory in (file, file / "below"):
        done = dercp(
            command, "--data-dir", str(directory), "--http", "127.0.0.1:0", "--grpc", "[::1]:0"
        )
        assert done.exit_code == Exit.UNAVAILABLE
        assert "--data-dir" in done.stderr


def test_something_else_at_the_port_is_told(url: str, api: FakeApi) -> None:
    """The URL most likely names another service."""
    api.on("/assets", httpx.Response(200, text="<html>Printer</html>"))
    done = dercp("assets", "--url", url)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "does not speak dercp's API" in done.stderr


def test_an_answer_of_another_shape_is_told() -> None:
    """A headend of another release, or something that only looks like one."""
    with streamed(update("live"), update("telemetry", {"name": "Printer"})) as (where, _):
        done = dercp("watch", "--url", where)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "its telemetry cannot be read" in done.stderr


def test_a_headend_without_a_stream_is_told(url: str) -> None:
    """Of an earlier release, or something else at the port."""
    done = dercp("watch", "--url", url)
    assert done.exit_code == Exit.UNAVAILABLE
    assert "cannot be followed" in done.stderr


def test_the_kinds_are_those_of_the_model() -> None:
    """The help has its own list, so that it need not load the model."""
    assert [kind.value for kind in KindOption] == [kind.value for kind in Kind]


def test_the_version_is_told() -> None:
    """For the first line of every report of a defect."""
    done = dercp("--version")
    assert done.exit_code == Exit.OK
    assert done.stdout.startswith("dercp 0.")
