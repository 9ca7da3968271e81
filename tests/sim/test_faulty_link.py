"""The faulty link, between streams in memory and over real sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from sim.faulty_link import FaultyLink
from sim.link_faults import BlackHole, Cut, Delay, Fault, Reset, Throttle


class Linked:
    """A link in memory, and the two ends of the connection through it."""

    def __init__(self, nursery: trio.Nursery, faults: Sequence[Fault]) -> None:
        self.link = FaultyLink(self._open_far, faults, seed=1)
        self.edge, self._carried = trio.testing.memory_stream_pair()
        self.headend, self._far = trio.testing.memory_stream_pair()
        nursery.start_soon(self.link.run)
        nursery.start_soon(self.link.carry, self._carried)

    async def _open_far(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        return self._far


@asynccontextmanager
async def linked(*faults: Fault) -> AsyncIterator[Linked]:
    """A link with these faults, for the length of the block."""
    async with trio.open_nursery() as nursery:
        yield Linked(nursery, faults)
        nursery.cancel_scope.cancel("the test is over")


async def test_bytes_pass_both_ways_and_so_does_the_end(autojump_clock: object) -> None:
    """Without a fault the link is not there."""
    async with linked() as pair:
        await pair.edge.send_all(b"up")
        assert await pair.headend.receive_some() == b"up"
        await pair.headend.send_all(b"down")
        assert await pair.edge.receive_some() == b"down"
        await pair.edge.send_eof()
        assert await pair.headend.receive_some() == b""
        assert pair.link.statistics().bytes_carried == 6


@pytest.mark.parametrize("kind", [Cut, Reset])
async def test_both_ends_see_a_break(autojump_clock: object, kind: type[Cut | Reset]) -> None:
    """At the beginning of the fault, not before."""
    async with linked(kind(from_s=5.0, to_s=6.0)) as pair:
        assert await pair.edge.receive_some() == b""
        assert await pair.headend.receive_some() == b""
        assert trio.current_time() == pytest.approx(5.0)
        assert pair.link.statistics().broken == 1


async def test_while_it_is_cut_new_connections_end_at_once(autojump_clock: object) -> None:
    """They never reach the other end."""
    async with linked(Cut(from_s=0.0, to_s=9.0)) as pair:
        await trio.sleep(1.0)
        edge, carried = trio.testing.memory_stream_pair()
        await pair.link.carry(carried)
        assert await edge.receive_some() == b""
        assert pair.link.statistics().refused >= 1


async def test_a_black_hole_swallows_without_a_word(autojump_clock: object) -> None:
    """Sending succeeds, nothing arrives, and a connection that lost a byte stays lost."""
    async with linked(BlackHole(from_s=1.0, to_s=2.0)) as pair:
        await trio.sleep(1.5)
        await pair.edge.send_all(b"lost")
        await trio.sleep(5.0)
        await pair.edge.send_all(b"too")
        with trio.move_on_after(60.0) as waited:
            await pair.headend.receive_some()
        assert waited.cancelled_caught
        statistics = pair.link.statistics()
        assert (statistics.swallowed, statistics.bytes_swallowed) == (1, 7)


async def test_a_quiet_connection_outlives_a_black_hole(autojump_clock: object) -> None:
    """What sent nothing has lost nothing."""
    async with linked(BlackHole(from_s=1.0, to_s=2.0)) as pair:
        await trio.sleep(3.0)
        await pair.edge.send_all(b"here")
        assert await pair.headend.receive_some() == b"here"


async def test_a_delay_holds_up_and_keeps_the_order(autojump_clock: object) -> None:
    """Jitter never lets anything overtake."""
    fault = Delay(from_s=0.0, to_s=60.0, delay_s=2.0, jitter_s=1.0)
    async with linked(fault) as pair:
        await trio.sleep(0.5)
        for number in range(10):
            await pair.edge.send_all(bytes([number]))
            await trio.sleep(0.1)
        received = b""
        while len(received) < 10:
            received += await pair.headend.receive_some()
        assert received == bytes(range(10))
        assert 3.4 <= trio.current_time() <= 4.6


async def test_a_throttle_lets_so_much_through(autojump_clock: object) -> None:
    """A thousand bytes at a hundred a second take ten seconds."""
    async with linked(Throttle(from_s=0.0, to_s=60.0, bytes_per_s=100.0)) as pair:
        await trio.sleep(1.0)
        await pair.edge.send_all(bytes(1000))
        received = 0
        while received < 1000:
            received += len(await pair.headend.receive_some())
        assert trio.current_time() == pytest.approx(11.0, abs=0.3)


async def far_of(listener: trio.SocketListener) -> trio.SocketStream:
    """Connect to a listener on this machine."""
    port = listener.socket.getsockname()[1]
    return await trio.open_tcp_stream("127.0.0.1", port)


async def read_all(stream: trio.SocketStream) -> None:
    """Read to the end."""
    while await stream.receive_some():
        pass


async def test_what_waits_is_bounded_and_a_reset_is_one() -> None:
    """Over sockets: a full link holds its sender up; at a reset both ends fail."""
    (headend,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    (front,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    link = FaultyLink(partial(far_of, headend), [Reset(from_s=1.0, to_s=1.1)], seed=1)
    async with headend, front, trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        nursery.start_soon(trio.serve_listeners, link.carry, [front])
        with trio.fail_after(10):
            edge = await far_of(front)
            far = await headend.accept()
            with pytest.raises(trio.BrokenResourceError):
                # Nobody reads: far less than this fits between the two.
                await edge.send_all(bytes(256 * 2**20))
            with pytest.raises(trio.BrokenResourceError):
                await read_all(far)
            await edge.aclose()
            await far.aclose()
        assert link.statistics().broken == 1
        nursery.cancel_scope.cancel("the test is over")
