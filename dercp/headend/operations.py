"""What the operator of the headend itself looks at: totals, the tree, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import Crashed, DeadLetter, Escalated, Overflowed, Restarted, State
from dercp.headend.views import DrainView, SpoolSums, SystemView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors import Event, Node, Ref, System
    from dercp.headend.agents.facts import SessionFacts
    from dercp.headend.agents.gate import Gate
    from dercp.headend.agents.listener import Door
    from dercp.headend.parts import Ground
    from dercp.headend.views import SpoolView


class HeadendOperations:
    """Reads every part's own counters when asked; nothing is counted twice."""

    def __init__(
        self,
        system: System,
        ground: Ground,
        gate: Gate,
        door: Door,
        core: Iterable[Ref[Any]],
    ) -> None:
        self._system = system
        self._roster = ground.roster
        self._gate = gate
        self._door = door
        self._book = ground.book
        self._store = ground.store
        self._history = ground.history
        self._drain = ground.drain
        self._clock = ground.clock
        self._counts = ground.counts
        self._core = tuple(core)
        self.draining = False

    def system(self) -> SystemView:
        """Totals, and whether the headend takes sessions and dispatches."""
        twins, agents = self._roster.twins.values(), self._roster.agents.values()
        drain = self._drain_view()
        return SystemView(
            not_ready_because=self._not_ready_because(),
            degraded_because=self._degraded_because(drain),
            drain=drain,
            assets=len(twins),
            assets_online=sum(twin.link is not None for twin in twins),
            agents_connected=sum(agent.facts is not None for agent in agents),
            spools=_sums(agent.spool.view() for agent in agents if agent.spool is not None),
        )

    def _drain_view(self) -> DrainView | None:
        if self._drain is None:
            return None
        held = self._history.statistics()
        return self._drain.view(self._clock(), held.bytes / max(1, held.frames))

    def _not_ready_because(self) -> str:
        if self.draining:
            return "the headend is being stopped"
        failure = self._history.statistics().failure
        if failure is not None:
            return f"the ingest log has failed: {failure}"
        if self._drain is None and (trouble := self._store_trouble()):
            return trouble
        for part in self._core:
            if part.statistics().state is not State.RUNNING:
                return f"{part.name} is being restarted"
        if self._door.server is None or self._door.server.draining:
            return "the gRPC listener is not up"
        return ""

    def _degraded_because(self, drain: DrainView | None) -> str:
        """With a store elsewhere, much goes on without it."""
        if drain is None:
            return ""
        waiting, trouble = drain.degraded_because(self._clock()), self._store_trouble()
        if waiting and drain.last_error in trouble:
            return waiting  # one cause is told once
        return "; ".join(each for each in (trouble, waiting) if each)

    def _store_trouble(self) -> str:
        failure = self._store.statistics().failure
        if failure is not None:
            return f"the store has failed: {failure}"
        if self._book.stuck_because:
            return f"dispatches cannot be written: {self._book.stuck_because}"
        return ""

    def tree(self) -> Node:
        """The actors as they are now."""
        return self._system.tree()

    def counters(self) -> Mapping[str, float]:
        """Monotonic totals by name."""
        totals: dict[str, float] = dict(self._counts)
        _add_sessions(totals, self._gate.open_facts.values())
        store, history = self._store.statistics(), self._history.statistics()
        totals |= {
            "store_commits": store.commits,
            "store_writes": store.writes,
            "history_commits": history.commits,
            "history_frames_corrupt": history.corrupt,
        }
        return totals | self._door.totals()

    def note(self, event: Event) -> None:
        """Count what happens to actors; a listener of the system's event stream."""
        match event:
            case Crashed():
                self._counts["actor_crashes"] += 1
            case Restarted():
                self._counts["actor_restarts"] += 1
            case Escalated():
                self._counts["actor_escalations"] += 1
            case Overflowed(count=count):
                self._counts["mailbox_overflows"] += count
            case DeadLetter(count=count):
                self._counts["dead_letters"] += count
            case _:
                pass


def _sums(spools: Iterable[SpoolView]) -> SpoolSums:
    told = tuple(spools)
    return SpoolSums(
        batches=sum(spool.batches for spool in told),
        bytes=sum(spool.bytes for spool in told),
        dropped_samples=sum(spool.dropped_samples for spool in told),
        in_trouble=sum(bool(spool.trouble) for spool in told),
        oldest_age_s=max((spool.oldest_age_s or 0.0 for spool in told), default=0.0),
    )


def _add_sessions(totals: dict[str, float], running: Iterable[SessionFacts]) -> None:
    """Running sessions count themselves; the totals hold the ended ones."""
    for facts in running:
        for name, amount in facts.totals().items():
            totals[name] = totals.get(name, 0) + amount
