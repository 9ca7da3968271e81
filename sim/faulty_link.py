"""A link that misbehaves on schedule: a proxy between an edge and its headend.

    link = FaultyLink(partial(trio.open_tcp_stream, host, port), faults, seed=7)
    nursery.start_soon(link.run)
    nursery.start_soon(trio.serve_listeners, link.carry, listeners)

It knows bytes only, so it stands in front of TLS and plain TCP alike. In a test on a virtual
clock `carry` is given one end of a pair of memory streams.
"""

import math
import socket
import struct
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, assert_never

import msgspec
import trio

from sim.link_faults import BlackHole, Cut, Delay, Fault, Reset, Throttle
from sim.seeded import seeded

__all__ = ["FaultyLink", "LinkStatistics", "OpenFar"]

CHUNK_BYTES: Final = 16 * 1024
# Per direction of a connection; beyond, the sender waits as with a full TCP window.
CHUNKS_MAX: Final = 16
# A throttled chunk is let through in pieces, so that a slow link is slow and not choppy.
PIECE_S: Final = 0.05

OpenFar = Callable[[], Awaitable[trio.abc.HalfCloseableStream]]
"""Connects to the headend; raises OSError when that fails."""


class LinkStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a link has done."""

    connections: int
    # Ended at once: the link was cut, or the headend was not there.
    refused: int
    # Ended by a cut or a reset.
    broken: int
    # Lost bytes to a black hole, and hang since.
    swallowed: int
    bytes_carried: int
    bytes_swallowed: int
    # Begun, by kind: "cut", "blackhole", ...
    faults: dict[str, int]


class FaultyLink:
    """Carries connections, and does to them what the schedule says.

    Characteristics:
        Bound: `CHUNKS_MAX` chunks of `CHUNK_BYTES` in each direction of a connection.
        Order: kept, whatever the jitter.
        Connections: as many as are made; each ends with its two ends, or by a fault.
    """

    def __init__(self, open_far: OpenFar, faults: Sequence[Fault], *, seed: int) -> None:
        self._open_far = open_far
        self._faults = faults
        self._draw = seeded(seed, "jitter")
        self._now: Fault | None = None
        self._open: set[_Connection] = set()
        self._counts: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()

    async def run(self) -> None:
        """Let the faults come to pass, beginning now; returns after the last one.

        Cancelled, it leaves the link well.
        """
        began_s = trio.current_time()
        for fault in self._faults:
            await trio.sleep_until(began_s + fault.from_s)
            self._begin(fault)
            try:
                await trio.sleep_until(began_s + fault.to_s)
            finally:
                self._now = None

    def release(self) -> None:
        """End connections that a black hole has taken: nobody need find that out by silence."""
        for connection in self._open:
            if connection.is_lost:
                connection.cut()

    async def carry(self, near: trio.abc.HalfCloseableStream) -> None:
        """Carry one connection of the edge until it is over; closes `near`."""
        self._counts["connections"] += 1
        async with near:
            far = None
            if not isinstance(self._now, Cut):
                far = await self._connect()
            if far is None:
                self._counts["refused"] += 1
                return
            async with far:
                await self._carry(_Connection(near, far, self))

    async def _connect(self) -> trio.abc.HalfCloseableStream | None:
        try:
            return await self._open_far()
        except OSError:
            return None

    async def _carry(self, connection: "_Connection") -> None:
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)

    def statistics(self) -> LinkStatistics:
        """The counts now."""
        counts = self._counts
        return LinkStatistics(
            connections=counts["connections"],
            refused=counts["refused"],
            broken=counts["broken"],
            swallowed=counts["swallowed"],
            bytes_carried=counts["bytes_carried"],
            bytes_swallowed=counts["bytes_swallowed"],
            faults=dict(self._begun),
        )

    def _begin(self, fault: Fault) -> None:
        self._now = fault
        self._begun[type(fault).__name__.lower()] += 1
        match fault:
            case Cut():
                for connection in self._open:
                    connection.cut()
            case Reset():
                for connection in self._open:
                    connection.reset()
            case BlackHole() | Delay() | Throttle():
                pass  # the connections look at it with every chunk
            case _:
                assert_never(fault)

    # --- what a connection asks and tells

    def due_s(self) -> float:
        """When a chunk that comes now has crossed the link."""
        match self._now:
            case Delay(delay_s=delay_s, jitter_s=jitter_s):
                return trio.current_time() + delay_s + self._draw.random() * jitter_s
            case _:
                return trio.current_time()

    def bytes_per_s(self) -> float:
        """How much may pass; infinite where nothing holds it back."""
        match self._now:
            case Throttle(bytes_per_s=rate):
                return rate
            case _:
                return math.inf

    def is_black(self) -> bool:
        """Whether what is sent now disappears."""
        return isinstance(self._now, BlackHole)

    def count(self, what: str, by: int = 1) -> None:
        """Note what happened to a connection."""
        self._counts[what] += by


class _Connection:
    """The two halves of one connection through the link.

    Attributes:
        is_lost: A byte of it has disappeared, and so will all that follow.
    """

    def __init__(
        self,
        near: trio.abc.HalfCloseableStream,
        far: trio.abc.HalfCloseableStream,
        link: FaultyLink,
    ) -> None:
        self._ends = (near, far)
        self._link = link
        self._scope = trio.CancelScope()
        self.is_lost = False

    async def run(self) -> None:
        """Carry bytes both ways until both ends have said their last, or one is gone."""
        near, far = self._ends
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._direction, near, far)
                nursery.start_soon(self._direction, far, near)

    def cut(self) -> None:
        """End it; both ends see that."""
        self._link.count("broken")
        self._scope.cancel("the link was cut")

    def reset(self) -> None:
        """Tear it down; what was on its way is lost at both ends."""
        for end in self._ends:
            if isinstance(end, trio.SocketStream):
                # Closing with no time to linger sends RST.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def passes(self, size: int) -> bool:
        """Whether this many bytes get through; if not, nothing ever will again."""
        if self._link.is_black() and not self.is_lost:
            self.is_lost = True
            self._link.count("swallowed")
        self._link.count("bytes_swallowed" if self.is_lost else "bytes_carried", size)
        return not self.is_lost

    async def _direction(
        self, source: trio.abc.ReceiveStream, sink: trio.abc.HalfCloseableStream
    ) -> None:
        way = _Way(source, sink, self, self._link)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(way.fill)
                await way.drain()
                nursery.cancel_scope.cancel("all has crossed")
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            # Across a black hole the other end does not learn of it.
            if not self.is_lost:
                self._scope.cancel("an end is gone")


class _Way:
    """One direction: what came waits until it has crossed."""

    def __init__(
        self,
        source: trio.abc.ReceiveStream,
        sink: trio.abc.HalfCloseableStream,
        connection: _Connection,
        link: FaultyLink,
    ) -> None:
        self._source = source
        self._sink = sink
        self._connection = connection
        self._link = link
        # When each chunk has crossed; an empty one is the end.
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._room = trio.Semaphore(CHUNKS_MAX)
        self._there = trio.Semaphore(0)

    async def fill(self) -> None:
        """Take in what comes, the end included."""
        chunk = b"begun"
        while chunk:
            await self._room.acquire()
            chunk = bytes(await self._source.receive_some(CHUNK_BYTES))
            self._chunks.append((self._link.due_s(), chunk))
            self._there.release()

    async def drain(self) -> None:
        """Let out what has crossed, until the end has."""
        while True:
            await self._there.acquire()
            due_s, chunk = self._chunks.popleft()
            if due_s > trio.current_time():
                await trio.sleep_until(due_s)
            passes = self._connection.passes(len(chunk))
            if not chunk:
                if passes:
                    await self._sink.send_eof()
                return
            if passes:
                await self._let_out(chunk)
            self._room.release()

    async def _let_out(self, chunk: bytes) -> None:
        while chunk:
            rate = self._link.bytes_per_s()
            if math.isinf(rate):
                await self._sink.send_all(chunk)
                return
            size = max(1, round(rate * PIECE_S))
            piece, chunk = chunk[:size], chunk[size:]
            await trio.sleep(len(piece) / rate)
            await self._sink.send_all(piece)
