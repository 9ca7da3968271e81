"""The one place where adapters meet asyncio.

Field protocols have good asyncio libraries; everybody else here lives on Trio. An adapter opens
a bridge for as long as its device is open and hands in pieces of work: coroutine functions that
await nothing but asyncio. The library's objects are made inside of such work, too.

Each bridge has an asyncio loop of its own: a hundred of them take 2.4 MB and no time while idle,
20 ms to open, and a call costs the same 50 µs as on one loop for all (trio-asyncio 0.16). So no
device can break another's loop, and closing one leaves nothing of it behind.
"""

import asyncio  # noqa: TID251  # this is the bridge
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, TypeVarTuple

import structlog
import trio
import trio_asyncio  # type: ignore[import-untyped]  # it has no stubs

from adapters import DeviceError

__all__ = ["Bridge", "open_bridge"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = structlog.get_logger()

# A library that complains without end must not fill the disk.
COMPLAINTS_LOGGED_MAX: Final = 10


class Bridge:
    """Runs pieces of work in asyncio's world, for one open device.

    Characteristics:
        Unit: a piece of work is one asyncio task. Asyncio cancels once, so clean-up that
            awaits works inside of it, and would not between two pieces.
        Cancellation: the task is cancelled and waited for. Work that takes long to clean up
            keeps its caller that long; bound it there.
        Late errors: what asyncio complains of outside of any work (a task that nobody awaits,
            a callback that fails on a peer's bytes) is counted and logged, and ends nothing.
        At the end of the block: tasks that are left are cancelled and waited for; callers
            still waiting get a `DeviceError`.

    Attributes:
        complaints: How many late errors there were.
    """

    def __init__(self, loop: Any, device: str) -> None:
        self.complaints = 0
        self._loop = loop
        self._device = device
        self._closed = False
        self._log = log.bind(device=device)

    async def run(self, work: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        """The result of the work, done as one asyncio task.

        Raises:
            DeviceError: The bridge was closed, before or meanwhile.
        """
        if self._closed:
            raise self._gone()
        try:
            value: T = await self._loop.run_aio_coroutine(work(*args))
        except asyncio.CancelledError:
            # Trio's cancelling comes out as Trio's: so it was the end of the loop.
            raise self._gone() from None
        return value

    async def ask(self, question: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """The other way round: asyncio's work asks something of Trio's world, and awaits it here.

        It is asked in a task of the bridge; when the work is cancelled, so is that.
        """
        answer: T = await self._loop.trio_as_future(question, *args)
        return answer

    async def finish(
        self, work: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, within_s: float
    ) -> None:
        """Do this even while being cancelled, for at most so long: a goodbye to the device.

        Whether it succeeds matters to nobody any more; a failure is logged.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + within_s) as scope:
            try:
                await self.run(work, *args)
            except Exception as error:  # noqa: BLE001 - whatever the library raises
                self._log.info("device_closing_failed", error=repr(error))
        if scope.cancelled_caught:
            self._log.info("device_closing_failed", error=f"no answer within {within_s:g} s")

    def _gone(self) -> DeviceError:
        return DeviceError(f"{self._device}: the connection was closed meanwhile")

    def _note_complaint(self, _loop: object, context: dict[str, Any]) -> None:
        self.complaints += 1
        if self.complaints <= COMPLAINTS_LOGGED_MAX:
            self._log.warning(
                "asyncio_complained",
                message=context.get("message"),
                error=repr(context.get("exception")),
                complaints=self.complaints,
            )


@asynccontextmanager
async def open_bridge(device: str) -> AsyncIterator[Bridge]:
    """A bridge for the length of the block.

    Args:
        device: Who it is for, as logs and errors name it.
    """
    failure: Exception | None = None
    async with trio_asyncio.open_loop() as loop:
        bridge = Bridge(loop, device)
        # First of all: the loop's own handler ends the program at the first complaint.
        loop.set_exception_handler(bridge._note_complaint)  # noqa: SLF001  # its maker
        try:
            yield bridge
        except Exception as error:  # noqa: BLE001  # raised below
            failure = error
        finally:
            bridge._closed = True  # noqa: SLF001  # its maker
    # Out here: the loop is a nursery, which would wrap it in a group.
    if failure is not None:
        raise failure
