"""Dispatches: from REST to acked, one by one, and one order to a whole fleet.

    python benchmarks/dispatch.py [--short] [--against CHECKOUT] [--only SHAPE]

A real `dercp headend` in a process of its own; this process is REST's client and the agents,
which speak the wire protocol and accept whatever they are given.

One by one: POST /dispatch to one asset, again when the one before is acked; the clock stops
when GET /dispatches/{id}, asked again and again, says `acked`, which is then on disk.

The whole fleet: one POST for a portfolio of sites (or one site of several gateways), until
the headend has counted every part, and the whole, as acked; CPU is of the headend's process.

The peer is grpcio's asyncio server with SQLite (apsw, WAL, synchronous=FULL) as its ledger: it
writes as many rows of a dispatch's size, pushes as many orders over as many streams to the same
agents, and writes each acknowledgement, as many in a commit as have come. It knows no plan, no
lifecycle, no REST and no supervision, so it is a floor. With `--against` a headend of another
checkout takes its turn too.
"""

import argparse
import itertools
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any, NamedTuple

import httpx
import msgspec
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from codec import rows_of, site
from msgspec.structs import replace

from dercp.link import ClientCall, LinkLimits, open_call
from dercp.wire import CONNECT_PATH
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id
from dercp.wire.v1 import edge_link_pb2 as upb

HERE = Path(__file__).parent
ACKED = "DISPATCH_STATE_ACKED"
START_WITHIN_S = 30.0
# All agents in; the headend admits 200 new connections a second.
CONNECT_WITHIN_S = 240.0
# Who needs so long has not made it.
ACKED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
ACKED_TOTAL = "dispatches_acked_total"
CONNECTING_MAX = 64
# Within what `rows_of` says is available.
SETPOINT_MW = 0.45
# What a row of the ledger takes, roughly.
BODY_BYTES = 900


class Shape(NamedTuple):
    """How the assets of a fleet hang on its agents."""

    name: str
    sites: int
    agents_per_site: int
    assets_per_agent: int

    @property
    def agents(self) -> int:
        """In all."""
        return self.sites * self.agents_per_site

    @property
    def orders(self) -> int:
        """Messages to agents: a gateway divides a site's, the headend divides all others."""
        if self.agents_per_site == 1:
            return self.sites
        return self.agents * self.assets_per_agent

    @property
    def acked(self) -> int:
        """Dispatches that are acked in the end: orders, divided sites, and the portfolio."""
        divided = 0 if self.agents_per_site == 1 else self.sites
        return self.orders + divided + (self.sites > 1)


SHAPES = (
    Shape("gateways", 100, 1, 100),
    Shape("one-site", 1, 100, 100),
    # Twice as many connections as that end here: the peer has its own.
    Shape("single-asset", 50, 100, 1),
)
SHORT_SHAPES = (
    Shape("gateways", 20, 1, 100),
    Shape("one-site", 1, 20, 100),
    Shape("single-asset", 10, 20, 1),
)


def now_us() -> int:
    """The wall clock."""
    return time_ns() // 1_000


# --- the agents -------------------------------------------------------------------------


class Agent:
    """Says Hello, tells its assets' values once, and accepts every order."""

    def __init__(self, call: ClientCall, site_number: int, number: int, shape: Shape) -> None:
        self._call = call
        self._assets = shape.assets_per_agent
        self._name = f"agent-{site_number}-{number}"
        drawn = site(shape.assets_per_agent)
        assets = tuple(
            replace(asset, asset_id=f"asset-{site_number}-{number}-{index}", sample_interval_s=600)
            for index, asset in enumerate(drawn.assets)
        )
        registration = replace(drawn, site_id=f"site-{site_number}", assets=assets)
        self._content = encode_registration(registration)

    async def say_hello(self) -> None:
        """Be admitted, and send a frame."""
        hello = upb.Hello(
            agent_id=self._name,
            software_version="bench",
            spool_id=self._name,
            registration=self._content,
        )
        await self._call.send(upb.Uplink(hello=hello).SerializeToString())
        answer = upb.Downlink.FromString(await self._call.receive() or b"")
        if not answer.HasField("welcome"):
            raise RuntimeError(f"the headend answered {answer}")
        moment_us = now_us()
        rows = [
            RowDraft(draft.asset_index, moment_us, draft.values) for draft in rows_of(self._assets)
        ]
        batch = upb.TelemetryBatch(
            sequence=1,
            registration_id=registration_id(self._content),
            payload=encode_payload(moment_us, rows),
        )
        await self._call.send(upb.Uplink(telemetry=batch).SerializeToString())
        # Once it is acknowledged, it is what the assets can do.
        while not upb.Downlink.FromString(await self._call.receive() or b"").telemetry_ack.ranges:
            pass

    def take(self, messages: list[bytes]) -> None:
        """Accept what is an order."""
        for message in messages:
            downlink = upb.Downlink.FromString(message)
            if downlink.HasField("dispatch"):
                order = downlink.dispatch
                update = upb.DispatchUpdate(
                    dispatch_id=order.dispatch_id,
                    revision=order.revision,
                    state=ACKED,
                    time_us=now_us(),
                )
                self._call.send_nowait(upb.Uplink(dispatch_update=update).SerializeToString())
            elif downlink.HasField("reject"):
                raise RuntimeError(f"{self._name}: {downlink.reject}")
            elif downlink.HasField("heartbeat") and not downlink.heartbeat.time_us:
                # One that states a time is the answer to ours.
                beat = upb.Uplink(heartbeat=upb.Heartbeat(time_us=now_us()))
                self._call.send_nowait(beat.SerializeToString())


@asynccontextmanager
async def connected(port: int, shape: Shape) -> AsyncIterator[None]:
    """All agents of a fleet, admitted."""
    limit = trio.CapacityLimiter(CONNECTING_MAX)
    async with trio.open_nursery() as agents:
        with trio.fail_after(CONNECT_WITHIN_S):
            async with trio.open_nursery() as coming:
                for number in range(shape.agents):
                    site_number, agent_number = divmod(number, shape.agents_per_site)
                    coming.start_soon(_come, agents, limit, port, site_number, agent_number, shape)
        yield
        agents.cancel_scope.cancel()


async def _come(
    agents: trio.Nursery,
    limit: trio.CapacityLimiter,
    port: int,
    site_number: int,
    number: int,
    shape: Shape,
) -> None:
    async with limit:
        await agents.start(_live, port, site_number, number, shape)


async def _live(
    port: int,
    site_number: int,
    number: int,
    shape: Shape,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    async with open_call(
        "127.0.0.1", port, CONNECT_PATH, limits=LinkLimits(), connect_within_s=60
    ) as call:
        agent = Agent(call, site_number, number, shape)
        await agent.say_hello()
        task_status.started()
        await call.receive_into(agent.take)


# --- the headend ------------------------------------------------------------------------


class Headend:
    """A `dercp headend` that runs, and what it has used."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, grpc_port: int) -> None:
        self._process = process
        self.url = url
        self.grpc_port = grpc_port

    def cpu_s(self) -> float:
        """CPU time so far."""
        return cpu_s(self._process.pid)


def cpu_s(process_id: int) -> float:
    """CPU time of a process so far."""
    status = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii")
    user, system = status.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def headend(tree: Path) -> AsyncIterator[Headend]:
    """A headend of a checkout, on an empty store."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("w", encoding="utf-8") as log_file:
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command, at the start
                [
                    *(sys.executable, "-m", "dercp", "headend", "--no-auth"),
                    *("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
                    *("--data-dir", str(Path(directory) / "data")),
                ],
                cwd=tree,
                stderr=log_file,
                text=True,
            )
        try:
            with trio.fail_after(START_WITHIN_S):
                while "headend_ready" not in (told := log.read_text(encoding="utf-8")):  # noqa: ASYNC110 - a benchmark may poll
                    await trio.sleep(0.1)
            url = re.search(r"http://127\.0\.0\.1:\d+", told)
            port = re.search(r"grpc\W+127\.0\.0\.1:(\d+)", told)
            assert url
            assert port
            yield Headend(process, url[0], int(port[1]))
        finally:
            process.terminate()
            await trio.to_thread.run_sync(process.wait)


# --- one by one -------------------------------------------------------------------------


async def one_by_one(running: Headend, shape: Shape, count: int) -> list[float]:
    """Seconds from REST to acked."""
    times = []
    async with httpx.AsyncClient(base_url=running.url) as client:
        for number in range(count):
            asset_id = f"asset-{number % shape.sites}-0-{number % shape.assets_per_agent}"
            begin = perf_counter()
            taken = await post(client, {"asset_id": asset_id, "setpoint_mw": SETPOINT_MW})
            with trio.fail_after(ACKED_WITHIN_S):
                while (await client.get(f"/dispatches/{taken['id']}")).json()["state"] != "acked":
                    pass
            times.append(perf_counter() - begin)
    return times


async def post(client: httpx.AsyncClient, body: dict[str, object]) -> dict[str, Any]:
    """Hand in a dispatch."""
    response = await client.post(
        "/dispatch", json=body, headers={"Idempotency-Key": f"bench-{next(_keys)}"}, timeout=60
    )
    if response.status_code != 202:
        raise RuntimeError(f"{response.status_code}: {response.text[:500]}")
    taken: dict[str, Any] = response.json()
    return taken


_keys = itertools.count(now_us())


# --- the whole fleet --------------------------------------------------------------------


class FanOut(NamedTuple):
    """One order to all: seconds to its answer, to the last acknowledgement, and of CPU."""

    answered_s: float
    acked_s: float
    cpu_s: float


async def fan_out(running: Headend, shape: Shape) -> FanOut:
    """Order once, and wait until all of it is acked."""
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:
        target = {"site_id": "site-0"}
        if shape.sites > 1:
            target = {"portfolio_id": "fleet"}
            sites = [f"site-{number}" for number in range(shape.sites)]
            await client.put("/portfolios/fleet", json={"sites": sites})
        # A session is welcomed a moment before its assets have their link.
        while await _metric(client, "assets_online") < shape.agents * shape.assets_per_agent:  # noqa: ASYNC110 - a benchmark may poll
            await trio.sleep(LOOK_EVERY_S)
        before, cpu_before_s = await _metric(client, ACKED_TOTAL), running.cpu_s()
        begin = perf_counter()
        megawatts = shape.agents * shape.assets_per_agent * SETPOINT_MW
        await post(client, {**target, "setpoint_mw": megawatts, "duration_s": 600})
        answered = perf_counter()
        with trio.move_on_after(ACKED_WITHIN_S):
            while await _metric(client, ACKED_TOTAL) - before < shape.acked:  # noqa: ASYNC110 - a benchmark may poll
                await trio.sleep(LOOK_EVERY_S)
        acked = perf_counter()
        return FanOut(answered - begin, acked - begin, running.cpu_s() - cpu_before_s)


async def _metric(client: httpx.AsyncClient, name: str) -> int:
    told = (await client.get("/metrics")).text
    found = re.search(rf"^dercp_{name} (\S+)", told, re.MULTILINE)
    return round(float(found[1])) if found else 0


# --- the peer ---------------------------------------------------------------------------


async def serve_with_grpcio(directory: Path) -> None:  # noqa: C901, PLR0915 - a server in a nutshell
    """Grpcio's asyncio server with a ledger; told on stdin how many orders to push."""
    import asyncio  # noqa: TID251 - the peer to compare with

    import apsw
    import grpc.aio  # type: ignore[import-untyped]  # ships no types

    db = apsw.Connection(str(directory / "ledger.sqlite3"))
    db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE dispatch (id TEXT PRIMARY KEY, state TEXT, body TEXT) WITHOUT ROWID")
    contexts: list[grpc.aio.ServicerContext] = []
    heard: asyncio.Queue[str] = asyncio.Queue()

    def write(ids: list[str], state: str) -> None:
        with db:
            db.executemany(
                "INSERT OR REPLACE INTO dispatch VALUES (?, ?, ?)",
                [
                    (
                        each,
                        state,
                        msgspec.json.encode({"id": each, "body": "x" * BODY_BYTES}).decode(),
                    )
                    for each in ids
                ],
            )

    async def connect(_requests: object, context: grpc.aio.ServicerContext) -> None:
        await context.read()
        await context.write(upb.Downlink(welcome=upb.Welcome(epoch=1)).SerializeToString())
        contexts.append(context)
        while (message := await context.read()) is not grpc.aio.EOF:
            uplink = upb.Uplink.FromString(message)
            if uplink.HasField("telemetry"):
                ack = upb.TelemetryAck(ranges=[upb.SequenceRange(first=1, last=1)])
                await context.write(upb.Downlink(telemetry_ack=ack).SerializeToString())
            if uplink.HasField("dispatch_update"):
                heard.put_nowait(uplink.dispatch_update.dispatch_id)

    async def order(run: int, count: int) -> tuple[float, float]:
        begin, began = perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        ids = [f"{run}-{number:026}" for number in range(count)]
        await asyncio.to_thread(write, ids, "sent")

        async def push(context: grpc.aio.ServicerContext, mine: list[str]) -> None:
            for each in mine:
                sent = upb.Dispatch(
                    dispatch_id=each, revision=1, asset_id=each, setpoint_mw=SETPOINT_MW
                )
                await context.write(upb.Downlink(dispatch=sent).SerializeToString())

        streams = len(contexts)
        pushes = [
            asyncio.ensure_future(push(context, ids[number::streams]))
            for number, context in enumerate(contexts)
        ]
        left = count
        while left:
            came = [await heard.get()]
            while not heard.empty():
                came.append(heard.get_nowait())
            await asyncio.to_thread(write, came, "acked")
            left -= len(came)
        await asyncio.gather(*pushes)
        used = resource.getrusage(resource.RUSAGE_SELF)
        taken_s = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
        return perf_counter() - begin, taken_s

    # Else it takes the pings of our link for abuse.
    server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
    service, method = CONNECT_PATH.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(connect)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    for run in itertools.count():
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            break
        elapsed_s, taken_s = await order(run, int(line))
        print(elapsed_s, taken_s, flush=True)
    await server.stop(0)


class Peer:
    """The peer's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read())

    async def order(self, count: int) -> FanOut:
        """Let it push so many orders, and wait until all are acknowledged."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        elapsed_s, taken_s = (await trio.to_thread.run_sync(self._read)).split()
        return FanOut(0.0, float(elapsed_s), float(taken_s))

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


# --- the report -------------------------------------------------------------------------


async def measure(shape: Shape, trees: dict[str, Path], *, rounds: int, singles: int) -> None:
    """All that serve this shape, in turns; prints a line for each."""
    print(
        f"\n{shape.name}: {shape.sites} sites x {shape.agents_per_site} agents"
        f" x {shape.assets_per_agent} assets; {shape.orders:,} orders"
    )
    async with AsyncExitStack() as stack:
        peer = Peer()
        stack.callback(peer.stop)
        headends = {}
        for name, tree in trees.items():
            headends[name] = await stack.enter_async_context(headend(tree))
            await stack.enter_async_context(connected(headends[name].grpc_port, shape))
        await stack.enter_async_context(connected(peer.port, shape))
        if singles:
            await compare_singles(headends, peer, shape, singles)
        await compare_fan_outs(headends, peer, shape, rounds)


async def compare_singles(
    headends: dict[str, Headend], peer: Peer, shape: Shape, count: int
) -> None:
    """From REST to acked."""
    times = {name: await one_by_one(each, shape, count) for name, each in headends.items()}
    times["grpcio, no REST"] = [(await peer.order(1)).acked_s for _ in range(count)]
    floor_s = statistics.median(times["grpcio, no REST"])
    print(f"{count} one by one    {'p50 ms':>8} {'p99 ms':>8} {'ratio':>6}")
    for name, each in times.items():
        p50, p99 = statistics.median(each), statistics.quantiles(each, n=100)[98]
        print(f"  {name:16} {p50 * 1e3:8.1f} {p99 * 1e3:8.1f} {p50 / floor_s:6.2f}")


async def compare_fan_outs(
    headends: dict[str, Headend], peer: Peer, shape: Shape, rounds: int
) -> None:
    """One order to all."""
    results: dict[str, list[FanOut]] = {name: [] for name in (*headends, "grpcio")}
    for _ in range(rounds):
        for name, each in headends.items():
            results[name].append(await fan_out(each, shape))
        results["grpcio"].append(await peer.order(shape.orders))
    floor = min(results["grpcio"], key=lambda one: one.acked_s)
    print(f"one order to all   {'answered s':>10} {'acked s':>8} {'CPU s':>7} {'ratio':>6}  each")
    for name, runs in results.items():
        best = min(runs, key=lambda one: one.acked_s)
        print(
            f"  {name:16} {best.answered_s:10.2f} {best.acked_s:8.2f} {best.cpu_s:7.2f}"
            f" {best.acked_s / floor.acked_s:6.1f}  "
            + " ".join(f"{one.acked_s:.2f}" for one in runs)
        )


async def main(asked: argparse.Namespace) -> None:
    """Measure all shapes, and say how busy the machine was."""
    trees = {"dercp": HERE.parent}
    if asked.against is not None:
        trees["before"] = asked.against
    print("load average", *os.getloadavg())
    for shape in SHORT_SHAPES if asked.short else SHAPES:
        if asked.only in {None, shape.name}:
            singles = 0 if shape.name != "gateways" else 100 if asked.short else 500
            rounds = asked.rounds or (1 if asked.short else 3)
            await measure(shape, trees, rounds=rounds, singles=singles)
    print("\nload average", *os.getloadavg())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="a fifth of the fleet, one round")
    parser.add_argument("--against", type=Path, help="another checkout, to compare with")
    parser.add_argument("--only", help="one of the shapes: gateways, one-site, single-asset")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        import asyncio  # noqa: TID251 - the peer to compare with

        with tempfile.TemporaryDirectory() as name:
            asyncio.run(serve_with_grpcio(Path(name)))
    else:
        trio.run(main, arguments)
