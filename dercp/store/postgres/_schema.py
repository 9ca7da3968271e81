"""Brings the database to the schema this release knows."""

from importlib import resources

import asyncpg

from dercp.store.errors import StoreBusy, StoreNewer, StoreUnusable
from dercp.store.postgres._bridge import Db
from dercp.store.records import Purpose

SERVER_VERSION_MIN = 14

# Of advisory locks: any constants that no other program uses.
_MIGRATION = 0x6465726370_01
_HEADEND = 0x6465726370_02
# Of a headend that was killed a moment ago, the connections end a moment later.
_HOLD_WITHIN_MS = 5_000
_SERVER = """
SELECT current_setting('server_version_num')::int / 10000 AS version,
  current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby
"""
# Durable means durable, also where the role or the server has it otherwise.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
  version    integer PRIMARY KEY,
  name       text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)
"""


async def prepare(db: Db) -> None:
    """Make a new connection fit for work.

    Raises:
        StoreUnusable: The server is none that this release works with.
    """
    server = await db.fetchrow(_SERVER)
    assert server is not None  # noqa: S101  # a row without a table
    if server["version"] < SERVER_VERSION_MIN:
        raise StoreUnusable(
            f"the server is Postgres {server['version']}; {SERVER_VERSION_MIN} or newer is needed"
        )
    if server["encoding"] != "UTF8":
        raise StoreUnusable(
            f"the database's encoding is {server['encoding']}; create one with ENCODING 'UTF8'"
        )
    await db.execute(_DURABLE)


async def hold(db: Db) -> None:
    """Keep every other headend out of the database, for as long as the connection lives.

    Raises:
        StoreBusy: Another one is in it.
    """
    await prepare(db)
    await db.execute(f"SET lock_timeout = {_HOLD_WITHIN_MS}")
    try:
        await db.execute("SELECT pg_advisory_lock($1)", _HEADEND)
    except asyncpg.LockNotAvailableError as error:
        raise StoreBusy(
            "another headend works with this database; stop that one, or give each its own"
        ) from error


async def migrate(db: Db, purpose: Purpose) -> None:
    """Apply the steps the database has not seen, all in the caller's transaction.

    What it is made for is noted when it is made. Two that start at once do it one after the
    other. A step that was released is never edited: a new one follows it.

    Raises:
        StoreNewer: The database has seen steps that this release does not know.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION)
    if await db.fetchval("SELECT to_regnamespace('dercp') IS NULL"):
        await db.execute("CREATE SCHEMA dercp")
    await db.execute(_VERSIONS)
    reached: int = await db.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
    steps = _steps()
    if reached > len(steps):
        raise StoreNewer(
            f"the database was written by a newer release (schema {reached}, this one knows "
            f"{len(steps)}); install that release, or restore the backup made before the upgrade"
        )
    is_new = reached == 0
    for version, (name, sql) in enumerate(steps[reached:], start=reached + 1):
        await db.execute(sql)
        await db.execute("INSERT INTO schema_version VALUES ($1, $2)", version, name)
    if is_new:
        await db.execute("UPDATE identity SET purpose = $1", purpose)


async def find_purpose(db: Db) -> Purpose | None:
    """What the store was made for; None: there is none.

    One that does not say may be somebody's only copy.
    """
    if await db.fetchval("SELECT to_regnamespace('dercp') IS NULL"):
        return None
    if await db.fetchval("SELECT to_regclass('dercp.identity') IS NULL"):
        return Purpose.PRODUCTION
    return Purpose(await db.fetchval("SELECT purpose FROM identity"))


async def wipe(db: Db) -> None:
    """Take away all tables, if they were made for development.

    Raises:
        StoreUnusable: They were not.
    """
    if await find_purpose(db) is Purpose.PRODUCTION:
        raise StoreUnusable("the database was not made for development, so it is not wiped")
    await db.execute("DROP SCHEMA IF EXISTS dercp CASCADE")


def _steps() -> list[tuple[str, str]]:
    """Name and text of each step, in the order of the numbers their names begin with."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(name.removesuffix(".sql"), file.read_text("utf-8")) for name, file in files]
