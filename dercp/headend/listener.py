"""The service that lets agents call: the gRPC listener, for as long as it is supervised."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from actors import Actor, Context
from dercp.link import LinkLimits, LinkServer, LinkStatistics, serve_link
from dercp.wire import CONNECT_PATH

if TYPE_CHECKING:
    from dercp.headend.gate import Gate
    from dercp.link import LinkEvent

log = structlog.get_logger()


class LinkBind(msgspec.Struct, frozen=True, kw_only=True):
    """Where agents call. Port 0 takes a free one, and keeps it through restarts."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    limits: LinkLimits = LinkLimits()
    backlog: int = 1_024


class Door:
    """What is known of the listener from outside: its port and its counters."""

    def __init__(self, bind: LinkBind) -> None:
        self.bind = bind
        self.port = bind.port
        self.server: LinkServer | None = None

    def statistics(self) -> LinkStatistics | None:
        """The link server's counters; None before the first start."""
        return self.server.statistics() if self.server is not None else None


class ListenerActor(Actor[None]):
    """Listens while it lives; told to end, it lets the calls end first."""

    def __init__(self, door: Door, gate: Gate, *, drain_within_s: float) -> None:
        self._door = door
        self._gate = gate
        self._drain_within_s = drain_within_s
        self._listeners: list[trio.SocketListener] = []

    async def on_start(self, context: Context[None]) -> None:
        """Take the port; raises OSError when it is not to be had."""
        bind = self._door.bind
        self._listeners = await trio.open_tcp_listeners(
            self._door.port, host=bind.host, backlog=bind.backlog
        )
        self._door.port = self._listeners[0].socket.getsockname()[1]

    async def run(self, context: Context[None]) -> None:
        """Serve until told to end."""
        bind = self._door.bind
        async with trio.open_nursery() as nursery:
            server: LinkServer = await nursery.start(
                partial(
                    serve_link,
                    self._listeners,
                    {CONNECT_PATH: self._gate.handle},
                    tls=bind.tls,
                    limits=bind.limits,
                    on_event=_note,
                )
            )
            self._door.server = server
            log.info("listening", grpc=f"{bind.host}:{self._door.port}", tls=bind.tls is not None)
            await context.wait_ending()
            await server.drain(self._drain_within_s)


def _note(event: LinkEvent) -> None:
    log.warning(event.kind.value, peer=event.peer, reason=event.reason, exc_info=event.error)
