"""One open RPC."""

from collections.abc import Callable

import msgspec
import trio
from grpclib.const import Status
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from ._errors import LinkBroken, LinkError, MessageTooLarge
from ._grpclib import LinkStream
from ._headers import RESPONSE, Headers, Metadata, outcome_in, refusal_in, trailers_for
from ._limits import LinkLimits
from ._messages import framed
from ._peer import Peer

_BATCH = 64
_SENDS_IN_TURN = 16


class CallStatistics(msgspec.Struct, frozen=True):
    """What went through one call."""

    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int


class Call:
    """One open RPC: messages both ways, as bytes.

    Characteristics:
        Receiving: one task at a time. What is not received stays with the peer, beyond
            one flow-control window.
        Sending: any number of tasks; messages go out whole, in the order of the calls.
            A wait for the peer is bounded by `write_within_s` without progress.
        After a loss: what had come can be received, then `LinkBroken` is raised.

    Attributes:
        peer: The other end.
        path: "/package.Service/Method".
        metadata: What the client sent along with the call.
    """

    def __init__(
        self, stream: LinkStream, peer: Peer, path: str, metadata: Metadata, limits: LinkLimits
    ) -> None:
        self.peer = peer
        self.path = path
        self.metadata = metadata
        self._stream = stream
        self._limits = limits
        self._broken: LinkError | None = None
        self._receiving = False
        self._arrival = trio.lowlevel.ParkingLot()
        self._sending = trio.Lock()
        self._waits: set[trio.CancelScope] = set()
        self._opening: Headers = []
        self._messages_received = 0
        self._messages_sent = 0
        self._sent_in_turn = 0
        self._bytes_sent = 0
        stream.buffer.wake = self._arrived
        stream.on_broken = self._break

    async def receive(self) -> bytes | None:
        """The next message; None at the orderly end.

        Raises:
            LinkBroken: The call is over without an orderly end.
            LinkRefused: The server ended the call with a status (client only).
            MessageTooLarge: The peer sent a message over the limit.
        """
        messages = await self.receive_some(1)
        return messages[0] if messages else None

    async def receive_some(self, limit: int) -> list[bytes]:
        """The messages that are here, at least one and at most `limit`; none at the end.

        Messages that came in one read are received in one wake-up. Raises like `receive`.
        """
        buffer = self._stream.buffer
        if self._is_ready():
            await trio.lowlevel.checkpoint()
        self._begin_receiving()
        try:
            while not self._is_ready():
                buffer.expect()
                self._sent_in_turn = 0
                await self._arrival.park()
        finally:
            self._end_receiving()
        if not len(buffer):
            self._raise_if_not_orderly()
            return []
        return self._taken(limit)

    async def receive_into(self, take: Callable[[list[bytes]], None]) -> None:
        """Give messages to `take` as they come; returns at the orderly end.

        As `receive_unless` with a `take` that leaves nothing.
        """

        def take_all(messages: list[bytes]) -> list[bytes]:
            take(messages)
            return []

        await self.receive_unless(take_all, _BATCH)

    async def receive_unless(
        self, take: Callable[[list[bytes]], list[bytes]], limit: int
    ) -> list[bytes]:
        """Give messages to `take` as they come, until it leaves some; none at the orderly end.

        `take` is called by the task that reads the connection, with at most `limit` messages,
        which saves a task switch a message (`benchmarks/link.py` tells how much that is). It
        must be quick, and cannot wait: what it cannot do at once it leaves, with all behind
        that, by returning it. That is returned here; what comes meanwhile stays with the call.

        What `take` raises is raised here, and harms no other call. Raises like `receive`.
        """
        buffer = self._stream.buffer
        left: list[bytes] = []
        faults: list[Exception] = []

        def pass_on() -> None:
            try:
                while len(buffer) and not left:
                    left.extend(take(self._taken(limit)))
            except Exception as error:  # noqa: BLE001 - raised to the receiver; the reader reads on
                faults.append(error)
            if left or faults or self._is_ready():
                self._arrival.unpark()
            else:
                buffer.expect()

        await trio.lowlevel.checkpoint()
        self._begin_receiving()
        try:
            buffer.wake = pass_on
            pass_on()
            while not left and not faults and not self._is_ready():
                await self._arrival.park()
        finally:
            self._end_receiving()
        if faults:
            raise faults[0]
        if not left:
            self._raise_if_not_orderly()
        return left

    async def send(self, message: bytes) -> None:
        """Send a message; returns once it is on its way.

        Always a cancellation point, but the others only get a turn when it must wait, and
        every 16 messages: a turn at each would cost more than the sending.

        Raises:
            LinkBroken: The call is over, or the peer takes nothing.
            MessageTooLarge: The message is over our own limit; the call goes on.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_nowait(message)
        except trio.WouldBlock:
            await self._send_waiting(message)
        if self._sent_in_turn >= _SENDS_IN_TURN:
            self._sent_in_turn = 0
            await trio.lowlevel.cancel_shielded_checkpoint()

    def send_nowait(self, message: bytes) -> None:
        """Send a message now; raises like `send`.

        Raises:
            trio.WouldBlock: The peer's flow-control window or the send buffer is full,
                or another task is sending; nothing of the message was sent.
        """
        self._check_sendable(message)
        if self._sending.locked():
            raise trio.WouldBlock
        try:
            self._stream.send_message_nowait(message, self._opening)
        except ProtocolError as error:
            raise self._fault(error) from error
        self._count_sent(message)

    def statistics(self) -> CallStatistics:
        """What went through so far."""
        return CallStatistics(
            messages_received=self._messages_received,
            messages_sent=self._messages_sent,
            bytes_received=self._stream.buffer.bytes_received,
            bytes_sent=self._bytes_sent,
        )

    async def _send_waiting(self, message: bytes) -> None:
        with trio.CancelScope() as wait:
            self._waits.add(wait)
            try:
                async with self._sending:
                    self._check_sendable(message)
                    await self._send_in_parts(message)
            finally:
                self._waits.discard(wait)
        if wait.cancelled_caught and self._broken is not None:
            raise self._broken.again()

    async def _send_in_parts(self, message: bytes) -> None:
        """Send as the window opens; a message that stays half sent ends the call."""
        stream = self._stream
        sent_before = stream.data_sent
        try:
            if self._opening:
                stream.send_headers_nowait(self._opening)
                self._opening = []
            await stream.send_data(framed(message))
        except ProtocolError as error:
            raise self._fault(error) from error
        except trio.TooSlowError as error:
            within_s = self._limits.write_within_s
            slow = LinkBroken(Status.UNAVAILABLE, f"the other end took nothing for {within_s:g} s")
            self._give_up(slow)
            raise slow from error
        except trio.Cancelled:
            if stream.data_sent != sent_before:
                self._give_up(LinkBroken(Status.CANCELLED, "a message was cancelled half sent"))
            raise
        self._count_sent(message)

    def _check_sendable(self, message: bytes) -> None:
        if self._broken is not None:
            raise self._broken.again()
        if len(message) > self._limits.message_bytes_max:
            raise MessageTooLarge(
                Status.RESOURCE_EXHAUSTED,
                f"a message of {len(message)} bytes is over our own limit of "
                f"{self._limits.message_bytes_max} bytes",
            )

    def _begin_receiving(self) -> None:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this call")
        self._receiving = True

    def _end_receiving(self) -> None:
        self._receiving = False
        self._stream.buffer.awaited = False
        self._stream.buffer.wake = self._arrived

    def _taken(self, limit: int) -> list[bytes]:
        messages = self._stream.buffer.take(limit)
        self._messages_received += len(messages)
        return messages

    def _count_sent(self, message: bytes) -> None:
        self._opening = []
        self._sent_in_turn += 1
        self._messages_sent += 1
        self._bytes_sent += len(message)

    def _is_ready(self) -> bool:
        """There is a message, or there will be none."""
        buffer = self._stream.buffer
        return bool(
            len(buffer) or buffer.ended or self._broken is not None or buffer.failure is not None
        )

    def _raise_if_not_orderly(self) -> None:
        """Say why no further message comes, if the peer has not just ended its side."""
        buffer = self._stream.buffer
        if buffer.failure is not None:
            raise buffer.failure.again()
        if not buffer.ended and self._broken is not None:
            raise self._broken.again()

    def _arrived(self) -> None:
        self._arrival.unpark()

    def _break(self, error: LinkError) -> None:
        """Nothing more comes or goes: tell whoever waits. The first reason stands."""
        if self._broken is None:
            self._broken = error
        self._arrival.unpark()
        for wait in self._waits:
            wait.cancel()

    def _give_up(self, error: LinkError) -> None:
        self._break(error)
        self._stream.reset_now(ErrorCodes.CANCEL)

    def _fault(self, error: ProtocolError) -> LinkError:
        self._break(LinkBroken(Status.UNAVAILABLE, f"the call is over: {error}"))
        return LinkBroken(Status.UNAVAILABLE, f"the call is over: {error}")


class ServerCall(Call):
    """The server's end of an RPC.

    Attributes:
        scope: What its handler runs in.
    """

    def __init__(
        self, stream: LinkStream, peer: Peer, path: str, metadata: Metadata, limits: LinkLimits
    ) -> None:
        super().__init__(stream, peer, path, metadata, limits)
        self.scope = trio.CancelScope()
        self._opening = RESPONSE

    def finish(self, status: Status, message: str) -> None:
        """End the call with a status; nothing when it is over already."""
        if self._broken is not None:
            return
        stream = self._stream
        headers = [*self._opening, *trailers_for(status, message)]
        self._break(LinkBroken(status, f"this end has ended the call: {message or status.name}"))
        if stream.closable:
            stream.send_headers_nowait(headers, end_stream=True)
            # A client may still be sending: tell it that nobody listens (RFC 9113, 8.1).
            stream.reset_now(ErrorCodes.NO_ERROR)

    def _break(self, error: LinkError) -> None:
        super()._break(error)
        self.scope.deadline = min(
            self.scope.deadline, trio.current_time() + self._limits.close_within_s
        )


class ClientCall(Call):
    """The client's end of an RPC."""

    _accepted = False  # the response's headers are what they should be
    _ended = False  # this end sends no more

    async def end(self) -> None:
        """Send no more; what the server still sends can be received, and its status."""
        async with self._sending:
            if self._ended or self._stream.buffer.ended:
                return
            if self._broken is not None:
                raise self._broken.again()
            self._ended = True
            self._stream.end_nowait()

    def leave(self) -> None:
        """End the call for both ends, if it is not over yet."""
        self._stream.reset_now(ErrorCodes.CANCEL)
        self._break(LinkBroken(Status.CANCELLED, "this end has left the call"))

    def _is_ready(self) -> bool:
        return super()._is_ready() or self._refusal() is not None

    def _check_sendable(self, message: bytes) -> None:
        if self._stream.buffer.ended or self._ended:
            raise self._outcome() or LinkBroken(Status.OK, "the call has ended")
        super()._check_sendable(message)

    def _raise_if_not_orderly(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        super()._raise_if_not_orderly()
        outcome = self._outcome()
        if outcome is not None:
            raise outcome

    def _refusal(self) -> LinkError | None:
        """What the response's headers say against going on."""
        headers = self._stream.headers
        if self._accepted or headers is None:
            return None
        refusal = refusal_in(headers)
        self._accepted = refusal is None
        return refusal

    def _outcome(self) -> LinkError | None:
        """What the server's trailers say, None for OK."""
        trailers = self._stream.trailers or self._stream.headers
        return outcome_in(trailers or [])
