"""Cancellation at any point leaves no task, no call and no connection behind."""

from contextlib import suppress

import pytest
import trio
import trio.testing
from link_ends import PATH, calling, client_context, echo, server_context, serving

from dercp.link import LinkError, LinkEventKind, ServerCall, open_call_over

Clock = trio.testing.MockClock
TLS = {"plain": (None, None), "tls": (server_context(), client_context())}
LONGER_THAN_ANY_LIMIT_S = 30


def tasks() -> int:
    """Every task of this run."""
    return trio.lowlevel.current_statistics().tasks_living


async def rounds(count: int) -> None:
    """Let the others run for so many rounds of the scheduler."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_a_client_cancelled_at_any_point(kind: str, autojump_clock: Clock) -> None:
    """At each round of the scheduler, from the first byte of the handshake to the end."""
    server_tls, client_tls = TLS[kind]
    finished = False

    async def talk() -> None:
        nonlocal finished
        async with calling(served, tls=client_tls) as call:
            await call.send(bytes(100_000))
            await call.receive()
            await call.end()
            await call.receive()
        finished = True

    async with serving(echo, tls=server_tls) as served:
        await trio.testing.wait_all_tasks_blocked()
        before = tasks()
        patience = 0
        while not finished:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(talk)
                await rounds(patience)
                nursery.cancel_scope.cancel()
            await trio.sleep(LONGER_THAN_ANY_LIMIT_S)
            assert tasks() == before
            now = served.server.statistics()
            assert (now.connections, now.calls, now.handshakes) == (0, 0, 0)
            patience += 1
        assert patience > 10
        assert set(served.kinds()) <= {LinkEventKind.HANDSHAKE_FAILED}


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_a_server_cancelled_at_any_point(kind: str, autojump_clock: Clock) -> None:
    """Its handlers are gone when it is; its clients hear of it, or notice in time."""
    server_tls, client_tls = TLS[kind]
    running = 0
    finished = False

    async def handler(call: ServerCall) -> None:
        nonlocal running
        running += 1
        try:
            await echo(call)
        finally:
            running -= 1

    async def talk(stream: trio.abc.Stream) -> None:
        nonlocal finished
        with suppress(LinkError):
            async with open_call_over(stream, PATH, tls=client_tls) as call:
                await call.send(bytes(100_000))
                await call.receive()
                finished = True

    before = tasks()
    patience = 0
    while not finished:
        async with trio.open_nursery() as clients:
            async with serving(handler, tls=server_tls) as served:
                clients.start_soon(talk, served.listener.connect())
                await rounds(patience)
            assert running == 0
        assert tasks() == before
        patience += 1
    assert patience > 10


async def test_a_handler_cancelled_by_its_own_hand(autojump_clock: Clock) -> None:
    """A receive given up loses no message."""
    received: list[bytes | None] = []

    async def impatient(call: ServerCall) -> None:
        while True:
            with trio.move_on_after(0.01):
                received.append(message := await call.receive())
                if message is None:
                    return

    async with serving(impatient) as served, calling(served) as call:
        for number in range(50):
            await call.send(bytes([number]))
            await trio.sleep(0.007)
        await call.end()
        assert await call.receive() is None
    assert received == [*(bytes([number]) for number in range(50)), None]
