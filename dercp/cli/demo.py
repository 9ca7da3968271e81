"""`dercp demo`: a headend and a small fleet of virtual sites in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from dercp.cli.clock import utc_now_us
from dercp.cli.serve import Running, Serving, serving_headend
from dercp.cli.signals import wait_stop_signal
from dercp.edge.agent import run_agent
from dercp.edge.config import Headend
from dercp.headend.settings import HeadendSettings
from sim.fleet import demo_fleet


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How large, where, and for how long."""

    sites: int
    assets_per_site: int
    serving: Serving
    duration_s: float | None
    seed: int


@contextmanager
def data_directory(given: Path | None) -> Iterator[Path]:
    """The directory given, or one that goes with the demo."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="dercp-demo-") as path:
        yield Path(path)


async def run_demo(demo: DemoSettings, console: Console) -> None:
    """Run until a signal comes or the duration is over; agents stop before the headend."""
    began_s = trio.current_time()
    async with serving_headend(demo.serving, HeadendSettings()) as running:
        headend = Headend(*running.grpc, tls=None)
        fleet = demo_fleet(
            headend, sites=demo.sites, assets_per_site=demo.assets_per_site, seed=demo.seed
        )
        async with trio.open_nursery() as agents:
            for config in fleet:
                await agents.start(partial(run_agent, config, clock=utc_now_us, seed=demo.seed))
            _greet(demo, running, console)
            with trio.move_on_after(demo.duration_s or float("inf")):
                await wait_stop_signal()
            agents.cancel_scope.cancel("the demo is over")
        _sum_up(running, trio.current_time() - began_s, console)


def _greet(demo: DemoSettings, running: Running, console: Console) -> None:
    assets = demo.sites * demo.assets_per_site
    first = "demo-01-bess-1"
    console.print(
        f"dercp demo: {demo.sites} sites, {assets} assets, one sample a second each\n"
        f"  API      {running.url}/docs\n"
        f"  gRPC     {running.grpc[0]}:{running.grpc[1]}\n"
        f"  latest   curl {running.url}/assets/{first}/telemetry\n"
        f"  follow   dercp watch --url {running.url}\n"
        f"  dispatch dercp dispatch {first} -0.5 --for 10m --url {running.url}\n"
        f"Ctrl-C ends it.",
        highlight=False,
        soft_wrap=True,
    )


def _sum_up(running: Running, lasted_s: float, console: Console) -> None:
    totals = running.headend.operations.counters()
    console.print(
        f"ran {lasted_s:.0f} s: {totals.get('samples', 0):.0f} samples in "
        f"{totals.get('frames', 0):.0f} frames, {totals.get('dispatches_submitted', 0):.0f} "
        f"dispatches, {totals.get('actor_crashes', 0):.0f} actor crashes",
        highlight=False,
    )
