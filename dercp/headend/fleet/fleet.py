"""The actor that knows who is who: admission, ownership, epochs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, assert_never

import structlog
import trio

from actors import (
    Actor,
    ActorStopped,
    ChildSpec,
    Context,
    Envelope,
    MailboxFull,
    MailboxSpec,
    OnFull,
    SupervisorSpec,
    open_supervisor,
)
from dercp.headend.agents.facts import session_id
from dercp.headend.fleet.restoring import read_roster
from dercp.headend.fleet.roster import AgentEntry, Roster, SiteEntry
from dercp.headend.fleet.site import SiteActor
from dercp.headend.fleet.twin import Link
from dercp.headend.messages import (
    Admission,
    AdmissionRefused,
    Admit,
    DeskRef,
    FleetMessage,
    SessionDown,
    SessionEnded,
    SessionUp,
    SiteMessage,
    SiteRef,
    Superseded,
)
from dercp.headend.patience import until_it_answers
from dercp.headend.supervision import SITES_RESTART
from dercp.store.errors import StoreError
from dercp.store.records import AgentRecord, RegistrationRecord, SessionRecord, SiteRecord
from dercp.wire.v1 import RejectCode

if TYPE_CHECKING:
    from dercp.headend.fleet.feed import ChangeFeed
    from dercp.headend.settings import HeadendSettings
    from dercp.model.time import Clock
    from dercp.store.ports import Store

log = structlog.get_logger()


class FleetActor(Actor[FleetMessage]):
    """The one writer of the roster, and the keeper of the site actors.

    What was admitted is durable before the agent is welcomed, so a restarted headend
    knows its sites. Messages that do not concern each other are worked on at the same
    time and share their fsyncs: 200 admissions a second one by one, 2,700 together.
    """

    def __init__(
        self,
        roster: Roster,
        store: Store,
        feed: ChangeFeed,
        *,
        desk: DeskRef,
        settings: HeadendSettings,
        clock: Clock,
    ) -> None:
        self._roster = roster
        self._store = store
        self._feed = feed
        self._desk = desk
        self._settings = settings
        self._clock = clock

    async def on_start(self, context: Context[FleetMessage]) -> None:
        """Read the roster from the store."""
        left_open = await until_it_answers(self._restore, context.random)
        if self._roster.agents:
            log.info(
                "fleet_restored",
                agents=len(self._roster.agents),
                assets=len(self._roster.twins),
                sessions_left_open=left_open,
            )

    async def _restore(self) -> int:
        left_open = await self._store.sessions.close_open(self._clock(), "headend_restarted")
        await read_roster(self._store, self._roster, self._settings)
        return left_open

    async def run(self, context: Context[FleetMessage]) -> None:
        """Keep a site actor per site for as long as this incarnation lives."""
        spec = SupervisorSpec(name="sites", restart=SITES_RESTART)
        async with open_supervisor(context, spec) as sites:
            self._sites = sites
            for entry in self._roster.sites.values():
                entry.ref = self._start_site(entry)
            while batch := await context.receive_batch(self._settings.fleet_batch_max):
                waiting = deque(batch)
                while waiting:
                    async with trio.open_nursery() as nursery:
                        for envelope in self._next_group(waiting):
                            nursery.start_soon(self._work_on, envelope)

    def _next_group(self, waiting: deque[Envelope[FleetMessage]]) -> list[Envelope[FleetMessage]]:
        """Take off those at the front that have nothing to do with each other."""
        group: list[Envelope[FleetMessage]] = []
        taken: set[tuple[str, str]] = set()
        while waiting:
            concerns = self._concerns(waiting[0].body)
            if not taken.isdisjoint(concerns):
                break
            taken |= concerns
            group.append(waiting.popleft())
        return group

    def _concerns(self, message: FleetMessage) -> set[tuple[str, str]]:
        match message:
            case Admit(facts=facts, registration=registration):
                return self._roster.concerns(facts.agent_id, registration)
            case SessionEnded(facts=facts):
                return {("agent", facts.agent_id)}
            case _:
                assert_never(message)

    async def _work_on(self, envelope: Envelope[FleetMessage]) -> None:
        message = envelope.body
        match message:
            case Admit():
                envelope.reply(await self._admit(message))
            case SessionEnded():
                await self._end(message)
            case _:
                assert_never(message)

    # --- in

    async def _admit(self, admit: Admit) -> Admission | AdmissionRefused:
        agent_id, registration = admit.facts.agent_id, admit.registration
        refusal = self._roster.refusal(agent_id, registration)
        if refusal is not None:
            return AdmissionRefused(code=RejectCode.NOT_YOURS, detail=refusal)
        try:
            epoch = await self._record(admit)
        except StoreError as error:
            log.error("admission_not_recorded", agent_id=agent_id, error=str(error))
            return AdmissionRefused(
                code=RejectCode.OVERLOADED, detail="the headend's store is not available"
            )
        agent, retired = self._roster.enter(agent_id, registration)
        if agent.link is not None:
            self._supersede(agent, agent.link, epoch)
        agent.software_version = admit.software_version
        agent.link = link = Link(admit.session, agent_id, epoch)
        agent.facts = admit.facts
        admit.facts.admit(epoch, agent.asset_ids)
        self._feed.tell_agent(agent, admit.facts)
        twins = tuple(self._roster.twins[asset_id] for asset_id in agent.asset_ids)
        site = self._started(self._roster.sites[agent.site_id])
        await site.tell(SessionUp(link=link, twins=twins, retired=retired))
        log.info(
            "session_opened",
            agent_id=agent_id,
            site_id=agent.site_id,
            epoch=epoch,
            peer=admit.facts.peer,
            assets=len(twins),
        )
        self._watch_flapping(agent)
        return Admission(session_id=admit.facts.session_id, epoch=epoch, twins=twins)

    async def _record(self, admit: Admit) -> int:
        """Make it durable; the answer is the new epoch."""
        now_us, tenant_id = self._clock(), self._settings.tenant_id
        agent_id, site_id = admit.facts.agent_id, admit.registration.site_id
        epoch = await self._store.registry.register(
            AgentRecord(
                tenant_id=tenant_id,
                agent_id=agent_id,
                site_id=site_id,
                epoch=0,
                registration_id=admit.registration_id,
                software_version=admit.software_version,
                spool_id=admit.spool_id,
                first_seen_us=now_us,
                last_seen_us=now_us,
            ),
            SiteRecord(tenant_id=tenant_id, site_id=site_id, name=admit.registration.site_name),
            RegistrationRecord(
                registration_id=admit.registration_id,
                content=admit.registration_content,
                first_seen_us=now_us,
            ),
            asset_ids=[spec.asset_id for spec in admit.registration.assets],
        )
        await self._store.sessions.opened(
            SessionRecord(
                tenant_id=tenant_id,
                session_id=session_id(agent_id, epoch),
                agent_id=agent_id,
                epoch=epoch,
                peer=admit.facts.peer,
                connected_us=admit.facts.connected_us,
            )
        )
        return epoch

    def _supersede(self, agent: AgentEntry, older: Link, epoch: int) -> None:
        """Stop the older session; one that cannot even take the message is cut."""
        log.warning(
            "session_superseded", agent_id=agent.agent_id, old_epoch=older.epoch, epoch=epoch
        )
        if agent.facts is not None:
            agent.facts.end("superseded")
        try:
            older.session.tell_nowait(Superseded(epoch=epoch))
        except MailboxFull:
            older.session.kill("superseded")
        except ActorStopped:
            pass  # it is on its way out already; SessionEnded follows

    def _watch_flapping(self, agent: AgentEntry) -> None:
        since_us = self._clock() - round(self._settings.flap_window_s * 1_000_000)
        sessions = agent.sessions_since(since_us)
        if sessions >= self._settings.flaps_alarming:
            log.warning(
                "agent_flapping",
                agent_id=agent.agent_id,
                sessions=sessions,
                within_s=self._settings.flap_window_s,
            )

    # --- out

    async def _end(self, ended: SessionEnded) -> None:
        facts = ended.facts
        agent = self._roster.agents.get(facts.agent_id)
        if not facts.epoch or agent is None:
            return  # it was never let in, or this headend can no longer read its registration
        agent.remember(facts.view())
        agent.note_spool(facts.spool)
        if agent.facts is facts:
            agent.link = agent.facts = None
            self._feed.tell_agent(agent, facts)
        link, reason = Link(ended.session, facts.agent_id, facts.epoch), facts.reason or "unknown"
        site = self._started(self._roster.sites[agent.site_id])
        await site.tell(SessionDown(link=link, asset_ids=facts.asset_ids, reason=reason))
        log.info(
            "session_closed",
            agent_id=agent.agent_id,
            epoch=facts.epoch,
            reason=reason,
            detail=facts.detail,
            frames=facts.frames,
            samples=facts.samples,
            rejects=facts.rejects,
        )
        try:
            await self._store.sessions.closed(
                facts.session_id,
                facts.disconnected_us or self._clock(),
                reason,
                facts.frames,
                facts.samples,
                rejects=facts.rejects,
            )
        except StoreError as error:
            # It stays open in the log, and is closed there at the next start.
            log.error("session_end_not_recorded", agent_id=agent.agent_id, error=str(error))

    # --- sites

    def _started(self, entry: SiteEntry) -> SiteRef:
        if entry.ref is None:
            entry.ref = self._start_site(entry)
        return entry.ref

    def _start_site(self, entry: SiteEntry) -> SiteRef:
        return self._sites.start_nowait(
            ChildSpec[SiteMessage](
                name=entry.site_id,
                factory=lambda: SiteActor(
                    entry, self._roster, desk=self._desk, settings=self._settings
                ),
                mailbox=MailboxSpec(capacity=self._settings.site_mailbox_max, on_full=OnFull.BLOCK),
            )
        )
