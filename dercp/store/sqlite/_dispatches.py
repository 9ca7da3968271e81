"""The dispatch ledger in SQLite."""

from collections.abc import Sequence
from itertools import chain

import apsw

from dercp.model.dispatch import Dispatch
from dercp.store.dispatch_row import DispatchRow, conditions, dispatch_of, dispatch_row
from dercp.store.errors import DuplicateKey
from dercp.store.ports import COMMIT_ITEMS_MAX, check_limit
from dercp.store.records import (
    DEFAULT_TENANT,
    EVERY_DISPATCH,
    DispatchFilter,
    DispatchPage,
    IdempotencyRecord,
)
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._rows import insert, insert_into, put_many, records, row_of, select
from dercp.store.sqlite._writer import GroupWriter

_PUT = insert_into(DispatchRow, "dispatch")
_PUT_ANEW = """
ON CONFLICT (dispatch_id) DO UPDATE SET
  state = excluded.state, final = excluded.final, until_us = excluded.until_us,
  body = excluded.body
"""
_PUT_KEY = f"""
{insert(IdempotencyRecord, "idempotency_key")}
ON CONFLICT (tenant_id, key) DO NOTHING RETURNING 1
"""
_KEY = f"""
{select(IdempotencyRecord, "idempotency_key")} WHERE tenant_id = ? AND key = ?
"""
_OPEN = "SELECT body FROM dispatch WHERE final = 0 ORDER BY position"
_GET = "SELECT body FROM dispatch WHERE dispatch_id = ?"
_PAGE = """
SELECT position, body FROM dispatch WHERE tenant_id = ? AND position < ? {conditions}
ORDER BY position DESC LIMIT ?
"""
_AFTER_ALL = 2**63 - 1


class SqliteDispatchLedger:
    """See `dercp.store.ports.DispatchLedger`."""

    def __init__(self, writer: GroupWriter, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def commit(
        self, dispatches: Sequence[Dispatch], keys: Sequence[IdempotencyRecord] = ()
    ) -> None:
        """Write dispatches and keys, all or nothing."""
        if max(len(dispatches), len(keys)) > COMMIT_ITEMS_MAX:
            raise ValueError(f"at most {COMMIT_ITEMS_MAX} dispatches or keys fit one commit")
        rows = [row_of(dispatch_row(dispatch)) for dispatch in dispatches]

        def put(db: apsw.Connection) -> None:
            put_many(db, _PUT, rows, _PUT_ANEW)
            for key in keys:
                if db.execute(_PUT_KEY, row_of(key)).get is None:
                    taken = db.execute(_KEY, (key.tenant_id, key.key))
                    raise DuplicateKey(*records(IdempotencyRecord, taken))

        await self._writer.write(put)

    async def open(self) -> list[Dispatch]:
        """The dispatches that are not final, oldest first."""
        return [dispatch_of(body) for (body,) in await self._reader.fetch(_OPEN)]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by its id."""
        rows = await self._reader.fetch(_GET, (dispatch_id,))
        return dispatch_of(rows[0][0]) if rows else None

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        """An idempotency key by its text."""
        rows = await self._reader.fetch(_KEY, (tenant_id, key))
        return next(iter(records(IdempotencyRecord, rows)), None)

    async def page(
        self,
        before: int | None,
        limit: int,
        which: DispatchFilter = EVERY_DISPATCH,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        """Dispatches, newest first; one more is read than shown, to know whether more follow."""
        check_limit(limit)
        asked = conditions(which)
        parts = (f"AND {column} IN ({_marks(values)}) " for column, values in asked.items())
        start = _AFTER_ALL if before is None else before
        values = (tenant_id, start, *chain(*asked.values()), limit + 1)
        rows = await self._reader.fetch(_PAGE.format(conditions="".join(parts)), values)
        shown = rows[:limit]
        return DispatchPage(
            dispatches=tuple(dispatch_of(body) for _, body in shown),
            next_before=shown[-1][0] if len(rows) > limit else None,
        )


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
