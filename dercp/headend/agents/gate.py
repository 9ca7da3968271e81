"""Where a call becomes a session."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import structlog
import trio

from actors import ActorStopped, ChildSpec, Lifetime, MailboxSpec, OnFull, SupervisorRef
from dercp.headend.agents.facts import SessionFacts
from dercp.headend.agents.session import SessionActor
from dercp.headend.messages import DeskRef, FleetRef, SessionEnded, SessionMessage, SessionRef
from dercp.link import LinkError, Status

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from dercp.headend.agents.intake import Intake
    from dercp.headend.settings import HeadendSettings
    from dercp.link import Call
    from dercp.model.time import Clock

log = structlog.get_logger()

# The fleet's mailbox holds more than all sessions at once, so this is hardly ever waited for.
TELL_WITHIN_S = 2.0


class Gate:
    """Starts a session actor per call, and tells the fleet when it is over, however it ended.

    Attributes:
        open_facts: Of the sessions that run, by the names of their actors.
    """

    def __init__(
        self,
        sessions: SupervisorRef,
        counts: Counter[str],
        *,
        new_intake: Callable[[SessionFacts], Intake],
        fleet: FleetRef,
        desk: DeskRef,
        settings: HeadendSettings,
        clock: Clock,
    ) -> None:
        self._new_intake = new_intake
        self._sessions = sessions
        self._counts = counts
        self._fleet = fleet
        self._desk = desk
        self._settings = settings
        self._clock = clock
        self._numbers = count(1)
        self.open_facts: dict[str, SessionFacts] = {}

    async def handle(self, call: Call) -> None:
        """One EdgeLink.Connect call, from its first byte to its last.

        Raises:
            LinkError: UNAVAILABLE: no more sessions are taken.
        """
        facts = SessionFacts(call.peer.address, self._clock())
        try:
            session = self._start(call, facts)
        except ActorStopped as error:
            raise LinkError(Status.UNAVAILABLE, "the headend is stopping") from error
        self.open_facts[session.name] = facts
        try:
            stopped = await session.wait_stopped()
            facts.end(stopped.reason or str(stopped.ending))
        finally:
            # Also when the listener is cancelled: the fleet must learn of every end.
            with trio.CancelScope(shield=True):
                await self._see_off(session, facts)

    def _start(self, call: Call, facts: SessionFacts) -> SessionRef:
        return self._sessions.start_nowait(
            ChildSpec[SessionMessage](
                name=f"session-{next(self._numbers)}",
                factory=lambda: SessionActor(
                    call,
                    facts,
                    intake=self._new_intake(facts),
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

    async def _see_off(self, session: SessionRef, facts: SessionFacts) -> None:
        """Count it and tell of it once it counts no more itself."""
        session.kill("link_lost")
        await session.wait_stopped()
        facts.end("link_lost")
        facts.disconnected_us = self._clock()
        del self.open_facts[session.name]
        self._counts.update(facts.totals())
        self._counts[f"sessions_ended_{facts.reason}"] += 1
        if not facts.agent_id:
            return  # it never asked for admission
        with trio.move_on_after(TELL_WITHIN_S) as waiting, suppress(ActorStopped):
            await self._fleet.tell(SessionEnded(session=session, facts=facts))
        if waiting.cancelled_caught:
            # Shown as connected until the agent comes again.
            log.error("session_end_not_told", agent_id=facts.agent_id, epoch=facts.epoch)
