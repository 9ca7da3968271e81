"""Where a call becomes a session."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import trio

from actors import ChildSpec, Lifetime, MailboxSpec, OnFull, SupervisorRef
from dercp.headend.facts import SessionFacts
from dercp.headend.messages import DeskRef, FleetRef, SessionEnded, SessionMessage
from dercp.headend.session import SessionActor

if TYPE_CHECKING:
    from collections import Counter

    from dercp.headend.settings import HeadendSettings
    from dercp.link import Call
    from dercp.model.time import Clock

# The fleet's mailbox holds more than all sessions at once, so this is hardly ever waited for.
TELL_WITHIN_S = 2.0


class Gate:
    """Starts a session actor per call, and tells the fleet when it is over, however it ended."""

    def __init__(
        self,
        sessions: SupervisorRef,
        counts: Counter[str],
        *,
        fleet: FleetRef,
        desk: DeskRef,
        settings: HeadendSettings,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._counts = counts
        self._fleet = fleet
        self._desk = desk
        self._settings = settings
        self._clock = clock
        self._numbers = count(1)
        self.open_facts: dict[str, SessionFacts] = {}

    async def handle(self, call: Call) -> None:
        """One EdgeLink.Connect call, from its first byte to its last."""
        facts = SessionFacts(call.peer.address, self._clock())
        name = f"session-{next(self._numbers)}"
        session = self._sessions.start_nowait(
            ChildSpec[SessionMessage](
                name=name,
                factory=lambda: SessionActor(
                    call,
                    facts,
                    fleet=self._fleet,
                    desk=self._desk,
                    settings=self._settings,
                    clock=self._clock,
                ),
                mailbox=MailboxSpec(
                    capacity=self._settings.session_mailbox_max, on_full=OnFull.REJECT
                ),
                lifetime=Lifetime.TEMPORARY,
            )
        )
        self.open_facts[name] = facts
        try:
            stopped = await session.wait_stopped()
            facts.end(stopped.reason or str(stopped.ending))
        finally:
            session.kill("call_ended")
            del self.open_facts[name]
            facts.end("link_lost")
            self._counts.update(facts.totals())
            self._counts[f"sessions_ended_{facts.reason}"] += 1
            if facts.epoch:
                # Also when the listener is cancelled: the fleet must learn of every end.
                with trio.move_on_after(TELL_WITHIN_S, shield=True):
                    await self._fleet.tell(SessionEnded(agent_id=facts.agent_id, facts=facts))
