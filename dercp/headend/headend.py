"""Builds the headend's tree of actors and takes it down again."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from actors import (
    ActorError,
    ActorStopped,
    ChildSpec,
    Crashed,
    Escalated,
    MailboxFull,
    MailboxSpec,
    OnFull,
    Strategy,
    SupervisorSpec,
    open_system,
)
from dercp.headend.ageing import AgeingActor
from dercp.headend.book import DispatchBook
from dercp.headend.desk import RETRY_S, DeskActor
from dercp.headend.errors import DeskBusy
from dercp.headend.fleet import FleetActor
from dercp.headend.gate import Gate
from dercp.headend.history_reader import HistoryReader
from dercp.headend.ingest import IngestActor, IngestFront
from dercp.headend.intake import Intake
from dercp.headend.listener import ListenerActor
from dercp.headend.messages import DeskMessage, DrainAgent, FleetMessage, IngestMessage, Submit
from dercp.headend.operations import HeadendOperations
from dercp.headend.reader import RosterReader
from dercp.headend.roster import Roster
from dercp.headend.supervision import RESTART

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors import Event, System
    from dercp.headend.listener import Door
    from dercp.headend.messages import DeskRef
    from dercp.headend.settings import HeadendSettings
    from dercp.model.dispatch import Dispatch, DispatchRequest
    from dercp.model.time import Clock
    from dercp.store.ports import DispatchLedger, History, Store

log = structlog.get_logger()


class DeskFront:
    """The desk as the API sees it: hand in a dispatch, look one up."""

    def __init__(
        self,
        desk: DeskRef,
        book: DispatchBook,
        ledger: DispatchLedger,
        *,
        submit_within_s: float,
    ) -> None:
        self._desk = desk
        self._book = book
        self._ledger = ledger
        self._submit_within_s = submit_within_s

    async def submit(self, request: DispatchRequest, *, key: str, fingerprint: str) -> Dispatch:
        """Take a dispatch, durably, before this returns.

        Raises:
            KeyReused: The key was used with another body.
            UnknownTarget: No such asset.
            DispatchError: The request is outside what the asset allows.
            DeskBusy: It was not taken in time; the same key makes a repetition safe.
        """
        message = Submit(request=request, key=key, fingerprint=fingerprint)
        try:
            return await self._desk.ask(message, within_s=self._submit_within_s)
        except ActorError as error:
            raise DeskBusy(RETRY_S) from error

    async def dispatch(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch in its newest state."""
        return self._book.get(dispatch_id) or await self._ledger.get(dispatch_id)


class Headend:
    """A running headend. Made by `open_headend`.

    Attributes:
        system: Its actors; more services may be started beside its own.
        reader: The latest of everything.
        history: What was logged of it.
        desk: Where dispatches are handed in and looked up.
        operations: Totals, the tree, readiness.
        door: The gRPC listener's port and counters.
    """

    def __init__(
        self,
        system: System,
        reader: RosterReader,
        history: HistoryReader,
        desk: DeskFront,
        operations: HeadendOperations,
        door: Door,
        roster: Roster,
        settings: HeadendSettings,
    ) -> None:
        self.system = system
        self.reader = reader
        self.history = history
        self.desk = desk
        self.operations = operations
        self.door = door
        self._roster = roster
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
        seed: Makes the randomness of a test repeatable.
        new_id: Names a dispatch taken at that time.

    Raises:
        OSError: The gRPC port is not to be had.
        StoreError: The store cannot be read.
        RestartsExceeded: The headend could not go on, out of the block.
    """
    counts = Counter[str]()
    roster = Roster(sessions_remembered_max=settings.sessions_remembered_max)
    book = DispatchBook(
        ended_max=settings.dispatches_remembered_max, grace_s=settings.dispatch_grace_s
    )
    async with open_system("headend", seed=seed, grace_s=settings.stop_within_s) as system:
        system.events.listen(_log_event)
        desk = await system.root.start(
            ChildSpec[DeskMessage](
                name="desk",
                factory=lambda: DeskActor(
                    book,
                    roster,
                    store.dispatches,
                    counts,
                    settings=settings,
                    clock=clock,
                    new_id=new_id,
                ),
                mailbox=MailboxSpec(capacity=settings.desk_mailbox_max, on_full=OnFull.BLOCK),
            )
        )
        ingest = _start_ingest(system, history, counts, settings)
        system.root.start_nowait(_ageing(history, settings, clock))
        # Without the fleet no session is worth anything; without sessions no listener.
        core = await system.root.supervise(
            SupervisorSpec(name="core", strategy=Strategy.REST_FOR_ONE, restart=RESTART)
        )
        fleet = await core.start(_fleet(roster, store, desk, settings, clock))
        sessions = await core.supervise(SupervisorSpec(name="sessions", restart=RESTART))
        new_intake = partial(
            Intake,
            roster=roster,
            registry=store.registry,
            ingest=ingest,
            settings=settings,
            clock=clock,
        )
        gate = Gate(
            sessions,
            counts,
            new_intake=new_intake,
            fleet=fleet,
            desk=desk,
            settings=settings,
            clock=clock,
        )
        operations = HeadendOperations(
            system, roster, gate, door, book, store, history, counts, core=(desk, fleet)
        )
        system.events.listen(operations.note)
        await core.start(_listener(door, gate, settings))
        reader = RosterReader(roster, settings=settings, clock=clock)
        front = DeskFront(desk, book, store.dispatches, submit_within_s=settings.submit_within_s)
        past = HistoryReader(store.registry, history, settings=settings)
        headend = Headend(system, reader, past, front, operations, door, roster, settings)
        yield headend
        await headend.drain()


def _start_ingest(
    system: System, history: History, counts: Counter[str], settings: HeadendSettings
) -> IngestFront:
    """The front refers to the actor, the actor to the front."""
    front: IngestFront
    ref = system.root.start_nowait(
        ChildSpec[IngestMessage](
            name="ingest",
            factory=lambda: IngestActor(history, front, counts, settings=settings),
            mailbox=MailboxSpec(capacity=settings.ingest_mailbox_max, on_full=OnFull.REJECT),
            grace_s=settings.stop_within_s,
        )
    )
    front = IngestFront(ref, counts, settings)
    return front


def _ageing(history: History, settings: HeadendSettings, clock: Clock) -> ChildSpec[None]:
    return ChildSpec[None](
        name="ageing",
        factory=lambda: AgeingActor(history, clock),
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        grace_s=settings.stop_within_s,
    )


def _fleet(
    roster: Roster, store: Store, desk: DeskRef, settings: HeadendSettings, clock: Clock
) -> ChildSpec[FleetMessage]:
    return ChildSpec[FleetMessage](
        name="fleet",
        factory=lambda: FleetActor(roster, store, desk=desk, settings=settings, clock=clock),
        mailbox=MailboxSpec(capacity=settings.fleet_mailbox_max, on_full=OnFull.BLOCK),
        # At the end every session's end is to be written down.
        grace_s=settings.stop_within_s,
    )


def _listener(door: Door, gate: Gate, settings: HeadendSettings) -> ChildSpec[None]:
    return ChildSpec[None](
        name="listener",
        factory=lambda: ListenerActor(door, gate, settings),
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        grace_s=settings.stop_within_s,
    )


def _log_event(event: Event) -> None:
    match event:
        case Crashed(path=path, error=error):
            log.error("actor_crashed", path=path, exc_info=error)
        case Escalated(path=path, error=error):
            log.error("supervisor_gave_up", path=path, error=str(error))
        case _:
            pass
