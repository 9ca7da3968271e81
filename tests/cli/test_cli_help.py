"""The help teaches, and the page of the commands is what the commands are."""

import pytest
from cli_reference import PAGE, commands, documented, with_reference
from typer.testing import CliRunner

from dercp.cli import app
from dercp.cli.exits import Exit


def help_of(*command: str) -> str:
    """What --help prints, on one line."""
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "100"})
    assert done.exit_code == Exit.OK
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("name", commands())
def test_the_help_names_every_option_and_shows_an_example(name: str) -> None:
    """Nobody has to look elsewhere to begin."""
    shown = help_of(*name.split())
    assert f"Examples: dercp {name}" in shown
    for each in documented(commands()[name]):
        assert each.help, each.name
        for spelling in each.opts if each.param_type_name == "option" else [each.metavar]:
            assert spelling in shown or f"{{{spelling}}}" in shown


def test_the_first_help_lists_every_command_in_a_whole_sentence() -> None:
    """Nothing is cut off with dots."""
    shown = help_of()
    assert "..." not in shown.replace("[ARGS]...", "")
    for name in commands():
        assert " " in name or f" {name} " in shown


def test_the_page_of_the_commands_is_current() -> None:
    """Write it anew with `python tests/cli/cli_reference.py`."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_reference(page)


def test_the_page_tells_every_exit_code() -> None:
    """Scripts are written from this table."""
    page = PAGE.read_text(encoding="utf-8")
    for code in Exit:
        assert f"| {code.value} |" in page
