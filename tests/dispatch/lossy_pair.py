"""Both ends of a dispatch over a channel that loses, repeats, delays and reorders messages.

At the headend's end is the pure lifecycle over a ledger that outlives it; at the edge's end
the real journal, desk, lease keeper and border to the device, on a disk that outlives them.
One task drives both, in virtual time: each step is whole unless one of the ends dies in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
import structlog
import trio
import trio.testing
from dispatch_verdict import DIED, REFUSED, RELEASE, Told
from edge_plant import START_US, FakeDevice, asset_config

from actors import Ref
from adapters import DeviceError
from dercp.edge.asset.device import Cancel, DeviceMessage
from dercp.edge.asset.kept_lease import revive
from dercp.edge.asset.lease import Lease, Report, leases_of
from dercp.edge.asset.lease_keeper import Clocks, LeaseKeeper
from dercp.edge.asset.port import DevicePort
from dercp.edge.desk import Desk, Taker
from dercp.edge.journal import Journal, Unended
from dercp.edge.uplink.headend_time import HeadendTime
from dercp.edge.uplink.messages import report_message
from dercp.model.dispatch import (
    Cancelled,
    Dispatch,
    DispatchEvent,
    DispatchReason,
    DispatchRequest,
    DispatchState,
    Failed,
    Sent,
    Source,
    Tick,
    Undelivered,
    advance,
    cancel_due,
    next_deadline_us,
    submit,
)
from dercp.model.time import us_from_s
from dercp.wire import v1
from dercp.wire.dispatch import (
    Order,
    cancel_to_wire,
    dispatch_to_wire,
    event_from_update,
)

ASSET_ID: Final = "bess-1"
LOG: Final = structlog.get_logger()


class Killed(BaseException):
    """The process ends here and now; no `except` of the code under test may keep it alive."""


def headend_us() -> int:
    """The headend's wall clock."""
    return START_US + us_from_s(trio.current_time())


class Fuse:
    """Kills its end at the n-th place from now where a death makes a difference."""

    def __init__(self) -> None:
        self.left = -1

    def burn(self) -> None:
        """Such a place is reached."""
        self.left -= 1
        if self.left == 0:
            raise Killed


class Device(FakeDevice):
    """Remembers when it was told what, and dies with the edge before or after it took it in."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.memory: list[Told] = []
        self.refusals = 0
        self._fuse = fuse

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        await trio.lowlevel.checkpoint()
        self._take(active_power_mw)
        return active_power_mw

    async def release(self) -> None:
        """Let go."""
        await trio.lowlevel.checkpoint()
        self._take(RELEASE)

    def _take(self, what: float | str) -> None:
        if self.refusals:
            self.refusals -= 1
            self.memory.append(Told(REFUSED, headend_us()))
            raise DeviceError("the device refuses")
        self._fuse.burn()
        self.memory.append(Told(what, headend_us()))
        self._fuse.burn()


class JournalFile:
    """What is on the edge's disk, and what is not there yet."""

    def __init__(self, fuse: Fuse, kept: dict[str, bytes]) -> None:
        self.kept = kept
        self.settled = 0
        self._fuse = fuse
        self._noted: dict[str, bytes | None] = {}

    def note(self, dispatch_id: str, content: bytes | None) -> int:
        """Keep an entry."""
        self._noted[dispatch_id] = content
        return self.settled + 1

    def note_later(self, dispatch_id: str, content: bytes | None) -> None:
        """The same."""
        self._noted[dispatch_id] = content

    async def commit(self) -> bool:
        """Write, unless the process dies first; and it may die at once after."""
        await trio.lowlevel.checkpoint()
        if self._noted:
            self._fuse.burn()
            for dispatch_id, content in self._noted.items():
                if content is None:
                    self.kept.pop(dispatch_id, None)
                else:
                    self.kept[dispatch_id] = content
            self._noted.clear()
            self.settled += 1
            self._fuse.burn()
        return True


class Inbox:
    """Takes what is told to an actor, for whoever drives it."""

    def __init__(self) -> None:
        self.mail: list[DeviceMessage] = []

    def tell_nowait(self, message: DeviceMessage) -> None:
        """Tell it."""
        self.mail.append(message)


class Edge:
    """One life of an edge, with one asset."""

    def __init__(
        self, device: Device, kept: dict[str, bytes], fuse: Fuse, clock_off_s: float
    ) -> None:
        asset = asset_config(ASSET_ID, device)
        self._clock_off_us = us_from_s(clock_off_s)
        self.time = HeadendTime(self._own)
        # Nothing is told to an agent before its first Welcome.
        self.is_welcome = False
        self.file = JournalFile(fuse, kept)
        self.journal = Journal(self.time.now_us, self._own, _nothing, self.file, kept, LOG)
        self.keeper = LeaseKeeper(asset, self.journal, Clocks(self.time.now_us, self._own))
        self.port = DevicePort(device, asset, LOG)
        self._inbox = Inbox()
        ref = cast("Ref[Any]", self._inbox)  # it is told, and nothing else
        self.desk = Desk(self.journal, {ASSET_ID: ref}, Taker("site-1", ref), LOG)

    def _own(self) -> int:
        return headend_us() + self._clock_off_us

    async def start(self) -> None:
        """Go on with what the life before left, as an agent does."""
        leases: list[Lease] = []
        for one in self.journal.unended():
            if (lease := self._revived(one)) is not None:
                leases.append(lease)
                continue
            failed = Failed(reason=DispatchReason.EDGE_STOPPED)
            self.journal.record(Report(one.dispatch_id, one.revision, failed))
        self.keeper.resume(leases)
        await self.keeper.reopened(self.port)

    def _revived(self, one: Unended) -> Lease | None:
        if one.lease is None:
            return None
        own_us, now_s = self._own(), trio.current_time()
        return revive(one.dispatch_id, one.revision, one.lease, own_us=own_us, now_s=now_s)

    async def hear(self, message: v1.Dispatch | v1.CancelDispatch) -> None:
        """A message has come."""
        if isinstance(message, v1.Dispatch):
            self.desk.execute(message)
        else:
            self.desk.recall(message)
        for each in self._inbox.mail:
            if isinstance(each, Order):
                await self.keeper.order(each, self.port)
            elif isinstance(each, Cancel):
                await self.keeper.cancel(each.dispatch_id, each.detail, self.port)
        self._inbox.mail.clear()

    async def tick(self) -> None:
        """Time has passed; and a device that failed is opened anew."""
        if self.keeper.next_deadline_s <= trio.current_time():
            await self.keeper.tick(self.port)
        if self.keeper.owes_fallback:
            self.keeper.lost()
            await self.keeper.reopened(self.port)

    def words(self) -> Iterator[v1.DispatchUpdate]:
        """What is to be said now."""
        while (report := self.journal.next_unsent()) is not None:
            update = report_message(report).dispatch_update
            assert update is not None
            yield update
            self.journal.sent(report)


def _has_lease(entry: bytes) -> bool:
    return msgspec.msgpack.decode(entry)["lease"] is not None


def _id_of(lease: Lease) -> str:
    return lease.dispatch_id


class Pair:
    """A headend, an edge, and what is under way between them.

    Attributes:
        device: The edge's one device; it remembers all lives of the edge.
        ledger: The headend's; it outlives it.
        down, up: What was sent and may come: once, again, in any order, or never.
        edge: None while it is dead.
        headend_lives: Whether the headend does.
        taken_us: When the edge took a dispatch, by the headend's clock.
        edge_faults: Deaths and refusals that may let a dispatch fail.
    """

    def __init__(self, clock: trio.testing.MockClock, clock_off_s: float) -> None:
        self.edge_fuse, self.headend_fuse = Fuse(), Fuse()
        self.device = Device(self.edge_fuse)
        self.ledger: dict[str, Dispatch] = {}
        self.down: list[v1.Dispatch | v1.CancelDispatch] = []
        self.up: list[v1.DispatchUpdate] = []
        self.edge: Edge | None = None
        self.headend_lives = True
        self.edge_faults = 0
        self.taken_us: dict[str, int] = {}
        self._clock = clock
        self._clock_off_s = clock_off_s
        self._kept: dict[str, bytes] = {}
        # Which end believes in a session.
        self._edge_live = self._headend_live = False

    # --- lives and links

    async def start_edge(self) -> None:
        """Begin a life on what the one before left on the disk."""
        if self.edge is None:
            with self._edge_may_die():
                edge = Edge(self.device, self._kept, self.edge_fuse, self._clock_off_s)
                self.edge = edge
                await edge.start()
                await self._settle_edge()

    def start_headend(self) -> None:
        """The same for the headend: what had left may have arrived."""
        if not self.headend_lives:
            self.headend_lives = True
            with self._headend_may_die():
                self._take_back(DispatchReason.HEADEND_RESTARTED)

    def kill_edge(self) -> None:
        """Nothing of it remains but the disk."""
        self.edge, self._edge_live, self.edge_fuse.left = None, False, -1
        self.edge_faults += 1
        self.device.memory.append(Told(DIED, headend_us()))

    def kill_headend(self) -> None:
        """Nothing of it remains but the ledger."""
        self.headend_lives = self._headend_live = False
        self.headend_fuse.left = -1

    async def connect(self, there_s: float, back_s: float) -> None:
        """A session, if both live; the Hello and its Welcome each take their time."""
        edge = self.edge
        if edge is None:
            return
        edge.time.begin()
        edge.time.ask()
        await self.pass_time(there_s)
        if not self.headend_lives:
            return
        with self._headend_may_die():
            self._take_back(DispatchReason.LINK_LOST)
            self._headend_live = True
            self._send_waiting()
            self._tell_cancels()
        welcome_us = headend_us()
        await self.pass_time(back_s)
        if edge is self.edge:
            edge.time.welcomed(welcome_us)
            edge.is_welcome = True
            self._edge_live = True
            edge.journal.repeat_recent()
        with self._edge_may_die():
            await self._settle_edge()

    def lose_link(self, end: Source) -> None:
        """One end notices that the link is gone."""
        if end is Source.EDGE:
            self._edge_live = False
        elif self.headend_lives:
            self._headend_live = False
            with self._headend_may_die():
                self._take_back(DispatchReason.LINK_LOST)

    # --- messages

    async def deliver_down(self, index: int, *, again: bool = False) -> None:
        """Let one message reach the edge, which may be dead, or not have been welcomed yet."""
        message = self.down[index] if again else self.down.pop(index)
        edge = self.edge
        if edge is not None and edge.is_welcome:
            with self._edge_may_die():
                await edge.hear(message)
                await self._settle_edge()
            # One that dies over it has taken it when its disk has: the next life goes on with it.
            on_disk = (each for each, entry in self._kept.items() if _has_lease(entry))
            for dispatch_id in (*on_disk, *map(_id_of, leases_of(edge.keeper.book))):
                self.taken_us.setdefault(dispatch_id, headend_us())

    def deliver_up(self, index: int, *, again: bool = False) -> None:
        """Let one message reach the headend, which may be dead."""
        update = self.up[index] if again else self.up.pop(index)
        dispatch = self.ledger.get(update.dispatch_id)
        if self.headend_lives and dispatch is not None and dispatch.revision == update.revision:
            with self._headend_may_die():
                self._feed(dispatch, event_from_update(update))

    async def flow(self) -> None:
        """Let everything arrive, in order, until nobody has anything more to say."""
        while self.down or self.up:
            while self.down:
                await self.deliver_down(0)
            while self.up:
                self.deliver_up(0)
            self._send_waiting()

    # --- time

    async def pass_time(self, seconds: float) -> None:
        """Let time go by, from deadline to deadline of both ends."""
        end_s = trio.current_time() + seconds
        while True:
            now_s = trio.current_time()
            self._clock.jump(max(0.0, min(end_s, self._next_deadline_s()) - now_s))
            if self.edge is not None:
                with self._edge_may_die():
                    await self.edge.tick()
                    await self._settle_edge()
            if self.headend_lives:
                self.look_at_time()
            if trio.current_time() >= end_s:
                return

    def look_at_time(self) -> None:
        """The headend's desk wakes up."""
        with self._headend_may_die():
            for dispatch in list(self.ledger.values()):
                self._feed(dispatch, Tick())
            self._send_waiting()

    def _next_deadline_s(self) -> float:
        next_s = float("inf") if self.edge is None else self.edge.keeper.next_deadline_s
        if self.headend_lives:
            for dispatch in self.ledger.values():
                due_us = next_deadline_us(dispatch)
                if due_us is not None:
                    next_s = min(next_s, (due_us - START_US) / 1e6)
        # A microsecond on, should a deadline lie between two of them.
        return max(next_s, trio.current_time() + 1e-6)

    # --- what an operator does

    def post(self, request: DispatchRequest) -> None:
        """Hand in a dispatch."""
        if self.headend_lives:
            with self._headend_may_die():
                dispatch = submit(f"d-{len(self.ledger) + 1}", "t", request, headend_us())
                self._write(dispatch)
                self._send_waiting()

    def cancel(self, dispatch_id: str) -> None:
        """Let a dispatch end early."""
        if self.headend_lives:
            with self._headend_may_die():
                self._feed(self.ledger[dispatch_id], Cancelled(source=Source.OPERATOR))
                self._tell_cancels()

    # --- the headend: decide, write, then act

    def _feed(self, dispatch: Dispatch, event: DispatchEvent) -> Dispatch:
        transition = advance(dispatch, event, headend_us())
        if transition.changed:
            self._write(transition.dispatch)
        return transition.dispatch

    def _write(self, dispatch: Dispatch) -> None:
        self.headend_fuse.burn()
        self.ledger[dispatch.dispatch_id] = dispatch
        self.headend_fuse.burn()

    def _send_waiting(self) -> None:
        if not self._headend_live:
            return
        for dispatch in list(self.ledger.values()):
            if dispatch.state is DispatchState.SUBMITTED:
                sent = self._feed(dispatch, Sent())
                if sent.state is DispatchState.SENT:
                    self.down.append(dispatch_to_wire(sent))

    def _tell_cancels(self) -> None:
        if self._headend_live:
            waiting = [each for each in self.ledger.values() if cancel_due(each)]
            self.down += [cancel_to_wire(each) for each in waiting]

    def _take_back(self, reason: str) -> None:
        for dispatch in list(self.ledger.values()):
            self._feed(dispatch, Undelivered(reason))

    # --- the edge

    async def _settle_edge(self) -> None:
        """What the spool's and the uplink's own tasks do, once there is something to do."""
        if self.edge is not None:
            await self.edge.file.commit()
            if self._edge_live:
                self.up += self.edge.words()

    @contextmanager
    def _edge_may_die(self) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.kill_edge()

    @contextmanager
    def _headend_may_die(self) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.kill_headend()


def _nothing() -> None:
    """Nobody waits to be told that there is something to say."""
