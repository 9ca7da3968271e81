"""The portfolios in Postgres."""

import msgspec

from dercp.model.portfolio import Portfolio
from dercp.store.postgres._bridge import Bridge
from dercp.store.records import DEFAULT_TENANT

_LOAD = "SELECT body FROM portfolio WHERE tenant_id = $1 ORDER BY portfolio_id"
_PUT = """
INSERT INTO portfolio (tenant_id, portfolio_id, body) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, portfolio_id) DO UPDATE SET body = excluded.body
"""
_REMOVE = "DELETE FROM portfolio WHERE tenant_id = $1 AND portfolio_id = $2"


class PostgresPortfolios:
    """See `dercp.store.ports.Portfolios`."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> tuple[Portfolio, ...]:
        """All portfolios of a tenant, by id."""
        rows = await self._bridge.read(lambda db: db.fetch(_LOAD, tenant_id))
        return tuple(msgspec.json.decode(row["body"], type=Portfolio) for row in rows)

    async def put(self, portfolio: Portfolio, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Keep a portfolio."""
        body = msgspec.json.encode(portfolio).decode()
        await self._bridge.write(
            lambda db: db.execute(_PUT, tenant_id, portfolio.portfolio_id, body)
        )

    async def remove(self, portfolio_id: str, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Forget a portfolio."""
        await self._bridge.write(lambda db: db.execute(_REMOVE, tenant_id, portfolio_id))
