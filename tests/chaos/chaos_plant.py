"""The whole plant of a plan, lived on a virtual clock, watched all the while and then audited."""

import gc
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch

import trio
from chaos_headend import MortalHeadend
from chaos_plan import LASTS_S, LINKS, SMALL_BYTES, Plan, StoreTrouble
from chaos_site import INTERVAL_S, Site, now_us
from headend_plant import START_US, Plant
from memory_store import open_memory_history

from actors.testing import run_deterministic
from dercp.headend.errors import DeskBusy, UnknownTarget
from dercp.headend.history.views import HistorySpan, SampleKey
from dercp.model.dispatch import AssetTarget, DispatchRequest
from dercp.model.latest import STALE_INTERVALS
from dercp.model.time import us_from_s
from sim.audit import Audit, SpoolAudit, audit
from sim.seeded import seeded

# Once all troubles are over: the longest wait between two calls is a minute.
HEALS_WITHIN_S: Final = 200.0
LEASE_S: Final = 20.0
DELIVER_WITHIN_S: Final = 8.0
# After `until` the edge has so long to say how it ended; and the desk looks every 5 s.
ENDS_WITHIN_S: Final = LEASE_S + 30.0 + 5.0
# A spool makes room for work on a full disk when it is opened: 2 MB that nothing here needs.
RESERVE_BYTES: Final = 4096


class Outcome:
    """What a plant ended with."""

    def __init__(self, run: "Run", verdict: Audit, trace: str) -> None:
        self.verdict = verdict
        self.trace = trace
        self.deaths = len(run.headend.deaths) + sum(len(site.deaths) for site in run.sites)
        self.applied = run.applied()
        self.complaints = run.all_complaints()

    def check(self) -> None:
        """Nothing lost, nothing late, nobody crashed."""
        assert self.verdict.exit_code == 0, str(self.verdict)
        assert self.complaints == []


def live(plan: Plan) -> Outcome:
    """What becomes of a plant; the same plan gives the same life, to the message."""
    chance = seeded(plan.seed, "names")
    with ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        held.enter_context(patch("dercp.edge.spool.file.RESERVE_BYTES", RESERVE_BYTES))
        held.enter_context(patch("secrets.token_hex", lambda size: chance.randbytes(size).hex()))
        held.enter_context(_no_collector())
        return run_deterministic(plan.seed, Run(plan, directory).live)


@contextmanager
def _no_collector() -> Iterator[None]:
    """It would look a dozen times at all modules of the house, a tenth of a second each."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Run:
    """One life of a plant."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.headend = MortalHeadend(plan)
        self.sites = [
            Site(each, plan.seed + number, self.headend.open_far, directory)
            for number, each in enumerate(plan.sites)
        ]
        self._plan = plan
        self._requests: dict[float, DispatchRequest] = {}
        self._complaints: list[str] = []
        self._draw = Random(plan.seed)
        # By asset, and by the headend: one that was killed knows the latest no more.
        self._shown_us: dict[tuple[str, Plant], int] = {}

    async def live(self) -> Outcome:
        """Let all troubles come to pass, heal, and be audited."""
        async with trio.open_nursery() as outer:
            outer.start_soon(self.headend.run)
            async with trio.open_nursery() as inner:
                for site in self.sites:
                    inner.start_soon(site.run)
                await self._live_until_well()
                for site in self.sites:
                    site.stop()
            outcome = await self._judge()
            self.headend.stop()
        return outcome

    async def _live_until_well(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._order)
            nursery.start_soon(self._watch)
            await trio.sleep_until(LASTS_S)
            with trio.move_on_after(HEALS_WITHIN_S) as patience:
                while not all(site.is_well() for site in self.sites):  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(1.0)
            if patience.cancelled_caught:
                ill = [site.plan.name for site in self.sites if not site.is_well()]
                self._complaints.append(f"not well again: {ill}")
            nursery.cancel_scope.cancel("all is well again")

    # --- while it lives

    async def _order(self) -> None:
        """Hand in dispatches at random, each with a setpoint of its own."""
        while trio.current_time() < LASTS_S:
            await trio.sleep(self._draw.uniform(1.0, 12.0))
            asset_id = self._draw.choice(self._draw.choice(self.sites).plan.asset_ids)
            setpoint_mw = round(0.001 * (len(self._requests) + 1), 3)
            plant, at_us = self.headend.plant, now_us()
            if plant is None:
                continue
            request = DispatchRequest(
                target=AssetTarget(asset_id),
                setpoint_mw=setpoint_mw,
                start_us=at_us,
                until_us=at_us + us_from_s(LEASE_S),
                deliver_by_us=at_us + us_from_s(DELIVER_WITHIN_S),
            )
            self._requests[setpoint_mw] = request
            try:
                await plant.headend.desk.submit(request, key=f"k-{setpoint_mw}", fingerprint="b")
            except (DeskBusy, UnknownTarget):
                continue  # it may have been taken all the same

    async def _watch(self) -> None:
        """See that what is shown as the present is no older than it may be, and goes forward."""
        # A clock's offset is guessed from a Hello that the link may have delayed.
        old_us = us_from_s(STALE_INTERVALS * INTERVAL_S + LINKS.delay_s_max)
        while True:
            await trio.sleep(1.0)
            if self.headend.plant is not None:
                for site in self.sites:
                    for asset_id in site.plan.asset_ids:
                        self._look(self.headend.plant, asset_id, old_us)

    def _look(self, plant: Plant, asset_id: str, old_us: int) -> None:
        shown = plant.headend.reader.telemetry(asset_id)
        if shown is None or shown.source_time_us is None:
            return
        taken_us = shown.source_time_us
        if not shown.stale and now_us() - taken_us > old_us:
            self._complaints.append(f"{asset_id}: of {taken_us}, shown as current at {now_us()}")
        if taken_us < self._shown_us.get((asset_id, plant), 0):
            self._complaints.append(f"{asset_id}: went back to {taken_us}")
        self._shown_us[asset_id, plant] = taken_us

    # --- afterwards

    async def _judge(self) -> Outcome:
        plant = self.headend.plant
        assert plant is not None, "the headend is not there"
        ledgers = [site.ledger for site in self.sites if site.ledger is not None]
        assert len(ledgers) == len(self.sites)
        async with open_memory_history(self.headend.disk) as kept:
            verdict = await audit(kept, ledgers)
        for site, spool in zip(self.sites, sorted(verdict.spools, key=_by_number), strict=True):
            await self._read_back(plant, site, spool)
        self._complaints += self._applied_late() + self._never_ended() + self._not_as_planned()
        return Outcome(self, verdict, self._trace())

    async def _read_back(self, plant: Plant, site: Site, spool: SpoolAudit) -> None:
        """What the API reads of the history is what the audit counted."""
        name, reader, samples = site.plan.name, plant.headend.history, 0
        for asset_id in site.plan.asset_ids:
            times_us = [key.source_time_us async for key in _keys(plant, name, asset_id)]
            samples += len(times_us)
            if any(earlier >= later for earlier, later in pairwise(times_us)):
                self._complaints.append(f"{asset_id}: history is out of order")
        # Only what was being written at a death may be lost, or finds no room.
        in_hand = len(site.deaths) * len(site.devices)
        if spool.declared_samples > in_hand and site.plan.bytes_max != SMALL_BYTES:
            self._complaints.append(f"{name}: {spool.declared_samples} declared without need")
        if samples != spool.stored_samples:
            self._complaints.append(f"{name}: {spool.stored_samples} stored, {samples} are read")
        gaps = await reader.gaps(name, 0, 2**62, after=None, limit=1000)
        if bool(gaps.gaps) != bool(spool.declared_samples):
            self._complaints.append(f"{name}: {spool.declared_samples} declared, read {gaps}")
        until_us = await reader.complete_until(name)
        if not spool.waiting_samples and now_us() - (until_us or 0) > us_from_s(4 * INTERVAL_S):
            self._complaints.append(f"{name}: said to be complete until {until_us} only")

    def _applied_late(self) -> list[str]:
        """Setpoints that first reached a device after their deadline, or after their end."""
        late = []
        for site in self.sites:
            for device in site.devices.values():
                begun: set[float] = set()
                for setpoint_mw, at_us in device.told_at_us:
                    request = self._requests[setpoint_mw]
                    by_us = request.until_us if setpoint_mw in begun else request.deliver_by_us
                    begun.add(setpoint_mw)
                    if at_us > by_us:
                        late.append(f"{setpoint_mw} MW at {at_us}, due by {by_us}")
        return late

    def _never_ended(self) -> list[str]:
        since_us = now_us() - us_from_s(ENDS_WITHIN_S)
        return [
            f"{each.dispatch_id} is {each.state} still"
            for each in self.headend.disk.dispatches.values()
            if not each.is_final and each.request.start_us < since_us
        ]

    def _not_as_planned(self) -> list[str]:
        """Troubles that did not come to pass: a run that is spared them shows nothing."""
        plan, spared = self._plan, []
        if len(self.headend.deaths) != len(plan.kills):
            spared.append("the headend was not killed")
        if (plan.store is StoreTrouble.AWAY) > self.headend.failures:
            spared.append("the headend did not feel that its disk was away")
        for site in self.sites:
            begun = sum(site.link.statistics().faults.values())
            if begun != len(site.plan.faults):
                spared.append(f"{site.plan.name}: {begun} faults of {len(site.plan.faults)}")
            if len(site.deaths) != len(site.plan.kills):
                spared.append(f"{site.plan.name}: {len(site.deaths)} deaths")
        return spared

    def applied(self) -> int:
        """How many dispatches reached their device."""
        told = (device.told_at_us for site in self.sites for device in site.devices.values())
        return len({setpoint_mw for each in told for setpoint_mw, _ in each})

    def all_complaints(self) -> list[str]:
        """Of everybody."""
        of_sites = [each for site in self.sites for each in site.complaints]
        return self._complaints + self.headend.complaints + of_sites

    def _trace(self) -> str:
        """A hash of everything that happened and when."""
        disk = self.headend.disk
        happened = [
            trio.current_time(),
            self.headend.deaths,
            [(site.deaths, site.link.statistics(), site.ledger) for site in self.sites],
            [dev.told_at_us for site in self.sites for dev in site.devices.values()],
            list(disk.frames.items()),
            list(disk.gaps.items()),
            list(disk.dispatches.values()),
            list(disk.sessions.values()),
        ]
        return hashlib.sha256(repr(happened).encode()).hexdigest()


def _by_number(spool: SpoolAudit) -> int:
    return int(spool.agent_id.rpartition("-")[2])


async def _keys(plant: Plant, agent_id: str, asset_id: str) -> AsyncIterator[SampleKey]:
    """The samples that the API would give of an asset, page by page."""
    span = HistorySpan(
        agent_id=agent_id, asset_id=asset_id, points=(), from_us=START_US - 1, to_us=2**62
    )
    after: SampleKey | None = None
    while True:
        page = await plant.headend.history.samples(span, after=after, limit=1000)
        for sample in page.samples:
            yield sample.key
        after = page.next_after
        if after is None:
            return
