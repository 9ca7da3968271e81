"""The actor that knows who is who: admission, ownership, epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from actors import (
    Actor,
    ActorStopped,
    ChildSpec,
    Context,
    MailboxFull,
    MailboxSpec,
    OnFull,
    SupervisorRef,
    SupervisorSpec,
    open_supervisor,
)
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
from dercp.headend.roster import AgentEntry, Roster, SiteEntry
from dercp.headend.site import SiteActor
from dercp.headend.supervision import RESTART
from dercp.headend.twin import Link, Twin
from dercp.headend.views import SessionView
from dercp.store.errors import StoreError
from dercp.store.records import AgentRecord, RegistrationRecord, SessionRecord, SiteRecord
from dercp.wire.errors import WireError
from dercp.wire.registration import decode_registration
from dercp.wire.v1 import RejectCode

if TYPE_CHECKING:
    from dercp.headend.settings import HeadendSettings
    from dercp.model.time import Clock
    from dercp.store.ports import Store

log = structlog.get_logger()


class FleetActor(Actor[FleetMessage]):
    """The one writer of the roster, and the keeper of the site actors.

    An agent is admitted when its assets are its own: an asset belongs to the agent that
    registered it, and passes to another agent of the same site only while its owner is
    away (a replaced gateway). What was admitted is durable before the agent is welcomed,
    so a restarted headend knows its sites.
    """

    def __init__(
        self,
        roster: Roster,
        store: Store,
        *,
        desk: DeskRef,
        settings: HeadendSettings,
        clock: Clock,
    ) -> None:
        self._roster = roster
        self._store = store
        self._desk = desk
        self._settings = settings
        self._clock = clock

    async def on_start(self, context: Context[FleetMessage]) -> None:
        """Read the roster from the store."""
        left_open = await self._store.sessions.close_open(self._clock(), "headend_restarted")
        contents = await self._store.registry.load(tenant_id=self._settings.tenant_id)
        self._roster.clear()
        for site in contents.sites:
            self._roster.sites[site.site_id] = SiteEntry(site.site_id, site.name)
        registrations = {each.registration_id: each.content for each in contents.registrations}
        for agent in contents.agents:
            await self._restore(agent, registrations[agent.registration_id])
        if contents.agents:
            log.info(
                "fleet_restored",
                agents=len(contents.agents),
                assets=len(self._roster.twins),
                sessions_left_open=left_open,
            )

    async def run(self, context: Context[FleetMessage]) -> None:
        """Keep a site actor per site for as long as this incarnation lives."""
        spec = SupervisorSpec(name="sites", restart=RESTART)
        async with open_supervisor(context, spec) as sites:
            self._sites = sites
            for entry in self._roster.sites.values():
                entry.ref = self._start_site(entry, sites)
            await context.serve(self.handle)

    async def handle(self, message: FleetMessage) -> Admission | AdmissionRefused | None:
        """Let an agent in, or see it off."""
        match message:
            case Admit():
                return await self._admit(message)
            case SessionEnded():
                await self._end(message)
                return None
            case _:
                assert_never(message)

    # --- in

    async def _admit(self, admit: Admit) -> Admission | AdmissionRefused:
        refusal = self._refusal(admit)
        if refusal is not None:
            return AdmissionRefused(code=RejectCode.NOT_YOURS, detail=refusal)
        try:
            epoch = await self._record(admit)
        except StoreError as error:
            log.error("admission_not_recorded", agent_id=admit.agent_id, error=str(error))
            return AdmissionRefused(
                code=RejectCode.OVERLOADED, detail="the headend's store is not available"
            )
        former_ids = self._known_assets(admit.agent_id)
        agent = self._enter(admit, epoch)
        retired = tuple(sorted(former_ids - set(agent.asset_ids)))
        for asset_id in retired:
            del self._roster.twins[asset_id]
        site = self._roster.sites[agent.site_id]
        assert site.ref is not None  # noqa: S101 - a site in the roster has its actor
        twins = tuple(self._roster.twins[asset_id] for asset_id in agent.asset_ids)
        link = Link(admit.session, agent.agent_id, epoch)
        await site.ref.tell(SessionUp(link=link, twins=twins, retired=retired))
        log.info(
            "session_opened",
            agent_id=agent.agent_id,
            site_id=agent.site_id,
            epoch=epoch,
            peer=admit.facts.peer,
            assets=len(twins),
        )
        self._watch_flapping(agent)
        return Admission(session_id=admit.facts.session_id, epoch=epoch, twins=twins)

    def _refusal(self, admit: Admit) -> str | None:
        """Why these assets are not this agent's to speak for."""
        site_id = admit.registration.site_id
        agent = self._roster.agents.get(admit.agent_id)
        if agent is not None and agent.site_id != site_id:
            return f"agent {admit.agent_id} belongs to site {agent.site_id}, not {site_id}"
        for spec in admit.registration.assets:
            twin = self._roster.twins.get(spec.asset_id)
            if twin is None or twin.agent_id == admit.agent_id:
                continue
            if twin.site_id != site_id:
                return f"asset {spec.asset_id} belongs to site {twin.site_id}, not {site_id}"
            if self._roster.agents[twin.agent_id].session is not None:
                return (
                    f"asset {spec.asset_id} is spoken for by agent {twin.agent_id}, connected now"
                )
        return None

    async def _record(self, admit: Admit) -> int:
        """Make it durable; the answer is the new epoch."""
        now_us, tenant_id = self._clock(), self._settings.tenant_id
        site_id = admit.registration.site_id
        epoch = await self._store.registry.register(
            AgentRecord(
                tenant_id=tenant_id,
                agent_id=admit.agent_id,
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
        admit.facts.agent_id = admit.agent_id
        admit.facts.session_id = f"{admit.agent_id}:{epoch}"
        admit.facts.epoch = epoch
        await self._store.sessions.opened(
            SessionRecord(
                tenant_id=tenant_id,
                session_id=admit.facts.session_id,
                agent_id=admit.agent_id,
                epoch=epoch,
                peer=admit.facts.peer,
                connected_us=admit.facts.connected_us,
            )
        )
        return epoch

    def _known_assets(self, agent_id: str) -> set[str]:
        agent = self._roster.agents.get(agent_id)
        return set(agent.asset_ids) if agent is not None else set()

    def _enter(self, admit: Admit, epoch: int) -> AgentEntry:
        """Write the agent, its site and its assets into the roster; the newest session wins."""
        registration = admit.registration
        site = self._site(registration.site_id)
        site.name = registration.site_name
        agent = self._agent(admit.agent_id, registration.site_id)
        if agent.session is not None:
            self._supersede(agent, epoch)
        agent.software_version = admit.software_version
        agent.registration_id = admit.registration_id
        agent.epoch = epoch
        agent.session, agent.facts = admit.session, admit.facts
        self._enter_assets(agent, admit)
        return agent

    def _enter_assets(self, agent: AgentEntry, admit: Admit) -> None:
        for spec in admit.registration.assets:
            twin = self._roster.twins.get(spec.asset_id)
            if twin is None:
                twin = Twin(spec, site_id=agent.site_id, agent_id=agent.agent_id)
                self._roster.twins[spec.asset_id] = twin
            elif twin.agent_id != agent.agent_id:
                former = self._roster.agents[twin.agent_id]
                former.asset_ids = tuple(i for i in former.asset_ids if i != spec.asset_id)
            twin.spec, twin.agent_id = spec, agent.agent_id
        agent.asset_ids = tuple(spec.asset_id for spec in admit.registration.assets)
        admit.facts.asset_ids = agent.asset_ids

    def _supersede(self, agent: AgentEntry, epoch: int) -> None:
        """Tell the older session; one that cannot even take the message is cut."""
        assert agent.session is not None  # noqa: S101 - asked by the caller
        log.warning(
            "session_superseded", agent_id=agent.agent_id, old_epoch=agent.epoch, epoch=epoch
        )
        try:
            agent.session.tell_nowait(Superseded(epoch=epoch))
        except MailboxFull:
            agent.session.kill("superseded")
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
        facts.disconnected_us = self._clock()
        reason = facts.reason or "unknown"
        agent = self._roster.agents[ended.agent_id]
        agent.ended.appendleft(facts.view())
        if agent.facts is facts:
            agent.session = agent.facts = None
        site = self._roster.sites[agent.site_id]
        assert site.ref is not None  # noqa: S101 - a site in the roster has its actor
        await site.ref.tell(
            SessionDown(epoch=facts.epoch, asset_ids=facts.asset_ids, reason=reason)
        )
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
                facts.disconnected_us,
                reason,
                facts.frames,
                facts.samples,
                rejects=facts.rejects,
            )
        except StoreError as error:
            # It stays open in the log, and is closed there at the next start.
            log.error("session_end_not_recorded", agent_id=agent.agent_id, error=str(error))

    # --- the roster

    async def _restore(self, record: AgentRecord, content: bytes) -> None:
        try:
            registration = decode_registration(content, self._settings.registration)
        except WireError as error:
            # Limits were narrowed since: the agent must register anew.
            log.error("registration_not_restored", agent_id=record.agent_id, error=str(error))
            return
        agent = self._agent(record.agent_id, record.site_id)
        agent.software_version = record.software_version
        agent.registration_id = record.registration_id
        agent.epoch = record.epoch
        agent.asset_ids = tuple(spec.asset_id for spec in registration.assets)
        for session in reversed(
            await self._store.sessions.recent(
                record.agent_id,
                self._settings.sessions_remembered_max,
                tenant_id=self._settings.tenant_id,
            )
        ):
            agent.ended.appendleft(session_view(session))
        site = self._roster.sites[record.site_id]
        for spec in registration.assets:
            twin = Twin(spec, site_id=record.site_id, agent_id=record.agent_id)
            self._roster.twins[spec.asset_id] = site.twins[spec.asset_id] = twin

    def _agent(self, agent_id: str, site_id: str) -> AgentEntry:
        if agent_id not in self._roster.agents:
            self._roster.agents[agent_id] = AgentEntry(
                agent_id, site_id, remembered_max=self._settings.sessions_remembered_max
            )
        return self._roster.agents[agent_id]

    def _site(self, site_id: str) -> SiteEntry:
        if site_id not in self._roster.sites:
            entry = SiteEntry(site_id, "")
            entry.ref = self._start_site(entry, self._sites)
            self._roster.sites[site_id] = entry
        return self._roster.sites[site_id]

    def _start_site(self, entry: SiteEntry, sites: SupervisorRef) -> SiteRef:
        return sites.start_nowait(
            ChildSpec[SiteMessage](
                name=entry.site_id,
                factory=lambda: SiteActor(entry, desk=self._desk, settings=self._settings),
                mailbox=MailboxSpec(
                    capacity=self._settings.asset_mailbox_max, on_full=OnFull.BLOCK
                ),
            )
        )


def session_view(record: SessionRecord) -> SessionView:
    """A stored session as others see it."""
    return SessionView(
        session_id=record.session_id,
        epoch=record.epoch,
        peer=record.peer,
        connected_us=record.connected_us,
        disconnected_us=record.disconnected_us,
        reason=record.reason,
        frames=record.frames,
        samples=record.samples,
        rejects=record.rejects,
    )
