"""Fills the roster from the store, when the headend or its fleet starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from dercp.headend.views import SessionView
from dercp.wire.errors import WireError
from dercp.wire.registration import decode_registration

if TYPE_CHECKING:
    from dercp.headend.fleet.roster import Roster
    from dercp.headend.settings import HeadendSettings
    from dercp.model.asset import AssetSpec
    from dercp.store.ports import Store
    from dercp.store.records import AgentRecord, SessionRecord

log = structlog.get_logger()


async def read_roster(store: Store, roster: Roster, settings: HeadendSettings) -> None:
    """Replace the roster by what the store holds. Nobody sees it half filled."""
    contents = await store.registry.load(tenant_id=settings.tenant_id)
    recent = {
        agent.agent_id: await store.sessions.recent(
            agent.agent_id, settings.sessions_remembered_max, tenant_id=settings.tenant_id
        )
        for agent in contents.agents
    }
    contents_by_id = {each.registration_id: each.content for each in contents.registrations}
    owned = {
        agent.agent_id: [
            spec
            for spec in _registered(agent, contents_by_id[agent.registration_id], settings)
            # Others may have been taken over by another agent since.
            if contents.owners.get(spec.asset_id) == agent.agent_id
        ]
        for agent in contents.agents
    }
    roster.clear()
    for site in contents.sites:
        roster.site(site.site_id).name = site.name
    for record in contents.agents:
        agent = roster.agent(record.agent_id, record.site_id)
        agent.software_version = record.software_version
        roster.own(agent, owned[record.agent_id])
        for session in reversed(recent[record.agent_id]):
            agent.remember(_view(session))


def _registered(
    agent: AgentRecord, content: bytes, settings: HeadendSettings
) -> tuple[AssetSpec, ...]:
    try:
        return decode_registration(content, settings.registration).assets
    except WireError as error:
        # The limits were narrowed since; its assets are back when it registers anew.
        log.error("registration_not_restored", agent_id=agent.agent_id, error=str(error))
        return ()


def _view(record: SessionRecord) -> SessionView:
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
