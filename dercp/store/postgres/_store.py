"""Opens the database and puts the roles on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from dercp.store.ports import RowsOf
from dercp.store.postgres._bridge import Bridge, Db, PostgresSettings, open_bridge
from dercp.store.postgres._days import make_days_ahead
from dercp.store.postgres._dispatches import PostgresDispatchLedger
from dercp.store.postgres._extent import Extent, read_extent
from dercp.store.postgres._history import PostgresHistory
from dercp.store.postgres._portfolios import PostgresPortfolios
from dercp.store.postgres._registry import PostgresRegistry
from dercp.store.postgres._schema import find_purpose, hold, migrate, prepare, wipe
from dercp.store.postgres._sessions import PostgresSessionLog
from dercp.store.records import HistoryLimits, PostgresStatistics, Purpose, StoreStatistics

_IDENTITY = "SELECT identity::text FROM identity"


class PostgresStore:
    """The store in one Postgres database, and its history.

    Attributes:
        identity: Made with the tables: another one is another history, and an empty one.
    """

    def __init__(self, bridge: Bridge, identity: str, history: PostgresHistory) -> None:
        self._bridge = bridge
        self.identity = identity
        self.registry = PostgresRegistry(bridge)
        self.sessions = PostgresSessionLog(bridge)
        self.dispatches = PostgresDispatchLedger(bridge)
        self.portfolios = PostgresPortfolios(bridge)
        self.history = history

    def statistics(self) -> StoreStatistics:
        """What was done since opening."""
        bridge = self._bridge
        return StoreStatistics(
            commits=bridge.commits,
            writes=bridge.commits,
            largest_group=min(1, bridge.commits),
            waiting=bridge.waiting,
            waiting_max=bridge.waiting_max,
            failure=bridge.away,
        )

    def server(self) -> PostgresStatistics:
        """How it goes with the server, and what was projected."""
        return PostgresStatistics(
            place=self._bridge.place,
            connects=self._bridge.connects,
            away=self._bridge.away,
            rows=self.history.rows,
            unreadable=self.history.unreadable,
        )


@asynccontextmanager
async def open_postgres(
    url: str,
    *,
    limits: HistoryLimits | None = None,
    rows_of: RowsOf | None = None,
    purpose: Purpose = Purpose.PRODUCTION,
    settings: PostgresSettings | None = None,
) -> AsyncIterator[PostgresStore]:
    """Open the store in a database, which must exist, for the length of the block.

    Args:
        url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with asyncpg's options. The user
            must be allowed to make the schema `dercp`. Several hosts may be given, with
            `target_session_attrs=read-write`. No pooler that shares connections between
            transactions may stand between.
        limits: How much history is kept.
        rows_of: Reads the rows of `dercp.samples` out of frames; None leaves it empty.
        purpose: What the store is made for, if it is made now.
        settings: Connections and times.

    Raises:
        StoreBusy: Another headend works with the database.
        StoreUnusable: URL, user, password, database or server cannot be right.
        StoreNewer: A newer release wrote the database.
        StoreAway: The server cannot be reached now.
        StoreError: As the ports say.
    """
    limits = limits or HistoryLimits()
    async with open_bridge(url, settings or PostgresSettings(), prepare, hold) as bridge:
        identity, extent = await bridge.write(partial(_begin, purpose))
        bridge.commits = 0  # what is counted begins now
        history = PostgresHistory(bridge, limits, rows_of, extent)
        yield PostgresStore(bridge, identity, history)


async def purpose_of_postgres(url: str) -> Purpose | None:
    """What the store in the database was made for; None: there is none.

    Raises:
        StoreError: As `open_postgres`.
    """
    async with open_bridge(url, PostgresSettings(), prepare) as bridge:
        return await bridge.read(find_purpose)


async def wipe_postgres(url: str) -> None:
    """Take the store in the database away.

    Raises:
        StoreBusy: A headend works with the database.
        StoreUnusable: It was not made for development.
        StoreError: As `open_postgres`.
    """
    async with open_bridge(url, PostgresSettings(), prepare, hold) as bridge:
        await bridge.write(wipe)


async def _begin(purpose: Purpose, db: Db) -> tuple[str, Extent]:
    await migrate(db, purpose)
    await make_days_ahead(db)
    return await db.fetchval(_IDENTITY), await read_extent(db)
