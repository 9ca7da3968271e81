"""The load of real edge agents, many in a process, with virtual devices."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

import trio

from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import Config
from dercp.edge.uplink.conversation import Line
from dercp.model.time import Clock
from sim.load.accounts import SpoolLedger
from sim.load.latency import Latencies
from sim.load.links import Links
from sim.load.plan import Plan
from sim.load.watched_line import Awaited, WatchedLine
from sim.load.words import Counts

__all__ = ["EdgeLoad"]

# Agents that end at a time: each has some seconds for its last words.
STOPS_AT_ONCE: Final = 8
# A start takes some turns of the scheduler, and a busy one takes long for each.
STARTS_AT_ONCE: Final = 32
LOOK_EVERY_S: Final = 0.2
# What is taken for drained: each sample interval adds a batch, and the next may be on its way.
WAITING_BATCHES_OK: Final = 2


class EdgeLoad:
    """See `Load`. Every agent is `dercp.edge.agent.run_agent`, as at a site."""

    def __init__(self, plan: Plan, configs: list[Config], links: Links, clock: Clock) -> None:
        self.latencies = Latencies()
        self._plan = plan
        self._configs = configs
        self._links = links
        self._clock = clock
        self._agents: dict[str, Agent] = {}
        self._ends: dict[str, _End] = {}
        self._awaited = {config.agent_id: Awaited() for config in configs}
        self._frames = 0
        self._sessions = 0

    async def start(self, nursery: trio.Nursery) -> None:
        """Some at a time; their polls are spread over the sample interval by when they start."""
        began_s, limit = trio.current_time(), trio.CapacityLimiter(STARTS_AT_ONCE)
        async with trio.open_nursery() as starting:
            for number, config in enumerate(self._configs):
                await trio.sleep_until(began_s + number / self._plan.starts_per_s)
                await limit.acquire_on_behalf_of(config.agent_id)
                starting.start_soon(self._start, config, nursery, limit)

    def measure(self) -> None:
        """They have been producing since they were started."""
        self.latencies.clear()

    async def drain(self, within_s: float) -> None:
        """End each agent once it has a session and keeps no more than it has just produced.

        So those that have much to catch up with get the time that the others leave.
        """
        limit = trio.CapacityLimiter(STOPS_AT_ONCE)
        with trio.move_on_after(within_s):
            async with trio.open_nursery() as nursery:
                waiting = dict(self._agents)
                while waiting:
                    for name in [name for name in waiting if _is_drained(waiting[name])]:
                        await limit.acquire_on_behalf_of(name)
                        del waiting[name]
                        nursery.start_soon(_stop, name, self._ends[name], limit)
                    await trio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """Those that are left, some at a time: each has the processor for its last words."""
        limit = trio.CapacityLimiter(STOPS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for name, end in self._ends.items():
                await limit.acquire_on_behalf_of(name)
                nursery.start_soon(_stop, name, end, limit)

    def counts(self) -> Counts:
        """Adds up what each agent says of itself."""
        up = produced = waiting = missed = 0
        for agent in self._agents.values():
            status = agent.status()
            up += status.uplink.session is not None
            produced += sum(asset.samples for asset in status.assets)
            missed += sum(asset.missed_ticks for asset in status.assets)
            waiting += status.outbox.waiting_samples
        return Counts(
            agents=len(self._configs),
            up=up,
            produced=produced,
            waiting=waiting,
            missed=missed,
            frames=self._frames,
            sessions=self._sessions,
        )

    def ledgers(self) -> Iterator[SpoolLedger]:
        """By their own devices' counts, not by what passed on the wire."""
        for agent in self._agents.values():
            status = agent.status()
            yield SpoolLedger(
                agent_id=status.agent_id,
                spool_id=status.outbox.spool_id,
                sequences=status.outbox.last_sequence,
                samples=sum(asset.samples for asset in status.assets),
                waiting=status.outbox.waiting,
                waiting_samples=status.outbox.waiting_samples,
            )

    async def _start(
        self, config: Config, nursery: trio.Nursery, limit: trio.CapacityLimiter
    ) -> None:
        try:
            end = self._ends[config.agent_id] = _End()
            self._agents[config.agent_id] = await nursery.start(self._live, config, end)
        finally:
            limit.release_on_behalf_of(config.agent_id)

    async def _live(
        self, config: Config, end: "_End", *, task_status: trio.TaskStatus[Agent]
    ) -> None:
        """An agent from its start to its end."""
        life = partial(
            run_agent,
            config,
            clock=self._clock,
            dial=partial(self._dial, config.agent_id),
            seed=self._plan.fleet.seed,
        )
        try:
            async with trio.open_nursery() as nursery:
                task_status.started(await nursery.start(life))
                await end.asked.wait()
                nursery.cancel_scope.cancel("the run is over")
        finally:
            end.reached.set()

    def _dial(self, name: str) -> AbstractAsyncContextManager[Line]:
        return self._watched(name)

    @asynccontextmanager
    async def _watched(self, name: str) -> AsyncIterator[Line]:
        async with self._links.open(name) as call:
            yield WatchedLine(call, self, self._awaited[name])

    # --- what a line tells

    def welcomed(self) -> None:
        """A session is up."""
        self._sessions += 1

    def acknowledged(self, after_s: float) -> None:
        """A batch is held."""
        self._frames += 1
        self.latencies.note(after_s)


class _End:
    """That of one agent: asked for, and reached."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.reached = trio.Event()


async def _stop(name: str, end: _End, limit: trio.CapacityLimiter) -> None:
    """End an agent for which there is room; nothing happens to one that has ended."""
    try:
        end.asked.set()
        await end.reached.wait()
    finally:
        limit.release_on_behalf_of(name)


def _is_drained(agent: Agent) -> bool:
    status = agent.status()
    return status.uplink.session is not None and status.outbox.waiting <= WAITING_BATCHES_OK
