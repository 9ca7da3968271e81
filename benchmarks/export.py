"""What it takes to get an hour of history out of a headend and into a file.

    python benchmarks/export.py [--short] [--data-dir PATH]

Agents of ten assets each (`dercp demo`'s mix) at 1 Hz, written into a store as sessions would,
and a real `dercp headend` on it. The figures are of whole commands: `dercp export` to Parquet
and to CSV. The peer is the API's own NDJSON, asset by asset, thrown away as it comes: what
is above it is the price of the file.
"""

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import httpx
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from dercp.model.asset import Registration
from dercp.model.time import format_rfc3339
from dercp.store import AgentRecord, FrameRecord, RegistrationRecord, SiteRecord, Store
from dercp.store.ports import History
from dercp.store.sqlite import open_history, open_sqlite
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id
from sim.fleet import demo_fleet

END_US = 1_795_442_400_000_000
ASSETS_PER_AGENT = 10
FRAMES_PER_CALL = 300
DERCP = (sys.executable, "-m", "dercp")


class Plant(NamedTuple):
    """How much history there is."""

    agents: int
    seconds: int

    @property
    def rows(self) -> int:
        """Samples of all assets."""
        return self.agents * ASSETS_PER_AGENT * self.seconds


class RunningHeadend(NamedTuple):
    """One that runs, and where its API is."""

    url: str
    process_id: int

    def cpu_s(self) -> float:
        """CPU time so far."""
        status = Path(f"/proc/{self.process_id}/stat").read_text(encoding="ascii")
        user, system = status.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Of a command: seconds on the clock, of its CPU and the headend's, memory, what it made."""

    elapsed_s: float
    cpu_s: float
    headend_cpu_s: float
    peak_mib: float
    bytes: int


async def fill(directory: Path, plant: Plant) -> None:
    """Write what the agents of such a plant would have sent."""
    async with open_sqlite(directory) as store, open_history(directory) as history:
        for config in demo_fleet(
            None,  # type: ignore[arg-type]  # nobody calls a headend here
            sites=plant.agents,
            assets_per_site=ASSETS_PER_AGENT,
            seed=1,
        ):
            await _fill_one(store, history, config.registration, plant.seconds)


async def _fill_one(
    store: Store, history: History, registration: Registration, seconds: int
) -> None:
    content = encode_registration(registration)
    agent = AgentRecord(
        tenant_id="default",
        agent_id=registration.site_id,
        site_id=registration.site_id,
        epoch=0,
        registration_id=registration_id(content),
        software_version="0",
        spool_id="spool",
        first_seen_us=END_US,
        last_seen_us=END_US,
    )
    await store.registry.register(
        agent,
        SiteRecord(tenant_id="default", site_id=registration.site_id, name=registration.site_name),
        RegistrationRecord(
            registration_id=agent.registration_id, content=content, first_seen_us=END_US
        ),
        asset_ids=[asset.asset_id for asset in registration.assets],
    )
    frames = _frames(agent, registration, seconds)
    while call := list(islice(frames, FRAMES_PER_CALL)):
        await history.append(call)


def _frames(agent: AgentRecord, registration: Registration, seconds: int) -> Iterator[FrameRecord]:
    noise = random.Random(registration.site_id)
    for number in range(seconds):
        time_us = END_US - (seconds - number) * 1_000_000
        rows = [
            RowDraft(
                index,
                time_us + index,
                # Of most points a value in their range, so that most are good.
                [round(0.5 + 0.4 * math.sin(number / 600) + noise.gauss(0, 0.01), 4)]
                * len(asset.points),
            )
            for index, asset in enumerate(registration.assets)
        ]
        yield FrameRecord(
            tenant_id=agent.tenant_id,
            agent_id=agent.agent_id,
            spool_id=agent.spool_id,
            sequence=number + 1,
            registration_id=agent.registration_id,
            ingest_time_us=time_us + 50_000,
            first_time_us=time_us,
            last_time_us=rows[-1].source_time_us,
            samples=len(rows),
            payload=encode_payload(time_us, rows),
        )


@contextmanager
def running(directory: Path) -> Iterator[RunningHeadend]:
    """A real headend on that store."""
    listen = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*DERCP, "headend", "--no-auth", "--data-dir", str(directory), *listen],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        events = map(json.loads, process.stderr)
        url = next(event["url"] for event in events if event["event"] == "headend_ready")
        yield RunningHeadend(url, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def export(headend: RunningHeadend, plant: Plant, directory: Path, form: str) -> Cost:
    """One `dercp export` of everything."""
    file = directory / f"export.{form}"
    begin_us = END_US - plant.seconds * 1_000_000
    command = [
        *DERCP,
        "export",
        "--url",
        headend.url,
        "--output",
        str(file),
        "--format",
        form,
        "--quiet",
    ]
    command += ["--from", format_rfc3339(begin_us), "--to", format_rfc3339(END_US)]
    begin, headend_cpu_s = perf_counter(), headend.cpu_s()
    process = subprocess.Popen(command)  # noqa: S603 - our own command
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_s = perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    cost = Cost(
        elapsed_s,
        usage.ru_utime + usage.ru_stime,
        headend.cpu_s() - headend_cpu_s,
        usage.ru_maxrss / 1024,
        file.stat().st_size,
    )
    file.unlink()
    return cost


def bare(headend: RunningHeadend, plant: Plant) -> Cost:
    """The same history as the API gives it, thrown away as it comes."""
    received, begin, headend_cpu_s = 0, perf_counter(), headend.cpu_s()
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    query = {
        "from": format_rfc3339(END_US - plant.seconds * 1_000_000),
        "to": format_rfc3339(END_US),
    }
    with httpx.Client(base_url=headend.url, timeout=60) as client:
        assets = client.get("/assets?limit=1000").json()["items"]
        for asset in assets:
            accept = {"Accept": "application/x-ndjson"}
            path = f"/assets/{asset['id']}/history"
            with client.stream("GET", path, params=query, headers=accept) as response:
                received += sum(map(len, response.iter_raw()))
    elapsed_s, used = perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
    headend_cpu_s = headend.cpu_s() - headend_cpu_s
    return Cost(elapsed_s, cpu_s, headend_cpu_s, used.ru_maxrss / 1024, received)


def report(name: str, cost: Cost, rows: int) -> None:
    """One line."""
    print(
        f"{name:<22} {rows / cost.elapsed_s:>9,.0f} {cost.elapsed_s:>8.1f} {cost.cpu_s:>8.1f} "
        f"{cost.headend_cpu_s:>8.1f} "
        f"{cost.peak_mib:>8.0f} {cost.bytes / 1e6:>8.1f}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the assets")
    parser.add_argument("--data-dir", type=Path, help="keep the store here, and use it if it is")
    options = parser.parse_args()
    plant = Plant(agents=1 if options.short else 10, seconds=3_600)
    with tempfile.TemporaryDirectory() as scratch:
        directory: Path = options.data_dir or Path(scratch) / "data"
        if not directory.exists():
            directory.mkdir()
            trio.run(fill, directory, plant)
        with running(directory) as headend:
            print(f"{plant.rows:,} samples of {plant.agents * ASSETS_PER_AGENT} assets")
            print(f"{'':<22} samples/s        s    CPU s  headend      MiB       MB")
            report("API, NDJSON", bare(headend, plant), plant.rows)
            for form in ("parquet", "csv"):
                cost = export(headend, plant, Path(scratch), form)
                report(f"dercp export, {form}", cost, plant.rows)


if __name__ == "__main__":
    main()
