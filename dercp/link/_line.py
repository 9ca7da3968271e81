"""One connection, from its first byte to its last."""

import ssl
from collections.abc import Callable

import trio
from grpclib.const import Status
from grpclib.protocol import AbstractHandler
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from ._carrier import Carrier
from ._errors import LinkRefused
from ._events import LinkEventKind
from ._grpclib import Flood, LinkProtocol
from ._limits import LinkLimits
from ._peer import Peer, identified
from ._tls_engine import TlsEngine, explained
from ._transport import Transport

SERVER_END = H2Configuration(client_side=False, header_encoding="ascii")
CLIENT_END = H2Configuration(client_side=True, header_encoding="ascii")


class Line:
    """Feeds what a carrier brings to grpclib's protocol object, and ends in bounded time.

    One task runs it: `open`, then `run`. What it sends leaves through its transport.

    Args:
        carrier: Brings and takes the bytes.
        handler_for: Makes grpclib's handler, which is told of new calls, for a peer
            whose certificate is known.
        nursery: Where the transport may start its sending task.
        end: Which end of HTTP/2 this is, `SERVER_END` or `CLIENT_END`.
        tls: The TLS engine, for a line with TLS.
        limits: The bounds.
        report: Is told why the line was ended, where that is worth an event.
    """

    protocol: LinkProtocol  # from `open` on

    def __init__(
        self,
        carrier: Carrier,
        handler_for: Callable[[Peer], AbstractHandler],
        nursery: trio.Nursery,
        *,
        end: H2Configuration,
        tls: TlsEngine | None,
        limits: LinkLimits,
        report: Callable[[LinkEventKind, str], None],
    ) -> None:
        self.peer = Peer(carrier.address)
        self.transport = Transport(
            carrier, limits=limits, nursery=nursery, on_close=self._close_soon, cut=self.cut
        )
        self.heard_at = trio.current_time()
        self.pinged_at: float | None = None
        self._carrier = carrier
        self._handler_for = handler_for
        self._end = end
        self._tls = tls
        self._limits = limits
        self._report = report
        self._reading = trio.CancelScope()
        self._why = ""

    async def open(self) -> None:
        """Shake hands: TLS, then both ends' settings. The caller bounds the time.

        Raises:
            LinkRefused: The other end says no, or is not what we expect.
            trio.BrokenResourceError: The connection was lost.
        """
        if self._tls is not None:
            await self._open_tls(self._tls)
        self.protocol = LinkProtocol(self._handler_for(self.peer), self._end, self._limits)
        self.protocol.connection_made(self.transport)
        self.transport.writer = self.protocol
        goes_on = self._tls is None or self._decrypt(self._tls, b"")  # what came with the handshake
        while not self.protocol.connection.introduced:
            if not goes_on or self.transport.is_closing():
                raise LinkRefused(
                    Status.UNAVAILABLE,
                    self._why
                    or "it closed the connection before saying anything in HTTP/2 "
                    "(does one end speak TLS, and the other not?)",
                )
            goes_on = self._receive(await self._carrier.receive())

    async def run(self) -> None:
        """Read until the line ends, by either side; then every call has been told."""
        why = "the other end closed the connection"
        try:
            with self._reading:
                await self._carrier.receive_all(self._receive)
        except trio.BrokenResourceError as error:
            why = str(error) or "the connection was lost"
        self.transport.abort()
        self.protocol.processor.close(self._why or why)

    def cut(self, kind: LinkEventKind | None, why: str) -> None:
        """End the line now. The first reason stands."""
        if not self._why:
            self._why = why
            if kind is not None:
                self._report(kind, why)
        self.transport.abort()
        self._reading.cancel()

    def close(self, why: str, error_code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Say goodbye, and end the line once the other end has heard it."""
        self._why = self._why or why
        if self.transport.writer is None:  # still shaking hands: only TLS to end
            self.transport.close()
            return
        self.protocol.connection.go_away(error_code)
        self.protocol.processor.close(why)

    def part(self) -> None:
        """Say goodbye without waiting: the last act, also of a line that was cancelled."""
        if not self.transport.is_closing():
            self.transport.wait_no_more()
            if self.transport.writer is not None:
                self.protocol.connection.go_away()
            self.transport.abort()

    async def _open_tls(self, tls: TlsEngine) -> None:
        data = b""
        try:
            while not tls.shake_hands(data):
                self.transport.write_raw(tls.outgoing())
                data = await self._carrier.receive()
                if not data:
                    raise LinkRefused(
                        Status.UNAVAILABLE,
                        "it closed the connection within the TLS handshake: it may be busy, "
                        "or not speak TLS at that port",
                    )
            self.transport.write_raw(tls.outgoing())
        except ssl.SSLError as error:
            self.transport.write_raw(tls.outgoing())  # the alert tells the other end why
            raise LinkRefused(Status.UNAUTHENTICATED, explained(error)) from error
        if tls.object.selected_alpn_protocol() != "h2":
            raise LinkRefused(
                Status.UNAVAILABLE, "it speaks TLS but no HTTP/2 (no ALPN h2): is that a gRPC port?"
            )
        self.peer = identified(self.peer, tls.object)
        self.transport.tls = tls

    def _receive(self, data: bytes) -> bool:
        """Take in what the carrier brought; False at the end of the line."""
        if not data:
            return False
        self.heard_at = trio.current_time()
        self.pinged_at = None
        if self._tls is not None:
            return self._decrypt(self._tls, data)
        self._feed(data)
        return True

    def _decrypt(self, tls: TlsEngine, data: bytes) -> bool:
        """Take in encrypted bytes; False at the end of the TLS session."""
        try:
            plain = tls.decrypt(data)
        except ssl.SSLError as error:
            self._why = self._why or explained(error)
            return False
        if outgoing := tls.outgoing():
            self.transport.write_raw(outgoing)
        if plain:
            self._feed(plain)
        return not tls.ended

    def _feed(self, plain: bytes) -> None:
        """Give the protocol its bytes; whatever a hostile peer makes it raise ends this line."""
        if self.transport.is_closing():
            return  # what still comes is read so that the peer can hear our goodbye
        try:
            self.protocol.data_received(plain)
        except Flood as error:
            self._expel(LinkEventKind.FLOODED, error, error.error_code)
        except ProtocolError as error:
            self._expel(LinkEventKind.PROTOCOL_ERROR, error, error.error_code)
        except Exception as error:  # noqa: BLE001 - h2 and hpack raise many things at garbage
            self._expel(LinkEventKind.PROTOCOL_ERROR, error, ErrorCodes.PROTOCOL_ERROR)

    def _expel(self, kind: LinkEventKind, error: Exception, code: ErrorCodes) -> None:
        why = str(error) or type(error).__name__
        self._report(kind, why)
        self.close(f"HTTP/2 protocol error: {why}", code)

    def _close_soon(self) -> None:
        self._reading.deadline = min(
            self._reading.deadline, trio.current_time() + self._limits.close_within_s
        )
