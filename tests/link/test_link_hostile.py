"""Peers which break the rules lose their connection, and nobody else loses anything."""

import struct
from collections.abc import Awaitable, Callable

import h2.errors
import h2.events
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from link_ends import REQUEST, RawPeer, Served, calling, echo, serving

from dercp.link import LinkBroken, LinkEventKind, LinkLimits, Status

Clock = trio.testing.MockClock
Attack = Callable[[RawPeer], Awaitable[None]]


def frame(kind: int, flags: int, stream_id: int, body: bytes = b"") -> bytes:
    """A raw HTTP/2 frame."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


async def attacked(attack: Attack, limits: LinkLimits) -> tuple[RawPeer, Served]:
    """Let a peer attack while a neighbour streams; the neighbour must notice nothing."""
    async with serving(echo, limits=limits) as served, calling(served) as neighbour:
        peer = RawPeer(served)
        await peer.send()
        await peer.listen()
        async with trio.open_nursery() as nursery:

            async def go_on() -> None:
                for _ in range(20):
                    await neighbour.send(b"steady")
                    assert await neighbour.receive() == b"steady"
                    await trio.sleep(0.1)

            nursery.start_soon(go_on)
            await attack(peer)
            await peer.listen()
        return peer, served


async def garbage(peer: RawPeer) -> None:
    """What is no HTTP/2 at all."""
    await peer.send(b"\xff" * 100)


async def http1(peer: RawPeer) -> None:
    """A browser's request, after the preface."""
    await peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def giant_frame(peer: RawPeer) -> None:
    """One byte more than announced."""
    await peer.send(frame(0, 0, 1, bytes(16_385)))


async def bad_hpack(peer: RawPeer) -> None:
    """Headers that cannot be decoded."""
    await peer.send(frame(1, 0x4, 1, b"\xff" * 50))


async def headers_beyond_ascii(peer: RawPeer) -> None:
    """Bytes no header may have."""
    peer.h2.send_headers(1, [*REQUEST, ("name", "Überlandwerk")])
    await peer.send()


async def big_headers(peer: RawPeer) -> None:
    """More headers than header_bytes_max."""
    peer.h2.send_headers(1, [*REQUEST, ("name", "x" * 20_000)])
    await peer.send()


async def data_on_no_stream(peer: RawPeer) -> None:
    """A message without a call."""
    await peer.send(frame(0, 0, 9, b"data"))


async def window_overflow(peer: RawPeer) -> None:
    """More credit than HTTP/2 can count."""
    await peer.send(frame(8, 0, 0, struct.pack(">I", 2**31 - 1)) * 2)


async def more_calls_than_announced(peer: RawPeer) -> None:
    """Three calls where two are allowed."""
    for stream_id in (1, 3, 5):
        peer.h2.remote_settings._settings.clear()  # forget what the server asked for
        await peer.send(frame(1, 0x4, stream_id, peer.h2.encoder.encode(REQUEST)))


async def continuations(peer: RawPeer) -> None:
    """A header block that never ends, at once."""
    peer.h2.data_to_send()
    await peer.send(frame(1, 0, 1, b"") + frame(9, 0, 1, bytes(16_000)) * 10)


async def headers_without_end(peer: RawPeer) -> None:
    """A header block that never ends, bit by bit."""
    await peer.send(frame(1, 0, 1, b""))
    for _ in range(10):
        await peer.send(frame(9, 0, 1, bytes(8_000)))


@pytest.mark.parametrize(
    "attack",
    [
        garbage,
        http1,
        giant_frame,
        bad_hpack,
        headers_beyond_ascii,
        big_headers,
        data_on_no_stream,
        window_overflow,
        continuations,
        headers_without_end,
        more_calls_than_announced,
    ],
)
async def test_a_breach_ends_its_connection_only(attack: Attack, autojump_clock: Clock) -> None:
    """With GOAWAY, one event, and neighbours who stream on."""
    peer, served = await attacked(attack, LinkLimits())
    assert peer.closed
    assert served.kinds() == [LinkEventKind.PROTOCOL_ERROR]


async def pings(peer: RawPeer) -> None:
    """Each of them wants an answer."""
    await peer.send(frame(6, 0, 0, bytes(8)) * 2_000)


async def many_settings(peer: RawPeer) -> None:
    """Each of them wants an acknowledgement."""
    await peer.send(frame(4, 0, 0) * 2_000)


async def empty_data(peer: RawPeer) -> None:
    """Frames that cost no credit."""
    peer.h2.send_headers(1, REQUEST)
    await peer.send(frame(0, 0, 1) * 2_000)


async def priorities(peer: RawPeer) -> None:
    """Frames that mean nothing."""
    await peer.send(frame(2, 0, 1, bytes(5)) * 2_000)


async def unknown_frames(peer: RawPeer) -> None:
    """Extensions nobody agreed on."""
    await peer.send(frame(0x70, 0, 0, b"what") * 2_000)


async def rapid_reset(peer: RawPeer) -> None:
    """Calls opened and reset in a loop (CVE-2023-44487)."""
    for stream_id in range(1, 2_000, 2):
        peer.h2.send_headers(stream_id, REQUEST)
        peer.h2.reset_stream(stream_id)
    await peer.send()


@pytest.mark.parametrize(
    "attack",
    [
        pings,
        many_settings,
        empty_data,
        priorities,
        unknown_frames,
        rapid_reset,
    ],
)
async def test_a_flood_ends_its_connection_only(attack: Attack, autojump_clock: Clock) -> None:
    """Told to calm down, counted as what it is."""
    peer, served = await attacked(attack, LinkLimits())
    assert peer.closed
    assert served.kinds()[-1] is LinkEventKind.FLOODED
    assert set(served.kinds()[:-1]) <= {LinkEventKind.CALL_REFUSED}
    ends = peer.seen(h2.events.ConnectionTerminated)
    assert [e.error_code for e in ends] == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]


async def test_unknown_frames_are_ignored(autojump_clock: Clock) -> None:
    """As RFC 9113 (5.5) asks: they are how HTTP/2 is extended."""
    async with serving(echo) as served:
        peer = RawPeer(served)
        await peer.send(frame(0x70, 0, 0, b"an extension"))
        peer.h2.send_headers(1, REQUEST, end_stream=True)
        await peer.send()
        await peer.listen()
        assert peer.fields()["grpc-status"] == "0"
        assert served.events == []


async def test_honest_traffic_is_no_flood(autojump_clock: Clock) -> None:
    """A peer that pings with each of its messages, as grpcio does, may do so for ever."""
    limits = LinkLimits(control_frames_burst=10, control_frames_per_s=1)
    async with serving(echo, limits=limits) as served:
        peer = RawPeer(served)
        peer.h2.send_headers(1, REQUEST)
        for _ in range(500):
            peer.h2.send_data(1, b"\0\0\0\0\1x")
            peer.h2.ping(bytes(8))
            await peer.send()
            await trio.testing.wait_all_tasks_blocked()
        assert served.events == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\1\0\0\0\1x", Status.UNIMPLEMENTED),
        (b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED),
        (b"\0\0\0\0\5abc", Status.INTERNAL),
    ],
)
async def test_a_bad_message_ends_its_call_only(
    body: bytes, status: Status, autojump_clock: Clock
) -> None:
    """Compressed, too long, cut off: each has its status, and the connection goes on."""
    async with serving(echo) as served:
        peer = RawPeer(served)
        peer.h2.send_headers(1, REQUEST)
        peer.h2.send_data(1, body, end_stream=True)
        await peer.send()
        await peer.listen()
        assert peer.fields()["grpc-status"] == str(status.value)
        peer.h2.send_headers(3, REQUEST, end_stream=True)
        await peer.send()
        await peer.listen()
        assert peer.fields()["grpc-status"] == "0"
        assert served.events == []


async def test_a_peer_which_answers_and_does_not_read_is_cut(autojump_clock: Clock) -> None:
    """Answers to its frames must not pile up."""
    from link_ends import Hole, MemoryListener

    holes: list[Hole] = []

    def jammable(stream: trio.abc.Stream) -> Hole:
        holes.append(Hole(stream))
        return holes[-1]

    limits = LinkLimits(control_frames_burst=10**6, send_buffer_bytes_max=10_000)
    async with serving(echo, limits=limits, listener=MemoryListener(jammable)) as served:
        peer = RawPeer(served)
        await peer.send()
        await peer.listen()
        holes[0].is_jammed = True
        await pings(peer)
        await trio.testing.wait_all_tasks_blocked()
        assert served.kinds() == [LinkEventKind.PEER_TOO_SLOW]


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_harm_the_neighbours(raw: bytes, after_request: bool) -> None:  # noqa: FBT001 - hypothesis decides
    """Whatever comes, the server stands, and nobody waits for ever."""

    async def scenario() -> None:
        async with serving(echo) as served, calling(served) as neighbour:
            peer = RawPeer(served)
            if after_request:
                peer.h2.send_headers(1, REQUEST)
            await peer.send(raw)
            await trio.testing.wait_all_tasks_blocked()
            await peer.stream.aclose()
            await neighbour.send(b"steady")
            assert await neighbour.receive() == b"steady"
            assert LinkEventKind.CALL_FAILED not in served.kinds()

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 20, b"\xff" * 60])
async def test_a_server_which_is_no_grpc_server(raw: bytes, autojump_clock: Clock) -> None:
    """The client says so, instead of waiting."""
    from dercp.link import LinkRefused, open_call_over

    near, far = trio.testing.memory_stream_pair()
    await far.send_all(raw)
    with pytest.raises(LinkRefused, match="HTTP/2"):
        async with open_call_over(near, "/x"):
            pass


async def test_garbage_in_the_middle_of_a_call(autojump_clock: Clock) -> None:
    """The client's call is broken, with the reason."""
    from link_ends import PATH

    from dercp.link import open_call_over

    near, far = trio.testing.memory_stream_pair()
    import h2.config
    import h2.connection

    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    await far.send_all(server.data_to_send())
    with pytest.raises(LinkBroken, match="protocol error"):  # noqa: PT012 - the block is the story
        async with open_call_over(near, PATH) as call:
            await far.send_all(b"\xff" * 60)
            await call.receive()
