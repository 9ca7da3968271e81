"""The dispatch ledger in SQLite."""

from collections.abc import Sequence

import apsw
import msgspec

from dercp.model.dispatch import AssetTarget, Dispatch, SiteTarget
from dercp.store.errors import DuplicateKey, StoreDamaged
from dercp.store.ports import COMMIT_ITEMS_MAX, check_limit
from dercp.store.records import DEFAULT_TENANT, DispatchPage, IdempotencyRecord
from dercp.store.sqlite._connection import Connection, Row
from dercp.store.sqlite._rows import insert, records, row_of, select
from dercp.store.sqlite._writer import GroupWriter

_PUT = """
INSERT INTO dispatch
  (dispatch_id, tenant_id, asset_id, site_id, state, final, created_us, until_us, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
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
SELECT position, body FROM dispatch WHERE tenant_id = ? AND position < ?
ORDER BY position DESC LIMIT ?
"""
_PAGE_OF_ASSET = """
SELECT position, body FROM dispatch WHERE tenant_id = ? AND position < ? AND asset_id = ?
ORDER BY position DESC LIMIT ?
"""
_AFTER_ALL = 2**63 - 1

_decoder = msgspec.json.Decoder(Dispatch)


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
        rows = [_row(dispatch) for dispatch in dispatches]

        def put(db: apsw.Connection) -> None:
            db.executemany(_PUT, rows)
            for key in keys:
                if db.execute(_PUT_KEY, row_of(key)).get is None:
                    taken = db.execute(_KEY, (key.tenant_id, key.key))
                    raise DuplicateKey(*records(IdempotencyRecord, taken))

        await self._writer.write(put)

    async def open(self) -> list[Dispatch]:
        """The dispatches that are not final, oldest first."""
        return [_dispatch(body) for (body,) in await self._reader.fetch(_OPEN)]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by its id."""
        rows = await self._reader.fetch(_GET, (dispatch_id,))
        return _dispatch(rows[0][0]) if rows else None

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        """An idempotency key by its text."""
        rows = await self._reader.fetch(_KEY, (tenant_id, key))
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
        start = _AFTER_ALL if before is None else before
        if asset_id is None:
            rows = await self._reader.fetch(_PAGE, (tenant_id, start, limit + 1))
        else:
            rows = await self._reader.fetch(_PAGE_OF_ASSET, (tenant_id, start, asset_id, limit + 1))
        shown = rows[:limit]
        return DispatchPage(
            dispatches=tuple(_dispatch(body) for _, body in shown),
            next_before=shown[-1][0] if len(rows) > limit else None,
        )


def _row(dispatch: Dispatch) -> Row:
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
            "keep the file for inspection and restore a backup"
        ) from error
