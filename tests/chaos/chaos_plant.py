"""A headend, three real agents, and a faulty link before each, on a virtual clock."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import structlog
import trio
from edge_plant import FakeDevice, asset_config
from headend_plant import START_US, Plant, open_plant
from memory_store import MemoryDisk, open_memory_history

from actors import open_system
from dercp.edge.agent import Agent
from dercp.edge.bell import Bell
from dercp.edge.config import Config, Headend
from dercp.edge.outbox import Batch
from dercp.edge.spool import Spool, open_memory_outbox
from dercp.link import ClientCall, open_call_over
from dercp.model.dispatch import AssetTarget, DispatchRequest
from dercp.model.latest import STALE_INTERVALS
from dercp.model.time import us_from_s
from dercp.store.records import HistoryLimits
from dercp.wire import CONNECT_PATH
from sim.audit import Audit, Held, Ledger, audit
from sim.faulty_link import FaultyLink
from sim.link_faults import Fault, ScheduleLimits, schedule

INTERVAL_S = 1.0
# Once all faults are over: the longest wait between two calls is a minute.
HEAL_S = 120.0
DELIVER_WITHIN_S = 8.0
LOG = structlog.get_logger()


def now_us() -> int:
    """The wall clock of everybody, which goes with Trio's."""
    return START_US + us_from_s(trio.current_time())


class WatchedDevice(FakeDevice):
    """Remembers when it was told each setpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.told_at_us: list[tuple[float, int]] = []

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        self.told_at_us.append((active_power_mw, now_us()))
        return await super().write_setpoint(active_power_mw)


class Site:
    """An agent of two assets behind its own faulty link."""

    def __init__(
        self, name: str, seed: int, faults: Sequence[Fault], plant: Plant, bytes_max: int
    ) -> None:
        self.name = name
        self.asset_ids = [f"{name}-a", f"{name}-b"]
        self.devices = {asset_id: WatchedDevice() for asset_id in self.asset_ids}
        self.link = FaultyLink(self._open_far, faults, seed=seed)
        self.ledger: Ledger | None = None
        self._seed = seed
        self._plant = plant
        self._bytes_max = bytes_max
        self._stop = trio.Event()
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Live until stopped; then write the ledger."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.link.run)
            await self._run_agent()
            self._nursery.cancel_scope.cancel("the agent has stopped")

    async def _run_agent(self) -> None:
        bell = Bell()
        async with open_memory_outbox(bell.ring, LOG, self._bytes_max) as spool:
            agent = Agent(self._config(), clock=now_us, dial=self._dial, bell=bell, spool=spool)
            async with open_system(self.name, seed=self._seed, grace_s=15.0) as system:
                await agent.run(system, self._stop, lambda: None)
            produced = sum(asset.samples for asset in agent.status().assets)
            self.ledger = Ledger(
                agent_id=self.name,
                spool_id=spool.spool_id,
                sequences=spool.statistics().last_sequence,
                samples=produced,
                waiting=tuple(await what_waits(spool)),
            )

    def stop(self) -> None:
        """End the agent in order."""
        self._stop.set()

    def _config(self) -> Config:
        assets = (
            asset_config(asset_id, device, interval_s=INTERVAL_S)
            for asset_id, device in self.devices.items()
        )
        return Config(
            agent_id=self.name,
            data_dir=None,
            headend=Headend("memory", 1, None),
            site_id=f"site-of-{self.name}",
            site_name=self.name,
            assets=tuple(assets),
        )

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[ClientCall]:
        near, carried = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.link.carry, carried)
        async with open_call_over(near, CONNECT_PATH) as call:
            yield call

    async def _open_far(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        return self._plant.door.knock().near


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


class Chaos:
    """The whole plant while its faults come to pass."""

    def __init__(self, plant: Plant, sites: Sequence[Site], draw: Random) -> None:
        self.plant = plant
        self.sites = sites
        self.requests: dict[float, DispatchRequest] = {}
        self.complaints: list[str] = []
        self._draw = draw
        self._shown_us: dict[str, int] = {}

    async def order(self) -> None:
        """Hand in dispatches at random, each with a setpoint of its own."""
        while True:
            await trio.sleep(self._draw.uniform(1.0, 20.0))
            asset_id = self._draw.choice(self._draw.choice(self.sites).asset_ids)
            if self.plant.headend.reader.asset(asset_id) is None:
                continue
            setpoint_mw = round(0.001 * (len(self.requests) + 1), 3)
            at_us = now_us()
            request = DispatchRequest(
                target=AssetTarget(asset_id),
                setpoint_mw=setpoint_mw,
                start_us=at_us,
                until_us=at_us + us_from_s(20.0),
                deliver_by_us=at_us + us_from_s(DELIVER_WITHIN_S),
            )
            self.requests[setpoint_mw] = request
            await self.plant.headend.desk.submit(
                request, key=f"k-{setpoint_mw}", fingerprint="body"
            )

    async def watch(self, delay_s_max: float) -> None:
        """See that what is shown as the present is no older than it may be, and goes forward."""
        # A clock's offset is guessed from a Hello that the link may have delayed.
        old_us = us_from_s(STALE_INTERVALS * INTERVAL_S + delay_s_max)
        while True:
            await trio.sleep(0.5)
            for site in self.sites:
                for asset_id in site.asset_ids:
                    self._look(asset_id, old_us)

    def _look(self, asset_id: str, old_us: int) -> None:
        shown = self.plant.headend.reader.telemetry(asset_id)
        if shown is None or shown.source_time_us is None:
            return
        taken_us = shown.source_time_us
        if not shown.stale and now_us() - taken_us > old_us:
            self.complaints.append(f"{asset_id}: of {taken_us}, shown as current at {now_us()}")
        if taken_us < self._shown_us.get(asset_id, 0):
            self.complaints.append(f"{asset_id}: went back to {taken_us}")
        self._shown_us[asset_id] = taken_us

    def applied_late(self, delay_us_max: int) -> list[str]:
        """Setpoints that first reached a device after their deadline, or after their end.

        An edge reads the headend's time off what arrives, so on a link that delays
        everything it is late by that delay: see `dercp.edge.headend_time`.
        """
        late = []
        for site in self.sites:
            for device in site.devices.values():
                begun: set[float] = set()
                for setpoint_mw, at_us in device.told_at_us:
                    request = self.requests[setpoint_mw]
                    by_us = request.until_us if setpoint_mw in begun else request.deliver_by_us
                    begun.add(setpoint_mw)
                    if at_us > by_us + delay_us_max:
                        late.append(f"{setpoint_mw} MW at {at_us}, due by {by_us}")
        return late

    def applied(self) -> int:
        """How many dispatches reached their device."""
        told = (device.told_at_us for site in self.sites for device in site.devices.values())
        return len({setpoint_mw for each in told for setpoint_mw, _ in each})


class Outcome:
    """What a run of the plant ended with."""

    def __init__(self, chaos: Chaos, verdict: Audit, delay_us_max: int) -> None:
        self.chaos = chaos
        self.verdict = verdict
        self._delay_us_max = delay_us_max

    def check(self) -> None:
        """Nothing lost, nothing late, nobody crashed."""
        assert self.verdict.exit_code == 0, str(self.verdict)
        assert self.chaos.complaints == [], self.chaos.complaints
        late = self.chaos.applied_late(self._delay_us_max)
        assert late == [], late
        self.chaos.plant.assert_unharmed()


async def run_plant(
    seed: int,
    limits: ScheduleLimits,
    *,
    bytes_max: int = 32 * 2**20,
    history: HistoryLimits | None = None,
    disturb: Callable[[MemoryDisk], Awaitable[None]] | None = None,
) -> Outcome:
    """Let the plant of this seed live through its faults, heal, and be audited.

    Args:
        seed: Of the faults and of all chance.
        limits: What the links may do.
        bytes_max: How much each outbox keeps.
        history: How much the headend keeps.
        disturb: What befalls the headend's disk; then no dispatches are handed in.
    """
    disk = MemoryDisk()
    async with open_plant(disk, history=history) as plant:
        sites = [
            Site(name, seed + n, schedule(seed, name, limits), plant, bytes_max)
            for n, name in enumerate(("edge-1", "edge-2", "edge-3"))
        ]
        chaos = Chaos(plant, sites, Random(seed))
        async with trio.open_nursery() as running:
            async with trio.open_nursery() as nursery:
                for site in sites:
                    running.start_soon(site.run)
                nursery.start_soon(chaos.watch, limits.delay_s_max)
                if disturb is None:
                    nursery.start_soon(chaos.order)
                else:
                    nursery.start_soon(disturb, disk)
                await trio.sleep(limits.lasts_s + HEAL_S)
                nursery.cancel_scope.cancel("all faults are over and healed")
            for site in sites:
                site.stop()
        ledgers = [site.ledger for site in sites if site.ledger is not None]
        assert len(ledgers) == len(sites)
        async with open_memory_history(disk) as kept:
            return Outcome(chaos, await audit(kept, ledgers), us_from_s(limits.delay_s_max))
