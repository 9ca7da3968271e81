"""The session log in SQLite."""

import apsw

from dercp.store.errors import DuplicateSession
from dercp.store.ports import SESSIONS_KEPT, check_limit
from dercp.store.records import DEFAULT_TENANT, SessionRecord
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._rows import insert, records, row_of, select
from dercp.store.sqlite._writer import GroupWriter

_OPEN = f"{insert(SessionRecord, 'session')} ON CONFLICT (session_id) DO NOTHING RETURNING 1"
_FORGET = """
DELETE FROM session WHERE tenant_id = ?1 AND agent_id = ?2 AND position <= (
  SELECT position FROM session WHERE tenant_id = ?1 AND agent_id = ?2
  ORDER BY position DESC LIMIT 1 OFFSET ?3
)
"""
_CLOSE = """
UPDATE session SET disconnected_us = ?, reason = ?, frames = ?, samples = ?, rejects = ?
WHERE session_id = ? AND disconnected_us IS NULL
"""
_CLOSE_OPEN = "UPDATE session SET disconnected_us = ?, reason = ? WHERE disconnected_us IS NULL"
_RECENT = f"""
{select(SessionRecord, "session")} WHERE tenant_id = ? AND agent_id = ?
ORDER BY position DESC LIMIT ?
"""


class SqliteSessionLog:
    """See `dercp.store.ports.SessionLog`."""

    def __init__(self, writer: GroupWriter, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def opened(self, session: SessionRecord) -> None:
        """Note a new session and forget the oldest."""

        def note(db: apsw.Connection) -> None:
            if db.execute(_OPEN, row_of(session)).get is None:
                raise DuplicateSession(session.session_id)
            db.execute(_FORGET, (session.tenant_id, session.agent_id, SESSIONS_KEPT))

        await self._writer.write(note)

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
        await self._writer.write(lambda db: db.execute(_CLOSE, end).close())

    async def close_open(self, time_us: int, reason: str) -> int:
        """End what a killed headend left open."""

        def close(db: apsw.Connection) -> int:
            db.execute(_CLOSE_OPEN, (time_us, reason))
            return db.changes()

        return await self._writer.write(close)

    async def recent(
        self, agent_id: str, limit: int, *, tenant_id: str = DEFAULT_TENANT
    ) -> tuple[SessionRecord, ...]:
        """The sessions of an agent, newest first."""
        check_limit(limit)
        return records(
            SessionRecord, await self._reader.fetch(_RECENT, (tenant_id, agent_id, limit))
        )
