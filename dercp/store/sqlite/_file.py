"""Opens an SQLite file with the settings that every file of the headend has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import apsw

from dercp.store.errors import StoreUnusable
from dercp.store.records import Purpose
from dercp.store.sqlite._connection import Connection, connect
from dercp.store.sqlite._fuse import Fuse
from dercp.store.sqlite._schema import migrate

_BUSY_TIMEOUT_MS = 5_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024


@asynccontextmanager
async def open_file(
    path: Path, kind: str, purpose: Purpose, fuse: Fuse, vfs: str | None
) -> AsyncIterator[tuple[Connection, Connection]]:
    """A writing and a reading connection to the file, at its newest schema.

    Args:
        path: Made if it is not there.
        kind: The folder of its migrations.
        purpose: Noted if it is made.
        fuse: Blown when the disk fails.
        vfs: A registered SQLite VFS other than the system's.
    """
    async with connect(path, fuse, vfs) as writing, connect(path, fuse, vfs) as reading:
        await writing.run(partial(_prepare, path, kind, purpose))
        await reading.run(_make_reader)
        yield writing, reading


def _prepare(path: Path, kind: str, purpose: Purpose, db: apsw.Connection) -> None:
    """Settings of the writing connection, the schema, and a clean start."""
    db.set_busy_timeout(_BUSY_TIMEOUT_MS)
    # Works on a new file only, and costs nothing until somebody asks for the room back.
    db.pragma("auto_vacuum", "incremental")
    mode = db.pragma("journal_mode", "wal")
    if mode != "wal":
        raise StoreUnusable(
            f"{path}: its file system cannot share memory (journal mode stayed {mode}); "
            "use a local disk for the data directory"
        )
    db.pragma("synchronous", "full")
    db.pragma("foreign_keys", "on")
    db.pragma("journal_size_limit", _WAL_BYTES_KEPT)
    db.wal_autocheckpoint(0)
    # A transaction whose fsync failed may lie in the WAL, seen but not on the disk. What
    # follows it there could be lost with it; so everything is written out afresh.
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    migrate(db, path, kind, purpose)


def _make_reader(db: apsw.Connection) -> None:
    db.set_busy_timeout(_BUSY_TIMEOUT_MS)
    db.pragma("query_only", "on")
