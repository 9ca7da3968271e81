"""The history of a store in Postgres, opened as the other histories are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dercp.store import HistoryLimits
from dercp.store.postgres import PostgresHistory, open_postgres


@asynccontextmanager
async def open_postgres_history(
    url: str, limits: HistoryLimits | None = None
) -> AsyncIterator[PostgresHistory]:
    """The history of the store in a database."""
    async with open_postgres(url, limits=limits) as store:
        yield store.history
