"""What a single-asset agent costs the headend: its connection, its memory, its frames.

    python benchmarks/agents.py [--short] [--bare] [--against CHECKOUT]

A whole headend (link, sessions, twins, ingest log on disk, acknowledgements) in a process of
its own; this process is the load: thousands of agents on connections of their own, each sending
a frame of one asset with ten points a second. The figures are CPU time of the server's process
(getrusage), its thread for the disk included. Beside it grpcio's asyncio server, which decodes
the same bytes and acknowledges them at once, and stores nothing.

With `--against` the headend of another checkout, run by its own copy of this file, takes turns
with this one, so that the two can be compared on a busy machine. The median of the rounds counts.
"""

import argparse
import gc
import itertools
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog
import trio
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent.parent))

from codec import rows_of, site
from link import LIMITS, answer_on_stdin, write_tls_files

from dercp.cli.collector import calm_the_collector
from dercp.headend.agents.listener import Door
from dercp.headend.headend import open_headend
from dercp.headend.settings import HeadendSettings
from dercp.link import ClientCall, client_tls, open_call, server_tls
from dercp.store.sqlite import open_history, open_sqlite
from dercp.wire import CONNECT_PATH, v1
from dercp.wire.envelope import decode_downlink, encode_uplink
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id

PERIOD_S = 1.0
SETTLE_S = 0.3
SETTLE_WITHIN_S = 20.0  # for the last acknowledgements of a round
SETTINGS = HeadendSettings(heartbeat_interval_s=60)  # the agents are silent between turns


def now_us() -> int:
    """The wall clock."""
    return time.time_ns() // 1000


# --- the servers, each in a process of its own -------------------------------------------


async def serve_with_headend(directory: Path, tls_files: Path | None) -> None:
    """A headend as `dercp headend` runs it, without its API."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    tls = tls_files and server_tls(
        tls_files / "cert.pem", tls_files / "key.pem", tls_files / "ca.pem"
    )
    door = Door("127.0.0.1", 0, tls=tls or None, limits=LIMITS)
    async with (
        open_sqlite(directory) as store,
        open_history(directory) as history,
        open_headend(store, history, door, settings=SETTINGS, clock=now_us),
    ):
        calm_the_collector()
        await trio.to_thread.run_sync(answer_on_stdin, door.port)


async def serve_with_grpcio() -> None:
    """Grpcio's asyncio server: decodes each frame, and acknowledges it at once."""
    import asyncio  # noqa: TID251 - the peer to compare with

    import grpc.aio  # type: ignore[import-untyped]  # ships no types

    from dercp.wire.v1 import edge_link_pb2 as upb

    async def connect(_requests: object, context: grpc.aio.ServicerContext) -> None:
        await context.read()
        await context.write(upb.Downlink(welcome=upb.Welcome(epoch=1)).SerializeToString())
        while (message := await context.read()) is not grpc.aio.EOF:
            batch = upb.Uplink.FromString(message).telemetry
            for row in upb.TelemetryPayload.FromString(batch.payload).rows:
                assert len(row.values) == 10
            acked = upb.SequenceRange(first=batch.sequence, last=batch.sequence)
            ack = upb.TelemetryAck(ranges=[acked])
            await context.write(upb.Downlink(telemetry_ack=ack).SerializeToString())

    server = grpc.aio.server()
    service, method = CONNECT_PATH.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(connect)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.to_thread(answer_on_stdin, port)
    await server.stop(0)


# --- the load ----------------------------------------------------------------------------


class Agent:
    """One agent with one asset: says Hello, then sends frames when it is told to."""

    def __init__(self, number: int, call: ClientCall) -> None:
        self.acknowledged = 0
        self._call = call
        self._sequences = itertools.count(1)
        registration = site(1)
        asset = registration.assets[0]
        self._name = f"agent-{number}"
        registration = replace(
            registration,
            site_id=f"site-{number}",
            assets=(replace(asset, asset_id=f"asset-{number}"),),
        )
        self._content = encode_registration(registration)
        self._registration_id = registration_id(self._content)

    async def say_hello(self) -> None:
        """Be admitted."""
        hello = v1.Hello(
            agent_id=self._name,
            software_version="bench",
            spool_id=self._name,
            registration=self._content,
        )
        await self._call.send(encode_uplink(v1.Uplink(hello=hello)))
        answer = decode_downlink(await self._call.receive() or b"")
        if answer.welcome is None:
            raise RuntimeError(f"the headend answered {answer}")

    def send_frame(self, payload: bytes) -> None:
        """Send the next one; it is small enough never to have to wait."""
        batch = v1.TelemetryBatch(
            sequence=next(self._sequences), registration_id=self._registration_id, payload=payload
        )
        self._call.send_nowait(encode_uplink(v1.Uplink(telemetry=batch)))

    def take(self, messages: list[bytes]) -> None:
        """Count what was acknowledged."""
        for message in messages:
            ack = decode_downlink(message).telemetry_ack
            if ack is not None:
                self.acknowledged += sum(each.last - each.first + 1 for each in ack.ranges)


class Case:
    """A server process, its agents, and what they cost it."""

    def __init__(
        self, title: str, server: str, *, tls_files: Path | None = None, tree: Path | None = None
    ) -> None:
        self.title = title
        self.tls = tls_files and client_tls(
            tls_files / "ca.pem", tls_files / "cert.pem", tls_files / "key.pem"
        )
        script = Path(__file__) if tree is None else tree / "benchmarks" / "agents.py"
        command = [sys.executable, str(script), "--serve", server]
        if tls_files is not None:
            command += ["--tls-files", str(tls_files)]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read())
        self.agents: list[Agent] = []
        self.frame_us: list[float] = []
        self.handshake_ms = 0.0
        self.kib = 0.0
        self.pid = self._process.pid

    async def connect(self, agents: int, nursery: trio.Nursery) -> None:
        """Let the agents come; takes the cost of an admission and the memory of a session."""
        before_s, before_kib = self._usage()
        for number in range(agents):
            nursery.start_soon(self._live, number)
            if number % 10 == 9:
                await trio.sleep(0.03)
        with trio.fail_after(60):
            while len(self.agents) < agents:  # noqa: ASYNC110 - a benchmark may poll
                await trio.sleep(0.05)
        await trio.sleep(SETTLE_S)
        cpu_s, kib = self._usage()
        self.handshake_ms = (cpu_s - before_s) / agents * 1e3
        self.kib = (kib - before_kib) / agents

    async def run(self, seconds: int) -> None:
        """Let each agent send a frame a second; takes the cost of a frame."""
        agents = self.agents
        began_us, before = self._usage()[0] * 1e6, sum(agent.acknowledged for agent in agents)
        began = trio.current_time()
        for number in range(seconds * len(agents)):
            await trio.sleep_until(began + number * PERIOD_S / len(agents))
            moment_us = now_us()
            agents[number % len(agents)].send_frame(encode_payload(moment_us, _rows(moment_us)))
        frames = seconds * len(agents)
        with trio.fail_after(SETTLE_WITHIN_S):
            while sum(agent.acknowledged for agent in agents) < before + frames:  # noqa: ASYNC110 - a benchmark may poll
                await trio.sleep(SETTLE_S)
        self.frame_us.append((self._usage()[0] * 1e6 - began_us) / frames)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    async def _live(self, number: int) -> None:
        async with open_call(
            "localhost",
            self.port,
            CONNECT_PATH,
            tls=self.tls or None,
            limits=LIMITS,
            connect_within_s=60,
        ) as call:
            agent = Agent(number, call)
            await agent.say_hello()
            self.agents.append(agent)
            await call.receive_into(agent.take)

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


_DRAFTS = rows_of(1)


def _rows(moment_us: int) -> list[RowDraft]:
    return [RowDraft(draft.asset_index, moment_us, draft.values) for draft in _DRAFTS]


async def compare(
    *, agents: int, rounds: int, seconds: int, against: Path | None, bare: bool
) -> None:
    """Measure all servers in turns."""
    gc.disable()  # in the load only: its pauses would come out as bursts
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_tls_files(folder)
        cases = [Case("headend", "headend")]
        if against is not None:
            cases.append(Case("headend before", "headend", tree=against))
        if not bare:
            cases.append(Case("headend, mTLS", "headend", tls_files=folder))
            if against is not None:
                cases.append(
                    Case("headend before, mTLS", "headend", tls_files=folder, tree=against)
                )
            cases.append(Case("grpcio, asyncio", "grpcio"))
        async with trio.open_nursery() as nursery:
            for case in cases:
                await case.connect(agents, nursery)
            for _ in range(rounds):
                for case in cases:
                    await case.run(seconds)
            nursery.cancel_scope.cancel()
    print(f"{agents} agents, each {1 / PERIOD_S:g} frames a second; {rounds} rounds of {seconds} s")
    print(f"{'':24} {'µs a frame':>10} {'ratio':>6} {'ms a handshake':>15} {'KiB each':>9}")
    for case in cases:
        case.stop()
        frame_us = statistics.median(case.frame_us)
        ratio = statistics.median(
            mine / first for mine, first in zip(case.frame_us, cases[0].frame_us, strict=True)
        )
        print(
            f"{case.title:24} {frame_us:10.1f} {ratio:6.2f} "
            f"{case.handshake_ms:15.2f} {case.kib:9.0f}"
        )


def main() -> None:
    """Measure, or be one of the servers that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="some seconds, coarse figures")
    parser.add_argument("--against", type=Path, help="another checkout, to compare with")
    parser.add_argument("--bare", action="store_true", help="without mTLS and without the peer")
    parser.add_argument("--agents", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of a round")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--tls-files", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.serve:
        case "headend":
            with tempfile.TemporaryDirectory() as name:
                trio.run(serve_with_headend, Path(name), arguments.tls_files)
        case "grpcio":
            import asyncio  # noqa: TID251 - the peer to compare with

            asyncio.run(serve_with_grpcio())
        case _:
            short = arguments.short
            trio.run(
                partial(
                    compare,
                    agents=arguments.agents or (200 if short else 2_000),
                    rounds=arguments.rounds or (1 if short else 5),
                    seconds=arguments.seconds or (2 if short else 5),
                    against=arguments.against,
                    bare=arguments.bare,
                )
            )


if __name__ == "__main__":
    main()
