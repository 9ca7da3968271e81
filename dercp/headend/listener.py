"""The service that lets agents call: the gRPC listener, for as long as it is supervised."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from actors import Actor, Context
from dercp.link import LinkLimits, LinkServer, LinkStatistics, serve_link
from dercp.wire import CONNECT_PATH

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from dercp.headend.gate import Gate
    from dercp.link import LinkEvent

log = structlog.get_logger()


BACKLOG = 1_024


class Door:
    """Where agents call, and what is known of the listener from outside.

    Port 0 takes a free one, which is kept through restarts.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: LinkLimits | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.limits = limits or LinkLimits()
        self.server: LinkServer | None = None

    async def listen(self) -> Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]]:
        """Take the port.

        Raises:
            OSError: It is not to be had.
        """
        listeners = await trio.open_tcp_listeners(self.port, host=self.host, backlog=BACKLOG)
        self.port = listeners[0].socket.getsockname()[1]
        return listeners

    def statistics(self) -> LinkStatistics | None:
        """The link server's counters; None before the first start."""
        return self.server.statistics() if self.server is not None else None


class ListenerActor(Actor[None]):
    """Listens while it lives; told to end, it lets the calls end first."""

    def __init__(self, door: Door, gate: Gate, *, drain_within_s: float) -> None:
        self._door = door
        self._gate = gate
        self._drain_within_s = drain_within_s
        self._listeners: Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]] = ()

    async def on_start(self, context: Context[None]) -> None:
        """Take the port; raises OSError when it is not to be had."""
        self._listeners = await self._door.listen()

    async def run(self, context: Context[None]) -> None:
        """Serve until told to end."""
        door = self._door
        async with trio.open_nursery() as nursery:
            server: LinkServer = await nursery.start(
                partial(
                    serve_link,
                    self._listeners,
                    {CONNECT_PATH: self._gate.handle},
                    tls=door.tls,
                    limits=door.limits,
                    on_event=_note,
                )
            )
            door.server = server
            log.info("listening", grpc=f"{door.host}:{door.port}", tls=door.tls is not None)
            await context.wait_ending()
            await server.drain(self._drain_within_s)


def _note(event: LinkEvent) -> None:
    log.warning(event.kind.value, peer=event.peer, reason=event.reason, exc_info=event.error)
