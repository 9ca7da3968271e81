"""The service that lets agents call: the gRPC listener, for as long as it is supervised."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio
from msgspec.structs import replace

from actors import Actor, Context
from dercp.link import LinkLimits, LinkServer, serve_link
from dercp.wire import CONNECT_PATH

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from dercp.headend.agents.gate import Gate
    from dercp.headend.settings import HeadendSettings
    from dercp.link import LinkEvent

log = structlog.get_logger()


# Connections the kernel keeps until they are accepted.
BACKLOG = 1_024


class Door:
    """Where agents call, and what is known of the listener from outside.

    Port 0 takes a free one, which is kept through restarts.

    Attributes:
        server: The link server while the listener is up.
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
        # Of the servers before this one.
        self._totals: Counter[str] = Counter()

    async def listen(self) -> Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]]:
        """Take the port.

        Raises:
            OSError: It is not to be had.
        """
        listeners = await trio.open_tcp_listeners(self.port, host=self.host, backlog=BACKLOG)
        self.port = listeners[0].socket.getsockname()[1]
        return listeners

    def totals(self) -> Counter[str]:
        """What was accepted and what befell it, by name, since the headend started."""
        totals = Counter(self._totals)
        if self.server is not None:
            link = self.server.statistics()
            totals["link_connections_accepted"] += link.connections_accepted
            totals["link_calls_accepted"] += link.calls_accepted
            totals.update({str(kind): count for kind, count in link.events.items()})
        return totals

    def close(self) -> None:
        """The server is down; another may follow."""
        self._totals, self.server = self.totals(), None


class ListenerActor(Actor[None]):
    """Listens while it lives; told to end, it lets the calls end first."""

    def __init__(self, door: Door, gate: Gate, settings: HeadendSettings) -> None:
        self._door = door
        self._gate = gate
        self._settings = settings
        self._listeners: Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]] = ()

    async def on_start(self, context: Context[None]) -> None:
        """Take the port; raises OSError when it is not to be had."""
        self._listeners = await self._door.listen()

    async def run(self, context: Context[None]) -> None:
        """Serve until told to end."""
        door, settings = self._door, self._settings
        try:
            async with trio.open_nursery() as nursery:
                door.server = await nursery.start(
                    partial(
                        serve_link,
                        self._listeners,
                        {CONNECT_PATH: self._gate.handle},
                        tls=door.tls,
                        limits=replace(door.limits, message_bytes_max=settings.message_bytes_max),
                        on_event=_note,
                    )
                )
                log.info("listening", grpc=f"{door.host}:{door.port}", tls=door.tls is not None)
                await context.wait_ending()
                await door.server.drain(settings.stop_within_s / 2)
        finally:
            door.close()


def _note(event: LinkEvent) -> None:
    log.warning(event.kind.value, peer=event.peer, reason=event.reason, exc_info=event.error)
