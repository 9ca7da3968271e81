"""A site is configured anew while its headend is away, behind a faulty link, and audited."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from edge_plant import FakeDevice, asset_config
from headend_plant import START_US, MemoryDoor, Plant, open_plant
from memory_store import MemoryDisk, open_memory_history

from actors.testing import run_deterministic
from dercp.edge import agent as agent_module
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import Config, Headend
from dercp.edge.spool.spool import in_line, open_spool
from dercp.edge.uplink.uplink import Dial
from dercp.link import ClientCall, LinkUnreachable, Status, open_call_over
from dercp.model.time import us_from_s
from dercp.wire import CONNECT_PATH
from sim.audit import Audit, Ledger, audit
from sim.faulty_link import FaultyLink
from sim.link_faults import ScheduleLimits, schedule

LIMITS = ScheduleLimits(lasts_s=60.0)
HEAL_S = 120.0
LIFE_S = 30.0


def now_us() -> int:
    """The wall clock of everybody, which goes with Trio's."""
    return START_US + us_from_s(trio.current_time())


def config(directory: Path, *asset_ids: str) -> Config:
    """The site as it is described in one of its lives."""
    return Config(
        agent_id="edge-1",
        data_dir=directory,
        headend=Headend("memory", 1, None),
        site_id="site-1",
        site_name="Site 1",
        assets=tuple(asset_config(each, FakeDevice()) for each in asset_ids),
    )


class Nobody(AbstractAsyncContextManager[ClientCall]):
    """A call to a headend that is away."""

    async def __aenter__(self) -> ClientCall:
        """Nobody listens."""
        await trio.lowlevel.checkpoint()
        raise LinkUnreachable(Status.UNAVAILABLE, "nobody listens")

    async def __aexit__(self, *_: object) -> None:
        """Never begun."""


class Lives:
    """One agent, started again and again, and how many samples it took."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.samples = 0
        self.ledger: Ledger | None = None
        self._directory = directory
        self._seed = seed
        self._nursery: trio.Nursery

    async def alone(self, *asset_ids: str) -> None:
        """A life without a headend."""
        async with self._living(asset_ids, Nobody):
            await trio.sleep(LIFE_S)
        await trio.sleep(0.5)

    async def behind(self, door: MemoryDoor, *asset_ids: str) -> None:
        """A life with a headend behind a faulty link, long enough for it to heal."""
        faults = schedule(self._seed, "edge-1", LIMITS)

        async def open_far() -> trio.abc.HalfCloseableStream:
            await trio.lowlevel.checkpoint()
            return door.knock().near

        link = FaultyLink(open_far, faults, seed=self._seed)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(link.run)
            async with self._living(asset_ids, partial(self._dial, link)):
                await trio.sleep(LIMITS.lasts_s + HEAL_S)
            self._nursery.cancel_scope.cancel("the agent has stopped")

    @asynccontextmanager
    async def _dial(self, link: FaultyLink) -> AsyncIterator[ClientCall]:
        near, carried = trio.testing.memory_stream_pair()
        self._nursery.start_soon(link.carry, carried)
        async with open_call_over(near, CONNECT_PATH) as call:
            yield call

    @asynccontextmanager
    async def _living(self, asset_ids: tuple[str, ...], dial: Dial) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            run = partial(run_agent, config(self._directory, *asset_ids), clock=now_us)
            agent: Agent = await nursery.start(partial(run, dial=dial, seed=self._seed))
            yield
            nursery.cancel_scope.cancel("this life is over")
        status = agent.status()
        self.samples += sum(asset.samples for asset in status.assets)
        self.ledger = Ledger(
            agent_id="edge-1",
            spool_id=status.outbox.spool_id,
            sequences=status.outbox.last_sequence,
            samples=self.samples,
        )


def checked(plant: Plant) -> None:
    """Nothing was refused, and nobody crashed."""
    plant.assert_unharmed()
    assert plant.count("rejects_unknown_registration") == 0
    assert plant.count("gaps_logged") == 0


async def live(lives: Lives) -> tuple[Audit, int]:
    """Two configurations that no headend ever met, then a third one and a new headend."""
    disk = MemoryDisk()
    await lives.alone("bess-1", "bess-2")
    await lives.alone("bess-2", "bess-3", "bess-1")
    async with open_plant(disk) as plant:
        await lives.behind(plant.door, "bess-3")
        checked(plant)
    assert lives.ledger is not None
    async with open_memory_history(disk) as kept:
        return await audit(kept, [lives.ledger]), len(disk.registrations)


@pytest.mark.parametrize("seed", range(3))
def test_a_new_headend_stores_what_was_written_under_configurations_it_never_met(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sample of every life is stored once; nothing is declared lost."""
    monkeypatch.setattr(agent_module, "open_spool", partial(open_spool, runner=in_line))
    lives = Lives(tmp_path, seed)
    verdict, registrations = run_deterministic(seed, partial(live, lives))
    assert verdict.exit_code == 0, str(verdict)
    assert registrations == 3
    assert verdict.spools[0].stored_samples == lives.samples
