"""gRPC's framing, as pure bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.link import LinkBroken, LinkError, MessageTooLarge, Status
from dercp.link._messages import MessageBuffer, framed

WINDOW = 1_024


def buffer_of(acked: list[int], *, message_bytes_max: int = 10_000) -> MessageBuffer:
    """A buffer, and what it gives back to the peer."""
    return MessageBuffer(acked.append, message_bytes_max=message_bytes_max, window_bytes=WINDOW)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of these sizes, used again and again."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


@given(
    st.lists(st.binary(max_size=60), max_size=12),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_messages_survive_any_cutting(
    messages: list[bytes], sizes: list[int], limit: int, padding: int
) -> None:
    """However DATA frames cut them, messages come out whole, in order, and paid for once."""
    acked: list[int] = []
    buffer = buffer_of(acked)
    flow_controlled = 0
    for piece in cut(b"".join(map(framed, messages)), sizes):
        buffer.add(piece, len(piece) + padding)
        flow_controlled += len(piece) + padding
    buffer.eof()
    taken: list[bytes] = []
    while some := buffer.take(limit):
        assert len(some) <= limit
        taken += some
    assert taken == messages
    assert buffer.ended
    assert buffer.failure is None
    assert sum(acked) + buffer.unacked_size() == flow_controlled


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(0, 400))
def test_credit_is_whole_when_the_rest_is_dropped(sizes: list[int], keep: int) -> None:
    """Credit given plus credit owed is what came, wherever a call ends."""
    acked: list[int] = []
    buffer = buffer_of(acked)
    pieces = cut((framed(b"a" * 70) * 6)[:keep], sizes)
    for number, piece in enumerate(pieces):
        buffer.add(piece, len(piece))
        if number % 3 == 0:
            buffer.expect()
        if number % 5 == 0:
            buffer.take(1)
    assert sum(acked) + buffer.unacked_size() == sum(map(len, pieces))


def test_a_message_larger_than_the_window_flows_while_awaited() -> None:
    """Its beginning is paid for as it comes, so that the peer can go on."""
    acked: list[int] = []
    woken: list[int] = []
    buffer = buffer_of(acked)
    buffer.wake = lambda: woken.append(len(buffer))
    message = bytes(8 * WINDOW)
    buffer.expect()
    outstanding = 0
    for piece in cut(framed(message), [100]):
        buffer.add(piece, len(piece))
        outstanding += len(piece)
        assert outstanding - sum(acked) < WINDOW
    assert woken == [1]
    assert buffer.take(9) == [message]


def test_nothing_is_paid_while_nobody_waits() -> None:
    """The window stays shut: that is how the peer learns to wait."""
    acked: list[int] = []
    buffer = buffer_of(acked)
    buffer.add(framed(bytes(WINDOW - 5)), WINDOW)
    assert acked == []
    buffer.take(1)
    assert acked == [WINDOW]


def test_a_message_over_the_limit_fails_at_its_prefix() -> None:
    """Nothing of it is kept, and what follows it is paid for and dropped."""
    acked: list[int] = []
    buffer = buffer_of(acked, message_bytes_max=100)
    buffer.add(framed(b"good") + framed(bytes(101))[:20], 29)
    assert isinstance(buffer.failure, MessageTooLarge)
    assert buffer.failure.status is Status.RESOURCE_EXHAUSTED
    assert buffer.take(5) == [b"good"]
    buffer.add(bytes(10 * WINDOW), 10 * WINDOW)
    assert buffer.take(5) == []
    assert sum(acked) + buffer.unacked_size() == 29 + 10 * WINDOW


@pytest.mark.parametrize("flag", [1, 7, 255])
def test_a_compressed_message_is_refused(flag: int) -> None:
    """We announce no compression; a sentence says what to do."""
    buffer = buffer_of([])
    buffer.add(bytes([flag]) + framed(b"zip")[1:], 8)
    assert isinstance(buffer.failure, LinkError)
    assert buffer.failure.status is Status.UNIMPLEMENTED
    assert "switch compression off" in str(buffer.failure)


def test_an_end_within_a_message_is_no_orderly_end() -> None:
    """Half a message is a fault of the peer, not a short message."""
    buffer = buffer_of([])
    buffer.add(framed(b"whole") + framed(b"half")[:-1], 18)
    buffer.eof()
    assert buffer.take(5) == [b"whole"]
    assert isinstance(buffer.failure, LinkBroken)
