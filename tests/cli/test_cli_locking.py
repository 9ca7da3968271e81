"""`dercp edge lock`, `unlock` and `locks`."""

import json
from pathlib import Path

import pytest
from test_cli_spool import SITE
from typer.testing import CliRunner

from dercp.cli import app
from dercp.cli.exits import Exit


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of one asset, whose agent never ran."""
    file = tmp_path / "site.toml"
    file.write_text(SITE, encoding="utf-8")
    return file


def run(*words: str, site: Path) -> tuple[int, str]:
    """How a command ended, and what it said."""
    done = CliRunner().invoke(app, ["edge", *words, "--config", str(site)])
    return done.exit_code, done.output


def test_a_lock_is_set_listed_and_taken_away(site: Path) -> None:
    """Also before the agent has ever run."""
    assert run("lock", "north-1", "--reason", "fan replaced", site=site) == (
        0,
        "north-1 is locked\n",
    )
    code, listed = run("locks", "--json", site=site)
    assert code == 0
    assert json.loads(listed)["north-1"]["reason"] == "fan replaced"
    assert run("unlock", "north-1", site=site) == (0, "north-1 is unlocked\n")
    assert run("unlock", "north-1", site=site) == (0, "north-1 was not locked\n")


def test_a_slip_of_the_pen_locks_nothing_in_silence(site: Path) -> None:
    """It names the assets that there are."""
    code, said = run("lock", "north-2", "--reason", "x", site=site)
    assert code != 0
    assert "there are north-1" in said


def test_locks_that_nobody_can_read_are_said_to_lock_everything(site: Path) -> None:
    """And are not overwritten."""
    directory = site.parent / "dercp-edge"
    directory.mkdir()
    (directory / "north.locks").write_text("{", encoding="utf-8")
    code, said = run("locks", site=site)
    assert code == Exit.UNAVAILABLE
    assert "all assets are locked" in said
    assert run("lock", "north-1", "--reason", "x", site=site)[0] == Exit.UNAVAILABLE
