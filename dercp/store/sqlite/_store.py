"""Opens the data directory and puts the three roles on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dercp.store.records import Purpose, StoreStatistics
from dercp.store.sqlite._connection import Connection
from dercp.store.sqlite._dispatches import SqliteDispatchLedger
from dercp.store.sqlite._file import open_file
from dercp.store.sqlite._fuse import Fuse
from dercp.store.sqlite._lock import hold_directory
from dercp.store.sqlite._portfolios import SqlitePortfolios
from dercp.store.sqlite._purpose import purpose_of, wipe
from dercp.store.sqlite._registry import SqliteRegistry
from dercp.store.sqlite._sessions import SqliteSessionLog
from dercp.store.sqlite._writer import GroupLimits, GroupWriter

FILE_NAME = "headend.sqlite3"
_LOCK_NAME = "headend.lock"
_GROUPS = GroupLimits()


class SqliteStore:
    """The store in one SQLite file. Writers share one connection, readers the other."""

    def __init__(self, writer: GroupWriter, reader: Connection, fuse: Fuse) -> None:
        self._writer = writer
        self._fuse = fuse
        self.registry = SqliteRegistry(writer, reader)
        self.sessions = SqliteSessionLog(writer, reader)
        self.dispatches = SqliteDispatchLedger(writer, reader)
        self.portfolios = SqlitePortfolios(writer, reader)

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
async def open_sqlite(
    directory: Path, *, purpose: Purpose = Purpose.PRODUCTION, vfs: str | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`, which must exist, for the length of the block.

    Args:
        directory: The headend's data directory, on a local file system.
        purpose: What the store is made for, if it is made now.
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
    with hold_directory(directory, _LOCK_NAME):
        async with open_file(path, "headend", purpose, fuse, vfs) as (writing, reading):
            writer = GroupWriter(writing, _GROUPS)
            await writer.start()
            try:
                yield SqliteStore(writer, reading, fuse)
            finally:
                fuse.close()


def purpose_of_sqlite(directory: Path) -> Purpose | None:
    """What the store in the directory was made for; None: there is none."""
    return purpose_of(directory / FILE_NAME)


def wipe_sqlite(directory: Path) -> None:
    """Take the store in the directory away.

    Raises:
        StoreBusy: A headend works in the directory.
        StoreUnusable: It was not made for development.
    """
    wipe(directory, FILE_NAME, _LOCK_NAME)
