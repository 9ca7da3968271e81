"""The portfolios in SQLite."""

import msgspec

from dercp.model.portfolio import Portfolio
from dercp.store.records import DEFAULT_TENANT
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._writer import GroupWriter

_LOAD = "SELECT body FROM portfolio WHERE tenant_id = ? ORDER BY portfolio_id"
_PUT = """
INSERT INTO portfolio (tenant_id, portfolio_id, body) VALUES (?, ?, ?)
ON CONFLICT (tenant_id, portfolio_id) DO UPDATE SET body = excluded.body
"""
_REMOVE = "DELETE FROM portfolio WHERE tenant_id = ? AND portfolio_id = ?"


class SqlitePortfolios:
    """See `dercp.store.ports.Portfolios`."""

    def __init__(self, writer: GroupWriter, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> tuple[Portfolio, ...]:
        """All portfolios of a tenant, by id."""
        rows = await self._reader.fetch(_LOAD, (tenant_id,))
        return tuple(msgspec.json.decode(body, type=Portfolio) for (body,) in rows)

    async def put(self, portfolio: Portfolio, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Keep a portfolio."""
        body = msgspec.json.encode(portfolio).decode()
        row = (tenant_id, portfolio.portfolio_id, body)
        await self._writer.write(lambda db: db.execute(_PUT, row).close())

    async def remove(self, portfolio_id: str, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Forget a portfolio."""
        await self._writer.write(lambda db: db.execute(_REMOVE, (tenant_id, portfolio_id)).close())
