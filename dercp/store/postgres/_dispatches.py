"""The dispatch ledger in Postgres."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from dercp.model.dispatch import Dispatch
from dercp.store.dispatch_row import DispatchRow, conditions, dispatch_of, dispatch_row
from dercp.store.errors import DuplicateKey, StoreBusy
from dercp.store.ports import COMMIT_ITEMS_MAX, check_limit
from dercp.store.postgres._bridge import Bridge, Db
from dercp.store.postgres._rows import columns, records, select, values_of
from dercp.store.records import (
    DEFAULT_TENANT,
    EVERY_DISPATCH,
    DispatchFilter,
    DispatchPage,
    IdempotencyRecord,
)

# Positions are given in the order of the arrays.
_PUT = f"""
INSERT INTO dispatch ({columns(DispatchRow)})
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
  $8::text[], $9::boolean[], $10::bigint[], $11::bigint[], $12::text[]
)
ON CONFLICT (dispatch_id) DO UPDATE SET
  state = excluded.state, final = excluded.final, until_us = excluded.until_us,
  body = excluded.body
RETURNING dispatch_id, xmax = 0 AS is_new, pg_current_xact_id() AS transaction
"""  # noqa: S608  # names from our own code
# Of another server, a promoted standby, it may be a transaction that never was.
_FATE = """
SELECT CASE WHEN $1::xid8 < pg_snapshot_xmax(pg_current_snapshot())
  THEN pg_xact_status($1::xid8) END
"""
_UNDO = "DELETE FROM dispatch WHERE dispatch_id = ANY($1::text[])"
_PUT_KEYS = f"""
INSERT INTO idempotency_key ({columns(IdempotencyRecord)})
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (tenant_id, key) DO NOTHING RETURNING tenant_id, key
"""  # noqa: S608  # names from our own code
_KEY = f"""
{select(IdempotencyRecord, "idempotency_key")} WHERE tenant_id = $1 AND key = $2
"""
_OPEN = "SELECT body FROM dispatch WHERE NOT final ORDER BY position"
_GET = "SELECT body FROM dispatch WHERE dispatch_id = $1"
_PAGE = """
SELECT position, body FROM dispatch WHERE tenant_id = $1 AND position < $2 {conditions}
ORDER BY position DESC LIMIT $3
"""
_AFTER_ALL = 2**63 - 1


class _Sent(NamedTuple):
    """A commit that was sent; what becomes of it the server decides."""

    transaction: int
    new: list[str]


class PostgresDispatchLedger:
    """See `dercp.store.ports.DispatchLedger`.

    When the connection is lost during a commit, nobody knows whether it is done, and its
    caller is told that it is not. Before anything else is read or written the server is asked;
    dispatches that are in the ledger all the same are taken out of it, for their submitters
    were told that there are none, and nobody would ever end them.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._doubtful: list[_Sent] = []

    async def commit(
        self, dispatches: Sequence[Dispatch], keys: Sequence[IdempotencyRecord] = ()
    ) -> None:
        """Write dispatches and keys, all or nothing."""
        if max(len(dispatches), len(keys)) > COMMIT_ITEMS_MAX:
            raise ValueError(f"at most {COMMIT_ITEMS_MAX} dispatches or keys fit one commit")
        # One statement may not meet a row twice; of two states the later stands.
        newest = {dispatch.dispatch_id: dispatch for dispatch in dispatches}
        rows = [values_of(dispatch_row(dispatch)) for dispatch in newest.values()]
        sent: _Sent | None = None

        async def put(db: Db) -> None:
            nonlocal sent
            written = await db.fetch(_PUT, *_arrays(rows)) if rows else []
            if keys:
                await _put_keys(db, keys)
            if new := [row["dispatch_id"] for row in written if row["is_new"]]:
                sent = _Sent(written[0]["transaction"], new)

        await self._settle()
        try:
            await self._bridge.write(put)
            sent = None
        finally:
            if sent is not None:
                self._doubtful.append(sent)

    async def open(self) -> list[Dispatch]:
        """The dispatches that are not final, oldest first."""
        await self._settle()
        rows = await self._bridge.read(lambda db: db.fetch(_OPEN))
        return [dispatch_of(row["body"]) for row in rows]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by its id."""
        await self._settle()
        body = await self._bridge.read(lambda db: db.fetchval(_GET, dispatch_id))
        return None if body is None else dispatch_of(body)

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        """An idempotency key by its text."""
        await self._settle()
        rows = await self._bridge.read(lambda db: db.fetch(_KEY, tenant_id, key))
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
        await self._settle()
        asked = conditions(which)
        marks = (f"AND {column} = ANY(${number}) " for number, column in enumerate(asked, 4))
        sql = _PAGE.format(conditions="".join(marks))
        start = _AFTER_ALL if before is None else before
        wanted = (tenant_id, start, limit + 1, *asked.values())
        rows = await self._bridge.read(lambda db: db.fetch(sql, *wanted))
        shown = rows[:limit]
        return DispatchPage(
            dispatches=tuple(dispatch_of(row["body"]) for row in shown),
            next_before=shown[-1]["position"] if len(rows) > limit else None,
        )

    async def _settle(self) -> None:
        """Undo what was done of the commits that were said not to be."""
        while self._doubtful:
            sent = self._doubtful[0]
            await self._bridge.write(partial(_undo, sent))
            if self._doubtful and self._doubtful[0] is sent:
                del self._doubtful[0]


async def _undo(sent: _Sent, db: Db) -> None:
    if await db.fetchval(_FATE, sent.transaction) == "in progress":
        raise StoreBusy("a commit that was cut off is not over yet; the server ends it")
    await db.execute(_UNDO, sent.new)


async def _put_keys(db: Db, keys: Sequence[IdempotencyRecord]) -> None:
    """Write the keys; the first that was taken is the end of the transaction."""
    # In one order, so that two commits never wait for each other.
    rows = sorted(values_of(key) for key in keys)
    written = {(row["tenant_id"], row["key"]) for row in await db.fetch(_PUT_KEYS, *_arrays(rows))}
    for key in keys:
        if (key.tenant_id, key.key) in written:
            written.remove((key.tenant_id, key.key))
        else:
            raise DuplicateKey(
                *records(IdempotencyRecord, await db.fetch(_KEY, key.tenant_id, key.key))
            )


def _arrays(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """A list for each column."""
    return [list(column) for column in zip(*rows, strict=True)]
