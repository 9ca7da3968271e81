"""The store and the history in Postgres.

Needs the extra `postgres` (asyncpg, trio-asyncio), so nothing here is imported by
`dercp.store`. The tables are in the schema `dercp`; `dercp.samples` is for everybody with SQL.
"""

from dercp.store.errors import StoreUnusable

try:
    from dercp.store.postgres._bridge import PostgresSettings
    from dercp.store.postgres._errors import place_of
    from dercp.store.postgres._history import PostgresHistory
    from dercp.store.postgres._store import (
        PostgresStore,
        open_postgres,
        purpose_of_postgres,
        wipe_postgres,
    )
except ModuleNotFoundError as missing:
    raise StoreUnusable(
        f"store.url names Postgres, and {missing.name} is not here: pip install 'dercp[postgres]'"
    ) from missing

__all__ = [
    "PostgresHistory",
    "PostgresSettings",
    "PostgresStore",
    "open_postgres",
    "place_of",
    "purpose_of_postgres",
    "wipe_postgres",
]
