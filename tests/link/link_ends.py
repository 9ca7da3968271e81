"""Both ends of a link in one process: listeners in memory, faulty streams, raw peers."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import h2.config
import h2.connection
import h2.events
import trio
import trio.testing
import trustme

from dercp.link import (
    CallHandler,
    ClientCall,
    LinkEvent,
    LinkEventKind,
    LinkLimits,
    LinkServer,
    ServerCall,
    open_call_over,
    serve_link,
)

E = TypeVar("E", bound=h2.events.Event)

PATH = "/test.Service/Talk"
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PATH),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]

CA = trustme.CA()


def server_context(*, mutual: bool = True) -> ssl.SSLContext:
    """A server's TLS context, signed by the tests' CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    CA.issue_cert("localhost").configure_cert(context)
    if mutual:
        CA.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, identity: str | None = "agent-7.example") -> ssl.SSLContext:
    """A client's TLS context, with a certificate for `identity`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    CA.configure_trust(context)
    if identity is not None:
        CA.issue_cert(identity).configure_cert(context)
    return context


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """A listener whose clients are in the same process."""

    def __init__(
        self,
        wrap: Callable[[trio.abc.Stream], trio.abc.Stream] = lambda stream: stream,
    ) -> None:
        self._wrap = wrap
        self._waiting: list[trio.abc.Stream] = []
        self._arrival = trio.Semaphore(0)
        self.closed = False

    def connect(self) -> trio.abc.Stream:
        """The client's end of a new connection."""
        near, far = trio.testing.memory_stream_pair()
        self._waiting.append(self._wrap(far))
        self._arrival.release()
        return near

    async def accept(self) -> trio.abc.Stream:
        await self._arrival.acquire()
        return self._waiting.pop(0)

    async def aclose(self) -> None:
        self.closed = True
        await trio.lowlevel.checkpoint()


class Hole(trio.abc.HalfCloseableStream):
    """A stream that can fail as lines do.

    Attributes:
        swallows: Everything vanishes, both ways.
        is_jammed: Nothing can be sent: the socket's buffer is full.
        sent: Bytes that went through it.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.swallows = False
        self.is_jammed = False
        self.sent = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)
        if self.is_jammed:
            await trio.sleep_forever()
        if self.swallows:
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if self.swallows:
            await trio.sleep_forever()
        return data

    async def send_eof(self) -> None:
        if not self.swallows and isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Served:
    """A server under test, and what it told."""

    def __init__(self, listener: MemoryListener) -> None:
        self.listener = listener
        self.events: list[LinkEvent] = []
        self.server: LinkServer

    def kinds(self) -> list[LinkEventKind]:
        return [event.kind for event in self.events]

    def reasons(self) -> str:
        return "; ".join(event.reason for event in self.events)


@asynccontextmanager
async def serving(
    handler: CallHandler | Mapping[str, CallHandler],
    *,
    limits: LinkLimits = LinkLimits(),  # noqa: B008 - frozen
    tls: ssl.SSLContext | None = None,
    listener: MemoryListener | None = None,
) -> AsyncIterator[Served]:
    """A server in memory for as long as the block lasts."""
    served = Served(listener or MemoryListener())
    routes = handler if isinstance(handler, Mapping) else {PATH: handler}
    async with trio.open_nursery() as nursery:
        served.server = await nursery.start(
            partial(
                serve_link,
                [served.listener],
                routes,
                tls=tls,
                limits=limits,
                on_event=served.events.append,
            )
        )
        yield served
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def calling(
    served: Served,
    path: str = PATH,
    *,
    limits: LinkLimits = LinkLimits(),  # noqa: B008 - frozen
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientCall]:
    """A call to it."""
    stream = served.listener.connect()
    async with open_call_over(stream, path, limits=limits, tls=tls) as call:
        yield call


async def echo(call: ServerCall) -> None:
    """Send back what comes."""
    while (message := await call.receive()) is not None:
        await call.send(message)


class RawPeer:
    """A client made of h2 alone, which may do what no decent client does."""

    def __init__(self, served: Served) -> None:
        self.stream = served.listener.connect()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.closed = False

    async def send(self, raw: bytes = b"") -> None:
        """Send what h2 has to send, then raw bytes."""
        await self.stream.send_all(self.h2.data_to_send() + raw)

    async def listen(self) -> list[h2.events.Event]:
        """Everything the server sends until it falls silent or closes."""
        fresh: list[h2.events.Event] = []
        with trio.move_on_after(0.5):
            while not self.closed:
                data = await self.stream.receive_some()
                self.closed = not data
                fresh += self.h2.receive_data(data)
        self.events += fresh
        return fresh

    def seen(self, kind: type[E]) -> list[E]:
        """The events of one kind, so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def fields(self) -> dict[str, str]:
        """The response's headers and trailers."""
        fields: dict[str, str] = {}
        for event in self.events:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                fields |= {str(name): str(value) for name, value in event.headers or []}
        return fields
