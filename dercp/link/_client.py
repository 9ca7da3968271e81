"""The calling end of a link."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from grpclib.const import Status
from grpclib.protocol import AbstractHandler, Stream
from h2.exceptions import ProtocolError

from ._call import ClientCall
from ._carrier import carrier_of
from ._errors import LinkRefused, LinkUnreachable
from ._events import LinkEventKind
from ._grpclib import LinkStream
from ._headers import Headers, Metadata, request_headers
from ._keeper import Keeper
from ._limits import LinkLimits
from ._line import CLIENT_END, Line
from ._tls_engine import TlsEngine

_DEFAULT_LIMITS = LinkLimits()
_CONNECT_WITHIN_S = 10.0
_NO_METADATA: Metadata = {}


@asynccontextmanager
async def open_call(
    host: str,
    port: int,
    path: str,
    *,
    tls: ssl.SSLContext | None = None,
    limits: LinkLimits = _DEFAULT_LIMITS,
    metadata: Metadata = _NO_METADATA,
    connect_within_s: float = _CONNECT_WITHIN_S,
) -> AsyncIterator[ClientCall]:
    """A call on a connection of its own, for as long as the block lasts.

    Leaving the block ends the call and the connection, within `close_within_s`. For an
    orderly end, `await call.end()` first and receive until None.

    Args:
        host: The server's name (which its certificate must bear) or address.
        port: Its port.
        path: "/package.Service/Method".
        tls: The client's context (`client_tls`); None for plain TCP.
        limits: The bounds.
        metadata: Sent along; keys in lower case, bytes under keys that end in "-bin".
        connect_within_s: Bound of all that comes before the call: name, TCP, TLS, HTTP/2.

    Raises:
        LinkUnreachable: No such name, nobody listens, or no answer in time.
        LinkRefused: TLS or the peer says no.
    """
    deadline = trio.current_time() + connect_within_s
    stream = await _connected(host, port, connect_within_s)
    async with open_call_over(
        stream,
        path,
        host=host,
        authority=f"{host}:{port}",
        tls=tls,
        limits=limits,
        metadata=metadata,
        connect_within_s=max(0.0, deadline - trio.current_time()),
    ) as call:
        yield call


@asynccontextmanager
async def open_call_over(
    stream: trio.abc.Stream,
    path: str,
    *,
    host: str = "localhost",
    authority: str = "",
    tls: ssl.SSLContext | None = None,
    limits: LinkLimits = _DEFAULT_LIMITS,
    metadata: Metadata = _NO_METADATA,
    connect_within_s: float = _CONNECT_WITHIN_S,
) -> AsyncIterator[ClientCall]:
    """Like `open_call`, over a stream that is open already, and is closed at the end."""
    authority = authority or host
    scheme = "http" if tls is None else "https"
    carrier = carrier_of(stream, limits.keepalive_s + limits.keepalive_timeout_s)
    line: Line | None = None
    raised: Exception | None = None
    try:
        headers = request_headers(path, authority, scheme, metadata)
        async with trio.open_nursery() as nursery:
            line = Line(
                carrier,
                lambda _peer: _NoCalls(),
                nursery,
                end=CLIENT_END,
                tls=None
                if tls is None
                else TlsEngine(tls, server_side=False, server_hostname=host),
                limits=limits,
                report=_unreported,
            )
            try:
                await _open(line, authority, connect_within_s)
                nursery.start_soon(_run, line, limits)
                call = ClientCall(await _begin(line, headers), line.peer, path, metadata, limits)
                try:
                    yield call
                finally:
                    call.leave()
            except Exception as error:  # noqa: BLE001 - raised below, where no nursery wraps it in a group
                raised = error
            line.close("this end has left the call")
    finally:
        if line is not None:
            line.part()
        await carrier.aclose()
    if raised is not None:
        raise raised


class _NoCalls(AbstractHandler):
    """grpclib's handler at the calling end, which takes no calls itself."""

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """Never called: h2 lets no server open a call."""

    def cancel(self, stream: Stream) -> None:
        """Nothing: a call is told through its stream."""

    def close(self) -> None:
        """Nothing: a call is told through its stream."""


async def _connected(host: str, port: int, within_s: float) -> trio.SocketStream:
    where = f"{host}:{port}"
    try:
        with trio.fail_after(within_s):
            return await trio.open_tcp_stream(host, port)
    except trio.TooSlowError as error:
        raise LinkUnreachable(
            Status.UNAVAILABLE,
            f"{where}: no answer within {within_s:g} s (check address, route and firewalls)",
        ) from error
    except socket.gaierror as error:
        raise LinkUnreachable(
            Status.UNAVAILABLE,
            f"{where}: this name is not known here (check its spelling and the site's DNS)",
        ) from error
    except OSError as error:
        raise LinkUnreachable(
            Status.UNAVAILABLE, f"{where}: {_reason_of(error)} (is the server running there?)"
        ) from error


def _reason_of(error: OSError) -> str:
    """The first attempt's reason: Trio tries every address a name has."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    number = cause.errno if isinstance(cause, OSError) else error.errno
    return str(error) if number is None else os.strerror(number).lower()


async def _open(line: Line, where: str, within_s: float) -> None:
    try:
        with trio.fail_after(within_s):
            await line.open()
    except LinkRefused as error:
        raise LinkRefused(error.status, f"{where}: {error.message}") from error
    except trio.TooSlowError as error:
        raise LinkUnreachable(
            Status.UNAVAILABLE,
            f"{where}: it took the connection, but said nothing in HTTP/2 within "
            f"{within_s:.2g} s (is that a gRPC port, and does it speak TLS or not?)",
        ) from error
    except trio.BrokenResourceError as error:
        raise LinkUnreachable(Status.UNAVAILABLE, f"{where}: {error}") from error


async def _run(line: Line, limits: LinkLimits) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keeper([line], limits).run)
        await line.run()
        nursery.cancel_scope.cancel()


async def _begin(line: Line, headers: Headers) -> LinkStream:
    """Ask for the call."""
    stream = line.protocol.connection.create_stream()
    try:
        await stream.send_request(headers, _processor=line.protocol.processor)
    except trio.TooSlowError as error:
        raise LinkRefused(Status.UNAVAILABLE, "the other end takes no further call now") from error
    except ProtocolError as error:
        sentence = "the other end closed the connection before the call"
        raise LinkUnreachable(Status.UNAVAILABLE, sentence) from error
    return stream


def _unreported(_kind: LinkEventKind, _reason: str) -> None:
    """Nothing: at the calling end the call itself raises the reason."""
