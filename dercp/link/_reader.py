"""One task that reads the sockets of all connections."""

import select
import socket
from collections.abc import Callable
from typing import NamedTuple

import outcome
import trio

SOCKETS_A_TURN = 256


class _Taker(NamedTuple):
    """Who reads from a socket, and the task that waits until that is over."""

    take: Callable[[], bool]
    task: trio.lowlevel.Task


class SharedReader:
    """Reads many sockets in one task, where epoll tells which of them have something.

    A task of its own for each socket costs a task switch and two system calls for each read,
    which for a frame of one asset is as much as all that is done with it.

    Characteristics:
        Bound: `SOCKETS_A_TURN` sockets and one read of each, then everybody else's turn.
        Pace: what comes within `spacing_s` of a turn is read in the next; what comes after a
            quiet time is read at once.
        Faults: what a taker raises is raised by its own `read`, and harms no other.

    Args:
        spacing_s: How long to let reads gather while there is something to read.
    """

    def __init__(self, spacing_s: float) -> None:
        self._spacing_s = spacing_s
        self._epoll = select.epoll()
        self._takers: dict[int, _Taker] = {}

    async def run(self) -> None:
        """Serve all that `read`, for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            while self._turn():  # noqa: ASYNC110 - reads gather meanwhile
                await trio.sleep(self._spacing_s)

    def close(self) -> None:
        """Nobody reads any more."""
        self._epoll.close()

    async def read(self, sock: socket.socket, take: Callable[[], bool]) -> None:
        """Call `take` whenever there is something to read, until it returns False.

        Args:
            sock: A socket that stays open as long as this is awaited.
            take: Reads from it, without waiting.
        """
        number = sock.fileno()
        self._takers[number] = _Taker(take, trio.lowlevel.current_task())
        self._epoll.register(number, select.EPOLLIN)

        def leave(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._forget(number)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    def _turn(self) -> int:
        """Let each one take who has something to read; returns how many there were."""
        ready = self._epoll.poll(0, SOCKETS_A_TURN)
        for number, _ in ready:
            taker = self._takers.get(number)
            if taker is not None:  # else it has left in this turn
                self._let_take(number, taker)
        return len(ready)

    def _let_take(self, number: int, taker: _Taker) -> None:
        result: outcome.Maybe[None] = outcome.Value(None)
        try:
            if taker.take():
                return
        except Exception as error:  # noqa: BLE001 - raised to who reads from this socket
            result = outcome.Error(error)
        if self._takers.get(number) is taker:  # else it was cancelled meanwhile
            self._forget(number)
            trio.lowlevel.reschedule(taker.task, result)

    def _forget(self, number: int) -> None:
        del self._takers[number]
        self._epoll.unregister(number)


def new_shared_reader(spacing_s: float) -> SharedReader | None:
    """A reader where the system has epoll; None elsewhere: each connection reads for itself."""
    return SharedReader(spacing_s) if hasattr(select, "epoll") else None
