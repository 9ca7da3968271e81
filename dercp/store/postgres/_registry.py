"""The registry in Postgres."""

from collections.abc import Sequence
from functools import partial

import msgspec

from dercp.store.postgres._bridge import Bridge, Db
from dercp.store.postgres._rows import insert, records, select, values_of
from dercp.store.records import (
    DEFAULT_TENANT,
    AgentRecord,
    RegistrationRecord,
    RegistryContents,
    SiteRecord,
)

_SITES = f"{select(SiteRecord, 'site')} WHERE tenant_id = $1 ORDER BY site_id"
_AGENTS = f"{select(AgentRecord, 'agent')} WHERE tenant_id = $1 ORDER BY agent_id"
_REGISTRATIONS = f"""
{select(RegistrationRecord, "registration")}
WHERE registration_id IN (SELECT registration_id FROM agent WHERE tenant_id = $1)
ORDER BY registration_id
"""  # noqa: S608  # names from our own code
_OWNERS = "SELECT asset_id, agent_id FROM asset_owner WHERE tenant_id = $1 ORDER BY asset_id"
_REGISTRATION = f"{select(RegistrationRecord, 'registration')} WHERE registration_id = $1"

_PUT_SITE = f"""
{insert(SiteRecord, "site")}
ON CONFLICT (tenant_id, site_id) DO UPDATE SET name = excluded.name
"""
_PUT_REGISTRATION = f"{insert(RegistrationRecord, 'registration')} ON CONFLICT DO NOTHING"
_PUT_AGENT = f"""
{insert(AgentRecord, "agent")}
ON CONFLICT (tenant_id, agent_id) DO UPDATE SET
  site_id = excluded.site_id,
  epoch = old.epoch + 1,
  registration_id = excluded.registration_id,
  software_version = excluded.software_version,
  spool_id = excluded.spool_id,
  last_seen_us = excluded.last_seen_us
RETURNING epoch
"""
_FREE = """
DELETE FROM asset_owner WHERE tenant_id = $1 AND agent_id = $2 AND asset_id <> ALL($3::text[])
"""
# Only what changes is written: a reconnecting gateway mostly brings the assets it had.
_OWN = """
INSERT INTO asset_owner AS old (tenant_id, asset_id, agent_id)
SELECT $1, asset_id, $2 FROM unnest($3::text[]) AS asset_id
ON CONFLICT (tenant_id, asset_id) DO UPDATE SET agent_id = excluded.agent_id
WHERE old.agent_id <> excluded.agent_id
"""


class PostgresRegistry:
    """See `dercp.store.ports.Registry`."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> RegistryContents:
        """All that is in force, at one moment."""
        return await self._bridge.snapshot(partial(_read, tenant_id))

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
        assets = sorted(set(asset_ids))

        async def put(db: Db) -> int:
            await db.execute(_PUT_SITE, *values_of(site))
            await db.execute(_PUT_REGISTRATION, *values_of(registration))
            epoch: int = await db.fetchval(_PUT_AGENT, *values_of(first))
            await db.execute(_FREE, agent.tenant_id, agent.agent_id, assets)
            await db.execute(_OWN, agent.tenant_id, agent.agent_id, assets)
            return epoch

        return await self._bridge.write(put)

    async def remember(self, registration: RegistrationRecord) -> None:
        """Keep a registration that is not in force."""
        await self._bridge.write(lambda db: db.execute(_PUT_REGISTRATION, *values_of(registration)))

    async def find_registration(self, registration_id: bytes) -> RegistrationRecord | None:
        """A registration by its id."""
        rows = await self._bridge.read(lambda db: db.fetch(_REGISTRATION, registration_id))
        return next(iter(records(RegistrationRecord, rows)), None)


async def _read(tenant_id: str, db: Db) -> RegistryContents:
    return RegistryContents(
        sites=records(SiteRecord, await db.fetch(_SITES, tenant_id)),
        agents=records(AgentRecord, await db.fetch(_AGENTS, tenant_id)),
        registrations=records(RegistrationRecord, await db.fetch(_REGISTRATIONS, tenant_id)),
        owners={row["asset_id"]: row["agent_id"] for row in await db.fetch(_OWNERS, tenant_id)},
    )
