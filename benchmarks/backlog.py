"""How old the present is while an hour of the past follows it.

    python benchmarks/backlog.py [--short]

A site of a hundred simulated assets at 1 Hz (an agent in a process of its own, with its spool
on disk) calls a headend with its log on disk (this process), through a link of 8 and of 2
Mbit/s (a third process). Measured is from a sample's source time to when it can be read, once
with nothing behind it and once with an hour of batches in the spool. The ratio is p95 to p95.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from msgspec.structs import replace

from dercp.edge import run_agent
from dercp.edge.config.settings import Config
from dercp.edge.config.settings import Headend as Address
from dercp.edge.spool.outbox import Draft
from dercp.edge.spool.spool import in_line, open_spool
from dercp.headend.agents.listener import Door
from dercp.headend.headend import Headend, open_headend
from dercp.headend.settings import HeadendSettings
from dercp.store import open_history, open_sqlite
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id
from sim.faulty_link import FaultyLink
from sim.fleet import demo_fleet
from sim.link_faults import Throttle

ASSETS = 100
SETTLE_S = 6.0
LOOK_S = 0.005
LINKS_MBIT_S = (8.0, 2.0)


def clock() -> int:
    """This machine's."""
    return time.time_ns() // 1000


def config(directory: Path, port: int) -> Config:
    """The site."""
    address = Address("127.0.0.1", port, None)
    (site,) = demo_fleet(address, sites=1, assets_per_site=ASSETS, seed=1)
    return replace(site, data_dir=directory)


# --- processes beside this one -----------------------------------------------------------


def be_agent(directory: Path, port: int) -> None:
    """The site, until killed."""
    trio.run(partial(run_agent, config(directory, port), clock=clock))


def be_link(port: int, mbit_s: float) -> None:
    """The link, until killed; says its port."""
    trio.run(carry, port, mbit_s)


async def carry(port: int, mbit_s: float) -> None:
    """Let so much through."""
    slow = Throttle(from_s=0.0, to_s=1e6, bytes_per_s=mbit_s * 1e6 / 8)
    link = FaultyLink(partial(trio.open_tcp_stream, "127.0.0.1", port), [slow], seed=1)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await trio.serve_listeners(link.carry, listeners)


# --- the measurement ---------------------------------------------------------------------


async def fill(directory: Path, seconds: int) -> None:
    """So many batches in the site's spool, as if the headend had been away."""
    site = config(directory, 1)
    content_id = registration_id(encode_registration(site.registration))
    log, began_us = structlog.get_logger(), clock() - seconds * 1_000_000
    async with (
        open_spool(
            directory, site.agent_id, site.spool, lambda: None, log, runner=in_line
        ) as spool,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(spool.run)
        for second in range(seconds):
            at_us = began_us + second * 1_000_000
            rows = [
                RowDraft(index, at_us, [1.0] * len(asset.points))
                for index, asset in enumerate(site.registration.assets)
            ]
            payload = encode_payload(at_us, rows)
            await spool.put(
                Draft(
                    registration_id=content_id,
                    payload=payload,
                    from_us=at_us,
                    to_us=at_us,
                    samples=ASSETS,
                )
            )
        nursery.cancel_scope.cancel("filled")


@asynccontextmanager
async def running(directory: Path, mbit_s: float) -> AsyncIterator[Headend]:
    """The three of them."""
    door = Door("127.0.0.1", 0)
    async with (
        open_sqlite(directory) as store,
        open_history(directory) as history,
        open_headend(store, history, door, settings=HeadendSettings(), clock=clock) as headend,
    ):
        command = [sys.executable, __file__]
        link = subprocess.Popen(  # noqa: ASYNC220, S603 - this file; it lives beside us
            [*command, "--link", str(door.port), str(mbit_s)], stdout=subprocess.PIPE, text=True
        )
        assert link.stdout is not None
        port = await trio.to_thread.run_sync(link.stdout.readline)
        agent = subprocess.Popen(  # noqa: ASYNC220, S603 - as above
            [*command, "--agent", str(directory / "edge"), port.strip()]
        )
        try:
            yield headend
        finally:
            for process in (agent, link):
                process.kill()
                process.wait()
            link.stdout.close()


async def measure(mbit_s: float, backlog_s: int, lasts_s: float) -> tuple[list[float], int]:
    """Ages in milliseconds, and how much of the backlog came meanwhile, in batches."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        await fill(directory / "edge", backlog_s)
        async with running(directory, mbit_s) as headend:
            while len(headend.reader.assets()) < ASSETS:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.1)
            await trio.sleep(SETTLE_S)
            before = headend.operations.counters()["frames_logged"]
            ages_ms = await look(headend, lasts_s)
            logged = headend.operations.counters()["frames_logged"] - before
    return ages_ms, round(logged - lasts_s)


async def look(headend: Headend, lasts_s: float) -> list[float]:
    """The age of each sample of some assets when it is first seen."""
    seen_us: dict[str, int] = {}
    ages_ms: list[float] = []
    names = [asset.spec.asset_id for asset in headend.reader.assets()][::10]
    until_s = trio.current_time() + lasts_s
    while trio.current_time() < until_s:
        await trio.sleep(LOOK_S)
        for asset_id in names:
            shown = headend.reader.telemetry(asset_id)
            if shown is None or shown.source_time_us is None:
                continue
            if shown.source_time_us > seen_us.get(asset_id, shown.source_time_us):
                ages_ms.append((clock() - shown.source_time_us) / 1000)
            seen_us[asset_id] = shown.source_time_us
    return ages_ms


async def main(links: Sequence[float], *, backlog_s: int, lasts_s: float) -> None:
    """Print a line for each link."""
    print(
        f"{'link':>10} {'usual p50':>10} {'p95':>7} {'behind p50':>11} {'p95':>7} ratio  batches/s"
    )
    for mbit_s in links:
        usual, _ = await measure(mbit_s, 0, lasts_s)
        behind, came = await measure(mbit_s, backlog_s, lasts_s)
        p95s = [statistics.quantiles(ages, n=20)[-1] for ages in (usual, behind)]
        print(
            f"{mbit_s:>4.0f} Mbit/s {statistics.median(usual):>7.0f} ms {p95s[0]:>4.0f} ms"
            f" {statistics.median(behind):>8.0f} ms {p95s[1]:>4.0f} ms"
            f" {p95s[1] / p95s[0]:>5.2f} {came / lasts_s:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="five minutes of backlog, one link")
    parser.add_argument("--agent", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--link", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.agent:
        be_agent(Path(given.agent[0]), int(given.agent[1]))
    elif given.link:
        be_link(int(given.link[0]), float(given.link[1]))
    else:
        # The short form is over the first link alone.
        links = LINKS_MBIT_S[:1] if given.short else LINKS_MBIT_S
        backlog_s, lasts_s = (300, 4.0) if given.short else (3600, 15.0)
        trio.run(partial(main, links, backlog_s=backlog_s, lasts_s=lasts_s))
