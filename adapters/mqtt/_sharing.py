"""Connections that devices share: one per broker, for as long as anybody uses it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import trio

from adapters.mqtt._options import BrokerOptions
from adapters.mqtt._session import Session

__all__ = ["joined"]

# A hundred devices that look for their broker, each by its own backoff, try it once a second.
RETRY_AFTER_S: Final = 1.0
CLOSE_WITHIN_S: Final = 3.0

_Key: TypeAlias = tuple[BrokerOptions, str | None]


class _Shared:
    """A connection, who uses it, and what ends it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0
        self.scope = trio.CancelScope()
        self.ended_s = 0.0

    async def run(self) -> None:
        with self.scope:
            await self.session.run()
        self.ended_s = trio.current_time()


class _Connections:
    """The connections of a Trio run. The table has as many rows as the configuration brokers."""

    def __init__(self) -> None:
        self._shared: dict[_Key, _Shared] = {}

    async def enter(self, key: _Key, clock_us: Callable[[], int]) -> _Shared:
        """The connection of this key, with one user more; a new one where there is none.

        It lives in a task of its own, because its first user may leave before the last.
        """
        while True:
            shared = self._shared.get(key)
            if shared is None or self._is_spent(shared):
                shared = self._shared[key] = _Shared(Session(*key, clock_us))
                trio.lowlevel.spawn_system_task(shared.run, name=f"mqtt {key[0]}")
            if not shared.scope.cancel_called:
                shared.users += 1
                return shared
            await shared.session.ended.wait()

    async def leave(self, shared: _Shared) -> None:
        """One user less; the last one closes it."""
        shared.users -= 1
        if not shared.users and not shared.session.ended.is_set():
            shared.scope.cancel("nobody uses it any more")
            with trio.move_on_after(CLOSE_WITHIN_S, shield=True):
                await shared.session.ended.wait()

    @staticmethod
    def _is_spent(shared: _Shared) -> bool:
        """Whether it is over, and did not fail a moment ago only."""
        if not shared.session.ended.is_set():
            return False
        age_s = trio.current_time() - shared.ended_s
        return shared.scope.cancel_called or age_s >= RETRY_AFTER_S


_CONNECTIONS: trio.lowlevel.RunVar[_Connections] = trio.lowlevel.RunVar("mqtt_connections")


@asynccontextmanager
async def joined(
    broker: BrokerOptions, host_id: str | None, clock_us: Callable[[], int]
) -> AsyncIterator[Session]:
    """The broker's connection, for the length of the block.

    Args:
        broker: Same options, same connection.
        host_id: As which Sparkplug host; None = as none.
        clock_us: The wall clock, for a new connection.

    Raises:
        DeviceError: From entering, when there is none to be had.
    """
    connections = _connections()
    shared = await connections.enter((broker, host_id), clock_us)
    try:
        await shared.session.settled.wait()
        shared.session.check()
        yield shared.session
    finally:
        await connections.leave(shared)


def _connections() -> _Connections:
    try:
        return _CONNECTIONS.get()
    except LookupError:
        connections = _Connections()
        _CONNECTIONS.set(connections)
        return connections
