"""Serves the application over HTTP on Trio until told to stop.

Hypercorn speaks the protocols; accepting, bounding and stopping is done here, because its
own loop takes any number of connections, waits shielded and for ever on a peer that does
not read, and ends altogether when the handling of one connection fails.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from typing import TypeAlias

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    ConnectionState,
    ResponseSummary,
    Scope,
    WWWScope,
)

from dercp.api.settings import ApiSettings, TlsFiles

_log = structlog.get_logger()


async def serve_api(
    app: ASGIFramework,
    bind: Sequence[str] | Sequence[socket.socket],
    *,
    shutdown_trigger: Callable[[], Awaitable[object]],
    settings: ApiSettings = ApiSettings(),  # noqa: B008 - frozen
    tls: TlsFiles | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown_trigger` returns, then give running requests time to end.

    `bind` is "host:port" ("[::1]:8080"; ":8080" for all addresses; port 0 for any) or
    sockets that are bound already. `task_status` gives the URLs that are served, once
    they are. Signals are the caller's. The app's lifespan is not run: what lives as long
    as the headend is part of the headend.

    Raises:
        OSError: An address cannot be bound, or a TLS file cannot be read.
        ValueError: An address cannot be understood.
    """
    tls_context = None if tls is None else _tls_context(tls)
    listeners = await _listen(bind, settings.backlog)
    writes = _Writes(settings.write_within_s)
    limiter = trio.CapacityLimiter(settings.connections_max)
    context = WorkerContext(None)
    serve_one = partial(
        _serve_one, ASGIWrapper(_finishing(app)), _hypercorn_config(settings), context
    )
    bounded = [_BoundedListener(listener, limiter, writes) for listener in listeners]
    async with trio.open_nursery() as connections:
        try:
            async with trio.open_nursery() as accepting:
                await accepting.start(
                    partial(
                        trio.serve_listeners,
                        serve_one,
                        [_secured(listener, tls_context) for listener in bounded],
                        handler_nursery=connections,
                    )
                )
                task_status.started([_url(listener, tls_context) for listener in listeners])
                await shutdown_trigger()
                accepting.cancel_scope.cancel()
        finally:
            # Idle connections close themselves now, the others when their answer is sent.
            await context.terminated.set()
            stop_at = trio.current_time() + settings.stop_within_s
            connections.cancel_scope.deadline = stop_at
            writes.end_by(stop_at)


def _finishing(app: ASGIFramework) -> ASGIFramework:
    """The application, not told of a disconnect once its answer is complete.

    Hypercorn says "disconnect" at the end of every request, and arms the connection's idle
    timer right after it. Quart cancels the request at that word, in the midst of arming:
    the connection would then stay for as long as its peer likes, also when we stop.
    """

    async def answered(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        complete = False

        async def send_noting_the_end(event: ASGISendEvent) -> None:
            nonlocal complete
            complete = event["type"] == "http.response.body" and not event.get("more_body")
            await send(event)

        async def receive_until_the_end() -> ASGIReceiveEvent:
            event = await receive()
            if complete and event["type"] == "http.disconnect":
                await trio.sleep_forever()
            return event

        await app(scope, receive_until_the_end, send_noting_the_end)

    return answered


async def _serve_one(
    app: ASGIWrapper, config: Config, context: WorkerContext, stream: "_Connection"
) -> None:
    """Serve one connection; what goes wrong in it ends it alone."""
    try:
        # Its annotations know the streams of its own loop only.
        await TCPServer(app, config, context, ConnectionState({}), stream)  # type: ignore[arg-type] # duck-typed
    except Exception:  # noqa: BLE001 - a peer's bytes must not end the server
        _log.exception("http_connection_failed")


class _Writes:
    """The deadlines of all writes under way; hypercorn shields them from any outside."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._end_at = inf
        self._scopes: set[trio.CancelScope] = set()

    def end_by(self, deadline: float) -> None:
        """Let no write, running or to come, last longer than this (Trio's clock)."""
        self._end_at = deadline
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, deadline)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Break the stream when what is done inside takes too long."""
        scope = trio.CancelScope(deadline=min(trio.current_time() + self._within_s, self._end_at))
        self._scopes.add(scope)
        try:
            with scope:
                yield
        finally:
            self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the peer does not read what it asked for")


class _BoundedStream(trio.abc.HalfCloseableStream):
    """A connection whose writes end, and which gives back its place when it closes."""

    def __init__(
        self, inner: trio.SocketStream, writes: _Writes, give_back: Callable[[], None]
    ) -> None:
        self._inner = inner
        self._writes = writes
        self._on_close = ExitStack()
        self._on_close.callback(give_back)
        # Where hypercorn looks for the addresses.
        self.socket = inner.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            with self._writes.bounded():
                await self._inner.send_all(data)
        except trio.BrokenResourceError:
            # Hypercorn would go on with the next piece.
            await trio.aclose_forcefully(self)
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        self._on_close.close()
        await self._inner.aclose()


_Connection: TypeAlias = _BoundedStream | trio.SSLStream[_BoundedStream]


class _BoundedListener(trio.abc.Listener[_BoundedStream]):
    """Serves no more connections than may be open at once; the others wait in the backlog."""

    def __init__(
        self, inner: trio.SocketListener, limiter: trio.CapacityLimiter, writes: _Writes
    ) -> None:
        self._inner = inner
        self._limiter = limiter
        self._writes = writes

    async def accept(self) -> _BoundedStream:
        stream = await self._inner.accept()
        try:
            await self._limiter.acquire_on_behalf_of(stream)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        give_back = partial(self._limiter.release_on_behalf_of, stream)
        return _BoundedStream(stream, self._writes, give_back)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _ServerLog(Logger):
    """Puts what hypercorn has to say into the program's log."""

    async def access(
        self, request: WWWScope, response: ResponseSummary | None, request_time: float
    ) -> None:
        _log.debug(
            "http_request",
            method=request.get("method"),
            path=request["path"],
            status=None if response is None else response["status"],
            client=request.get("client"),
            duration_s=round(request_time, 6),
        )

    async def exception(self, message: str, *args: object, **kwargs: object) -> None:
        _log.exception("http_server_failed", message=message % args if args else message)


def _hypercorn_config(settings: ApiSettings) -> Config:
    config = Config()
    config.logger_class = _ServerLog
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = settings.header_bytes_max
    config.keep_alive_timeout = settings.idle_s
    config.ssl_handshake_timeout = settings.handshake_within_s
    config.websocket_max_message_size = settings.socket_message_bytes_max
    # Its task would outlive the connection by up to one interval, and hold up the stop; what
    # is told over a socket has heartbeats of its own.
    config.websocket_ping_interval = None
    return config


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer; HTTP/2 for those who ask for it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.load_cert_chain(files.certificate, files.key)
    return context


def _secured(
    listener: _BoundedListener, context: ssl.SSLContext | None
) -> _BoundedListener | trio.SSLListener[_BoundedStream]:
    if context is None:
        return listener
    return trio.SSLListener(listener, context, https_compatible=True)


async def _listen(
    bind: Sequence[str] | Sequence[socket.socket], backlog: int
) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    try:
        for where in bind:
            if isinstance(where, str):
                host, port = _host_and_port(where)
                listeners += await trio.open_tcp_listeners(port, host=host, backlog=backlog)
            else:
                where.listen(backlog)
                listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(where)))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _host_and_port(address: str) -> tuple[str | None, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f'{address!r}: expected host:port, like "127.0.0.1:8080"')
    return host.removeprefix("[").removesuffix("]") or None, int(port)


def _url(listener: trio.SocketListener, context: ssl.SSLContext | None) -> str:
    scheme = "http" if context is None else "https"
    host, port = listener.socket.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
