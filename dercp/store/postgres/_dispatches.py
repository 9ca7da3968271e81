"""The dispatch ledger in Postgres."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from dercp.model.dispatch import AssetTarget, Dispatch, SiteTarget
from dercp.store.errors import DuplicateKey, StoreBusy, StoreDamaged
from dercp.store.ports import COMMIT_ITEMS_MAX, check_limit
from dercp.store.postgres._bridge import Bridge, Db
from dercp.store.postgres._rows import columns, records, select, values_of
from dercp.store.records import DEFAULT_TENANT, DispatchPage, IdempotencyRecord

# Positions are given in the order of the arrays.
_PUT = """
INSERT INTO dispatch
  (dispatch_id, tenant_id, asset_id, site_id, state, final, created_us, until_us, body)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bigint[],
  $8::bigint[], $9::text[]
)
ON CONFLICT (dispatch_id) DO UPDATE SET
  state = excluded.state, final = excluded.final, until_us = excluded.until_us,
  body = excluded.body
RETURNING dispatch_id, xmax = 0 AS is_new, pg_current_xact_id() AS transaction
"""
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
SELECT position, body FROM dispatch WHERE tenant_id = $1 AND position < $2
ORDER BY position DESC LIMIT $3
"""
_PAGE_OF_ASSET = """
SELECT position, body FROM dispatch WHERE tenant_id = $1 AND position < $2 AND asset_id = $4
ORDER BY position DESC LIMIT $3
"""
_AFTER_ALL = 2**63 - 1

_decoder = msgspec.json.Decoder(Dispatch)


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
        rows = [_row(dispatch) for dispatch in newest.values()]
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
        return [_dispatch(row["body"]) for row in rows]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by its id."""
        await self._settle()
        body = await self._bridge.read(lambda db: db.fetchval(_GET, dispatch_id))
        return None if body is None else _dispatch(body)

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        """An idempotency key by its text."""
        await self._settle()
        rows = await self._bridge.read(lambda db: db.fetch(_KEY, tenant_id, key))
        return next(iter(records(IdempotencyRecord, rows)), None)

    async def page(
        self,
        before: int | None,
        limit: int,
        asset_id: str | None = None,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        """Dispatches, newest first; one more is read than shown, to know whether more follow."""
        check_limit(limit)
        await self._settle()
        wanted = (tenant_id, _AFTER_ALL if before is None else before, limit + 1)
        if asset_id is None:
            rows = await self._bridge.read(lambda db: db.fetch(_PAGE, *wanted))
        else:
            rows = await self._bridge.read(lambda db: db.fetch(_PAGE_OF_ASSET, *wanted, asset_id))
        shown = rows[:limit]
        return DispatchPage(
            dispatches=tuple(_dispatch(row["body"]) for row in shown),
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


def _row(dispatch: Dispatch) -> tuple[Any, ...]:
    target = dispatch.request.target
    return (
        dispatch.dispatch_id,
        dispatch.tenant_id,
        target.asset_id if isinstance(target, AssetTarget) else None,
        target.site_id if isinstance(target, SiteTarget) else None,
        dispatch.state,
        dispatch.is_final,
        dispatch.timeline[0].time_us,
        dispatch.request.until_us,
        msgspec.json.encode(dispatch).decode(),
    )


def _dispatch(body: str) -> Dispatch:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"a stored dispatch cannot be read ({error}): {body[:80]}...; "
            "keep the database for inspection and restore a backup"
        ) from error
