"""What a frame costs the server: one message and its reply, over many connections.

    python benchmarks/link.py [--short]

Each server runs in a process of its own, which tells its CPU time (getrusage); this
process is the load, the same for all: hundreds of calls on connections of their own,
each sending four messages a second and waiting for each reply. The servers take turns, and the
median of the rounds counts: the machine's other work falls on all alike. Ratios are to
the link.
"""

import argparse
import gc
import os
import resource
import statistics
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
MESSAGES_A_ROUND = 8
PERIOD_S = 0.25
LIMITS = LinkLimits(  # admission is for real storms; here all come as fast as they can
    handshakes_per_s=100_000,
    handshakes_burst=100_000,
    handshakes_max=10_000,
    handshake_within_s=60,
)


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


class Case:
    """A server process, the calls to it, and what they cost it."""

    def __init__(self, title: str, server: str, tls_files: Path | None = None) -> None:
        self.title = title
        self.tls = tls_files and client_tls(
            tls_files / "ca.pem", tls_files / "cert.pem", tls_files / "key.pem"
        )
        command = [sys.executable, __file__, "--serve", server]
        if tls_files is not None:
            command += ["--tls-files", str(tls_files)]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._read())
        self.start = trio.Event()
        self.started_at = 0.0
        self.all_open = trio.Event()
        self.opening = 0
        self.frames = 0
        self.handshake_ms = 0.0
        self.kib = 0.0
        self.frame_us: list[float] = []

    async def connect(self, connections: int, nursery: trio.Nursery) -> None:
        """Open the calls; takes the cost of a handshake and the memory of a connection."""
        before_s, before_kib = self._usage()
        self.opening = connections
        for number in range(connections):
            nursery.start_soon(self._talk, number / connections)
            if number % 10 == 9:
                await trio.sleep(0.03)
        await self.all_open.wait()
        cpu_s, kib = self._usage()
        self.handshake_ms = (cpu_s - before_s) / connections * 1e3
        self.kib = (kib - before_kib) / connections

    async def talk(self) -> None:
        """Let each call exchange a round of messages; takes the cost of a frame."""
        before_s, before = self._usage()[0], self.frames
        start, self.start = self.start, trio.Event()
        self.started_at = trio.current_time()
        start.set()
        await trio.sleep(PERIOD_S * MESSAGES_A_ROUND + 0.5)
        cpu_s, _ = self._usage()
        self.frame_us.append((cpu_s - before_s) / max(1, self.frames - before) * 1e6)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    async def _talk(self, position: float) -> None:
        async with open_call(
            "localhost", self.port, PATH, tls=self.tls or None, limits=LIMITS, connect_within_s=60
        ) as call:
            await call.send(MESSAGE)
            await call.receive()
            self.opening -= 1
            if not self.opening:
                self.all_open.set()
            while True:
                await self.start.wait()
                for number in range(MESSAGES_A_ROUND):
                    await trio.sleep_until(self.started_at + PERIOD_S * (number + position))
                    await call.send(MESSAGE)
                    await call.receive()
                    self.frames += 1

    def _usage(self) -> tuple[float, int]:
        """CPU seconds and resident KiB of the server so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        cpu_s, rss_kib = self._read().split()
        return float(cpu_s), int(rss_kib)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def write_tls_files(folder: Path) -> None:
    """A CA, and one certificate for both ends."""
    ca = trustme.CA()
    cert = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    cert.private_key_pem.write_to_path(folder / "key.pem")
    for pem in cert.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)


async def compare(*, connections: int, rounds: int) -> None:
    """Measure all servers in turn, some rounds, so that a busy machine is unfair to none."""
    gc.disable()  # in the load only: its pauses would come out as bursts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tls_files(folder)
        cases = [
            Case("link", "link"),
            Case("link, receive_into", "link-at-once"),
            Case("link, mTLS", "link", folder),
            Case("link, receive_into, mTLS", "link-at-once", folder),
            Case("grpclib on trio-asyncio", "grpclib"),
            Case("grpcio, asyncio", "grpcio"),
        ]
    async with trio.open_nursery() as nursery:
        for case in cases:
            await case.connect(connections, nursery)
        for _ in range(rounds):
            for case in cases:
                await case.talk()
        nursery.cancel_scope.cancel()
    print(f"{connections} connections, on each {1 / PERIOD_S:g} messages a second")
    print(f"{'':24} {'µs a frame':>10} {'ratio':>6} {'ms a handshake':>15} {'KiB each':>9}")
    for case in cases:
        case.stop()
        frame_us = statistics.median(case.frame_us)
        ratio = frame_us / statistics.median(cases[0].frame_us)
        print(
            f"{case.title:24} {frame_us:10.0f} {ratio:6.2f} "
            f"{case.handshake_ms:15.2f} {case.kib:9.0f}"
        )


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
            trio.run(partial(compare, connections=100, rounds=1))
        case _:
            trio.run(partial(compare, connections=600, rounds=9))


if __name__ == "__main__":
    main()
