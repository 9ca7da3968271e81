"""How long-lived commands end, and what is loaded before they begin."""

import signal
import subprocess
import sys

import pytest
import trio

from actors import RestartsExceeded
from dercp.cli.exits import CommandError, Exit
from dercp.cli.running import require_headend, run
from dercp.cli.signals import StopRequest
from dercp.store import StoreBusy

HEAVY = ("apsw", "grpclib", "httpx", "quart", "rich", "structlog", "trio")


async def python(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own."""
    command = [sys.executable, *arguments]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreBusy("another headend works here"), Exit.UNAVAILABLE),
        (OSError(28, "No space left on device"), Exit.UNAVAILABLE),
        (CommandError("the file is wrong", code=Exit.CONFIG), Exit.CONFIG),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
    ],
)
def test_what_can_be_mended_becomes_a_sentence(error: BaseException, code: Exit) -> None:
    """However deep in the nurseries it was raised."""

    async def fail() -> None:
        raise error

    async def main() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(fail)

    with pytest.raises(CommandError) as told:
        run(main)
    assert told.value.code is code
    assert str(error) in str(told.value)


def test_a_defect_keeps_its_traceback() -> None:
    """What no user can mend is for us to see."""

    async def main() -> None:
        async with trio.open_nursery():
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as defect:
        run(main)
    assert defect.group_contains(ZeroDivisionError)


async def test_the_second_signal_interrupts() -> None:
    """The first is remembered even when it comes before anybody waits."""
    stop = StopRequest()
    stop.note(signal.SIGTERM)
    assert await stop.wait() == "SIGTERM"
    with pytest.raises(KeyboardInterrupt):
        stop.note(signal.SIGINT)


def test_the_headend_is_there_in_the_tests() -> None:
    """The tests run with the extra installed."""
    require_headend()


@pytest.mark.parametrize("command", ["headend", "demo"])
async def test_without_the_extra_the_command_names_it(command: str) -> None:
    """A site PC has the packages of `dercp edge` only."""
    without = "import sys; sys.modules['quart'] = None; from dercp.cli import main; main()"
    done = await python("-c", without, command)
    assert done.returncode == Exit.UNAVAILABLE
    assert done.stderr.decode() == (
        "error: this command needs quart, which is not installed: pip install 'dercp[headend]'\n"
    )


async def test_the_help_loads_nothing_heavy() -> None:
    """`dercp --help` is instant because commands import what they need when they run."""
    look = f"import sys, dercp.cli; print([n for n in {HEAVY} if n in sys.modules])"
    done = await python("-c", look)
    assert done.stdout.decode().strip() == "[]"


def test_giving_up_is_a_failure() -> None:
    """A part that crashed too often ends the command with 1."""
    assert issubclass(RestartsExceeded, Exception)

    async def main() -> None:
        raise RestartsExceeded("headend/core gave up")

    with pytest.raises(CommandError, match="gave up") as told:
        run(main)
    assert told.value.code is Exit.FAILED
