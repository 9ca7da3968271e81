"""Signals that ask a process to stop: the first politely, the second at once."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class StopRequest:
    """Whether somebody wants the process to stop, and by which signal."""

    def __init__(self) -> None:
        self._asked = trio.Event()
        self._name = ""

    async def wait(self) -> str:
        """Wait for the first signal and return its name; one that came before counts."""
        await self._asked.wait()
        return self._name

    def note(self, number: int) -> None:
        """A signal came; the second cuts short whatever the first one began.

        Raises:
            KeyboardInterrupt: It was the second.
        """
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._name = signal.Signals(number).name
        self._asked.set()


@asynccontextmanager
async def stop_requests() -> AsyncIterator[StopRequest]:
    """Listen for SIGINT and SIGTERM during the block, its start and its end included."""
    request = StopRequest()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as numbers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, numbers, request)
            yield request
            nursery.cancel_scope.cancel("nothing is left to stop")


async def _listen(numbers: AsyncIterator[int], request: StopRequest) -> None:
    async for number in numbers:
        request.note(number)
