"""Group commit: writers who wait at the same time share one transaction and one fsync."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import apsw
import trio
from outcome import Error, Maybe, Value

from dercp.store.errors import StoreError
from dercp.store.sqlite._connection import Connection, transaction

T = TypeVar("T")

Work = Callable[[apsw.Connection], T]
"""A caller's part of a transaction. It runs on the connection's thread and may raise."""

_GROUP_MAX = 1_000
# 4 MiB: SQLite's own default.
_CHECKPOINT_PAGES = 1_000


class _Ticket(Generic[T]):
    """One caller's work, and what became of it once that is known."""

    __slots__ = ("outcome", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.outcome: Maybe[T] | None = None


class _Group:
    """Callers whose work shares a transaction."""

    def __init__(self) -> None:
        self.tickets: list[_Ticket[Any]] = []
        self.begun = trio.Event()
        self.answered = trio.Event()


class GroupWriter:
    """Commits what tasks hand in, as few times as the disk allows.

    While one group is being committed the next one forms; the first to join a group
    commits for all of it. A lone writer waits for nobody, and under load the groups grow
    until the disk keeps up. There is no task to start, to watch or to stop.

    Characteristics:
        Bound: two groups of 1,000, one being committed and one forming.
        When full: the next caller waits until the forming group begins.
        Order: that of joining, within a group and from group to group.
        Refusals: work that raises is undone alone; the rest of its group is committed.
        Cancellation: who waits for another's commit leaves at once, and takes its work
            along if that has not begun; who commits for others finishes first.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._forming = _Group()
        self._disk = trio.Lock()
        self._in_hand = 0
        self._wal_pages = 0
        self.commits = 0
        self.writes = 0
        self.largest_group = 0

    @property
    def waiting(self) -> int:
        """Writes whose commit is still to come."""
        return self._in_hand + len(self._forming.tickets)

    @property
    def waiting_max(self) -> int:
        """How many those may be before the next caller is held back."""
        return 2 * _GROUP_MAX

    async def start(self) -> None:
        """Take over the checkpoints; once, before the first write."""
        await self._connection.run(lambda db: db.set_wal_hook(self._note_wal))

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once its transaction is durable; or what it raised, undone.

        Raises:
            StoreError: The transaction could not be committed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while len((group := self._forming).tickets) == _GROUP_MAX:
            await group.begun.wait()
        ticket = _Ticket(work)
        group.tickets.append(ticket)
        if len(group.tickets) == 1:
            await self._commit(group)
        else:
            try:
                await group.answered.wait()
            except trio.Cancelled:
                if not group.begun.is_set():
                    group.tickets.remove(ticket)
                raise
        assert ticket.outcome is not None  # noqa: S101  # its group was answered
        return ticket.outcome.unwrap()

    async def _commit(self, group: _Group) -> None:
        """Commit for all who join. Shielded: one who is cancelled must not undo the others."""
        with trio.CancelScope(shield=True):
            async with self._disk:
                # One turn of the scheduler: whoever is ready to write now shares this fsync.
                await trio.lowlevel.checkpoint()
                self._forming = _Group()
                group.begun.set()
                self._in_hand = len(group.tickets)
                answers = await self._transact([ticket.work for ticket in group.tickets])
                for ticket, answer in zip(group.tickets, answers, strict=True):
                    ticket.outcome = answer
                group.answered.set()
                self._in_hand = 0
                # After the answers: those who wait are not made to wait for it.
                if self._wal_pages >= _CHECKPOINT_PAGES:
                    await self._checkpoint()

    async def _transact(self, works: Sequence[Work[Any]]) -> Sequence[Maybe[Any]]:
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


def _commit(works: Sequence[Work[Any]], db: apsw.Connection) -> Sequence[Maybe[Any]]:
    """One transaction with a savepoint for each work."""
    with transaction(db):
        return [_attempt(work, db) for work in works]


def _attempt(work: Work[Any], db: apsw.Connection) -> Maybe[Any]:
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
