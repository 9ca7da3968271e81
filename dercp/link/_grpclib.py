"""grpclib's protocol objects, with Trio where grpclib has asyncio.

grpclib's HTTP/2 half (`H2Protocol`, `EventsProcessor`, `Connection`, `Stream`) does no
I/O and awaits nothing but its own events. Here those events wait for Trio, its receive
buffer is ours (whole messages within bounds), its keepalive timers stay off (the keeper
does that for all connections at once), and what a hostile peer may send is bounded.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import trio
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol, Stream
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamReset,
)
from h2.events import Event as H2Event
from h2.exceptions import DenialOfServiceError, ProtocolError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame

from ._bucket import TokenBucket
from ._errors import LinkBroken, LinkError, LinkRefused
from ._headers import Headers
from ._limits import LinkLimits
from ._messages import MessageBuffer, framed
from ._shortcut import receive_plain, send_plain
from ._transport import Transport

_FRAME_BYTES_MAX = 16_384  # HTTP/2's default, and what we announce
_NO_TIMERS = Configuration().__for_test__()  # grpclib's set of defaults without keepalive


class Flood(ProtocolError):
    """The peer sends more control frames than its budget allows."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class Signal:
    """asyncio.Event as grpclib uses it, on Trio: `wait` is bounded, and free when set."""

    __slots__ = ("_is_set", "_waiters", "_within_s")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._is_set = False
        self._waiters: trio.lowlevel.ParkingLot | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._waiters is not None:
            self._waiters.unpark_all()

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Return once set; raises `trio.TooSlowError` after the bound."""
        if self._is_set:
            return
        if self._waiters is None:
            self._waiters = trio.lowlevel.ParkingLot()
        with trio.fail_after(self._within_s):
            await self._waiters.park()


class Frames(FrameBuffer):
    """h2's frame buffer, which finds a frame too long before it waits for all of it.

    What is no HTTP/2 at all begins with an absurd length: h2 would wait for 4 MiB after
    the "HTT" of an HTTP/1 answer.
    """

    def __next__(self) -> Frame:
        if len(self._data) >= 3:
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))
        return super().__next__()


class Http2(H2Connection):
    """h2's connection, which keeps less for its peer."""

    MAX_CLOSED_STREAMS = 1_024  # h2 remembers 65,536, and each costs memory

    _frame_bytes_max = _FRAME_BYTES_MAX

    @property
    def max_outbound_frame_size(self) -> int:
        """The longest frame we send: what the peer takes, but no more than the default.

        A peer may take 16 MiB; frames as long would fill the send buffer at one stroke.
        """
        return self._frame_bytes_max

    @max_outbound_frame_size.setter
    def max_outbound_frame_size(self, size: int) -> None:
        self._frame_bytes_max = min(size, _FRAME_BYTES_MAX)

    def __init__(self, config: H2Configuration, limits: LinkLimits) -> None:
        super().__init__(config)
        self.incoming_buffer = Frames(server=not config.client_side)
        self.decoder.max_header_list_size = limits.header_bytes_max
        self.local_settings = Settings(
            client=config.client_side,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.calls_per_connection_max,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes_max,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.window_bytes,
            },
        )


class LinkStream(Stream):
    """grpclib's stream of one call, with synchronous ways to send and to end."""

    connection: "LinkConnection"
    buffer: MessageBuffer  # type: ignore[assignment]  # ours stands in grpclib's place

    def __init__(  # like grpclib's, whose own would make asyncio events
        self,
        connection: "LinkConnection",
        h2_connection: H2Connection,
        stream_id: int | None,
    ) -> None:
        self.connection = connection
        self.wrapper = None
        self._h2_connection = h2_connection
        self._transport = connection.transport  # type: ignore[assignment]  # has what grpclib uses
        self.headers: Headers | None = None
        self.trailers: Headers | None = None
        within_s = connection.limits.write_within_s
        self.window_updated = Signal(within_s)  # type: ignore[assignment]  # see Signal
        self.headers_received = Signal(within_s)  # type: ignore[assignment]  # see Signal
        self.trailers_received = Signal(within_s)  # type: ignore[assignment]  # see Signal
        self.on_broken: Callable[[LinkError], None] = _nothing_of
        if stream_id is not None:
            self.init_stream(stream_id, connection)

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        self.id = stream_id
        limits = self.connection.limits
        self.buffer = MessageBuffer(
            partial(connection.ack, stream_id),
            message_bytes_max=limits.message_bytes_max,
            window_bytes=limits.window_bytes,
        )
        connection.streams_started += 1

    def send_message_nowait(self, message: bytes, headers: Headers) -> None:
        """Send a message now (after `headers`, where there are some), or raise WouldBlock."""
        h2, stream_id = self._h2_connection, self._id()
        data = framed(message)
        size = len(data)
        if (
            not self.connection.write_ready.is_set()
            or size > h2.local_flow_control_window(stream_id)
            or size > self.connection.limits.send_buffer_bytes_max
        ):
            raise trio.WouldBlock
        if headers:
            h2.send_headers(stream_id, headers)
        if (frame := send_plain(h2, stream_id, data)) is not None:
            self.connection.data_send_process()
            self.connection.write(frame)
            return
        frame_max = h2.max_outbound_frame_size
        for start in range(0, size, frame_max):
            h2.send_data(stream_id, data[start : start + frame_max])
            self.connection.data_send_process()
        self.connection.flush()

    def send_headers_nowait(self, headers: Headers, *, end_stream: bool = False) -> None:
        self._h2_connection.send_headers(self._id(), headers, end_stream=end_stream)
        self.connection.flush()

    def end_nowait(self) -> None:
        """Say that no more will be sent."""
        self._h2_connection.end_stream(self._id())
        self.connection.flush()

    def reset_now(self, error_code: ErrorCodes) -> None:
        """End the stream for both ends, if it is still open."""
        if self.closable:
            self._h2_connection.reset_stream(self._id(), error_code)
            self.connection.flush()

    def broken(self, error: LinkError) -> None:
        """Nothing more comes or goes."""
        self.on_broken(error)

    def __terminated__(self, reason: str) -> None:
        self.broken(LinkBroken(Status.UNAVAILABLE, reason))

    def _id(self) -> int:
        if self.id is None:
            raise RuntimeError("the stream has not been opened")
        return self.id


class LinkConnection(Connection):
    """grpclib's connection, with Trio's events and a budget of control frames.

    Attributes:
        h2: The HTTP/2 connection.
        introduced: The peer has sent its settings, so it does speak HTTP/2.
        control: The budget of frames without payload.
    """

    introduced = False

    def __init__(
        self, connection: H2Connection, transport: Transport, limits: LinkLimits
    ) -> None:  # like grpclib's, whose own would make asyncio events
        self.h2 = self._connection = connection
        self._transport = transport  # type: ignore[assignment]  # has what grpclib uses of it
        self._config = _NO_TIMERS
        self.transport = transport
        self.limits = limits
        self.control = TokenBucket(
            limits.control_frames_per_s, limits.control_frames_burst, trio.current_time()
        )
        self.write_ready = Signal(limits.write_within_s)  # type: ignore[assignment]  # see Signal
        self.write_ready.set()
        self.stream_close_waiter = Signal(limits.write_within_s)  # type: ignore[assignment]  # see Signal

    def create_stream(
        self,
        *,
        stream_id: int | None = None,
        wrapper: Wrapper | None = None,
    ) -> LinkStream:
        return LinkStream(self, self._connection, stream_id)

    def ack(self, stream_id: int, size: int) -> None:
        if not self.is_closing():
            super().ack(stream_id, size)

    def flush(self) -> None:
        if self.h2._data_to_send:  # noqa: SLF001 - to ask costs less than to be given nothing
            self.transport.write(self.h2.data_to_send())

    def write(self, frame: bytes) -> None:
        """Send what h2 has to send, and a frame of ours behind it, in one write."""
        if self.h2._data_to_send:  # noqa: SLF001 - as above
            frame = self.h2.data_to_send() + frame
        self.transport.write(frame)

    def data_send_process(self) -> None:
        """Grpclib calls this for each frame of a message that is sent."""
        self.control.give()  # its receiver may answer with a WINDOW_UPDATE or a PING

    def ping(self) -> None:
        self._connection.ping(b"dercp/ka")
        self.flush()

    def go_away(self, error_code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Tell the peer that this connection ends now; h2 may have said so already."""
        if self._connection.state_machine.state is not ConnectionState.CLOSED:
            self._connection.close_connection(error_code)
        self.flush()


class LinkEvents(EventsProcessor):
    """grpclib's event processor, with a budget, and typed reasons for an end."""

    connection: LinkConnection

    def process(self, event: H2Event) -> None:
        """Act on one event; raises `Flood` when there were too many without payload."""
        connection = self.connection
        if connection.is_closing():
            return
        if isinstance(event, DataReceived) and event.data:
            connection.control.give()
            self.process_data_received(event)
            return
        if connection.control.reserve(trio.current_time()) is None:
            raise Flood("more control frames than the budget allows")
        # What grpclib has no processor for are extension frames and the like: to be
        # ignored (RFC 9113, 5.5). grpclib would raise.
        if event.__class__ in self.processors:
            super().process(event)

    def take_data(self, stream_id: int, data: bytes) -> bool:
        """Act on the content of a plain DATA frame; False when no further one is wanted."""
        connection = self.connection
        connection.control.give()
        stream = self.streams.get(stream_id)
        if stream is None:
            connection.ack(stream_id, len(data))
        else:
            stream.buffer.add(data, len(data))
        return not connection.is_closing()

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        super().process_remote_settings_changed(event)
        self.connection.introduced = True

    def process_response_received(self, event: ResponseReceived) -> None:
        super().process_response_received(event)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            cast("LinkStream", stream).buffer.wake()

    def process_stream_reset(self, event: StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            cast("LinkStream", stream).broken(_reset_error(event))
        self.connection.streams_failed += 1

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        code = event.error_code
        self.close(f"the other end is closing the connection ({getattr(code, 'name', code)})")


class LinkProtocol(H2Protocol):
    """grpclib's protocol object for either end, within the link's limits."""

    connection: LinkConnection
    processor: LinkEvents

    def __init__(
        self, handler: AbstractHandler, h2_config: H2Configuration, limits: LinkLimits
    ) -> None:
        super().__init__(handler, _NO_TIMERS, h2_config)
        self.limits = limits
        self._bytes_without_event = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # has what grpclib uses of asyncio's
        """Send our settings, and be ready for the peer's."""
        limits = self.limits
        h2 = Http2(self.h2_config, limits)
        h2.initiate_connection()
        # The connection's window is the sum of its calls': one call which is not read
        # never stops another. (h2 refuses an increment of 0.)
        h2.increment_flow_control_window(
            limits.window_bytes * limits.calls_per_connection_max - h2.inbound_flow_control_window
            or 1
        )
        self.connection = LinkConnection(h2, transport, limits)
        self.connection.flush()
        self.processor = LinkEvents(self.handler, self.connection)

    def data_received(self, data: bytes) -> None:
        """Take in what came; raises whatever h2 makes of hostile bytes."""
        connection = self.connection
        plain = receive_plain(connection.h2, data, self.processor.take_data)
        if plain:
            self._bytes_without_event = 0
        if plain == len(data) or connection.is_closing():
            connection.flush()
            return
        data = data[plain:]
        events = connection.feed(data)
        # Bytes which are no event yet are a frame or a header block under way: h2 would
        # collect 1 MiB of CONTINUATION frames.
        self._bytes_without_event = 0 if events else self._bytes_without_event + len(data)
        if self._bytes_without_event > self.limits.header_bytes_max + 2 * _FRAME_BYTES_MAX:
            raise DenialOfServiceError("a frame or a header block without end")
        connection.flush()
        for event in events:
            self.processor.process(event)
        connection.flush()


def _nothing_of(_error: LinkError) -> None:
    """Nobody waits for this stream yet."""


def _reset_error(event: StreamReset) -> LinkError:
    """What a RST_STREAM means (gRPC over HTTP/2, "Errors")."""
    if not event.remote_reset:
        return LinkBroken(Status.INTERNAL, "the other end broke the rules of HTTP/2 on this call")
    match event.error_code:
        case ErrorCodes.REFUSED_STREAM:
            return LinkRefused(Status.UNAVAILABLE, "the other end takes no further call now")
        case ErrorCodes.CANCEL | ErrorCodes.NO_ERROR:
            return LinkBroken(Status.CANCELLED, "the other end ended the call")
        case code:
            name = getattr(code, "name", code)
            return LinkBroken(Status.INTERNAL, f"the other end reset the call ({name})")
