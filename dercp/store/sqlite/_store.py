"""Opens the data directory and puts the three roles on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from dercp.store.errors import StoreUnusable
from dercp.store.records import StoreStatistics
from dercp.store.sqlite._connection import Connection, connect
from dercp.store.sqlite._dispatches import SqliteDispatchLedger
from dercp.store.sqlite._fuse import Fuse
from dercp.store.sqlite._lock import hold_directory
from dercp.store.sqlite._registry import SqliteRegistry
from dercp.store.sqlite._schema import migrate
from dercp.store.sqlite._sessions import SqliteSessionLog
from dercp.store.sqlite._writer import GroupWriter

FILE_NAME = "headend.sqlite3"

_BUSY_TIMEOUT_MS = 5_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024


class SqliteStore:
    """The store in one SQLite file. Writers share one connection, readers the other."""

    def __init__(self, writer: GroupWriter, reader: Connection, fuse: Fuse) -> None:
        self._writer = writer
        self._fuse = fuse
        self.registry = SqliteRegistry(writer, reader)
        self.sessions = SqliteSessionLog(writer, reader)
        self.dispatches = SqliteDispatchLedger(writer, reader)

    def statistics(self) -> StoreStatistics:
        """What was done since opening."""
        return StoreStatistics(
            commits=self._writer.commits,
            writes=self._writer.writes,
            largest_group=self._writer.largest_group,
            waiting=self._writer.waiting,
            waiting_max=self._writer.waiting_max,
            failure=self._fuse.failure,
        )


@asynccontextmanager
async def open_sqlite(directory: Path, *, vfs: str | None = None) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`, which must exist, for the length of the block.

    Args:
        directory: The headend's data directory, on a local file system.
        vfs: A registered SQLite VFS other than the system's; for tests of failing disks.

    Raises:
        StoreUnusable: The directory or the file cannot be used.
        StoreBusy: Another headend works in the directory.
        StoreNewer: A newer release wrote the file.
        StoreDamaged: The file is no SQLite database, or a broken one.
        StoreFull: No room to begin.
        StoreFailed: The disk failed.
    """
    path = directory / FILE_NAME
    fuse = Fuse(path)
    with hold_directory(directory):
        async with connect(path, fuse, vfs) as writing, connect(path, fuse, vfs) as reading:
            await writing.run(lambda db: _prepare(db, path))
            await reading.run(_make_reader)
            writer = GroupWriter(writing)
            await writer.start()
            try:
                yield SqliteStore(writer, reading, fuse)
            finally:
                fuse.close()


def _prepare(db: apsw.Connection, path: Path) -> None:
    """Settings of the writing connection, the schema, and a clean start."""
    db.set_busy_timeout(_BUSY_TIMEOUT_MS)
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
    migrate(db, path)


def _make_reader(db: apsw.Connection) -> None:
    db.set_busy_timeout(_BUSY_TIMEOUT_MS)
    db.pragma("query_only", "on")
