"""Who may shake hands now: a reconnect storm must not starve the live sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ._bucket import TokenBucket
from ._limits import LinkLimits


class TurnedAway(Exception):
    """This connection's turn would come too late."""


class Admission:
    """Lets handshakes begin at a bounded rate, and only so many at a time.

    Characteristics:
        Rate: `handshakes_per_s`, with a burst of `handshakes_burst`.
        At a time: `handshakes_max`.
        When full: waits up to `handshake_wait_s`, then turned away; at once where the
            rate alone makes the wait longer.
    """

    def __init__(self, limits: LinkLimits) -> None:
        self._wait_max_s = limits.handshake_wait_s
        self._bucket = TokenBucket(
            limits.handshakes_per_s, limits.handshakes_burst, trio.current_time()
        )
        self._places = trio.Semaphore(limits.handshakes_max)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold its place; raises `TurnedAway`."""
        now = trio.current_time()
        wait_s = self._bucket.reserve(now, self._wait_max_s)
        if wait_s is None:
            raise TurnedAway
        with trio.move_on_at(now + self._wait_max_s) as patience:
            await trio.sleep(wait_s)
            await self._places.acquire()
        if patience.cancelled_caught:
            raise TurnedAway
        try:
            yield
        finally:
            self._places.release()
