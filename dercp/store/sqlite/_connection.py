"""One SQLite connection on a thread of its own."""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw
import apsw.aio
import trio

from dercp.store.sqlite._fuse import Fuse

T = TypeVar("T")

Row = tuple[Any, ...]
"""Values of one row. Their types are the schema's (STRICT tables), which Python cannot see."""


class Connection:
    """Runs whole pieces of database work on the connection's thread, one hop each.

    apsw can await every statement, but a hop costs about 70 µs and a statement 2; a
    transaction is therefore one call.
    """

    def __init__(self, raw: "apsw.AsyncConnection", fuse: Fuse) -> None:
        self._raw = raw
        self._fuse = fuse

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """The result of `work`, called with the connection on its thread.

        Cancelled, it interrupts reading; writers shield it.

        Raises:
            StoreError: What SQLite said, in our words.
        """
        self._fuse.check()
        # apsw would raise TooSlowError at the caller's deadline; Trio's cancellation is enough.
        outer = apsw.aio.deadline.set(math.inf)
        try:
            # On its own thread the same object works synchronously.
            value: T = await self._raw.async_run(work, self._raw)
        except apsw.ConstraintError:
            raise  # a mistake of ours, not of the disk
        except apsw.Error as error:
            raise self._fuse.judge(error) from error
        finally:
            apsw.aio.deadline.reset(outer)
        return value

    async def fetch(self, sql: str, bindings: Row = ()) -> list[Row]:
        """All rows of a query; its text bounds how many."""
        return await self.run(lambda db: db.execute(sql, bindings).fetchall())


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """One write transaction: committed at the end of the block, undone if that raises.

    apsw's own `with db:` is for reading: where SQLite has ended a transaction by itself (a
    full disk), it complains that there is none to roll back and hides the cause.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except Exception:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(db: apsw.Connection) -> Iterator[None]:
    """All reads of the block as of one moment, but after a sector that could not be read.

    SQLite ends the transaction there by itself; what is read then is newer.
    """
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@asynccontextmanager
async def connect(path: Path, fuse: Fuse, vfs: str | None) -> AsyncIterator[Connection]:
    """Open a connection for the length of the block.

    Opening and closing are shielded: cut off in between, apsw's thread would outlive us.
    """
    with trio.CancelScope(shield=True):
        try:
            raw = await apsw.Connection.as_async(str(path), vfs=vfs)
        except apsw.Error as error:
            raise fuse.judge(error) from error
    try:
        yield Connection(raw, fuse)
    finally:
        # Closing tries a checkpoint. If it fails, the WAL has all of it for the next opening.
        with trio.CancelScope(shield=True), suppress(apsw.Error):
            await raw.aclose()
