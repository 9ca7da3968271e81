"""Starts the calls of one connection, and ends each with a status."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol, cast

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler, Stream
from h2.errors import ErrorCodes

from ._call import ServerCall
from ._events import LinkEventKind
from ._grpclib import LinkStream
from ._headers import Headers, Refusal, judged
from ._limits import LinkLimits
from ._peer import Peer

CallHandler = Callable[[ServerCall], Awaitable[None]]
Routes = Mapping[str, CallHandler]

STOPPING = "the server is stopping"


class Calls(Protocol):
    """The server, as its connections see it."""

    draining: bool

    def call_began(self, call: ServerCall) -> None: ...
    def call_ended(self, call: ServerCall) -> None: ...
    def report(
        self, peer: str, kind: LinkEventKind, reason: str, error: Exception | None = None
    ) -> None: ...


class Acceptor(AbstractHandler):
    """grpclib's handler for one connection: a Trio task for each call.

    Characteristics:
        Bound: `calls_per_connection_max` handlers, those still ending included, so that
            calls opened and reset in a loop start no more of them.
        When full: the call is refused (REFUSED_STREAM), and may be tried again.
    """

    def __init__(
        self, routes: Routes, server: Calls, nursery: trio.Nursery, limits: LinkLimits, peer: Peer
    ) -> None:
        self._peer = peer
        self._routes = routes
        self._server = server
        self._nursery = nursery
        self._limits = limits
        self._running = 0

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """Begin a call, or answer why not."""
        stream = cast("LinkStream", stream)
        if self._running >= self._limits.calls_per_connection_max:
            self._report_refusal("more calls than one connection may have")
            stream.reset_now(ErrorCodes.REFUSED_STREAM)
            release_stream()
            return
        request = judged(headers, self._routes)
        if self._server.draining:
            request = Refusal(200, Status.UNAVAILABLE, STOPPING)
        if isinstance(request, Refusal):
            self._report_refusal(request.message)
            stream.send_headers_nowait(request.headers(), end_stream=True)
            stream.reset_now(ErrorCodes.NO_ERROR)
            release_stream()
            return
        call = ServerCall(stream, self._peer, request.path, request.metadata, self._limits)
        if request.timeout_s is not None:
            call.scope.deadline = trio.current_time() + request.timeout_s
        self._running += 1
        self._server.call_began(call)
        self._nursery.start_soon(self._run, call, self._routes[request.path], release_stream)

    def cancel(self, stream: Stream) -> None:
        """Nothing: a call is told through its stream."""

    def close(self) -> None:
        """Nothing: the calls are told through their streams."""

    async def _run(
        self, call: ServerCall, handler: CallHandler, release_stream: Callable[[], None]
    ) -> None:
        status, message = Status.UNAVAILABLE, STOPPING
        try:
            with call.scope:
                status, message = await self._outcome(call, handler)
            if call.scope.cancelled_caught and not self._server.draining:
                status, message = Status.DEADLINE_EXCEEDED, "the call's time is over"
        finally:
            call.finish(status, message)
            release_stream()
            self._running -= 1
            self._server.call_ended(call)

    async def _outcome(self, call: ServerCall, handler: CallHandler) -> tuple[Status, str]:
        """Run the handler; what its caller is told at the end."""
        try:
            await handler(call)
        except Exception as error:  # noqa: BLE001 - one call's fault must not end the others
            expected = _grpc_error_in(error)
            if expected is not None:
                return expected.status, expected.message or ""
            self._server.report(
                call.peer.address, LinkEventKind.CALL_FAILED, f"{call.path}: {error!r}", error
            )
            return Status.INTERNAL, "internal error"
        return Status.OK, ""

    def _report_refusal(self, reason: str) -> None:
        self._server.report(self._peer.address, LinkEventKind.CALL_REFUSED, reason)


def _grpc_error_in(error: Exception) -> GRPCError | None:
    """The status a handler raised, also from within a nursery; None for a fault of its own."""
    if isinstance(error, GRPCError):
        return error
    if isinstance(error, ExceptionGroup):
        expected, faults = error.split(GRPCError)
        if expected is not None and faults is None:
            return next(_leaves(expected))
    return None


def _leaves(group: ExceptionGroup[GRPCError]) -> Iterator[GRPCError]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
