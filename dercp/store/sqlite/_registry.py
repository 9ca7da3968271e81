"""The registry in SQLite."""

from collections.abc import Sequence
from functools import partial

import apsw
import msgspec

from dercp.store.records import (
    DEFAULT_TENANT,
    AgentRecord,
    RegistrationRecord,
    RegistryContents,
    SiteRecord,
)
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._rows import insert, records, row_of, select
from dercp.store.sqlite._writer import GroupWriter

_SITES = f"{select(SiteRecord, 'site')} WHERE tenant_id = ? ORDER BY site_id"
_AGENTS = f"{select(AgentRecord, 'agent')} WHERE tenant_id = ? ORDER BY agent_id"
_REGISTRATIONS = f"""
{select(RegistrationRecord, "registration")}
WHERE registration_id IN (SELECT registration_id FROM agent WHERE tenant_id = ?)
ORDER BY registration_id
"""  # noqa: S608  # names from our own code
_OWNERS = "SELECT asset_id, agent_id FROM asset_owner WHERE tenant_id = ? ORDER BY asset_id"
_REGISTRATION = f"{select(RegistrationRecord, 'registration')} WHERE registration_id = ?"

_PUT_SITE = f"""
{insert(SiteRecord, "site")}
ON CONFLICT (tenant_id, site_id) DO UPDATE SET name = excluded.name
"""
_PUT_REGISTRATION = f"{insert(RegistrationRecord, 'registration')} ON CONFLICT DO NOTHING"
_PUT_AGENT = f"""
{insert(AgentRecord, "agent")}
ON CONFLICT (tenant_id, agent_id) DO UPDATE SET
  site_id = excluded.site_id,
  epoch = epoch + 1,
  registration_id = excluded.registration_id,
  software_version = excluded.software_version,
  spool_id = excluded.spool_id,
  last_seen_us = excluded.last_seen_us
RETURNING epoch
"""
_OWNED = "SELECT asset_id FROM asset_owner WHERE tenant_id = ? AND agent_id = ?"
_FREE = "DELETE FROM asset_owner WHERE tenant_id = ? AND asset_id = ?"
_OWN = """
INSERT INTO asset_owner (tenant_id, asset_id, agent_id) VALUES (?, ?, ?)
ON CONFLICT (tenant_id, asset_id) DO UPDATE SET agent_id = excluded.agent_id
"""


class SqliteRegistry:
    """See `dercp.store.ports.Registry`."""

    def __init__(self, writer: GroupWriter, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> RegistryContents:
        """All that is in force, at one moment."""
        return await self._reader.run(partial(_read, tenant_id))

    async def register(
        self,
        agent: AgentRecord,
        site: SiteRecord,
        registration: RegistrationRecord,
        *,
        asset_ids: Sequence[str],
    ) -> int:
        """Take an agent's handshake and return its epoch."""
        if agent.registration_id != registration.registration_id:
            raise ValueError(
                f"agent {agent.agent_id} names another registration than the one given"
            )
        if (agent.tenant_id, agent.site_id) != (site.tenant_id, site.site_id):
            raise ValueError(f"agent {agent.agent_id} names another site than {site.site_id}")
        first = msgspec.structs.replace(agent, epoch=1)

        def put(db: apsw.Connection) -> int:
            db.execute(_PUT_SITE, row_of(site))
            db.execute(_PUT_REGISTRATION, row_of(registration))
            epoch: int = db.execute(_PUT_AGENT, row_of(first)).get
            _own(db, agent, set(asset_ids))
            return epoch

        return await self._writer.write(put)

    async def remember(self, registration: RegistrationRecord) -> None:
        """Keep a registration that is not in force."""

        def put(db: apsw.Connection) -> None:
            db.execute(_PUT_REGISTRATION, row_of(registration))

        await self._writer.write(put)

    async def find_registration(self, registration_id: bytes) -> RegistrationRecord | None:
        """A registration by its id."""
        rows = await self._reader.fetch(_REGISTRATION, (registration_id,))
        return next(iter(records(RegistrationRecord, rows)), None)


def _read(tenant_id: str, db: apsw.Connection) -> RegistryContents:
    tenant = (tenant_id,)
    with db:  # one snapshot for the four queries
        sites = records(SiteRecord, db.execute(_SITES, tenant))
        agents = records(AgentRecord, db.execute(_AGENTS, tenant))
        registrations = records(RegistrationRecord, db.execute(_REGISTRATIONS, tenant))
        owners = dict(db.execute(_OWNERS, tenant))
    return RegistryContents(sites=sites, agents=agents, registrations=registrations, owners=owners)


def _own(db: apsw.Connection, agent: AgentRecord, wanted: set[str]) -> None:
    """Write what changed only: a reconnecting gateway mostly brings the assets it had."""
    tenant_id, agent_id = agent.tenant_id, agent.agent_id
    owned = {asset_id for (asset_id,) in db.execute(_OWNED, (tenant_id, agent_id))}
    db.executemany(_FREE, [(tenant_id, asset_id) for asset_id in sorted(owned - wanted)])
    db.executemany(_OWN, [(tenant_id, asset_id, agent_id) for asset_id in sorted(wanted - owned)])
