"""How a command ends, for scripts: exit codes, and errors that are sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class Exit(IntEnum):
    """Exit codes of `dercp` (after sysexits.h where it has a word for it)."""

    OK = 0
    FAILED = 1
    """It was tried, and the answer is no: a request refused, a running part given up."""
    USAGE = 2
    """The command line is wrong."""
    REJECTED = 10
    """The dispatch was not accepted, by the headend or its site."""
    EXPIRED = 11
    """The dispatch was not accepted in time."""
    CANCELLED = 12
    """Somebody has ended the dispatch early."""
    SUPERSEDED = 13
    """Another dispatch has taken the place of this one."""
    DEVICE_FAILED = 14
    """The device did not take the setpoint, or confirmed another."""
    UNKNOWN = 15
    """Nobody knows what became of the dispatch: its site was not heard of again."""
    DEVIATING = 16
    """The dispatch is in force, and the measured power does not follow it."""
    PARTIAL = 17
    """The dispatch is in force, and a part of the setpoint is not: no room, or failed."""
    UNAVAILABLE = 69
    """A headend that does not answer; an address, directory or package that is not to be had."""
    CONFIG = 78
    """The configuration file, or a file that it or an option names, is wrong."""
    INTERRUPTED = 130
    """Cut short from the keyboard, before the work was done."""


class CommandError(Exception):
    """The end of a command that its user can do something about: sentences and an exit code."""

    def __init__(self, *sentences: str, code: Exit = Exit.FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.code = code


@contextmanager
def told() -> Iterator[None]:
    """Around the body of a command: a CommandError becomes text on standard error."""
    try:
        yield
    except CommandError as error:
        tell("error", *error.sentences)
        raise typer.Exit(error.code) from None


def tell(word: str, *sentences: str) -> None:
    """Sentences on standard error, the first after a word that says what they are."""
    from rich.console import Console
    from rich.text import Text

    # Text, not markup: a sentence may name a section of a file, [headend].
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    begin = f"{word}: "
    indent = "\n" + " " * len(begin)
    console.print(Text.assemble((begin, "red"), indent.join(sentences)))
