"""The listening end of a link."""

import ssl
from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from contextlib import ExitStack
from functools import partial

import msgspec
import trio

from ._acceptor import STOPPING, Acceptor, Routes
from ._admission import Admission, TurnedAway
from ._call import ServerCall
from ._carrier import Carrier, carrier_of
from ._errors import LinkRefused
from ._events import EventSink, LinkEvent, LinkEventKind, ignore
from ._keeper import Keeper
from ._limits import LinkLimits
from ._line import SERVER_END, Line
from ._reader import new_shared_reader
from ._tls_engine import TlsEngine

_DEFAULT_LIMITS = LinkLimits()


class LinkStatistics(msgspec.Struct, frozen=True):
    """A server's counters.

    Attributes:
        connections: Open now.
        handshakes: Connections shaking hands, or waiting for their turn, now.
        calls: Calls open now.
        connections_accepted: Since the start.
        calls_accepted: Since the start.
        events: How often each kind of event happened.
    """

    connections: int
    handshakes: int
    calls: int
    connections_accepted: int
    calls_accepted: int
    events: Mapping[LinkEventKind, int]


class LinkServer:
    """A server that is listening; `serve_link` makes it.

    Attributes:
        port: The first listener's port, 0 where it has none.
        draining: No further call is taken.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        port: int,
        tls: ssl.SSLContext | None,
        limits: LinkLimits,
        on_event: EventSink,
    ) -> None:
        self.port = port
        self.draining = False
        self._routes = routes
        self._tls = tls
        self._limits = limits
        self._on_event = on_event
        self._admission = Admission(limits)
        self._reader = new_shared_reader(limits.read_spacing_s)
        self._lines: set[Line] = set()
        self._calls: set[ServerCall] = set()
        self._handshakes = 0
        self._connections_accepted = 0
        self._calls_accepted = 0
        self._counts: Counter[LinkEventKind] = Counter()
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._endings = trio.lowlevel.ParkingLot()

    def statistics(self) -> LinkStatistics:
        """The counters as they are now."""
        return LinkStatistics(
            connections=len(self._lines),
            handshakes=self._handshakes,
            calls=len(self._calls),
            connections_accepted=self._connections_accepted,
            calls_accepted=self._calls_accepted,
            events=dict(self._counts),
        )

    async def drain(self, within_s: float) -> None:
        """Stop in order: no new calls, time for the open ones, goodbye, close.

        Handlers have `within_s` to return; then they are cancelled, and their clients
        told UNAVAILABLE. At most `close_within_s` later everything is closed.
        """
        self.draining = True
        self._accepting.cancel()
        with trio.move_on_after(within_s):
            await self._until_none(self._calls)
        with trio.move_on_after(self._limits.close_within_s):
            for call in self._calls:
                call.scope.cancel()
            await self._until_none(self._calls)
            for line in list(self._lines):
                line.close(STOPPING)
            await self._until_none(self._lines)
        self._serving.cancel()

    def call_began(self, call: ServerCall) -> None:
        """A connection has opened a call."""
        self._calls_accepted += 1
        self._calls.add(call)

    def call_ended(self, call: ServerCall) -> None:
        """A call is over, and its handler has ended."""
        self._calls.discard(call)
        self._endings.unpark_all()

    def report(
        self, peer: str, kind: LinkEventKind, reason: str, error: Exception | None = None
    ) -> None:
        """Count an event, and tell who wants to know."""
        self._counts[kind] += 1
        self._on_event(LinkEvent(kind, peer, reason, error))

    async def serve(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        task_status: trio.TaskStatus["LinkServer"],
    ) -> None:
        """Serve until drained or cancelled; closes the listeners."""
        with self._serving, ExitStack() as at_end:
            if self._reader is not None:
                at_end.callback(self._reader.close)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Keeper(self._lines, self._limits).run)
                if self._reader is not None:
                    nursery.start_soon(self._reader.run)
                task_status.started(self)
                with self._accepting:
                    await trio.serve_listeners(
                        self._attend, list(listeners), handler_nursery=nursery
                    )
                await trio.sleep_forever()  # drain() ends this scope, or a cancellation

    async def _attend(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end."""
        self._connections_accepted += 1
        limits = self._limits
        carrier = carrier_of(stream, limits.keepalive_s + limits.keepalive_timeout_s, self._reader)
        if len(self._lines) + self._handshakes >= limits.connections_max:
            self.report(
                carrier.address, LinkEventKind.CONNECTION_REFUSED, "more connections than allowed"
            )
            await carrier.aclose()
            return
        line: Line | None = None
        try:
            async with trio.open_nursery() as nursery:
                line = self._line(carrier, nursery)
                if await self._admitted(line):
                    self._lines.add(line)
                    await line.run()
                else:
                    line.close("the handshake failed")
        finally:
            if line is not None:
                line.part()
                self._lines.discard(line)
            self._endings.unpark_all()
            await carrier.aclose()

    def _line(self, carrier: Carrier, nursery: trio.Nursery) -> Line:
        return Line(
            carrier,
            partial(Acceptor, self._routes, self, nursery, self._limits),
            nursery,
            end=SERVER_END,
            tls=None if self._tls is None else TlsEngine(self._tls, server_side=True),
            limits=self._limits,
            report=partial(self.report, carrier.address),
        )

    async def _admitted(self, line: Line) -> bool:
        """Let a connection shake hands when its turn comes; False where it ends with that."""
        report = partial(self.report, line.peer.address)
        within_s = self._limits.handshake_within_s
        self._handshakes += 1
        try:
            async with self._admission.turn():
                with trio.fail_after(within_s):
                    await line.open()
        except TurnedAway:
            report(LinkEventKind.CONNECTION_REFUSED, "too many connections shake hands now")
        except trio.TooSlowError:
            report(LinkEventKind.HANDSHAKE_FAILED, f"the handshake took more than {within_s:g} s")
        except (LinkRefused, trio.BrokenResourceError) as error:
            report(LinkEventKind.HANDSHAKE_FAILED, str(error))
        else:
            return True
        finally:
            self._handshakes -= 1
        return False

    async def _until_none(self, things: Sized) -> None:
        while things:
            await self._endings.park()


async def serve_link(
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    routes: Routes,
    *,
    tls: ssl.SSLContext | None = None,
    limits: LinkLimits = _DEFAULT_LIMITS,
    on_event: EventSink = ignore,
    task_status: trio.TaskStatus[LinkServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve calls until drained or cancelled.

    A handler that returns ends its call with status OK. One that raises `LinkError` or
    grpclib's `GRPCError` ends it with that status. Any other exception is INTERNAL to
    the client, an event to the operator, and nothing to the other calls. When the client
    is gone, `receive` and `send` raise `LinkBroken`; a handler which is still running
    `close_within_s` later is cancelled.

    Args:
        listeners: Where clients connect (`trio.open_tcp_listeners`); closed at the end.
        routes: The handler for each path, "/package.Service/Method".
        tls: The server's context (`server_tls`); None for plain TCP.
        limits: The bounds.
        on_event: Is told of refusals and faults as they happen.
        task_status: Is given the `LinkServer` once it serves.
    """
    server = LinkServer(routes, port=_port_of(listeners), tls=tls, limits=limits, on_event=on_event)
    await server.serve(listeners, task_status)


def _port_of(listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]) -> int:
    first = listeners[0] if listeners else None
    if isinstance(first, trio.SocketListener):
        return int(first.socket.getsockname()[1])
    return 0
