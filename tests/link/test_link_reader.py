"""One task reads many sockets, and a fault at one harms no other."""

import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from dercp.link._reader import SharedReader

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll here")


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[SharedReader, trio.Nursery]]:
    """A reader at work."""
    reader = SharedReader(spacing_s=0.001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.run)
        yield reader, nursery
        nursery.cancel_scope.cancel()
    reader.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """A socket to write into, and one to read from."""
    near, far = socket.socketpair()
    far.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return near, far


async def read_all(reader: SharedReader, sock: socket.socket, got: list[bytes]) -> None:
    """Note what comes, until the end."""

    def take() -> bool:
        got.append(sock.recv(100))
        if got[-1] == b"fault":
            raise ValueError("at one socket")
        return bool(got[-1])

    await reader.read(sock, take)


async def until(done: Callable[[], bool]) -> None:
    """These are real sockets: the kernel tells when."""
    with trio.fail_after(5):
        while not done():  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(0.001)


async def test_each_socket_is_read_by_its_taker() -> None:
    """Until it has ended; the others go on."""
    first, second = pair(), pair()
    heard: tuple[list[bytes], list[bytes]] = ([], [])
    ended = trio.Event()

    async def read_first() -> None:
        await read_all(reader, first[1], heard[0])
        ended.set()

    async with reading() as (reader, nursery):
        nursery.start_soon(read_first)
        nursery.start_soon(read_all, reader, second[1], heard[1])
        await trio.testing.wait_all_tasks_blocked()
        first[0].send(b"one")
        second[0].send(b"two")
        first[0].close()
        await ended.wait()
        second[0].send(b"three")
        await until(lambda: b"three" in b"".join(heard[1]))
    assert b"".join(heard[0]) == b"one"
    assert b"".join(heard[1]) == b"twothree"
    for sock in (*first, *second):
        sock.close()


async def test_a_fault_is_raised_to_who_reads_there() -> None:
    """And to nobody else."""
    bad, good = pair(), pair()
    heard: list[bytes] = []
    async with reading() as (reader, nursery):
        nursery.start_soon(read_all, reader, good[1], heard)
        bad[0].send(b"fault")
        with pytest.raises(ValueError, match="at one socket"):
            await read_all(reader, bad[1], [])
        good[0].send(b"still here")
        await until(lambda: bool(heard))
    assert heard == [b"still here"]
    for sock in (*bad, *good):
        sock.close()


async def test_a_taker_may_end_another_in_the_same_turn() -> None:
    """Both had something to read; the one that was cut is not asked any more."""
    pairs = [pair(), pair()]
    scopes = [trio.CancelScope(), trio.CancelScope()]
    taken: list[int] = []
    async with reading() as (reader, _):

        def take(number: int) -> bool:
            taken.append(number)
            scopes[1 - number].cancel()
            return False

        async def read(number: int) -> None:
            with scopes[number]:
                await reader.read(pairs[number][1], partial(take, number))

        for number in (0, 1):
            pairs[number][0].send(b"something")
        async with trio.open_nursery() as readers:
            readers.start_soon(read, 0)
            readers.start_soon(read, 1)
    assert len(taken) == 1
    for sock in (*pairs[0], *pairs[1]):
        sock.close()
