"""Runs the long-lived commands on Trio; what their user can mend becomes a sentence."""

from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module

import trio

from actors import RestartsExceeded
from dercp.cli.exits import CommandError, Exit
from dercp.store.errors import StoreError

_OURS = ("actors", "adapters", "dercp", "sim")
_TOLD = (CommandError, StoreError, OSError, RestartsExceeded, KeyboardInterrupt)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run to the end.

    Raises:
        CommandError: It ended by something the user can mend, or was cut short.
    """
    causes: list[BaseException] = []
    try:
        trio.run(main)
    except* _TOLD as group:
        causes += _leaves(group)
    if causes:
        raise _told(causes[0]) from causes[0]


def require_headend() -> None:
    """See that the packages of the extra `headend` are installed.

    Raises:
        CommandError: One is missing.
    """
    _require("dercp.cli.serve", "headend")


def require_client() -> None:
    """See that the packages of the extra `client` are installed.

    Raises:
        CommandError: One is missing.
    """
    _require("dercp.client", "client")


def _require(module: str, extra: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OURS:
            raise
        raise CommandError(
            f"this command needs {missing}, which is not installed: pip install 'dercp[{extra}]'",
            code=Exit.UNAVAILABLE,
        ) from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _told(cause: BaseException) -> CommandError:
    match cause:
        case CommandError():
            return cause
        case KeyboardInterrupt():
            return CommandError(
                "cut short; what was under way was not finished", code=Exit.INTERRUPTED
            )
        case RestartsExceeded():
            return CommandError(f"gave up: {cause}")
        case _:
            return CommandError(str(cause), code=Exit.UNAVAILABLE)
