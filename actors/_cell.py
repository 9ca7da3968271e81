"""What outlives a crash: a name, a place in the tree, a history."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

import trio

from actors._events import Crashed, Ending, Restarted, Started, Stopped
from actors._mailbox import MailboxStatistics
from actors._restart import Backoff, Lifetime
from actors._state import State
from actors._tree import Node

if TYPE_CHECKING:
    from actors._ref import AnyRef
    from actors._runtime import Runtime
    from actors._supervisor import SupervisorCell


class Order(IntEnum):
    """What a cell was last told. A higher order overrules a lower one."""

    LIVE = 0
    RETIRE = 1
    """End the incarnation in order; another will follow."""
    STOP = 2
    """End for good, in order."""
    KILL = 3
    """End for good, now."""


SETTLED = (State.RUNNING, State.ENDING, State.DOWN, State.STOPPED)
"""The states in which it is known how a start went."""


class Cell(ABC):
    """One place in the tree, held by a supervisor through all incarnations.

    The supervisor runs `live` for each incarnation and decides after it. Orders come from
    anywhere and never wait; waiting is `wait_state`.
    """

    kind: str
    ref: "AnyRef"

    __slots__ = (
        "_reason",
        "_scope",
        "_watchers",
        "attempts",
        "grace_s",
        "incarnations",
        "lifetime",
        "name",
        "order",
        "parent",
        "path",
        "runtime",
        "start_failure",
        "starter_waits",
        "state",
        "stopped",
        "up_since",
    )

    def __init__(
        self,
        name: str,
        path: str,
        *,
        runtime: "Runtime",
        parent: "SupervisorCell | None",
        lifetime: Lifetime,
        grace_s: float,
    ) -> None:
        self.name = name
        self.path = path
        self.runtime = runtime
        self.parent = parent
        self.lifetime = lifetime
        self.grace_s = grace_s
        self.state = State.NEW
        self.order = Order.LIVE
        self.incarnations = 0
        self.attempts = 0  # restarts in a row without quiet between
        self.up_since = math.inf
        self.starter_waits = False
        self.start_failure: Exception | None = None
        self.stopped: Stopped | None = None
        self._reason: str | None = None
        self._scope: trio.CancelScope | None = None
        self._watchers: trio.lowlevel.ParkingLot | None = None

    @property
    def restarts(self) -> int:
        """How many incarnations there were before this one."""
        return max(0, self.incarnations - 1)

    def take_place(self) -> None:
        """Appear in the system, or raise `NameTaken`."""
        self.runtime.registry.add(self.ref)

    # --- one incarnation ---

    def expect_start(self) -> None:
        """The next incarnation is about to begin."""
        self.order = Order.LIVE
        self.start_failure = None
        self.up_since = math.inf
        self._become(State.STARTING)

    async def wait_up(self) -> None:
        """Wait for the first incarnation on behalf of its starter, and raise its failure.

        A starter that stops waiting takes the cell with it.
        """
        self.starter_waits = True
        try:
            await self.wait_state(*SETTLED)
        except trio.Cancelled:
            self.kill("its starter no longer waits")
            raise
        self.starter_waits = False
        if self.start_failure is not None:
            self.finish(Ending.CRASHED, self.start_failure)
            raise self.start_failure

    def count_attempt(self, backoff: Backoff) -> int:
        """Count a restart; which in a row, since the cell was last well for long enough."""
        if trio.current_time() - self.up_since >= backoff.reset_after_s:
            self.attempts = 0
        self.attempts += 1
        return self.attempts

    async def live(self) -> Exception | None:
        """Run one incarnation to its end and return its crash, if any.

        Cancellation from outside passes through and leaves the cell down.
        """
        crash: Exception | None = None
        cut = True
        self._scope = trio.CancelScope()
        self._press()
        try:
            with self._scope:
                await self.incarnate()
            cut = self._scope.cancelled_caught
        except Exception as error:  # noqa: BLE001 - any failure of the incarnation is its crash
            crash = error
        except BaseExceptionGroup as group:
            # Cancelled from outside while failing: the failure is ours, the rest passes.
            crash, rest = group.split(Exception)
            if rest is not None:
                raise rest from None
        finally:
            self._go_down(crash, cut=cut)
        return crash

    @abstractmethod
    async def incarnate(self) -> None:
        """Build a fresh incarnation, call `came_up`, and run it to its end."""

    def came_up(self) -> None:
        """The incarnation is at work."""
        now = trio.current_time()
        self.up_since = now
        self.incarnations += 1
        if self.state is State.STARTING:
            self._become(State.RUNNING)
        if self.incarnations == 1:
            self.runtime.events.emit(Started(self.path, now))
        else:
            self.runtime.events.emit(Restarted(self.path, now, self.incarnations - 1))

    def _go_down(self, crash: Exception | None, *, cut: bool) -> None:
        self._scope = None
        if crash is not None:
            self.runtime.events.emit(Crashed(self.path, trio.current_time(), crash))
        self._become(State.DOWN)
        if self.order is Order.KILL:
            self.finish(Ending.KILLED, crash)
        elif self.order is Order.STOP:
            orderly = Ending.STOPPED if crash is None else Ending.CRASHED
            self.finish(Ending.CUT if cut and crash is None else orderly, crash)

    # --- orders ---

    def stop_nowait(self) -> None:
        """Take in nothing more, finish what is there within the grace, end for good."""
        if self.order < Order.STOP:
            self.order = Order.STOP
            self.close_admission()
            self._press()
            if self.state in (State.NEW, State.DOWN):
                self.finish(Ending.STOPPED)

    def kill(self, reason: str) -> None:
        """Cancel what runs and end for good."""
        if self.order < Order.KILL:
            self.order = Order.KILL
            self._reason = reason
            self._press()
            if self.state in (State.NEW, State.DOWN):
                self.finish(Ending.KILLED)

    async def retire(self) -> None:
        """End the incarnation in order, keep the cell (unless it is temporary), and wait."""
        if self.lifetime is Lifetime.TEMPORARY:
            self.stop_nowait()
        elif self.order is Order.LIVE and self.state in (State.STARTING, State.RUNNING):
            self.order = Order.RETIRE
            self._press()
        await self.wait_state(State.NEW, State.DOWN, State.STOPPED)

    def _press(self) -> None:
        """Pass the order on to the incarnation, if there is one."""
        if self._scope is None or self.order is Order.LIVE:
            return
        if self.order is Order.KILL:
            self._scope.cancel(self._reason)
        else:
            self.limit_grace()
            self.wind_down()
        self._become(State.ENDING)

    def limit_grace(self) -> None:
        """From now the incarnation has its grace to end by itself."""
        assert self._scope is not None  # noqa: S101 - only while it lives
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self.grace_s)

    @abstractmethod
    def close_admission(self) -> None:
        """Take in nothing more."""

    @abstractmethod
    def wind_down(self) -> None:
        """Let the incarnation know that it shall end."""

    # --- the end ---

    def finish(self, ending: Ending, error: Exception | None = None) -> None:
        """Close the cell for good, whatever is left in it. The incarnation is down."""
        if self.stopped is not None:
            return
        self.order = Order.KILL
        now = trio.current_time()
        self.stopped = Stopped(self.path, now, ending, self._reason, error)
        self.clear()
        self.runtime.registry.remove(self.path)
        if self.parent is not None:
            self.parent.forget(self)
        self.runtime.events.emit(self.stopped)
        self._become(State.STOPPED)

    @abstractmethod
    def clear(self) -> None:
        """Let go of everything the cell holds."""

    # --- watching ---

    @abstractmethod
    def node(self) -> Node:
        """This part of the tree as it is now."""

    def snapshot(self, mailbox: MailboxStatistics | None, children: Iterable["Cell"]) -> Node:
        """A node of the tree."""
        return Node(
            name=self.name,
            path=self.path,
            kind=self.kind,
            state=self.state,
            restarts=self.restarts,
            mailbox=mailbox,
            children=tuple(cell.node() for cell in children),
        )

    async def wait_state(self, *states: State) -> None:
        """Wait until the cell is in one of these states."""
        await trio.lowlevel.checkpoint()
        while self.state not in states:
            if self._watchers is None:
                self._watchers = trio.lowlevel.ParkingLot()
            await self._watchers.park()

    async def wait_stopped(self) -> Stopped:
        """Wait for the end; at once if it has been."""
        await self.wait_state(State.STOPPED)
        assert self.stopped is not None  # noqa: S101 - set with the state
        return self.stopped

    def _become(self, state: State) -> None:
        self.state = state
        if self._watchers is not None:
            self._watchers.unpark_all()
