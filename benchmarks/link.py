"""What a frame costs the server: one message and its reply, over many connections.

    python benchmarks/link.py [--short]

Each server runs in a process of its own, which tells its CPU time (getrusage); this
process is the load, the same for all: thousands of calls on connections of their own,
each sending a message a second and waiting for the reply. Ratios are to the link.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio
import trustme

sys.path.insert(0, str(Path(__file__).parent.parent))

from dercp.link import (
    CallHandler,
    LinkLimits,
    ServerCall,
    client_tls,
    open_call,
    serve_link,
    server_tls,
)

PATH = "/bench.Echo/Talk"
MESSAGE = os.urandom(400)  # an envelope around ten points of four assets
LIMITS = LinkLimits(handshakes_per_s=100_000, handshakes_burst=100_000, handshakes_max=2_000)


# --- the servers, each in a process of its own -------------------------------------------


async def serve_with_link(tls_files: Path | None, handler: CallHandler) -> None:
    """The link, with one of two handlers."""
    tls = tls_files and server_tls(
        tls_files / "cert.pem", tls_files / "key.pem", tls_files / "ca.pem"
    )
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
    async with trio.open_nursery() as nursery:
        serve = partial(serve_link, listeners, {PATH: handler}, tls=tls or None, limits=LIMITS)
        server = await nursery.start(serve)
        await trio.to_thread.run_sync(answer_on_stdin, server.port)
        nursery.cancel_scope.cancel()


async def echo(call: ServerCall) -> None:
    """Receive and send in a task of its own: the plain way."""
    while messages := await call.receive_some(64):
        for message in messages:
            await call.send(message)


async def echo_at_once(call: ServerCall) -> None:
    """Receive and send in the task that reads the connection: the quick way."""

    def answer(messages: list[bytes]) -> None:
        for message in messages:
            call.send_nowait(message)

    await call.receive_into(answer)


async def serve_with_grpclib() -> None:
    """Grpclib as it comes, on trio-asyncio."""
    import grpclib.const
    import grpclib.server
    import trio_asyncio  # type: ignore[import-untyped]  # ships no types

    class Echo:
        async def talk(self, stream: "grpclib.server.Stream[bytes, bytes]") -> None:
            async for message in stream:
                await stream.send_message(message)

        def __mapping__(self) -> dict[str, grpclib.const.Handler]:
            both = grpclib.const.Cardinality.STREAM_STREAM
            return {PATH: grpclib.const.Handler(self.talk, both, bytes, bytes)}

    class Identity:
        __content_subtype__ = "proto"

        def encode(self, message: bytes, _type: object) -> bytes:
            return message

        def decode(self, data: bytes, _type: object) -> bytes:
            return data

    async with trio_asyncio.open_loop():
        server = grpclib.server.Server([Echo()], codec=Identity())  # type: ignore[arg-type]  # as much of a codec as is needed
        await trio_asyncio.aio_as_trio(server.start)("127.0.0.1", 0, backlog=4096)
        port = server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # noqa: SLF001 - grpclib has no other way to tell
        await trio.to_thread.run_sync(answer_on_stdin, port)
        server.close()


async def serve_with_grpcio() -> None:
    """Grpcio's asyncio server: gRPC's C core under Python handlers."""
    import asyncio  # noqa: TID251 - the peer to compare with

    import grpc.aio  # type: ignore[import-untyped]  # ships no types

    async def talk(_requests: object, context: grpc.aio.ServicerContext) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            await context.write(message)

    server = grpc.aio.server()
    handlers = {"Talk": grpc.stream_stream_rpc_method_handler(talk)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Echo", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.to_thread(answer_on_stdin, port)
    await server.stop(0)


def answer_on_stdin(port: int) -> None:
    """Say the port, then answer each line with the CPU seconds and the memory so far."""
    print(port, flush=True)
    for _ in sys.stdin:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        rss_kib = int(Path("/proc/self/statm").read_text().split()[1]) * 4
        print(usage.ru_utime + usage.ru_stime, rss_kib, flush=True)


# --- the load ----------------------------------------------------------------------------


class Measured:
    """A server process, and what it has used."""

    def __init__(self, name: str, tls_files: Path | None) -> None:
        command = [sys.executable, __file__, "--serve", name]
        if tls_files is not None:
            command += ["--tls-files", str(tls_files)]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._read())

    def usage(self) -> tuple[float, int]:
        """CPU seconds and resident KiB."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        cpu_s, rss_kib = self._read().split()
        return float(cpu_s), int(rss_kib)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


async def measure(
    name: str, *, connections: int, seconds: int, tls_files: Path | None
) -> tuple[float, float, float]:
    """Server CPU in µs a frame and ms a handshake, and KiB a connection."""
    tls = tls_files and client_tls(
        tls_files / "ca.pem", tls_files / "cert.pem", tls_files / "key.pem"
    )
    server = Measured(name, tls_files)
    frames = 0
    opened = trio.Event()
    start = trio.Event()
    left = connections

    async def talk(position: float) -> None:
        nonlocal frames, left
        host = "localhost"
        async with open_call(
            host, server.port, PATH, tls=tls or None, limits=LIMITS, connect_within_s=60
        ) as call:
            await call.send(MESSAGE)
            await call.receive()
            left -= 1
            if not left:
                opened.set()
            await start.wait()
            at = trio.current_time() + position
            for second in range(seconds):
                await trio.sleep_until(at + second)
                await call.send(MESSAGE)
                await call.receive()
                frames += 1

    before_s, before_kib = server.usage()
    async with trio.open_nursery() as nursery:
        for number in range(connections):
            nursery.start_soon(talk, number / connections)
            if number % 50 == 49:
                await trio.sleep(0.05)
        await opened.wait()
        opened_s, opened_kib = server.usage()
        start.set()
        await trio.sleep(seconds + 0.5)
        talked_s, _ = server.usage()
        nursery.cancel_scope.cancel()
    server.stop()
    return (
        (talked_s - opened_s) / frames * 1e6,
        (opened_s - before_s) / connections * 1e3,
        (opened_kib - before_kib) / connections,
    )


def write_tls_files(folder: Path) -> None:
    """A CA, and one certificate for both ends."""
    ca = trustme.CA()
    cert = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    cert.private_key_pem.write_to_path(folder / "key.pem")
    for pem in cert.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)


def compare(*, connections: int, seconds: int, rounds: int) -> None:
    """Measure all servers in turn, some rounds, and print each one's best against the link's."""
    with tempfile.TemporaryDirectory() as folder:
        write_tls_files(Path(folder))
        cases: list[tuple[str, str, Path | None]] = [
            ("link", "link", None),
            ("link, receive_into", "link-at-once", None),
            ("link, mTLS", "link", Path(folder)),
            ("link, receive_into, mTLS", "link-at-once", Path(folder)),
            ("grpclib on trio-asyncio", "grpclib", None),
            ("grpcio, asyncio", "grpcio", None),
        ]
        best: dict[str, tuple[float, ...]] = {}
        for _ in range(rounds):
            for title, name, tls_files in cases:
                run = partial(
                    measure, name, connections=connections, seconds=seconds, tls_files=tls_files
                )
                figures = trio.run(run)
                best[title] = tuple(map(min, figures, best.get(title, figures)))
    print(f"{connections} connections, a message of {len(MESSAGE)} bytes and a reply a second each")
    print(f"{'':24} {'µs a frame':>10} {'ratio':>6} {'ms a handshake':>15} {'KiB each':>9}")
    for title, (frame_us, handshake_ms, kib) in best.items():
        ratio = frame_us / best["link"][0]
        print(f"{title:24} {frame_us:10.0f} {ratio:6.2f} {handshake_ms:15.2f} {kib:9.0f}")


def main() -> None:
    """Measure, or be one of the servers that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="a few seconds, coarse figures")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--tls-files", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.serve:
        case "link":
            trio.run(serve_with_link, arguments.tls_files, echo)
        case "link-at-once":
            trio.run(serve_with_link, arguments.tls_files, echo_at_once)
        case "grpclib":
            trio.run(serve_with_grpclib)
        case "grpcio":
            import asyncio  # noqa: TID251 - the peer to compare with

            asyncio.run(serve_with_grpcio())
        case _ if arguments.short:
            compare(connections=300, seconds=3, rounds=1)
        case _:
            compare(connections=2_000, seconds=5, rounds=3)


if __name__ == "__main__":
    main()
