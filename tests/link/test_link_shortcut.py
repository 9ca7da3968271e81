"""The short cut past h2 for plain DATA frames does what h2 would have done."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from grpclib.protocol import AbstractHandler, Stream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hpack import Encoder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from link_ends import REQUEST

from dercp.link import LinkLimits
from dercp.link import _grpclib as link_grpclib
from dercp.link._grpclib import LinkProtocol, LinkStream
from dercp.link._headers import Headers
from dercp.link._line import CLIENT_END, SERVER_END
from dercp.link._shortcut import receive_plain

LIMITS = LinkLimits(message_bytes_max=70_000, window_bytes=65_535, calls_per_connection_max=3)
LENGTH = ("content-length", "40")
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)


def frame(kind: int, flags: int, stream_id: int, body: bytes = b"") -> bytes:
    """A raw HTTP/2 frame."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


def call(stream_id: int, extra: list[tuple[str, str]], *, ends: bool) -> bytes:
    """The HEADERS of a call."""
    return frame(1, 0x4 | ends, stream_id, Encoder().encode([*REQUEST, *extra]))


# Three calls are open from the beginning; what is sent on other streams ends the connection.
OPEN = call(1, [], ends=False) + call(3, [], ends=False) + call(5, [LENGTH], ends=False)
LAZY = 3  # nobody takes what comes on this one
STREAM_IDS = st.sampled_from([1, 3, 5] * 8 + [0, 2, 7, 2**31 + 1])
CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 60).map(lambda size: b"\0" + size.to_bytes(4, "big") + bytes(size)),
    st.sampled_from([1_000, 16_384, 16_384, 16_385]).map(bytes),
    st.just(b"\0" + (80_000).to_bytes(4, "big") + bytes(20)),
)
DATA_FLAGS = st.sampled_from([0] * 12 + [1, 8, 9, 0x20])
DATA = st.builds(frame, st.just(0), DATA_FLAGS, STREAM_IDS, CONTENTS)
RESETS = st.builds(frame, st.just(3), st.just(0), STREAM_IDS, st.just(bytes(3) + b"\x08"))
CREDITS = st.builds(
    frame,
    st.just(8),
    st.just(0),
    STREAM_IDS,
    st.integers(0, 2**31).map(lambda n: n.to_bytes(4, "big")),
)
ANY = st.builds(
    frame, st.integers(0, 12), st.sampled_from([0, 1, 4, 5]), STREAM_IDS, st.binary(max_size=12)
)
FRAMES = st.sampled_from([DATA] * 12 + [RESETS, CREDITS, ANY]).flatmap(lambda kind: kind)
SEQUENCES = st.lists(st.tuples(FRAMES, st.booleans()), max_size=20)


class Wire:
    """As much of a transport as the protocol needs: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _name: str) -> None:
        return None


class Echo(AbstractHandler):
    """Answers each message as it comes, and notes it."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        assert isinstance(stream, LinkStream)

        def answer() -> None:
            for message in stream.buffer.take(64):
                self.heard.append((stream._id(), message))
                try:
                    stream.send_message_nowait(message, [(":status", "200")] if first else [])
                except (trio.WouldBlock, ProtocolError) as error:
                    self.heard.append((stream._id(), type(error).__name__.encode()))
                first.clear()
            if not stream.buffer.ended and stream.buffer.failure is None:
                stream.buffer.expect()

        first = ["headers are to be sent"]
        if stream.id != LAZY:
            stream.buffer.wake = answer
            stream.buffer.expect()

    def cancel(self, stream: Stream) -> None:
        pass

    def close(self) -> None:
        pass


async def outcome(reads: list[bytes]) -> object:
    """All that can be seen of a server's protocol after these reads."""
    echo, wire = Echo(), Wire()
    protocol = LinkProtocol(echo, SERVER_END, LIMITS)
    protocol.connection_made(wire)  # type: ignore[arg-type]  # has what is used of it
    error = ""
    for read in reads:
        try:
            protocol.data_received(read)
        except Exception as raised:  # noqa: BLE001 - whatever it is, both ways must raise it
            error = repr(raised)
            protocol.connection.flush()
            break
        if wire.closed:
            break
    h2 = protocol.connection.h2
    windows = [h2.outbound_flow_control_window, h2.inbound_flow_control_window]
    for stream_id, stream in sorted(h2.streams.items()):
        windows += [stream_id, stream.inbound_flow_control_window]
        windows += [stream.outbound_flow_control_window, stream._actual_content_length]
    return echo.heard, wire.written, wire.closed, error, windows


@example([(frame(0, 0, LAZY, bytes(16_384)), True)] * 4, [])
@example([(frame(0, 0, 5, bytes(41)), True)], [])
@example([(frame(0, 0, 1, frame(0, 0, 1, b"inside")), True)], [9])
@given(SEQUENCES, st.lists(st.integers(1, 20_000), max_size=3))
@settings(max_examples=500, deadline=None)
def test_h2_would_have_done_the_same(frames: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    """Messages, answers, errors, credits: as if each frame had come alone, and h2 had read it."""
    reads, read = [], OPENING + OPEN
    for content, comes_alone in frames:
        if comes_alone:
            reads.append(read)
            read = b""
        read += content
    reads.append(read)
    for cut in cuts:
        where = cut % len(reads)
        reads[where : where + 1] = [reads[where][:cut], reads[where][cut:]]
    reads = [read for read in reads if read]
    taken_apart: list[bytes] = []

    def watch(h2: H2Connection, data: bytes, give: Callable[[int, bytes], bool]) -> int:
        position = 0

        def note(stream_id: int, content: bytes) -> bool:
            nonlocal position
            taken_apart.append(data[position : position + 9 + len(content)])
            position += 9 + len(content)
            return give(stream_id, content)

        plain = receive_plain(h2, data, note)
        assert plain == position
        if plain < len(data):
            taken_apart.append(data[plain:])
        return plain

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_grpclib, "receive_plain", watch)
        short = trio.run(outcome, reads, clock=trio.testing.MockClock())
        patch.setattr(link_grpclib, "receive_plain", lambda *_: 0)
        patch.setattr(link_grpclib, "send_plain", lambda *_: None)
        long = trio.run(outcome, taken_apart, clock=trio.testing.MockClock())
    assert short == long


async def test_a_plain_frame_does_not_reach_h2(autojump_clock: trio.testing.MockClock) -> None:
    """The short cut is taken: h2 would raise here."""
    echo, wire = Echo(), Wire()
    protocol = LinkProtocol(echo, H2Configuration(client_side=False), LIMITS)
    protocol.connection_made(wire)  # type: ignore[arg-type]  # has what is used of it
    protocol.data_received(OPENING + OPEN)
    protocol.connection.h2.receive_data = None  # type: ignore[assignment]  # nobody may call it
    message = frame(0, 0, 1, b"\0\0\0\0\x02hi")
    protocol.data_received(message + message)
    assert echo.heard == [(1, b"hi")] * 2
    assert wire.written.endswith(message + message)


def test_data_before_the_response_is_not_plain() -> None:
    """A server that sends a message before its headers breaks the rules: h2 says so."""
    client = H2Connection(CLIENT_END)
    client.initiate_connection()
    client.send_headers(1, REQUEST)
    assert receive_plain(client, frame(0, 0, 1, b"early"), lambda *_: True) == 0
