"""One tree of actors and what belongs to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from actors._events import EventStatistics, EventStream
from actors._ref import SupervisorRef
from actors._registry import Registry
from actors._restart import Restart
from actors._runtime import Runtime
from actors._spec import SupervisorSpec
from actors._supervisor import SupervisorCell, hold
from actors._tree import Node


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """How large a system is and what its stream has carried."""

    cells: int
    events: EventStatistics


class System:
    """A running tree of actors. Made by `open_system`."""

    __slots__ = ("_cell", "_runtime")

    def __init__(self, cell: SupervisorCell, runtime: Runtime) -> None:
        self._cell = cell
        self._runtime = runtime

    @property
    def name(self) -> str:
        """The first part of every path."""
        return self._cell.name

    @property
    def root(self) -> SupervisorRef:
        """The supervisor of everything, one for one."""
        return self._cell.ref

    @property
    def events(self) -> EventStream:
        """What happens in this system."""
        return self._runtime.events

    @property
    def registry(self) -> Registry:
        """Who lives in this system."""
        return self._runtime.registry

    @property
    def random(self) -> Random:
        """The one source of randomness; give `open_system` a seed to repeat a run."""
        return self._runtime.random

    def tree(self) -> Node:
        """The whole tree as it is now."""
        return self._cell.node()

    def statistics(self) -> SystemStatistics:
        """The counts so far."""
        return SystemStatistics(len(self.registry), self.events.statistics())


@asynccontextmanager
async def open_system(
    name: str, *, seed: int | None = None, restart: Restart | None = None, grace_s: float = 30.0
) -> AsyncIterator[System]:
    """Run a tree of actors beside the block; leaving the block stops it in order.

    The block's own failure is raised after the stop. If the root gives up, the block is
    cancelled and `RestartsExceeded` raised out of it. Cancelled from outside, nothing is
    waited for but each actor's `on_stop`, within its grace.

    Args:
        name: The first part of every path.
        seed: Makes all randomness of the system repeatable.
        restart: How many restarts the root grants.
        grace_s: How long the whole stop may take before what is left is cancelled.
    """
    spec = SupervisorSpec(name=name, restart=restart or Restart(), grace_s=grace_s)
    runtime = Runtime(seed)
    cell = SupervisorCell(spec, path=name, runtime=runtime, parent=None)
    try:
        async with hold(cell, runtime.reports.run, runtime.deadlines.run):
            yield System(cell, runtime)
    finally:
        runtime.reports.flush()
