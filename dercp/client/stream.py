"""Follows a headend's live stream over a WebSocket, through lost connections."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    DisconnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from dercp.client.messages import Lost, NoHeadend, Refused, Update, Wanted

CONNECT_WITHIN_S = 10.0
# The headend gives a sign of life every 15 s.
SILENT_S_MAX = 45.0
HANG_UP_WITHIN_S = 1.0
RETRY_S_FIRST = 0.5
RETRY_S_MAX = 30.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
PATH = "/ws"
NAME = "follow"
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503


class LiveStream:
    """What one headend tells, in its order. Made by `open_stream`; iterate over it.

    Characteristics:
        Lost connections: are told once, as `Lost`; the next item comes when the headend is
            back, and says whether it goes on (`resume`) or begins anew (`reset`).
        Back-off: doubling from 0.5 to 30 s, each a random share of that.
        Backpressure: what is not read stays in the headend, which leaves out what is old.
    """

    def __init__(
        self, host: "_Host", wanted: Wanted, nursery: trio.Nursery, luck: random.Random
    ) -> None:
        self._host = host
        self._wanted = wanted
        self._nursery = nursery
        self._luck = luck
        self._stream: trio.abc.Stream | None = None
        self._carrier = trio.CancelScope()
        self._socket: WebSocketConnection | None = None
        self._last_id = ""
        self._failures = 0

    def __aiter__(self) -> "LiveStream":
        return self

    async def __anext__(self) -> Update | Lost:
        """The next that is told.

        Raises:
            Refused: The headend will not tell, or is none.
        """
        if self._socket is None:
            return await self._come_back()
        try:
            return await self._hear(self._socket)
        except (ConnectionClosed, OSError, trio.TooSlowError) as error:
            await self.hang_up()
            return Lost(_reason(error))

    async def connect(self) -> None:
        """Call the headend, and say what is wanted.

        Raises:
            NoHeadend: It does not answer, or not now.
            Refused: It says no, or is none.
        """
        wanted = msgspec.to_builtins(self._wanted)
        if self._last_id:
            wanted["last_event_id"] = self._last_id
        try:
            with trio.fail_after(CONNECT_WITHIN_S):
                self._stream = await self._host.open()
                self._socket = await self._nursery.start(self._carry, self._stream)
                request = msgspec.json.encode({"subscribe": wanted, "id": NAME})
                await self._socket.send_message(request.decode())
        except ConnectionRejected as error:
            await self.hang_up()
            if error.status_code in (TOO_MANY_REQUESTS, UNAVAILABLE):
                raise NoHeadend("it has no room for one more, or is being stopped") from error
            raise Refused(_rejection(error)) from error
        except (HandshakeError, ConnectionClosed, OSError, trio.TooSlowError) as error:
            await self.hang_up()
            raise NoHeadend(_reason(error)) from error

    async def _carry(
        self,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        *,
        task_status: trio.TaskStatus[WebSocketConnection],
    ) -> None:
        """The life of one connection; a call that is refused fails in a task of its own."""
        rejections: list[ConnectionRejected] = []
        try:
            async with trio.open_nursery() as nursery:
                self._carrier = nursery.cancel_scope
                socket = await wrap_client_stream(
                    nursery,
                    stream,
                    self._host.name,
                    self._host.path,
                    max_message_size=MESSAGE_BYTES_MAX,
                )
                task_status.started(socket)
                await trio.sleep_forever()
        except* ConnectionRejected as group:
            rejections += [
                each for each in group.exceptions if isinstance(each, ConnectionRejected)
            ]
        if rejections:
            raise rejections[0]

    async def hang_up(self) -> None:
        """Let go of the connection, politely if that is quick."""
        socket, self._socket = self._socket, None
        stream, self._stream = self._stream, None
        try:
            if socket is not None:
                with trio.move_on_after(HANG_UP_WITHIN_S):
                    await socket.aclose()
        finally:
            self._carrier.cancel("the connection is over")
            if stream is not None:
                await trio.aclose_forcefully(stream)

    async def _come_back(self) -> Update | Lost:
        while self._socket is None:
            await trio.sleep(self._pause_s())
            try:
                await self.connect()
            except NoHeadend:
                self._failures += 1
        return await anext(self)

    def _pause_s(self) -> float:
        """Never at once: whatever cut one stream may have cut all of them."""
        most_s = min(RETRY_S_MAX, RETRY_S_FIRST * 2.0 ** min(self._failures, 10))
        return self._luck.uniform(0.1, 1.0) * most_s

    async def _hear(self, socket: WebSocketConnection) -> Update:
        while True:
            with trio.fail_after(SILENT_S_MAX):
                content = await socket.get_message()
            update = _read(content)
            if update.event_id:
                self._last_id = update.event_id
            if update.event != "heartbeat":
                self._failures = 0
                return update


@asynccontextmanager
async def open_stream(
    url: str, wanted: Wanted | None = None, *, seed: int | None = None
) -> AsyncIterator[LiveStream]:
    """Follow the headend whose API is at `url` ("http://127.0.0.1:8080").

    Raises:
        NoHeadend: It does not answer the first call.
        Refused: It will not tell, or is none.
    """
    luck = random.Random(seed)  # noqa: S311 - spreads calls, guards nothing
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        stream = LiveStream(_Host(url), wanted or Wanted(), nursery, luck)
        try:
            await stream.connect()
            yield stream
        except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
            failure = error
        finally:
            await stream.hang_up()
        # What it would still say nobody wants to hear.
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class _Host:
    """Where the headend is."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name = parts.netloc
        self.path = parts.path.rstrip("/") + PATH
        self._address = parts.hostname or ""
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 80)

    async def open(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        """Connect to it."""
        if self._is_secure:
            return await trio.open_ssl_over_tcp_stream(
                self._address, self._port, https_compatible=True
            )
        return await trio.open_tcp_stream(self._address, self._port)


class _Failure(msgspec.Struct, frozen=True):
    detail: str


class _Said(msgspec.Struct, frozen=True):
    event: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    event_id: str | None = None
    error: _Failure | None = None


def _read(content: str | bytes) -> Update:
    try:
        said = msgspec.json.decode(content, type=_Said)
    except msgspec.MsgspecError as error:
        raise Refused(f"what it says is not dercp's live stream ({error})") from error
    if said.error is not None:
        raise Refused(said.error.detail)
    return Update(said.event, said.data, said.event_id)


def _rejection(error: ConnectionRejected) -> str:
    try:
        return msgspec.json.decode(error.body or b"", type=_Failure).detail
    except msgspec.MsgspecError:
        return f"it has no live stream (HTTP {error.status_code})"


def _reason(error: Exception) -> str:
    """The cause in words."""
    match error:
        case ConnectionClosed(reason=reason) if reason is not None and not isinstance(reason, str):
            return reason.reason or "the connection was closed"
        case trio.TooSlowError() | DisconnectionTimeout():
            return "it does not answer"
        case _:
            # Trio tells of each address that it tried.
            cause: BaseException = error.__cause__ or error
            while isinstance(cause, BaseExceptionGroup):
                cause = cause.exceptions[0]
            return str(cause).partition("] ")[2] or str(cause) or type(cause).__name__
