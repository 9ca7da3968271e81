"""A store in memory which keeps the contract: for tests that live on a virtual clock.

SQLite works in a thread of its own, and threads know nothing of a virtual clock.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from msgspec.structs import replace

from dercp.model.dispatch import AssetTarget, Dispatch
from dercp.store.errors import DuplicateKey, DuplicateSession, StoreClosed, StoreFailed, StoreFull
from dercp.store.ports import COMMIT_ITEMS_MAX, SESSIONS_KEPT, check_limit
from dercp.store.records import (
    DEFAULT_TENANT,
    AgentRecord,
    DispatchPage,
    IdempotencyRecord,
    RegistrationRecord,
    RegistryContents,
    SessionRecord,
    SiteRecord,
    StoreStatistics,
)


class MemoryDisk:
    """What survives a restart.

    Attributes:
        full: Every write fails as on a full disk.
        broken: Everything fails as on a disk that is no more.
        write_takes_s: How long a write takes, on Trio's clock.
        commits: Writes so far.
        ids: Names given out by tests that want them predictable.
    """

    def __init__(self) -> None:
        self.full = False
        self.broken = False
        self.write_takes_s = 0.0
        self.ids = 0
        self.commits = 0
        self.sites: dict[tuple[str, str], SiteRecord] = {}
        self.agents: dict[tuple[str, str], AgentRecord] = {}
        self.registrations: dict[bytes, RegistrationRecord] = {}
        self.owners: dict[tuple[str, str], str] = {}
        self.sessions: dict[str, SessionRecord] = {}
        self.dispatches: dict[str, Dispatch] = {}
        self.keys: dict[tuple[str, str], IdempotencyRecord] = {}


class MemoryStore:
    """All three roles on one disk."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._closed = False

    @property
    def registry(self) -> "MemoryStore":
        return self

    @property
    def sessions(self) -> "MemoryStore":
        return self

    @property
    def dispatches(self) -> "MemoryStore":
        return self

    def statistics(self) -> StoreStatistics:
        commits = self._disk.commits
        return StoreStatistics(
            commits=commits,
            writes=commits,
            largest_group=1,
            waiting=0,
            waiting_max=1,
            failure=None,
        )

    def close(self) -> None:
        self._closed = True

    async def _reading(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise StoreClosed("the store is closed")
        if self._disk.broken:
            raise StoreFailed("input/output error in memory")

    async def _writing(self) -> None:
        await self._reading()
        if self._disk.write_takes_s:
            await trio.sleep(self._disk.write_takes_s)
        if self._disk.full:
            raise StoreFull("no space left in memory")
        self._disk.commits += 1

    # --- Registry

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> RegistryContents:
        await self._reading()
        disk = self._disk
        agents = tuple(
            record for (tenant, _), record in sorted(disk.agents.items()) if tenant == tenant_id
        )
        used = {agent.registration_id for agent in agents}
        return RegistryContents(
            sites=tuple(
                record for (tenant, _), record in sorted(disk.sites.items()) if tenant == tenant_id
            ),
            agents=agents,
            registrations=tuple(disk.registrations[each] for each in sorted(used)),
            owners={
                asset: agent
                for (tenant, asset), agent in sorted(disk.owners.items())
                if tenant == tenant_id
            },
        )

    async def register(
        self,
        agent: AgentRecord,
        site: SiteRecord,
        registration: RegistrationRecord,
        *,
        asset_ids: Sequence[str],
    ) -> int:
        if (agent.tenant_id, agent.site_id) != (site.tenant_id, site.site_id):
            raise ValueError("the agent names another site")
        if agent.registration_id != registration.registration_id:
            raise ValueError("the agent names another registration")
        await self._writing()
        disk, tenant, name = self._disk, agent.tenant_id, agent.agent_id
        former = disk.agents.get((tenant, name))
        epoch = 1 if former is None else former.epoch + 1
        first_us = agent.first_seen_us if former is None else former.first_seen_us
        disk.sites[tenant, site.site_id] = site
        disk.registrations.setdefault(registration.registration_id, registration)
        disk.agents[tenant, name] = replace(agent, epoch=epoch, first_seen_us=first_us)
        for owned in [key for key, owner in disk.owners.items() if owner == name]:
            if owned[0] == tenant:
                del disk.owners[owned]
        disk.owners |= {(tenant, asset_id): name for asset_id in asset_ids}
        return epoch

    async def find_registration(self, registration_id: bytes) -> RegistrationRecord | None:
        await self._reading()
        return self._disk.registrations.get(registration_id)

    # --- SessionLog

    async def opened(self, session: SessionRecord) -> None:
        await self._writing()
        sessions = self._disk.sessions
        if session.session_id in sessions:
            raise DuplicateSession(session.session_id)
        sessions[session.session_id] = session
        same = self._of_agent(session.agent_id, session.tenant_id)
        for forgotten in same[SESSIONS_KEPT:]:
            del sessions[forgotten.session_id]

    async def closed(
        self,
        session_id: str,
        time_us: int,
        reason: str,
        frames: int,
        samples: int,
        *,
        rejects: int = 0,
    ) -> None:
        await self._writing()
        session = self._disk.sessions.get(session_id)
        if session is not None and session.disconnected_us is None:
            self._disk.sessions[session_id] = replace(
                session,
                disconnected_us=time_us,
                reason=reason,
                frames=frames,
                samples=samples,
                rejects=rejects,
            )

    async def close_open(self, time_us: int, reason: str) -> int:
        await self._writing()
        sessions = self._disk.sessions
        left = [each for each in sessions.values() if each.disconnected_us is None]
        for session in left:
            sessions[session.session_id] = replace(session, disconnected_us=time_us, reason=reason)
        return len(left)

    async def recent(
        self, agent_id: str, limit: int, *, tenant_id: str = DEFAULT_TENANT
    ) -> tuple[SessionRecord, ...]:
        check_limit(limit)
        await self._reading()
        return tuple(self._of_agent(agent_id, tenant_id)[:limit])

    def _of_agent(self, agent_id: str, tenant_id: str) -> list[SessionRecord]:
        return [
            each
            for each in reversed(self._disk.sessions.values())
            if (each.agent_id, each.tenant_id) == (agent_id, tenant_id)
        ]

    # --- DispatchLedger

    async def commit(
        self, dispatches: Sequence[Dispatch], keys: Sequence[IdempotencyRecord] = ()
    ) -> None:
        if max(len(dispatches), len(keys)) > COMMIT_ITEMS_MAX:
            raise ValueError(f"at most {COMMIT_ITEMS_MAX} in one commit")
        await self._writing()
        taken = dict(self._disk.keys)
        for record in keys:
            if (record.tenant_id, record.key) in taken:
                raise DuplicateKey(taken[record.tenant_id, record.key])
            taken[record.tenant_id, record.key] = record
        self._disk.dispatches |= {each.dispatch_id: each for each in dispatches}
        self._disk.keys |= {(each.tenant_id, each.key): each for each in keys}

    async def open(self) -> list[Dispatch]:
        await self._reading()
        return [each for each in self._disk.dispatches.values() if not each.is_final]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        await self._reading()
        return self._disk.dispatches.get(dispatch_id)

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        await self._reading()
        return self._disk.keys.get((tenant_id, key))

    async def page(
        self,
        before: int | None,
        limit: int,
        asset_id: str | None = None,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        check_limit(limit)
        await self._reading()
        found = [
            (number, each)
            for number, each in enumerate(self._disk.dispatches.values(), 1)
            if each.tenant_id == tenant_id
            and (before is None or number < before)
            and (asset_id is None or each.request.target == AssetTarget(asset_id))
        ]
        page = found[: -limit - 1 : -1]
        more = len(found) > limit
        return DispatchPage(
            dispatches=tuple(each for _, each in page), next_before=page[-1][0] if more else None
        )


@asynccontextmanager
async def open_memory(disk: MemoryDisk) -> AsyncIterator[MemoryStore]:
    """Open what is on the disk; the same disk gives the same contents."""
    store = MemoryStore(disk)
    try:
        yield store
    finally:
        store.close()
