"""What the OPC UA surface of an edge costs: `python benchmarks/opcua.py [--assets 100]`.

An agent with virtual batteries of 12 points, polled at 1 Hz, in this process; a subscriber to
every point (500 ms) in another one. The same agent runs with no surface, with the surface, and
with the subscriber; each line says what it adds. No security: TLS-like costs are asyncua's.
"""

import argparse
import asyncio  # noqa: TID251  # what the subscriber does
import gc
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio
from asyncua import Client, ua

from adapters import Readings
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import AssetConfig, Config, Headend, OpcUaConfig
from dercp.edge.uplink.conversation import Line
from dercp.link import LinkUnreachable, Status
from dercp.model.asset import AssetSpec
from dercp.model.asset import standard_point as point
from dercp.model.guardrail import guardrails_of
from dercp.model.points import Kind, points_of
from dercp.model.reading import Reading

POINTS = [each.name for each in points_of(Kind.STORAGE)][:12]
SUBSCRIBES_EVERY_MS = 500


class NoOptions(msgspec.Struct):
    """None."""


class Battery:
    """A device whose every value changes with every poll, at no cost of its own."""

    options = NoOptions

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: NoOptions) -> AsyncIterator["Battery"]:
        """Connect."""
        self.count = 0
        yield self

    async def read(self) -> Readings:
        """Poll."""
        self.count += 1
        return Readings([Reading(name, self.count % 50 * 0.01) for name in POINTS])

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Obey."""
        return active_power_mw

    async def release(self) -> None:
        """Nothing to do."""


def config(assets: int, opcua: OpcUaConfig | None) -> Config:
    """So many batteries."""
    specs = [
        AssetSpec(
            asset_id=f"bess-{number}",
            name="",
            kind=Kind.STORAGE,
            p_min_mw=-2.0,
            p_max_mw=2.0,
            sample_interval_s=1.0,
            points=tuple(map(point, POINTS)),
        )
        for number in range(assets)
    ]
    return Config(
        agent_id="edge",
        data_dir=None,
        headend=Headend("127.0.0.1", 1, None),
        site_id="site",
        site_name="",
        assets=tuple(
            AssetConfig(
                spec=spec,
                guardrails=guardrails_of(spec),
                adapter_name="battery",
                adapter=Battery(),
                options=NoOptions(),
            )
            for spec in specs
        ),
        opcua=opcua,
    )


def nobody() -> AbstractAsyncContextManager[Line]:
    """No headend: it is not what is measured."""
    raise LinkUnreachable(Status.UNAVAILABLE, "nobody listens")


async def lag_ms(during_s: float) -> float:
    """The longest that the loop left a task waiting."""
    worst_s, end_s = 0.0, trio.current_time() + during_s
    while trio.current_time() < end_s:
        before_s = trio.current_time()
        await trio.sleep(0.005)
        worst_s = max(worst_s, trio.current_time() - before_s - 0.005)
    return worst_s * 1000


async def measure(name: str, seconds: float) -> None:
    """Print a line."""
    await trio.sleep(3)
    cpu_s, began_s = time.process_time(), time.monotonic()
    worst_ms = await lag_ms(seconds)
    share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<28} {share:7.1%} of a core   loop lag {worst_ms:5.0f} ms   {rss_mb:4.0f} MiB")


async def run(assets: int, seconds: float, *, surface: bool, subscriber: bool) -> None:
    """One case, in a process of its own."""
    opcua = OpcUaConfig(host="127.0.0.1", port=0, no_auth=True) if surface else None
    run = partial(
        run_agent, config(assets, opcua), clock=lambda: time.time_ns() // 1000, dial=nobody
    )
    async with trio.open_nursery() as nursery:
        began_s = time.monotonic()
        agent: Agent = await nursery.start(run)
        while surface and agent.status().opcua is None:  # noqa: ASYNC110  # it rings no bell
            await trio.sleep(0.01)
        name = "agent alone"
        if (status := agent.status().opcua) is not None:
            name = f"surface (up in {time.monotonic() - began_s:.1f} s)"
            if subscriber:
                nursery.start_soon(_subscriber, status.port, assets)
                name = "surface and subscriber"
        await measure(name, seconds)
        nursery.cancel_scope.cancel()


async def _subscriber(port: int, assets: int) -> None:
    program = [sys.executable, __file__, "--subscribe", str(port), "--assets", str(assets)]
    await trio.run_process(program)


async def subscribe(port: int, assets: int) -> None:
    """Hear of every point, until killed."""
    heard = 0

    class Handler:
        def datachange_notification(self, *_told: object) -> None:
            nonlocal heard
            heard += 1

    async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
        subscription = await client.create_subscription(SUBSCRIBES_EVERY_MS, Handler())
        for asset in range(assets):
            nodes = [
                client.get_node(ua.NodeId(f"Assets/bess-{asset}/Telemetry/{name}", 2))
                for name in POINTS
            ]
            await subscription.subscribe_data_change(nodes)
        await asyncio.sleep(3)
        before, began_s = heard, time.monotonic()
        await asyncio.sleep(5)
        print(
            f"  the subscriber heard {(heard - before) / (time.monotonic() - began_s):.0f} values/s"
        )
        await asyncio.sleep(3600)


def main() -> None:
    """All cases, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--short", action="store_true", help="3 s of each case")
    parser.add_argument("--case", choices=("alone", "surface", "subscriber"))
    parser.add_argument("--subscribe", type=int)
    told = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if told.subscribe:
        asyncio.run(subscribe(told.subscribe, told.assets))
    elif told.case:
        gc.freeze()
        surface, subscriber = told.case != "alone", told.case == "subscriber"
        trio.run(partial(run, told.assets, told.seconds, surface=surface, subscriber=subscriber))
    else:
        print(f"{told.assets} assets x {len(POINTS)} points at 1 Hz")
        for case in ("alone", "surface", "subscriber"):
            program = [sys.executable, str(Path(__file__)), "--case", case]
            seconds = 3 if told.short else told.seconds
            program += ["--assets", str(told.assets), "--seconds", str(seconds)]
            subprocess.run(program, check=True)  # noqa: S603  # itself


if __name__ == "__main__":
    main()
