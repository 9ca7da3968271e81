"""The way out of a connection."""

import ssl
from collections.abc import Callable
from typing import Protocol

import trio

from ._carrier import Carrier
from ._events import LinkEventKind
from ._limits import LinkLimits
from ._tls_engine import TlsEngine

_SEND_BYTES = 65_536


class Pausable(Protocol):
    """Who must stop writing while the way out is full."""

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Transport:
    """Writes what grpclib gives it; to grpclib it looks like asyncio's transport.

    Bytes go to the socket at once, from whichever task writes them; only what the socket
    does not take waits here, and only then a task exists to send it.

    Characteristics:
        Bound: twice `send_buffer_bytes_max`.
        When over the half: writers are asked to wait.
        When full, or nothing leaves within `write_within_s`: the connection is cut.
        On close: what waits leaves, or is dropped after `close_within_s`.

    Args:
        carrier: Takes the bytes.
        limits: The bounds.
        nursery: Where the sending task runs, while there is one.
        on_close: Called when a closing begins.
        cut: Ends the connection for a reason; the kind is None for a plain loss.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        limits: LinkLimits,
        nursery: trio.Nursery,
        on_close: Callable[[], None],
        cut: Callable[[LinkEventKind | None, str], None],
    ) -> None:
        self.tls: TlsEngine | None = None
        self.writer: Pausable | None = None
        self._carrier = carrier
        self._limits = limits
        self._nursery: trio.Nursery | None = nursery
        self._on_close = on_close
        self._cut = cut
        self._waiting = bytearray()
        self._sender: trio.CancelScope | None = None
        self._closing = False

    def write(self, data: bytes) -> None:
        """Send, now or as soon as it can be; nothing once closing."""
        if self._closing:
            return
        if self.tls is not None:
            try:
                data = self.tls.encrypt(data)
            except ssl.SSLError:
                self._cut(None, "the other end closed the TLS session")
                return
        self.write_raw(data)

    def write_raw(self, data: bytes) -> None:
        """Send what is encrypted already."""
        waiting = self._waiting
        if not waiting and self._sender is None:
            try:
                sent = self._carrier.send_nowait(data)
            except trio.BrokenResourceError as error:
                self._cut(None, str(error))
                return
            if sent == len(data):
                return
            data = data[sent:]
        waiting += data
        if len(waiting) > 2 * self._limits.send_buffer_bytes_max:
            self._cut(LinkEventKind.PEER_TOO_SLOW, "it makes us answer and does not read")
            return
        if len(waiting) > self._limits.send_buffer_bytes_max and self.writer is not None:
            self.writer.pause_writing()
        self._start_sending()

    def close(self) -> None:
        """Let what waits leave, then tell the peer that nothing more comes."""
        if self._closing:
            return
        if self.tls is not None:
            self.write_raw(self.tls.farewell())
        self._closing = True
        self._start_sending()
        if self._sender is not None:
            self._sender.deadline = trio.current_time() + self._limits.close_within_s
        self._on_close()

    def abort(self) -> None:
        """Drop what waits."""
        self._closing = True
        self._waiting.clear()
        if self._sender is not None:
            self._sender.cancel()

    def wait_no_more(self) -> None:
        """From now on send what can be sent at once, and drop the rest."""
        self._nursery = None

    def is_closing(self) -> bool:
        """No further byte is taken."""
        return self._closing

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Nothing: grpclib asks for the socket, which is not its business here."""
        return default

    def _start_sending(self) -> None:
        if self._nursery is None:
            self._waiting.clear()
        elif self._sender is None:
            self._sender = trio.CancelScope()
            self._nursery.start_soon(self._send_waiting, self._sender)

    async def _send_waiting(self, scope: trio.CancelScope) -> None:
        """Send until nothing waits."""
        try:
            with scope:
                while self._waiting:
                    with trio.fail_after(self._limits.write_within_s):
                        sent = await self._carrier.send_some(bytes(self._waiting[:_SEND_BYTES]))
                    del self._waiting[:sent]
                    self._resume()
                if self._closing:
                    await self._carrier.send_eof()
        except trio.TooSlowError:
            within_s = self._limits.write_within_s
            self._cut(LinkEventKind.PEER_TOO_SLOW, f"it has read nothing for {within_s:g} s")
        except trio.BrokenResourceError as error:
            self._cut(None, str(error))
        finally:
            self._sender = None

    def _resume(self) -> None:
        if self.writer is not None and len(self._waiting) <= self._limits.send_buffer_bytes_max:
            self.writer.resume_writing()
