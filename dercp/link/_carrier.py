"""What carries a connection's bytes: a socket, or any stream of Trio's."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import trio

from ._reader import SharedReader

_RECEIVE_BYTES = 65_536


class Carrier(Protocol):
    """Bytes both ways. What is lost raises `trio.BrokenResourceError`."""

    @property
    def address(self) -> str:
        """Who is at the other end."""

    async def receive(self) -> bytes:
        """The bytes that came, at least one; none at the end."""

    async def receive_all(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` the bytes as they come, none at the end, until it returns False."""

    def send_nowait(self, data: bytes) -> int:
        """Send what can be sent without waiting; returns how many bytes that were."""

    async def send_some(self, data: bytes) -> int:
        """Wait until some of it could be sent; returns how many bytes that were."""

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""

    async def aclose(self) -> None:
        """Close at once, whatever is under way."""


class SocketCarrier:
    """A TCP connection, read and written by plain system calls.

    Trio's own socket costs two layers a call, and cannot send without awaiting. This one
    sends from synchronous code, so that an answer costs no task switch.
    """

    def __init__(
        self, stream: trio.SocketStream, dead_after_s: float, reader: SharedReader | None
    ) -> None:
        self._reader = reader
        self.address = _address_of(stream.socket)
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's signature
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The kernel cuts a connection whose bytes are not acknowledged: that finds a
            # link which is dead in one direction only, which no silence betrays.
            with suppress(OSError):  # no TCP, or gone already
                self._socket.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * dead_after_s)
                )

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            if (data := self._receive_nowait()) is not None:
                return data

    async def receive_all(self, take: Callable[[bytes], bool]) -> None:
        if self._reader is None:
            await _receive_all(self, take)
            return

        def take_some() -> bool:
            data = self._receive_nowait()
            return data is None or take(data)

        await self._reader.read(self._socket, take_some)

    def _receive_nowait(self) -> bytes | None:
        """What is there; None for not yet anything."""
        try:
            return self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError(_sentence(error)) from error

    def send_nowait(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(_sentence(error)) from error

    async def send_some(self, data: bytes) -> int:
        while True:
            await trio.lowlevel.wait_writable(self._socket)
            if sent := self.send_nowait(data):
                return sent

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(_sentence(error)) from error

    async def aclose(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.cancel_shielded_checkpoint()


class StreamCarrier:
    """Any other stream: memory in tests, a faulty link in the simulator."""

    def __init__(self, stream: trio.abc.Stream, address: str) -> None:
        self.address = address
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(_RECEIVE_BYTES))
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the connection was closed") from error

    async def receive_all(self, take: Callable[[bytes], bool]) -> None:
        await _receive_all(self, take)

    def send_nowait(self, data: bytes) -> int:
        return 0

    async def send_some(self, data: bytes) -> int:
        try:
            await self._stream.send_all(data)
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the connection was closed") from error
        return len(data)

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        else:
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


def carrier_of(
    stream: trio.abc.Stream, dead_after_s: float, reader: SharedReader | None = None
) -> Carrier:
    """The carrier for a stream, which it takes over.

    Args:
        stream: An open stream.
        dead_after_s: When the kernel may take a connection for dead.
        reader: Reads for many sockets; without it each is read by who receives.
    """
    if isinstance(stream, trio.SocketStream):
        return SocketCarrier(stream, dead_after_s, reader)
    return StreamCarrier(stream, "stream")


async def _receive_all(carrier: Carrier, take: Callable[[bytes], bool]) -> None:
    while take(await carrier.receive()):
        pass


def _address_of(sock: trio.socket.SocketType) -> str:
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return "local"
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "gone"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sentence(error: OSError) -> str:
    return f"the connection was lost: {error.strerror or error}"
