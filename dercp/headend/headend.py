"""Builds the headend's tree of actors and takes it down again."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
import trio

from actors import (
    ActorStopped,
    Crashed,
    Escalated,
    MailboxFull,
    Strategy,
    SupervisorSpec,
    open_system,
)
from dercp.headend import parts
from dercp.headend.dispatching.front import DeskFront
from dercp.headend.dispatching.reader import DispatchReader
from dercp.headend.dispatching.recorder import Recorder
from dercp.headend.fleet.reader import RosterReader
from dercp.headend.history.reader import HistoryReader
from dercp.headend.messages import DrainAgent
from dercp.headend.operations import HeadendOperations
from dercp.headend.parts import Ground
from dercp.headend.patience import until_it_answers
from dercp.headend.supervision import RESTART

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors import Event, System
    from dercp.headend.agents.listener import Door
    from dercp.headend.history.draining import Drain
    from dercp.headend.messages import DeskRef
    from dercp.headend.settings import HeadendSettings
    from dercp.model.time import Clock
    from dercp.store.ports import History, Store

log = structlog.get_logger()


class Headend:
    """A running headend. Made by `open_headend`.

    Attributes:
        system: Its actors; more services may be started beside its own.
        reader: The latest of everything.
        history: What was logged of it.
        desk: Where dispatches are handed in and looked up.
        portfolios: Sites and assets that are dispatched as one, by id.
        feed: What changes.
        operations: Totals, the tree, readiness.
        door: The gRPC listener's port and counters.
    """

    def __init__(
        self,
        system: System,
        ground: Ground,
        desk: DeskRef,
        operations: HeadendOperations,
        door: Door,
    ) -> None:
        settings, store = ground.settings, ground.store
        self.system = system
        self.reader = RosterReader(
            ground.roster, ground.book, settings=settings, clock=ground.clock
        )
        self.history = HistoryReader(store.registry, ground.archive, settings=settings)
        dispatches = DispatchReader(ground.book, store.dispatches, tenant_id=settings.tenant_id)
        self.desk = DeskFront(
            desk,
            ground.book,
            ground.planner,
            dispatches,
            Recorder(dispatches, self.history, ground.roster, ground.clock),
            clock=ground.clock,
            within_s=settings.submit_within_s,
        )
        self.portfolios = ground.portfolios
        self.feed = ground.feed
        self.operations = operations
        self.door = door
        self._roster = ground.roster
        self._settings = settings

    async def drain(self) -> None:
        """Be not ready any more, and tell every agent to come back in a while."""
        self.operations.draining = True
        order = DrainAgent(
            reconnect_within_s=self._settings.drain_reconnect_within_s, reason="headend_stopping"
        )
        for agent in self._roster.agents.values():
            if agent.link is not None:
                try:
                    agent.link.session.tell_nowait(order)
                except (MailboxFull, ActorStopped):
                    continue  # it learns of the end from its stream
        await trio.lowlevel.checkpoint()


def new_dispatch_id(now_us: int) -> str:
    """An id that sorts by time and cannot be guessed (the layout of UUID version 7)."""
    return f"{now_us // 1000:012x}{secrets.token_hex(10)}"


@asynccontextmanager
async def open_headend(
    store: Store,
    history: History,
    door: Door,
    *,
    settings: HeadendSettings,
    clock: Clock,
    drain: Drain | None = None,
    seed: int | None = None,
    new_id: Callable[[int], str] = new_dispatch_id,
) -> AsyncIterator[Headend]:
    """Run a headend beside the block; leaving the block drains and stops it in order.

    Args:
        store: Where registry, sessions and dispatches are.
        history: Where telemetry is logged.
        door: Where agents call.
        settings: How much of everything.
        clock: The wall clock.
        drain: The way from `history` to another store, which then is the historian.
        seed: Makes the randomness of a test repeatable.
        new_id: Names a dispatch taken at that time.

    Raises:
        OSError: The gRPC port is not to be had.
        StoreError: The store cannot be read.
        RestartsExceeded: The headend could not go on, out of the block.
    """
    ground = Ground(store, history, settings, clock, drain)
    async with open_system("headend", seed=seed, grace_s=settings.stop_within_s) as system:
        system.events.listen(_log_event)
        await until_it_answers(ground.portfolios.load, system.random)
        desk = await system.root.start(parts.desk(ground, new_id))
        ingest = parts.start_ingest(ground, system.root)
        system.root.start_nowait(parts.ageing(ground, "ageing", history))
        if drain is not None:
            system.root.start_nowait(parts.draining(ground, drain))
            system.root.start_nowait(parts.ageing(ground, "store-ageing", drain.destination))
        # Without the fleet no session is worth anything; without sessions no listener.
        core = await system.root.supervise(
            SupervisorSpec(name="core", strategy=Strategy.REST_FOR_ONE, restart=RESTART)
        )
        fleet = await core.start(parts.fleet(ground, desk))
        sessions = await core.supervise(SupervisorSpec(name="sessions", restart=RESTART))
        gate = parts.gate(ground, sessions, fleet=fleet, desk=desk, ingest=ingest)
        operations = HeadendOperations(system, ground, gate, door, core=(desk, fleet))
        system.events.listen(operations.note)
        await core.start(parts.listener(ground, door, gate))
        headend = Headend(system, ground, desk, operations, door)
        yield headend
        await headend.drain()


def _log_event(event: Event) -> None:
    match event:
        case Crashed(path=path, error=error):
            log.error("actor_crashed", path=path, exc_info=error)
        case Escalated(path=path, error=error):
            log.error("supervisor_gave_up", path=path, error=str(error))
        case _:
            pass
