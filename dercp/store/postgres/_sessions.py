"""The session log in Postgres."""

from dercp.store.errors import DuplicateSession
from dercp.store.ports import SESSIONS_KEPT, check_limit
from dercp.store.postgres._bridge import Bridge, Db
from dercp.store.postgres._rows import insert, records, select, values_of
from dercp.store.records import DEFAULT_TENANT, SessionRecord

_OPEN = f"{insert(SessionRecord, 'session')} ON CONFLICT (session_id) DO NOTHING RETURNING 1"
_FORGET = """
DELETE FROM session WHERE tenant_id = $1 AND agent_id = $2 AND position <= (
  SELECT position FROM session WHERE tenant_id = $1 AND agent_id = $2
  ORDER BY position DESC LIMIT 1 OFFSET $3
)
"""
_CLOSE = """
UPDATE session SET disconnected_us = $1, reason = $2, frames = $3, samples = $4, rejects = $5
WHERE session_id = $6 AND disconnected_us IS NULL
"""
_CLOSE_OPEN = """
WITH ended AS (
  UPDATE session SET disconnected_us = $1, reason = $2 WHERE disconnected_us IS NULL RETURNING 1
)
SELECT count(*) FROM ended
"""
_RECENT = f"""
{select(SessionRecord, "session")} WHERE tenant_id = $1 AND agent_id = $2
ORDER BY position DESC LIMIT $3
"""


class PostgresSessionLog:
    """See `dercp.store.ports.SessionLog`."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def opened(self, session: SessionRecord) -> None:
        """Note a new session and forget the oldest."""

        async def note(db: Db) -> None:
            if await db.fetchval(_OPEN, *values_of(session)) is None:
                raise DuplicateSession(session.session_id)
            await db.execute(_FORGET, session.tenant_id, session.agent_id, SESSIONS_KEPT)

        await self._bridge.write(note)

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
        """Note the end of a session."""
        end = (time_us, reason, frames, samples, rejects, session_id)
        await self._bridge.write(lambda db: db.execute(_CLOSE, *end))

    async def close_open(self, time_us: int, reason: str) -> int:
        """End what a killed headend left open."""
        count: int = await self._bridge.write(lambda db: db.fetchval(_CLOSE_OPEN, time_us, reason))
        return count

    async def recent(
        self, agent_id: str, limit: int, *, tenant_id: str = DEFAULT_TENANT
    ) -> tuple[SessionRecord, ...]:
        """The sessions of an agent, newest first."""
        check_limit(limit)
        return records(
            SessionRecord,
            await self._bridge.read(lambda db: db.fetch(_RECENT, tenant_id, agent_id, limit)),
        )
