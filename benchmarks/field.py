"""What polling field devices costs an edge: 100 batteries at 1 Hz from one agent.

    python benchmarks/field.py [--short]

The virtual devices run in a process of their own; each agent too, with a real clock and
loopback sockets, no headend and its frames in memory. CPU is the agent's process (getrusage)
over the time measured, after all devices were opened; jitter is how far the time between two
polls of a device is off the period. The peer is the same agent with `simulated` devices: what
is left is what the protocol costs.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog
import trio
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapters import Adapter, Device, Readings
from adapters.modbus import ModbusAdapter, ModbusOptions
from adapters.modbus._options import PointMap, SetpointMap
from adapters.modbus._registers import RegisterType
from adapters.sunspec import SunSpecAdapter, SunSpecOptions
from dercp.edge.agent import run_agent
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.points import Kind
from sim.adapter import SimulatedAdapter
from sim.field.modbus import FieldFaults, serve_modbus
from sim.field.modbus_sunspec import BASE, sunspec_device
from sim.options import SimulatedOptions
from sim.specs import default_spec

ADAPTERS = ("sunspec", "sunspec after gc.freeze()", "modbus", "simulated")
SHORT_ADAPTERS = ("sunspec", "simulated")
DEVICES = 100
PERIOD_S = 1.0
SETTLE_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def battery(index: int) -> AssetSpec:
    """One of the devices: all points of storage."""
    return default_spec(Kind.STORAGE, f"bess-{index}", "", sample_interval_s=PERIOD_S)


# --- the devices, in a process of their own ------------------------------------------------


async def serve(count: int) -> None:
    """Serve the devices until standard input ends; their ports go to standard output."""
    async with trio.open_nursery() as nursery:
        ports = []
        for index in range(count):
            bank = sunspec_device(battery(index), SimulatedOptions())
            ports.append(await nursery.start(partial(serve_modbus, bank, FieldFaults())))
        print(json.dumps(ports), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


# --- an agent, in a process of its own -----------------------------------------------------


class Watched:
    """An adapter, and when its devices are polled."""

    def __init__(self, adapter: Adapter[Any], polls: list[float]) -> None:
        self.options = adapter.options
        self._adapter = adapter
        self._polls = polls

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: Any) -> AsyncIterator[Device]:
        """Connect, and put a watch on reading."""
        async with self._adapter.open(asset, options) as device:
            read = device.read

            async def watched() -> Readings:
                self._polls.append(trio.current_time())
                return await read()

            device.read = watched  # type: ignore[method-assign]  # the watch
            yield device


def register_map(port: int) -> ModbusOptions:
    """The measurements of model 701 as plain registers: one request of eight points."""
    at = BASE + 2 + 68
    points = (
        PointMap(point="operating_state", address=at + 4, type=RegisterType.UINT16),
        PointMap(point="fault_code", address=at + 6, type=RegisterType.UINT32),
        PointMap(point="active_power_mw", address=at + 10, type=RegisterType.INT16, scale=1e-4),
        PointMap(point="reactive_power_mvar", address=at + 12, type=RegisterType.INT16, scale=1e-4),
        PointMap(point="voltage_v", address=at + 15, type=RegisterType.UINT16),
        PointMap(point="frequency_hz", address=at + 17, type=RegisterType.UINT32, scale=1e-3),
        PointMap(point="energy_exported_mwh", address=at + 19, type=RegisterType.UINT64, unit="Wh"),
        PointMap(point="energy_imported_mwh", address=at + 23, type=RegisterType.UINT64, unit="Wh"),
    )
    setpoint = SetpointMap(address=at, type=RegisterType.INT16, min_mw=-2, max_mw=2)
    return ModbusOptions(
        host="127.0.0.1", port=port, points=points, setpoint=setpoint, gap_registers_max=10
    )


def assets_of(adapter: str, ports: list[int], polls: list[list[float]]) -> list[AssetConfig]:
    """The configuration of the agent."""
    nameplate = Bounds(-2.0, 2.0)
    assets = []
    for index, port in enumerate(ports):
        opener: Adapter[Any]
        options: Any
        match adapter:
            case "sunspec":
                opener, options = SunSpecAdapter(), SunSpecOptions(host="127.0.0.1", port=port)
            case "modbus":
                opener, options = ModbusAdapter(), register_map(port)
            case _:
                opener, options = SimulatedAdapter(), SimulatedOptions()
        assets.append(
            AssetConfig(
                spec=replace(battery(index), fallback="hold"),
                guardrails=Guardrails(nameplate, nameplate),
                adapter_name=adapter,
                adapter=Watched(opener, polls[index]),
                options=options,
            )
        )
    return assets


async def poll(adapter: str, ports: list[int], seconds: float) -> None:
    """Run the agent for that long, and print what it took."""
    adapter, _, frozen = adapter.partition(" ")
    polls: list[list[float]] = [[] for _ in ports]
    config = Config(
        agent_id="edge-1",
        data_dir=None,
        headend=Headend("127.0.0.1", 1, None),
        site_id="site-1",
        site_name="",
        assets=tuple(assets_of(adapter, ports, polls)),
    )
    bytes_before = _resident_bytes()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_agent, config, clock=lambda: 0, seed=1))
        await trio.sleep(SETTLE_S)
        if frozen:
            gc.collect()
            gc.freeze()
        for times in polls:
            times.clear()
        cpu_s, began_s = _cpu_s(), trio.current_time()
        await trio.sleep(seconds)
        share = (_cpu_s() - cpu_s) / (trio.current_time() - began_s)
        grown = _resident_bytes() - bytes_before
        off = [abs(b - a - PERIOD_S) for times in polls for a, b in pairwise(times)]
        print(
            json.dumps(
                {
                    "polls_per_s": sum(map(len, polls)) / seconds,
                    "cpu_pct": 100 * share,
                    "jitter_p50_ms": 1e3 * statistics.median(off),
                    "jitter_p99_ms": 1e3 * statistics.quantiles(off, n=100)[98],
                    "jitter_max_ms": 1e3 * max(off),
                    "kib_per_device": grown / 1024 / len(ports),
                }
            )
        )
        nursery.cancel_scope.cancel()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


# --- all of it -----------------------------------------------------------------------------


def run(*words: str) -> str:
    """This file in a process of its own; what it printed."""
    done = subprocess.run(  # noqa: S603 - this file
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def main() -> None:
    """Serve, then let each kind of agent poll."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="4 s, two of the adapters")
    parser.add_argument("--serve", type=int)
    parser.add_argument("--poll", nargs=3, metavar=("ADAPTER", "PORTS", "SECONDS"))
    told = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if told.serve is not None:
        trio.run(serve, told.serve)
        return
    if told.poll is not None:
        trio.run(poll, told.poll[0], json.loads(told.poll[1]), float(told.poll[2]))
        return
    seconds, adapters = ("4", SHORT_ADAPTERS) if told.short else ("60", ADAPTERS)
    devices = subprocess.Popen(  # noqa: S603 - this file
        [sys.executable, __file__, "--serve", str(DEVICES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert devices.stdout is not None
    assert devices.stdin is not None
    ports = devices.stdout.readline()
    print(f"{DEVICES} devices every {PERIOD_S:g} s, for {seconds} s, load {os.getloadavg()[0]:.1f}")
    print("| adapter | polls/s | CPU % | jitter p50 ms | p99 ms | max ms | KiB a device |")
    print("|---|---|---|---|---|---|---|")
    for adapter in adapters:
        figures = json.loads(run("--poll", adapter, ports, seconds).splitlines()[-1])
        print(f"| {adapter} | " + " | ".join(f"{figure:.1f}" for figure in figures.values()) + " |")
    devices.stdin.close()
    devices.wait(10)


if __name__ == "__main__":
    main()
