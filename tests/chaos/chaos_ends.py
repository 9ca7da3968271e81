"""Both ends of the link as small processes that live until they are killed.

They are forked from a server that has imported everything, so that a life costs some
milliseconds. A device counts its reads and notes each in a file before it is sampled.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio
from edge_plant import FakeOptions, storage
from msgspec.structs import replace

from adapters import Readings
from dercp.edge.agent import run_agent
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.edge.spool.settings import SpoolSettings, Sync
from dercp.headend.agents.listener import Door
from dercp.headend.headend import open_headend
from dercp.headend.settings import HeadendSettings
from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.reading import Reading
from dercp.store import open_history, open_sqlite

FAST_S = 0.01


def clock() -> int:
    """This machine's."""
    return time.time_ns() // 1000


class CountingDevice:
    """Says which life of the agent this is, and how many samples were read in it."""

    options = FakeOptions

    def __init__(self, life: int, notes: Path) -> None:
        self._life = life
        self._notes = notes
        self._reads = 0

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: FakeOptions) -> AsyncIterator["CountingDevice"]:
        """Connect."""
        await trio.lowlevel.checkpoint()
        yield self

    async def read(self) -> Readings:
        """Poll, and note it where a kill takes nothing away."""
        await trio.lowlevel.checkpoint()
        self._reads += 1
        self._notes.write_text(str(self._reads), encoding="utf-8")
        values = (("active_power_mw", float(self._life)), ("soc_pct", float(self._reads)))
        return Readings([Reading(*value) for value in values])

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Nobody orders anything here."""
        await trio.lowlevel.checkpoint()
        return active_power_mw


def agent_config(directory: Path, name: str, life: int, port: int) -> Config:
    """An agent with one counting device and its spool."""
    nameplate = Bounds(-2.0, 2.0)
    asset = AssetConfig(
        spec=replace(storage(f"{name}-bess"), sample_interval_s=FAST_S),
        guardrails=Guardrails(nameplate, nameplate),
        adapter_name="counting",
        adapter=CountingDevice(life, directory / f"{name}.{life}.reads"),
        options=FakeOptions(),
    )
    return Config(
        agent_id=name,
        data_dir=directory,
        headend=Headend("127.0.0.1", port, None),
        site_id=f"site-of-{name}",
        site_name=name,
        assets=(asset,),
        spool=SpoolSettings(sync=Sync.NORMAL, backlog_bytes_per_s=10_000_000.0, backlog_share=0.9),
    )


def be_agent(directory: Path, name: str, life: int, port: int) -> None:
    """Sample a hundred times a second, until killed."""
    be_quiet()
    config = agent_config(directory, name, life, port)
    trio.run(partial(run_agent, config, clock=clock))


def be_headend(directory: Path, port: int) -> None:
    """Take in what comes, until killed."""
    be_quiet()
    trio.run(_serve, directory, port)


async def _serve(directory: Path, port: int) -> None:
    async with serving(directory, port):
        await trio.sleep_forever()


@asynccontextmanager
async def serving(directory: Path, port: int) -> AsyncIterator[None]:
    """A headend on this port and these files."""
    door = Door("127.0.0.1", port)
    async with (
        open_sqlite(directory) as store,
        open_history(directory) as history,
        open_headend(store, history, door, settings=HeadendSettings(), clock=clock),
    ):
        yield


def be_quiet() -> None:
    """The links break all the time here, and that is no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
