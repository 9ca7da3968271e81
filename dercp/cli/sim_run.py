"""`dercp sim`: a load is started, measured, stopped in order and audited."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
import trio

from dercp.cli.exits import CommandError
from dercp.cli.signals import StopRequest, stop_requests
from dercp.cli.sim_api import CPU, REPEATED, RSS, SimApi, open_sim_api
from dercp.cli.sim_report import Report, accounted
from dercp.cli.sim_storms import Storms
from dercp.cli.sim_view import Moment, View
from dercp.cli.sim_watch import AgeWatch, RateWatch, RecoveryWatch
from dercp.cli.sim_workers import QUIET, Workers, shares
from sim.load.accounts import Held, SpoolLedger, Verdict, compare
from sim.load.plan import Plan
from sim.load.scenario import DispatchStorm
from sim.load.words import Order

LOOK_EVERY_S: Final = 0.5
# The processes import and build first; then agents come, however slow the machine.
CONNECT_WITHIN_S: Final = 60.0
AGENTS_PER_S_MIN: Final = 10.0
ASSETS_PER_S_MIN: Final = 500.0
AUDIT_AT_ONCE: Final = 8
STORE_DRAINS_WITHIN_S: Final = 120.0


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What `dercp sim` is asked for; without a duration it goes on until a signal comes."""

    plan: Plan
    api: str
    processes: int
    duration_s: float = math.inf
    storms: tuple[DispatchStorm, ...] = ()
    log_level: str = QUIET


async def simulate(asked: Simulation, view: View) -> Report:
    """Run to the end.

    Raises:
        CommandError: The headend or a process of the load is not to be had.
    """
    async with stop_requests() as stop, open_sim_api(asked.api) as api:
        await api.check()
        run = _Run(asked, api, view)
        return await run.to_its_end(stop)


class _Cost(msgspec.Struct, frozen=True):
    """What everything has cost and brought by some moment."""

    at_s: float
    headend_cpu_s: float
    load_cpu_s: float
    acknowledged: int
    frames: int
    repeated: float
    rss_bytes: float


class _Run:
    """One simulation."""

    def __init__(self, asked: Simulation, api: SimApi, view: View) -> None:
        self._asked = asked
        self._api = api
        self._view = view
        plans = list(shares(asked.plan, asked.processes))
        self._workers = Workers(plans, asked.log_level)
        self._processes = len(plans)
        self._ages = AgeWatch(api, asked.plan.fleet)
        self._recoveries = RecoveryWatch()
        self._rates = RateWatch()
        run_id = secrets.token_hex(4)
        self._storms = Storms(api, asked.storms, asked.plan.fleet, run_id)
        self._phase, self._phase_began_s = "connecting", trio.current_time()
        # The first session of each is no reconnect.
        self._first_sessions = 0

    async def to_its_end(self, stop: StopRequest) -> Report:
        """All phases, one after the other."""
        async with trio.open_nursery() as nursery:
            showing = trio.CancelScope()
            nursery.start_soon(self._show, showing)
            async with trio.open_nursery() as working:
                working.start_soon(self._workers.run)
                await self._connect(stop)
                connected = self._workers.counts().up
                before = await self._cost()
                ended_by = await self._measure(stop)
                after = await self._cost()
                self._enter("draining")
                await self._workers.order(Order.STOP)
            self._enter("auditing")
            verdict = await self._audit(self._workers.ledgers())
            dispatches = await self._storms.sums()
            showing.cancel("it is over")
        acks = self._workers.ack_latencies()
        counts, lasted_s = self._workers.counts(), after.at_s - before.at_s
        headend_cpu_s = after.headend_cpu_s - before.headend_cpu_s
        load_cpu_s = after.load_cpu_s - before.load_cpu_s
        return Report(
            plan=self._asked.plan,
            api=self._asked.api,
            processes=self._processes,
            measured_s=round(lasted_s, 3),
            ended_by=ended_by,
            agents=counts.agents,
            agents_connected=connected,
            **accounted(verdict),
            batches_repeated=int(after.repeated - before.repeated),
            samples_missed=counts.missed,
            reconnects=self._reconnects(),
            samples_per_s=round((after.acknowledged - before.acknowledged) / lasted_s, 1),
            frames_per_s=round((after.frames - before.frames) / lasted_s, 1),
            age_p50_s=self._ages.latencies.quantile(0.5),
            age_p99_s=self._ages.latencies.quantile(0.99),
            ages_seen=self._ages.latencies.total,
            ack_p50_s=acks.quantile(0.5),
            ack_p99_s=acks.quantile(0.99),
            headend_cpu_s=round(headend_cpu_s, 3),
            headend_cpu_share=round(headend_cpu_s / lasted_s, 4),
            headend_rss_mb=round(after.rss_bytes / 1e6, 1),
            load_cpu_s=round(load_cpu_s, 3),
            load_cpu_share=round(load_cpu_s / lasted_s, 4),
            recoveries=self._recoveries.seen(),
            dispatches=dispatches,
            findings=self._findings(connected, verdict),
        )

    # --- the phases

    async def _connect(self, stop: StopRequest) -> None:
        """Until all agents have a session, or have been waited for long enough."""
        fleet = self._asked.plan.fleet
        within_s = (
            CONNECT_WITHIN_S + fleet.agents / AGENTS_PER_S_MIN + fleet.assets / ASSETS_PER_S_MIN
        )
        with trio.move_on_after(within_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at, stop, nursery.cancel_scope)
                while self._workers.counts().up < fleet.agents:  # noqa: ASYNC110 - in another process
                    await trio.sleep(LOOK_EVERY_S / 5)
                nursery.cancel_scope.cancel("all are connected")

    async def _measure(self, stop: StopRequest) -> str:
        """For the duration; why it ended."""
        self._enter("measuring")
        self._first_sessions = self._workers.counts().sessions
        await self._workers.order(Order.MEASURE)
        ended_by = "duration"
        with trio.move_on_after(self._asked.duration_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ages.run)
                nursery.start_soon(self._storms.run)
                ended_by = await stop.wait()
                nursery.cancel_scope.cancel("a signal came")
        return ended_by

    async def _audit(self, ledgers: Sequence[SpoolLedger]) -> Verdict:
        """Ask for every agent, once nothing is on its way into the headend's store."""
        with trio.move_on_after(STORE_DRAINS_WITHIN_S):
            while await self._api.undrained_frames():  # noqa: ASYNC110 - in another process
                await trio.sleep(LOOK_EVERY_S)
        held: list[Held] = []
        limit = trio.CapacityLimiter(AUDIT_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for ledger in ledgers:
                await trio.lowlevel.checkpoint()
                nursery.start_soon(partial(self._ask, ledger, held, limit))
        return compare(ledgers, held)

    async def _ask(
        self, ledger: SpoolLedger, held: list[Held], limit: trio.CapacityLimiter
    ) -> None:
        async with limit:
            if ledger.sequences:
                spools = await self._api.spools(ledger.agent_id)
                held += (each for each in spools if each.spool_id == ledger.spool_id)

    def _findings(self, connected: int, verdict: Verdict) -> tuple[str, ...]:
        agents = self._asked.plan.fleet.agents
        findings = verdict.findings
        if not verdict.produced:
            findings = ("nothing was produced", *findings)
        if connected < agents and not verdict.produced:
            findings = (f"{connected} of {agents} agents were connected: see --verbose", *findings)
        return findings

    # --- what is seen on the way

    def _enter(self, phase: str) -> None:
        self._phase, self._phase_began_s = phase, trio.current_time()

    async def _cost(self) -> _Cost:
        metrics = await self._api.metrics()
        try:
            cpu_s, rss_bytes = metrics[CPU], metrics[RSS]
        except KeyError as error:
            raise CommandError(f"the headend's /metrics have no {error.args[0]}") from None
        counts = self._workers.counts()
        return _Cost(
            trio.current_time(),
            cpu_s,
            self._workers.cpu_s,
            counts.acknowledged,
            counts.frames,
            metrics.get(REPEATED, 0.0),
            rss_bytes,
        )

    async def _show(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                self._view.show(self._moment())
                await trio.sleep(LOOK_EVERY_S)

    def _moment(self) -> Moment:
        now_s, counts = trio.current_time(), self._workers.counts()
        produced_per_s, acknowledged_per_s = self._rates.look(now_s, counts)
        acks = self._workers.ack_latencies()
        at_s = now_s - self._phase_began_s
        if self._phase == "measuring":
            self._recoveries.look(at_s, counts)
        return Moment(
            phase=self._phase,
            at_s=at_s,
            counts=counts,
            produced_per_s=produced_per_s,
            acknowledged_per_s=acknowledged_per_s,
            ack_p50_s=acks.quantile(0.5),
            ack_p99_s=acks.quantile(0.99),
            reconnects=self._reconnects(),
        )

    def _reconnects(self) -> int:
        """Sessions begun since the measurement did, all of them anew."""
        if not self._first_sessions:
            return 0
        return self._workers.counts().sessions - self._first_sessions


async def _cancel_at(stop: StopRequest, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel("a signal came")
