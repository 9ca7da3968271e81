"""How a command ends, for scripts: exit codes, and errors that are sentences."""

from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console


class Exit(IntEnum):
    """Exit codes of `dercp` (after sysexits.h where it has a word for it)."""

    OK = 0
    FAILED = 1
    """It was tried, and the answer is no: a dispatch rejected, a running part given up."""
    USAGE = 2
    """The command line is wrong."""
    UNAVAILABLE = 69
    """The headend cannot be reached, or an address or directory cannot be used."""
    CONFIG = 78
    """The configuration file is wrong."""


def fail(sentence: str, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command with a sentence on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {sentence}")
    raise typer.Exit(code)
