"""A short cut around h2 for the frame that nearly all frames are.

h2 takes 15 µs for a DATA frame of a call that is open, in either direction, and all that
comes of it is two windows which have shrunk. That arithmetic is done here, and only where it
is all that h2 would do: a whole frame without flags and padding, on a stream that is open and
has the credit, while h2 waits for nothing else. Whatever is not as plain as that goes to h2,
from the first byte, and so does all that came behind it. A test compares both ways over
sequences of frames, hostile ones among them (tests/link/test_link_shortcut.py).
"""

from collections.abc import Callable
from struct import Struct

from h2.connection import ConnectionState, H2Connection
from h2.stream import H2Stream, StreamState

_HEAD = Struct(">IBI")  # length (24 bits) and type (8; DATA is 0), flags, stream
_HEAD_BYTES = _HEAD.size
_CONNECTION_IS_OPEN = frozenset({ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN})
_MAY_RECEIVE = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})
_MAY_SEND = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE})


def receive_plain(h2: H2Connection, data: bytes, give: Callable[[int, bytes], bool]) -> int:
    """Take the plain DATA frames at the beginning of what came; returns their length in bytes.

    Args:
        h2: The connection; its windows shrink as if it had read the frames itself.
        data: What the peer sent.
        give: Is given the stream and the content of each frame; False ends it with that frame.
    """
    buffer = h2.incoming_buffer
    if buffer._data or buffer._headers_buffer or buffer._preamble_len:  # noqa: SLF001 - h2 has no other way to tell
        return 0
    window = h2._inbound_flow_control_window_manager  # noqa: SLF001 - as above
    frame_bytes_max = h2.max_inbound_frame_size
    position, end = 0, len(data)
    goes_on = True
    while goes_on and end - position > _HEAD_BYTES:
        length_and_type, flags, stream_id = _HEAD.unpack_from(data, position)
        size = length_and_type >> 8
        begin = position + _HEAD_BYTES
        if length_and_type & 0xFF or flags or not 0 < size <= frame_bytes_max or begin + size > end:
            break
        stream = h2.streams.get(stream_id)
        if (
            stream is None
            or h2.state_machine.state not in _CONNECTION_IS_OPEN
            or size > window.current_window_size
            or not _takes(stream, size)
        ):
            break
        window.window_consumed(size)
        stream._inbound_window_manager.window_consumed(size)  # noqa: SLF001 - as above
        stream._actual_content_length += size  # noqa: SLF001 - as above
        position = begin + size
        goes_on = give(stream_id, data[begin:position])
    return position


def send_plain(h2: H2Connection, stream_id: int, data: bytes) -> bytes | None:
    """The DATA frame for these bytes, which the windows have room for; None: ask h2."""
    stream = h2.streams.get(stream_id)
    if (
        stream is None
        or stream.state_machine.state not in _MAY_SEND
        or h2.state_machine.state not in _CONNECTION_IS_OPEN
        or not 0 < len(data) <= h2.max_outbound_frame_size
    ):
        return None
    h2.outbound_flow_control_window -= len(data)
    stream.outbound_flow_control_window -= len(data)
    return _HEAD.pack(len(data) << 8, 0, stream_id) + data


def _takes(stream: H2Stream, size: int) -> bool:
    machine = stream.state_machine
    return (
        machine.state in _MAY_RECEIVE
        and bool(machine.headers_received)
        and size <= stream._inbound_window_manager.current_window_size  # noqa: SLF001 - as above
        and stream._expected_content_length is None  # noqa: SLF001 - as above
    )
