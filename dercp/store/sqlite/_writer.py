"""Group commit: writers who wait at the same time share one transaction and one fsync."""

import copy
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import apsw
import trio
from outcome import Error, Maybe, Value

from dercp.store.errors import StoreError
from dercp.store.sqlite._connection import Connection

T = TypeVar("T")

Work = Callable[[apsw.Connection], T]
"""A caller's part of a transaction. It runs on the connection's thread and may raise."""

_WAITING_MAX = 1_000
# 4 MiB: SQLite's own default.
_CHECKPOINT_PAGES = 1_000


class _Ticket(Generic[T]):
    """One caller's work, and what became of it once that is known."""

    __slots__ = ("outcome", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.outcome: Maybe[T] | None = None


class GroupWriter:
    """Commits what tasks hand in, as few times as the disk allows.

    Whoever finds the writer idle commits for all who wait; what is handed in meanwhile
    makes the next group. A lone writer waits for nobody, and under load the groups grow
    until the disk keeps up. There is no task to start, to watch or to stop.

    Characteristics:
        Bound: 1,000 callers between hand-in and answer, so no group is larger.
        When full: the next caller waits for a place, first come first served.
        Order: that of hand-in.
        Refusals: work that raises is undone alone; the rest of its group is committed.
        Cancellation: work not yet begun is withdrawn, work begun is finished.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._places = trio.Semaphore(_WAITING_MAX)
        self._waiting: deque[_Ticket[object]] = deque()
        self._committing = False
        self._answers = trio.lowlevel.ParkingLot()
        self._wal_pages = 0
        self.commits = 0
        self.writes = 0
        self.largest_group = 0

    @property
    def waiting(self) -> int:
        """Callers between hand-in and answer."""
        return _WAITING_MAX - self._places.value

    @property
    def waiting_max(self) -> int:
        """How many may wait before the next is held back."""
        return _WAITING_MAX

    async def start(self) -> None:
        """Take over the checkpoints; once, before the first write."""
        await self._connection.run(lambda db: db.set_wal_hook(self._note_wal))

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once its transaction is durable; or what it raised, undone.

        Raises:
            StoreError: The transaction could not be committed.
        """
        async with self._places:
            ticket: _Ticket[T] = _Ticket(work)
            self._waiting.append(ticket)  # type: ignore[arg-type]  # only its work and answer meet
            try:
                while ticket.outcome is None:
                    await trio.lowlevel.checkpoint_if_cancelled()
                    if self._committing:
                        await self._answers.park()
                    else:
                        await self._commit_group()
            finally:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)  # type: ignore[arg-type]
            return ticket.outcome.unwrap()

    async def _commit_group(self) -> None:
        """Commit for all who wait. Shielded: a cancelled caller must not undo the others."""
        self._committing = True
        try:
            with trio.CancelScope(shield=True):
                # One turn of the scheduler: whoever is ready to write now shares this fsync.
                await trio.lowlevel.checkpoint()
                group = tuple(self._waiting)
                self._waiting.clear()
                answers = await self._transact([ticket.work for ticket in group])
                for ticket, answer in zip(group, answers, strict=True):
                    ticket.outcome = answer
                self._answers.unpark_all()
                # After the answers: those who wait are not made to wait for it.
                if self._wal_pages >= _CHECKPOINT_PAGES:
                    await self._checkpoint()
        finally:
            self._committing = False
            self._answers.unpark_all()

    async def _transact(self, works: Sequence[Work[object]]) -> Sequence[Maybe[object]]:
        """What became of each work, now durable; or of all, when the commit failed."""
        try:
            answers = await self._connection.run(partial(_commit, works))
        except Exception as error:  # noqa: BLE001  # each caller raises it
            return [Error(_twin(error)) for _ in works]
        self.commits += 1
        self.writes += len(works)
        self.largest_group = max(self.largest_group, len(works))
        return answers

    async def _checkpoint(self) -> None:
        """Move what the WAL holds into the database file, so that the WAL starts over."""
        # What was answered is safe in the WAL; whether work goes on, the fuse has decided.
        with suppress(StoreError):
            await self._connection.run(
                lambda db: db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            )

    def _note_wal(self, _db: apsw.Connection, _schema: str, pages: int) -> int:
        """Called on the connection's thread after each commit."""
        self._wal_pages = pages
        return apsw.SQLITE_OK


def _commit(works: Sequence[Work[object]], db: apsw.Connection) -> Sequence[Maybe[object]]:
    """One transaction with a savepoint for each work.

    apsw's `with db:` is not used: where SQLite has ended the transaction by itself (a
    full disk), it raises about the missing savepoint and hides the cause.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        answers = [_attempt(work, db) for work in works]
        db.execute("COMMIT")
    except Exception:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return answers


def _attempt(work: Work[object], db: apsw.Connection) -> Maybe[object]:
    db.execute("SAVEPOINT work")
    try:
        answer = Value(work(db))
    except Exception as error:
        if isinstance(error, apsw.Error) and not isinstance(error, apsw.ConstraintError):
            raise  # the file or the disk spoke: that is the end of the whole group
        db.execute("ROLLBACK TO work; RELEASE work")
        return Error(error)
    db.execute("RELEASE work")
    return answer


def _twin(error: Exception) -> Exception:
    """The same error for one more caller: raised twice, one object mixes two tracebacks."""
    twin = copy.copy(error)
    twin.__cause__ = error
    return twin
