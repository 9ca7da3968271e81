"""Interop with gRPC's own implementation, over loopback sockets, with and without mTLS."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import pytest
import trio
import trustme
from link_ends import CA, PATH, client_context, echo, server_context

from dercp.link import (
    CallHandler,
    LinkError,
    LinkLimits,
    LinkRefused,
    LinkServer,
    LinkUnreachable,
    ServerCall,
    Status,
    open_call,
    serve_link,
)

WITHIN_S = 20
SIZES = [0, 1, 1_000, 16_384, 100_000, 2_000_000]


def pair(name: str) -> tuple[bytes, bytes]:
    """A key and its certificate, as grpcio wants them."""
    issued: trustme.LeafCert = CA.issue_cert(name)
    return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()


@asynccontextmanager
async def our_server(
    routes: Mapping[str, CallHandler], tls: ssl.SSLContext | None
) -> AsyncIterator[LinkServer]:
    """Our server on a port of its own."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            server: LinkServer = await nursery.start(
                partial(serve_link, listeners, routes, tls=tls)
            )
            yield server
            await server.drain(1)


@contextmanager
def their_stub(port: int, path: str, tls: bool) -> Iterator[Callable[..., Iterator[bytes]]]:  # noqa: FBT001 - a test's parameter
    """Grpcio's client for one method, which sends and receives bytes."""
    if tls:
        key, cert = pair("agent-7.example")
        credentials = grpc.ssl_channel_credentials(CA.cert_pem.bytes(), key, cert)
        channel = grpc.secure_channel(f"localhost:{port}", credentials)
    else:
        channel = grpc.insecure_channel(f"localhost:{port}")
    with channel:
        yield channel.stream_stream(path)


@pytest.mark.parametrize("tls", [False, True])
async def test_grpcio_calls_us(tls: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Messages of all sizes, both ways, to an orderly end; and we know who it is."""
    sans: list[tuple[str, ...]] = []

    async def handler(call: ServerCall) -> None:
        sans.append(call.peer.sans)
        assert call.metadata["agent"] == "a-7"
        await echo(call)

    def talk(port: int) -> list[int]:
        with their_stub(port, PATH, tls) as call:
            sent = (bytes(size) for size in SIZES)
            replies = call(sent, metadata=[("agent", "a-7")], timeout=WITHIN_S)
            return [len(reply) for reply in replies]

    async with our_server({PATH: handler}, server_context() if tls else None) as server:
        assert await trio.to_thread.run_sync(talk, server.port) == SIZES
    assert sans == [("agent-7.example",) if tls else ()]


async def test_grpcio_understands_our_refusals() -> None:
    """Statuses and sentences, whether we answer at once or in the middle."""

    async def refuse(_call: ServerCall) -> None:
        raise LinkError(Status.PERMISSION_DENIED, "agent ä-7 may not")

    async def one_then_refuse(call: ServerCall) -> None:
        await call.send(b"one")
        await refuse(call)

    async def fault(_call: ServerCall) -> None:
        raise ZeroDivisionError

    def talk(port: int, path: str) -> tuple[list[bytes], grpc.StatusCode, str]:
        received: list[bytes] = []
        with their_stub(port, path, tls=False) as call:
            try:
                for reply in call(iter([b"x"]), timeout=WITHIN_S):
                    received.append(reply)  # noqa: PERF402 - what came before the error counts
            except grpc.RpcError as error:
                return received, error.code(), error.details()
        return received, grpc.StatusCode.OK, ""

    routes = {"/s/Refuse": refuse, "/s/One": one_then_refuse, "/s/Fault": fault}
    async with our_server(routes, None) as server:

        async def ask(path: str) -> tuple[list[bytes], grpc.StatusCode, str]:
            return await trio.to_thread.run_sync(talk, server.port, path)

        denied = grpc.StatusCode.PERMISSION_DENIED
        assert await ask("/s/Refuse") == ([], denied, "agent ä-7 may not")
        assert await ask("/s/One") == ([b"one"], denied, "agent ä-7 may not")
        assert (await ask("/s/Fault"))[1] is grpc.StatusCode.INTERNAL
        assert (await ask("/s/Nothing"))[1] is grpc.StatusCode.UNIMPLEMENTED


async def test_grpcio_sees_its_deadline_and_our_drain() -> None:
    """DEADLINE_EXCEEDED for its own time, UNAVAILABLE when we stop."""

    async def wait(call: ServerCall) -> None:
        waiting.set()
        await call.receive()
        await trio.sleep_forever()

    def talk(port: int, timeout_s: float) -> grpc.StatusCode:
        with their_stub(port, PATH, tls=False) as call:
            try:
                list(call(iter([b"x"]), timeout=timeout_s))
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
        return grpc.StatusCode.OK

    waiting = trio.Event()
    async with our_server({PATH: wait}, None) as server:
        assert (
            await trio.to_thread.run_sync(talk, server.port, 0.2)
            is grpc.StatusCode.DEADLINE_EXCEEDED
        )
        waiting = trio.Event()
        ended: list[grpc.StatusCode] = []

        async def talk_long() -> None:
            ended.append(await trio.to_thread.run_sync(talk, server.port, WITHIN_S))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk_long)
            await waiting.wait()
            await server.drain(0.1)
    assert ended == [grpc.StatusCode.UNAVAILABLE]


@contextmanager
def their_server(tls: bool) -> Iterator[int]:  # noqa: FBT001 - a test's parameter
    """Grpcio's server, which echoes; gives its port."""

    def talk(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for request in requests:
            if request == b"refuse":
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "spool full, come back")
            yield request

    server = grpc.server(futures.ThreadPoolExecutor(4))
    service, method = PATH[1:].split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(talk)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    if tls:
        credentials = grpc.ssl_server_credentials(
            [pair("localhost")], CA.cert_pem.bytes(), require_client_auth=True
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait(WITHIN_S)


@pytest.mark.parametrize("tls", [False, True])
async def test_we_call_grpcio(tls: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Messages of all sizes, both ways, to an orderly end; and its refusals."""
    context = client_context() if tls else None
    with their_server(tls) as port, trio.fail_after(WITHIN_S):
        async with open_call("localhost", port, PATH, tls=context) as call:
            for size in SIZES:
                await call.send(bytes(size))
                reply = await call.receive()
                assert reply is not None
                assert len(reply) == size
            await call.end()
            assert await call.receive() is None
        async with open_call("localhost", port, PATH, tls=context) as call:
            await call.send(b"refuse")
            with pytest.raises(LinkRefused, match="spool full, come back") as caught:
                await call.receive()
            assert caught.value.status is Status.RESOURCE_EXHAUSTED


async def test_a_stream_of_small_messages_both_ways() -> None:
    """Thousands in a row, against grpcio's own pings and window updates."""
    limits = LinkLimits(control_frames_burst=100, control_frames_per_s=20)
    count = 20_000
    with their_server(tls=False) as port, trio.fail_after(WITHIN_S):
        async with (
            open_call("localhost", port, PATH, limits=limits) as call,
            trio.open_nursery() as nursery,
        ):

            async def send() -> None:
                for _ in range(count):
                    await call.send(b"x" * 100)
                await call.end()

            nursery.start_soon(send)
            received = 0
            while messages := await call.receive_some(1_000):
                received += len(messages)
            assert received == count


async def test_nobody_listens() -> None:
    """The sentence names the place and the cause."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    with pytest.raises(LinkUnreachable, match=f"127.0.0.1:{port}: connection refused"):
        async with open_call("127.0.0.1", port, PATH):
            pass


async def test_no_such_name() -> None:
    """Also where there is no DNS at all."""
    with pytest.raises(LinkUnreachable, match="this name is not known"):
        async with open_call("headend.invalid", 4711, PATH, connect_within_s=10):
            pass


async def test_a_port_that_takes_and_says_nothing() -> None:
    """A firewall or a hung server: the wait is bounded."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with listeners[0]:
        with pytest.raises(LinkUnreachable, match="said nothing in HTTP/2"):
            async with open_call("127.0.0.1", port, PATH, connect_within_s=0.2):
                pass
