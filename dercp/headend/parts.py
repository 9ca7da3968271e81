"""How each part of the headend is built, and what all of them stand on."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors import ChildSpec, MailboxSpec, OnFull, SupervisorRef
from dercp.headend.agents.gate import Gate
from dercp.headend.agents.intake import Intake
from dercp.headend.agents.listener import Door, ListenerActor
from dercp.headend.dispatching.book import DispatchBook
from dercp.headend.dispatching.desk import DeskActor
from dercp.headend.dispatching.planner import Planner
from dercp.headend.dispatching.portfolios import Portfolios
from dercp.headend.fleet.feed import ChangeFeed
from dercp.headend.fleet.fleet import FleetActor
from dercp.headend.fleet.roster import Roster
from dercp.headend.history.ageing import AgeingActor
from dercp.headend.history.archive import Archive
from dercp.headend.history.draining import Drain, DrainingActor
from dercp.headend.history.ingest import IngestActor, IngestFront
from dercp.headend.messages import DeskMessage, DeskRef, FleetMessage, FleetRef, IngestMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from dercp.headend.settings import HeadendSettings
    from dercp.model.time import Clock
    from dercp.store.ports import History, Store


class Ground:
    """What the parts of one headend have in common, and what outlives their crashes."""

    def __init__(
        self,
        store: Store,
        history: History,
        settings: HeadendSettings,
        clock: Clock,
        drain: Drain | None = None,
    ) -> None:
        self.store = store
        self.history = history
        self.drain = drain
        self.archive = Archive(history, drain)
        self.settings = settings
        self.clock = clock
        self.counts = Counter[str]()
        self.roster = Roster(sessions_remembered_max=settings.sessions_remembered_max)
        self.book = DispatchBook(
            ended_max=settings.dispatches_remembered_max, grace_s=settings.dispatch_grace_s
        )
        self.feed = ChangeFeed(self.roster, self.book, clock)
        self.portfolios = Portfolios(store.portfolios, self.roster, self.book, settings)
        self.planner = Planner(self.roster, self.portfolios.known)


def desk(ground: Ground, new_id: Callable[[int], str]) -> ChildSpec[DeskMessage]:
    """The dispatch desk; `new_id` names a dispatch taken at that time."""
    settings = ground.settings
    return ChildSpec[DeskMessage](
        name="desk",
        factory=lambda: DeskActor(
            ground.book,
            ground.roster,
            ground.planner,
            ground.store.dispatches,
            ground.counts,
            ground.feed,
            settings=settings,
            clock=ground.clock,
            new_id=new_id,
        ),
        mailbox=MailboxSpec(capacity=settings.desk_mailbox_max, on_full=OnFull.BLOCK),
    )


def start_ingest(ground: Ground, root: SupervisorRef) -> IngestFront:
    """The ingest actor, by its front: each of the two refers to the other."""
    front: IngestFront
    settings, counts = ground.settings, ground.counts
    ref = root.start_nowait(
        ChildSpec[IngestMessage](
            name="ingest",
            factory=lambda: IngestActor(ground.history, front, counts, settings=settings),
            mailbox=MailboxSpec(capacity=settings.ingest_mailbox_max, on_full=OnFull.REJECT),
            grace_s=settings.stop_within_s,
        )
    )
    front = IngestFront(ref, counts, settings)
    return front


def ageing(ground: Ground, name: str, history: History) -> ChildSpec[None]:
    """The service that takes old history out of the log, or out of the store."""
    return ChildSpec[None](
        name=name,
        factory=lambda: AgeingActor(history, ground.clock),
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        grace_s=ground.settings.stop_within_s,
    )


def draining(ground: Ground, drain: Drain) -> ChildSpec[None]:
    """The service that brings the log's contents into the store."""
    return ChildSpec[None](
        name="draining",
        factory=lambda: DrainingActor(drain, ground.counts, ground.clock),
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        # What is cut off is in the log still.
        grace_s=ground.settings.drain_stop_within_s,
    )


def fleet(ground: Ground, desk: DeskRef) -> ChildSpec[FleetMessage]:
    """The one writer of the roster."""
    settings = ground.settings
    return ChildSpec[FleetMessage](
        name="fleet",
        factory=lambda: FleetActor(
            ground.roster,
            ground.store,
            ground.feed,
            desk=desk,
            settings=settings,
            clock=ground.clock,
        ),
        mailbox=MailboxSpec(capacity=settings.fleet_mailbox_max, on_full=OnFull.BLOCK),
        # At the end every session's end is to be written down.
        grace_s=settings.stop_within_s,
    )


def gate(
    ground: Ground,
    sessions: SupervisorRef,
    *,
    fleet: FleetRef,
    desk: DeskRef,
    ingest: IngestFront,
) -> Gate:
    """Where calls become sessions."""
    new_intake = partial(
        Intake,
        roster=ground.roster,
        registry=ground.store.registry,
        ingest=ingest,
        settings=ground.settings,
        clock=ground.clock,
        bulk_decoding=trio.CapacityLimiter(1),
    )
    return Gate(
        sessions,
        ground.counts,
        new_intake=new_intake,
        fleet=fleet,
        desk=desk,
        settings=ground.settings,
        clock=ground.clock,
    )


def listener(ground: Ground, door: Door, gate: Gate) -> ChildSpec[None]:
    """The gRPC listener."""
    return ChildSpec[None](
        name="listener",
        factory=lambda: ListenerActor(door, gate, ground.settings),
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        grace_s=ground.settings.stop_within_s,
    )
