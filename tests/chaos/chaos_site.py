"""An agent behind a faulty link, with as many lives as its plan says."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Final

import structlog
import trio
from chaos_plan import Kill, SitePlan
from edge_plant import FakeDevice, asset_config
from headend_plant import START_US
from mortal_disk import MortalDisk

from actors import Crashed, Escalated, Event, open_system
from adapters import Readings
from dercp.edge.agent import Agent
from dercp.edge.config.settings import Config, Headend
from dercp.edge.spool.outbox import Batch
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.spool.spool import Spool, in_line, open_memory_outbox, open_spool
from dercp.edge.uplink.bell import Bell
from dercp.link import ClientCall, open_call_over
from dercp.model.time import us_from_s
from dercp.wire import CONNECT_PATH
from sim.audit import Held, Ledger
from sim.faulty_link import FaultyLink

INTERVAL_S: Final = 6.0
# One that writes nothing dies all the same.
IDLE_S: Final = 15.0
# Read and not yet in the spool at a death, of each asset: in the collector, and being polled.
IN_HAND: Final = 2
LOG = structlog.get_logger()

OpenFar = Callable[[], Awaitable[trio.abc.HalfCloseableStream]]


def now_us() -> int:
    """The wall clock of everybody, which goes with Trio's."""
    return START_US + us_from_s(trio.current_time())


class WatchedDevice(FakeDevice):
    """Counts its reads, and remembers when it was told each setpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.told_at_us: list[tuple[float, int]] = []

    async def read(self) -> Readings:
        """Poll."""
        self.reads += 1
        return await super().read()

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        self.told_at_us.append((active_power_mw, now_us()))
        return await super().write_setpoint(active_power_mw)


class Site:
    """One agent through all its lives; in the end it writes its ledger."""

    def __init__(self, plan: SitePlan, seed: int, open_far: OpenFar, directory: Path) -> None:
        self.plan = plan
        self.devices = {asset_id: WatchedDevice() for asset_id in plan.asset_ids}
        self.link = FaultyLink(open_far, plan.faults, seed=seed)
        self.ledger: Ledger | None = None
        self.complaints: list[str] = []
        self.deaths: list[float] = []
        self._seed = seed
        self._chance = Random(f"{seed}/{plan.name}")
        self._directory = directory
        self._stop = trio.Event()
        self._agent: Agent | None = None
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Live and die until stopped."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.link.run)
            for number, kill in enumerate(self.plan.kills):
                await self._die(number, kill)
                await trio.sleep(kill.down_s)
            await self._live_on()
            self._nursery.cancel_scope.cancel("the agent has stopped")

    def stop(self) -> None:
        """End the agent in order."""
        self._stop.set()

    def is_well(self) -> bool:
        """Whether it has died all its deaths, and the headend has what is older than a moment."""
        if self._agent is None or len(self.deaths) < len(self.plan.kills):
            return False
        status = self._agent.status()
        oldest_us = status.outbox.oldest_us
        recently_us = now_us() - us_from_s(2 * INTERVAL_S)
        return status.uplink.session is not None and (oldest_us is None or oldest_us > recently_us)

    def is_live(self) -> bool:
        """Whether it believes to have a session."""
        return self._agent is not None and self._agent.status().uplink.session is not None

    # --- lives

    async def _die(self, number: int, kill: Kill) -> None:
        """A life that ends with this kill."""
        heir = self._place(number + 1)
        with trio.CancelScope() as life:
            async with self._file_spool(number) as (spool, bell, disk):

                def leave() -> None:
                    disk.leave(heir, kill.how, self._chance)
                    self.deaths.append(trio.current_time())
                    self._agent = None
                    life.cancel("killed")

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_kill_later, disk, kill, leave)
                    await self._live(spool, bell)
        assert life.cancelled_caught, f"{self.plan.name} was stopped before it was killed"

    async def _live_on(self) -> None:
        """The last life, which ends in order."""
        if self.plan.kills:
            async with self._file_spool(len(self.plan.kills)) as (spool, bell, disk):
                await self._live(spool, bell)
                await self._write_ledger(spool, samples_of(disk.directory, self.plan.name))
        else:
            bell = Bell()
            async with open_memory_outbox(bell.ring, LOG, self.plan.bytes_max) as spool:
                agent = await self._live(spool, bell)
                samples = sum(asset.samples for asset in agent.status().assets)
                await self._write_ledger(spool, samples)

    async def _live(self, spool: Spool, bell: Bell) -> Agent:
        """Until stopped, or cut off."""
        agent = Agent(self._config(), clock=now_us, dial=self._dial, bell=bell, spool=spool)
        async with open_system(self.plan.name, seed=self._seed, grace_s=15.0) as system:
            system.events.listen(self._hear)
            self._agent = agent
            await agent.run(system, self._stop, lambda: None)
        return agent

    @asynccontextmanager
    async def _file_spool(self, number: int) -> AsyncIterator[tuple[Spool, Bell, MortalDisk]]:
        disk, bell = MortalDisk(self._place(number)), Bell()
        settings = SpoolSettings(bytes_max=self.plan.bytes_max)
        try:
            async with open_spool(
                disk.directory,
                self.plan.name,
                settings,
                bell.ring,
                LOG,
                runner=in_line,
                vfs=str(disk.directory),
            ) as spool:
                yield spool, bell, disk
        finally:
            disk.unregister()

    def _place(self, number: int) -> Path:
        """The directory of this life."""
        place = self._directory / self.plan.name / str(number)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _hear(self, event: Event) -> None:
        if isinstance(event, Crashed | Escalated) and self._agent is not None:
            self.complaints.append(f"{event.path}: {event.error!r}")

    async def _write_ledger(self, spool: Spool, samples: int) -> None:
        read = sum(device.reads for device in self.devices.values())
        in_hand = IN_HAND * len(self.devices) * len(self.plan.kills)
        if not read - in_hand <= samples <= read:
            self.complaints.append(f"{self.plan.name}: {read} were read, {samples} produced")
        self.ledger = Ledger(
            agent_id=self.plan.name,
            spool_id=spool.spool_id,
            sequences=spool.statistics().last_sequence,
            samples=samples,
            waiting=tuple(await what_waits(spool)),
        )

    # --- what the agent is made of

    def _config(self) -> Config:
        assets = (
            asset_config(asset_id, device, interval_s=INTERVAL_S)
            for asset_id, device in self.devices.items()
        )
        return Config(
            agent_id=self.plan.name,
            data_dir=None,
            headend=Headend("memory", 1, None),
            site_id=f"site-of-{self.plan.name}",
            site_name=self.plan.name,
            assets=tuple(assets),
        )

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[ClientCall]:
        near, carried = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.link.carry, carried)
        async with open_call_over(near, CONNECT_PATH) as call:
            yield call


async def _kill_later(disk: MortalDisk, kill: Kill, leave: Callable[[], None]) -> None:
    await trio.sleep_until(kill.at_s)
    disk.die_at(kill.writes, leave)
    await trio.sleep(IDLE_S)
    disk.die()


def samples_of(directory: Path, name: str) -> int:
    """How many samples a spool has ever numbered, read without the spool's code."""
    with closing(sqlite3.connect(directory / f"{name}.spool")) as db:
        ((samples,),) = db.execute("SELECT samples FROM spool").fetchall()
    return int(samples)


async def what_waits(spool: Spool) -> list[Held]:
    """What an outbox still has, once its agent is gone; it is sent to nobody."""
    found: list[Held] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.run)
        spool.begin_session()
        while spool.statistics().waiting:
            while (outgoing := spool.next_unsent()) is not None:
                parcel = outgoing.parcel
                samples = parcel.frame.samples if isinstance(parcel, Batch) else parcel.samples
                found.append(Held(parcel.sequences.first, parcel.sequences.last, samples))
                spool.sent(outgoing)
                spool.acknowledged(spool.spool_id, [parcel.sequences])
            await trio.sleep(0.5)
        nursery.cancel_scope.cancel("all was looked at")
    return found
