"""`dercp demo`: a headend and a small fleet of virtual sites in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from dercp.cli.clock import utc_now_us
from dercp.cli.demo_fleet import Devices, Fleet, OpcUaOrder, open_fleet, surface_places, surfaced
from dercp.cli.output import counted
from dercp.cli.parse import Address, Duration
from dercp.cli.serve import Running, Serving, see_free, serving_headend, wait_agents
from dercp.cli.signals import stop_requests
from dercp.cli.stores import Demand, StorePlan
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import Config, Headend
from dercp.headend.settings import HeadendSettings
from dercp.store.records import Purpose
from sim.fleet import demo_fleet

# The greeting waits for the agents, so that what it names can be used at once.
CONNECTED_WITHIN_S = 5.0
LISTENING_WITHIN_S = 15.0
LOOK_EVERY_S = 0.1
_FIRST = "demo-01-bess-1"


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What `dercp demo` is asked for. Without a data directory the data goes with the demo."""

    sites: int
    assets_per_site: int
    http: Address
    grpc: Address
    data_dir: Path | None
    store_url: str | None
    demands: frozenset[Demand]
    duration: Duration | None
    seed: int
    devices: Devices = Devices.SIMULATED
    opcua: OpcUaOrder | None = None

    @property
    def assets(self) -> int:
        """How many there are on all sites."""
        return self.sites * self.assets_per_site


async def run_demo(demo: Demo, console: Console) -> None:
    """Run until a signal comes or the duration is over; agents stop before the headend."""
    if demo.opcua is not None:
        await see_free(demo.opcua.address)
    with _data_directory(demo.data_dir) as directory:
        stores = StorePlan(
            data_dir=directory,
            url=demo.store_url,
            purpose=Purpose.DEVELOPMENT,
            demands=demo.demands,
        )
        serving = Serving(http=demo.http, grpc=demo.grpc, stores=stores)
        async with (
            stop_requests() as stop,
            serving_headend(serving, HeadendSettings(), stop) as running,
        ):
            began_s = trio.current_time()
            configs = _configs(demo, running, directory)
            # Agents go to their fallback when they end, so the devices end after them.
            async with (
                open_fleet(demo.devices, configs, directory) as fleet,
                trio.open_nursery() as agents,
            ):
                await _start_agents(demo, fleet, running, agents)
                surface = surface_places(demo.opcua, directory, _FIRST)
                _greet(demo, running, [*surface, *fleet.places], console)
                with trio.move_on_after(inf if demo.duration is None else demo.duration.seconds):
                    await stop.wait()
                agents.cancel_scope.cancel("the demo is over")
            _sum_up(running, trio.current_time() - began_s, console)


@contextmanager
def _data_directory(given: Path | None) -> Iterator[Path]:
    """The directory given, or one that goes with the demo."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="dercp-demo-") as path:
        yield Path(path)


def _configs(demo: Demo, running: Running, directory: Path) -> list[Config]:
    """One agent per site; the first one is what the site's SCADA speaks with."""
    headend = Headend(running.grpc.host, running.grpc.port, tls=None)
    first, *others = demo_fleet(
        headend, sites=demo.sites, assets_per_site=demo.assets_per_site, seed=demo.seed
    )
    return [first if demo.opcua is None else surfaced(first, demo.opcua, directory), *others]


async def _start_agents(demo: Demo, fleet: Fleet, running: Running, agents: trio.Nursery) -> None:
    """Start one agent per site, and wait until they are connected."""
    started: list[Agent] = [
        await agents.start(partial(run_agent, config, clock=utc_now_us, seed=demo.seed))
        for config in fleet.configs
    ]
    everyone = range(demo.sites, demo.sites + 1)
    await wait_agents(running.headend, everyone, within_s=CONNECTED_WITHIN_S)
    if demo.opcua is not None:
        await _wait_surface(started[0])


async def _wait_surface(agent: Agent) -> None:
    """Wait until the agent's OPC UA server listens, but no longer than that."""
    with trio.move_on_after(LISTENING_WITHIN_S):
        while agent.status().opcua is None:  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(LOOK_EVERY_S)


def _greet(demo: Demo, running: Running, places: Iterable[str], console: Console) -> None:
    url, first = running.url, _FIRST
    listed = "".join(f"  {place}\n" for place in places)
    console.print(
        f"dercp demo: {counted(demo.sites, 'site')}, {counted(demo.assets, 'asset')}, "
        "one sample a second each\n"
        f"  API      {url}/docs\n"
        f"  gRPC     {running.grpc}\n"
        f"{listed}"
        "In another terminal:\n"
        f"  latest   curl {url}/assets/{first}/telemetry\n"
        f"  follow   dercp watch --url {url}\n"
        f"  dispatch dercp dispatch {first} -0.5 --for 10m --url {url}\n"
        "Nobody needs to log in; only this machine can reach it. Ctrl-C ends it.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _sum_up(running: Running, lasted_s: float, console: Console) -> None:
    totals = running.headend.operations.counters()
    samples, dispatches, crashes = (
        int(totals.get(name, 0)) for name in ("samples", "dispatches_submitted", "actor_crashes")
    )
    console.print(
        f"ran {lasted_s:.0f} s: {counted(samples, 'sample')}, "
        f"{counted(dispatches, 'dispatch', 'dispatches')}, "
        f"{counted(crashes, 'actor crash', 'actor crashes')}",
        highlight=False,
        markup=False,
    )
