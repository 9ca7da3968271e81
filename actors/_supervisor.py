"""Keeps children alive: starts, judges, restarts and stops them in order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import trio

from actors._actor import ActorCell, Context
from actors._cell import SETTLED, Cell, Order
from actors._errors import ActorStopped, RestartsExceeded
from actors._events import Ending, Escalated
from actors._ref import SupervisorRef
from actors._restart import RestartWindow, Strategy
from actors._spec import ChildSpec, SupervisorSpec
from actors._state import State
from actors._tree import Node

if TYPE_CHECKING:
    from actors._runtime import Runtime

M = TypeVar("M")


class SupervisorCell(Cell):
    """The cell of a supervisor. Its incarnation is a nursery with one task per child.

    The task that ran an incarnation which crashed also restarts it, with the siblings the
    strategy says. A later crash among them takes over: by construction its group covers
    whatever the interrupted restart still had to do.
    """

    __slots__ = (
        "_duty",
        "_failure",
        "_nursery",
        "_revivals",
        "_spec",
        "_window",
        "children",
        "ref",
    )

    kind = "supervisor"

    def __init__(
        self,
        spec: SupervisorSpec,
        *,
        path: str,
        runtime: "Runtime",
        parent: "SupervisorCell | None",
    ) -> None:
        super().__init__(
            spec.name,
            path,
            runtime=runtime,
            parent=parent,
            lifetime=spec.lifetime,
            grace_s=spec.grace_s,
        )
        self._spec = spec
        self._nursery: trio.Nursery | None = None
        self._duty = trio.CancelScope()
        self._failure: Exception | None = None
        self._window = RestartWindow(spec.restart)
        self._revivals: dict[Cell, trio.CancelScope] = {}
        self.children: dict[str, ActorCell[Any] | SupervisorCell] = {}
        self.ref: SupervisorRef = SupervisorRef(self)

    # --- children ---

    def take_place(self) -> None:
        """Appear in the system, with the children of the specification."""
        super().take_place()
        for child in self._spec.children:
            if isinstance(child, SupervisorSpec):
                self.add_supervisor(child)
            else:
                self.add_actor(child)

    def add_actor(self, spec: ChildSpec[M]) -> ActorCell[M]:
        """Adopt a new actor."""
        cell = ActorCell(spec, runtime=self.runtime, parent=self)
        self._adopt(cell)
        return cell

    def add_supervisor(self, spec: SupervisorSpec) -> "SupervisorCell":
        """Adopt a new supervisor."""
        cell = SupervisorCell(
            spec, path=f"{self.path}/{spec.name}", runtime=self.runtime, parent=self
        )
        self._adopt(cell)
        return cell

    def _adopt(self, cell: "ActorCell[Any] | SupervisorCell") -> None:
        """Take a child in; start it now if the supervisor is up, else with the others."""
        if self.order >= Order.STOP:
            raise ActorStopped(f"{self.path}: has stopped and starts no more children")
        cell.take_place()
        self.children[cell.name] = cell
        if self.state is State.RUNNING and not self._is_winding_down:
            self._spawn(cell)

    def forget(self, cell: Cell) -> None:
        """A child has ended for good."""
        self._revivals.pop(cell, None)
        del self.children[cell.name]

    # --- one incarnation ---

    async def incarnate(self) -> None:
        """Start the children, keep them, and take them down in order."""
        self._failure = None
        self._window = RestartWindow(self._spec.restart)
        self._revivals.clear()
        for cell in self.children.values():
            cell.start_failure = None
        self._duty = trio.CancelScope()
        if self.order is not Order.LIVE:
            self._duty.cancel("told to end before it began")
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            with self._duty:
                await trio.lowlevel.checkpoint_if_cancelled()
                await self._bring_up()
                self.came_up()
                await trio.sleep_forever()
            await self._take_down()
            nursery.cancel_scope.cancel("its supervisor is down")
        if self._failure is not None:
            raise self._failure

    async def _bring_up(self) -> None:
        """Start all children there are; what fails on the very first start fails this one."""
        if self.incarnations == 0:
            for spec in self._spec.children:
                if (cell := self.children.get(spec.name)) is not None:
                    await self._bring_up_first(cell)
        while due := [cell for cell in self.children.values() if self._is_due(cell)]:
            await trio.lowlevel.checkpoint()
            await self._start_in_order(due)

    async def _bring_up_first(self, cell: Cell) -> None:
        if not self._is_due(cell):
            return  # it crashed after coming up, or with a sibling: a restart has it in hand
        cell.starter_waits = True
        self._spawn(cell)
        await cell.wait_state(*SETTLED)
        cell.starter_waits = False
        if cell.start_failure is not None:
            self._give_up(cell.start_failure)
            await trio.lowlevel.checkpoint()  # is cancelled now

    async def _take_down(self) -> None:
        """End the children one by one, the last started first."""
        for cell in reversed(list(self.children.values())):
            if self.order >= Order.STOP:
                cell.stop_nowait()
                await cell.wait_stopped()
            else:
                await cell.retire()

    def _spawn(self, cell: Cell) -> None:
        assert self._nursery is not None  # noqa: S101 - only called from within it
        cell.expect_start()
        self._nursery.start_soon(self._tend, cell, name=cell.path)

    async def _tend(self, cell: Cell) -> None:
        """Run one incarnation of a child and decide what becomes of it."""
        crash = await cell.live()
        if cell.order is not Order.LIVE:
            return  # whoever gave the order goes on from here
        if cell.starter_waits and cell.incarnations == 0:
            cell.start_failure = crash
        elif cell.lifetime.restarts_after(crash):
            await self._restart(cell, crash)
        else:
            cell.finish(Ending.FINISHED if crash is None else Ending.CRASHED, crash)

    async def _restart(self, cell: Cell, crash: Exception | None) -> None:
        """Restart a child and those who share its fate, or give up."""
        if self._is_winding_down:
            return
        restart = self._spec.restart
        if not self._window.grants(trio.current_time()):
            exceeded = RestartsExceeded(
                f"{self.path}: {cell.name} ended, which was more than"
                f" {restart.limit} restarts in {restart.within_s:g} s: {crash!r}"
            )
            exceeded.__cause__ = crash
            self.runtime.events.emit(Escalated(self.path, trio.current_time(), exceeded))
            self._give_up(exceeded)
            return
        delay_s = restart.backoff.delay_s(cell.count_attempt(restart.backoff), self.runtime.random)
        group = self._group_of(cell)
        with trio.CancelScope() as revival:
            for member in group:
                if (interrupted := self._revivals.get(member)) is not None:
                    interrupted.cancel("a later crash restarts these and more")
                self._revivals[member] = revival
            for member in reversed(group):
                await member.retire()
            await trio.sleep(delay_s)
            await self._start_in_order(group, revival)
        for member in group:
            if self._revivals.get(member) is revival:
                del self._revivals[member]

    def _group_of(self, cell: Cell) -> list[Cell]:
        """Who is restarted with this child, in start order."""
        siblings: list[Cell] = list(self.children.values())
        match self._spec.strategy:
            case Strategy.ONE_FOR_ONE:
                return [cell]
            case Strategy.ONE_FOR_ALL:
                return siblings
            case Strategy.REST_FOR_ONE:
                return siblings[siblings.index(cell) :]
            case _:
                assert_never(self._spec.strategy)

    async def _start_in_order(
        self, cells: Sequence[Cell], revival: trio.CancelScope | None = None
    ) -> None:
        """Start those that are down and not in another restart's hand.

        Unless they are independent, each is up before the next begins. If one crashes on the
        way, its own restart takes it and those after it out of our hand.
        """
        for cell in cells:
            if self._is_winding_down:
                return
            if self._is_due(cell, revival):
                self._spawn(cell)
                if self._spec.strategy is not Strategy.ONE_FOR_ONE:
                    await cell.wait_state(*SETTLED)

    def _is_due(self, cell: Cell, revival: trio.CancelScope | None = None) -> bool:
        is_down = cell.state in (State.NEW, State.DOWN) and cell.start_failure is None
        return is_down and self._revivals.get(cell) is revival

    @property
    def _is_winding_down(self) -> bool:
        return self.order is not Order.LIVE or self._failure is not None

    def _give_up(self, failure: Exception) -> None:
        self._failure = failure
        self.limit_grace()
        self.wind_down()

    # --- orders and the end ---

    def close_admission(self) -> None:
        """Nothing to do: `add` looks at the order."""

    def wind_down(self) -> None:
        """Begin to take the children down."""
        self._duty.cancel("told to end")

    def clear(self) -> None:
        """End what children are left, the last started first."""
        for cell in reversed(list(self.children.values())):
            cell.finish(Ending.KILLED)

    def node(self) -> Node:
        """This part of the tree, for operators."""
        return self.snapshot(None, self.children.values())


@asynccontextmanager
async def open_supervisor(
    context: Context[Any], spec: SupervisorSpec
) -> AsyncIterator[SupervisorRef]:
    """Let an actor supervise children of its own, for the life of one incarnation.

    Used around `context.serve` in `run`. Leaving the block stops the children in order;
    when the supervisor gives up, the block is cancelled and `RestartsExceeded` is raised
    out of it, which crashes the actor. The children live beside their owner's mailbox, at
    `<actor's path>/<name>/...`, and are gone with the incarnation.
    """
    owner = context.cell
    cell = SupervisorCell(
        spec, path=f"{owner.path}/{spec.name}", runtime=owner.runtime, parent=None
    )
    with owner.owning(cell):
        async with hold(cell) as ref:
            yield ref


@asynccontextmanager
async def hold(
    cell: SupervisorCell, *companions: Callable[[], Awaitable[None]]
) -> AsyncIterator[SupervisorRef]:
    """Run a supervisor, and tasks that end with it, beside the block; stop it after the block."""
    failures: list[Exception] = []

    async def keep() -> None:
        crash = await cell.live()
        if crash is not None:
            failures.append(crash)
        cell.finish(Ending.STOPPED if crash is None else Ending.CRASHED, crash)
        nursery.cancel_scope.cancel("its supervisor has ended")

    cell.take_place()
    try:
        async with trio.open_nursery() as nursery:
            cell.expect_start()
            nursery.start_soon(keep, name=cell.path)
            for companion in companions:
                nursery.start_soon(companion)
            await cell.wait_state(*SETTLED)
            await trio.lowlevel.checkpoint_if_cancelled()  # it may not have come up
            try:
                yield cell.ref
            except Exception as failure:  # noqa: BLE001 - raised below, after an ordered stop
                failures.append(failure)
            cell.stop_nowait()
            await trio.sleep_forever()  # until `keep` is done
    finally:
        cell.finish(Ending.KILLED)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup(f"{cell.path}: the supervisor and its block failed", failures)
