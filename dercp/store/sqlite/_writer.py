"""Group commit: those who wait at the same time share one transaction and one fsync."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import apsw
import msgspec
import trio
from outcome import Error, Maybe, Value

from dercp.store.errors import StoreError
from dercp.store.sqlite._connection import Connection, transaction

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # item
A = TypeVar("A")

Work = Callable[[apsw.Connection], T]
"""A caller's part of a transaction. It runs on the connection's thread and may raise."""

Perform = Callable[[Sequence[I], apsw.Connection], Sequence[Maybe[A]]]
"""Makes one transaction of the items of a group and says what became of each.

It runs on the connection's thread. What it raises is the end of the whole group.
"""


class GroupLimits(msgspec.Struct, frozen=True):
    """How large a group may grow, and how often one is committed."""

    items: int = 1_000
    weight: int = 2**62
    # From the beginning of one commit to that of the next. It bounds what small commits cost
    # on a fast disk; whoever comes after a quiet time waits for nothing.
    spacing_s: float = 0.0
    # 4 MiB: SQLite's own default.
    checkpoint_pages: int = 1_000


class _Ticket(Generic[I, A]):
    """One caller's item, and what became of it once that is known."""

    __slots__ = ("item", "outcome", "weight")

    def __init__(self, item: I, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.outcome: Maybe[A] | None = None


class _Group(Generic[I, A]):
    """Callers whose items share a transaction."""

    def __init__(self) -> None:
        self.tickets: list[_Ticket[I, A]] = []
        self.weight = 0
        self.full = trio.Event()
        self.begun = trio.Event()
        self.answered = trio.Event()

    def add(self, ticket: _Ticket[I, A]) -> None:
        self.tickets.append(ticket)
        self.weight += ticket.weight

    def remove(self, ticket: _Ticket[I, A]) -> None:
        self.tickets.remove(ticket)
        self.weight -= ticket.weight


class GroupCommit(Generic[I, A]):
    """Commits what tasks hand in, as few times as the disk allows.

    While one group is being committed the next one forms; the first to join a group
    commits for all of it. A lone writer waits for nobody, and under load the groups grow
    until the disk keeps up. There is no task to start, to watch or to stop.

    Characteristics:
        Bound: two groups, one being committed and one forming, each of so many items and so
            much weight as `limits` says (a single item may weigh more).
        When full: the next caller waits until the forming group begins.
        Order: that of joining, within a group and from group to group.
        Cancellation: who waits for another's commit leaves at once, and takes its item
            along if that has not begun; who commits for others finishes first.
    """

    def __init__(
        self, connection: Connection, perform: Perform[I, A], limits: GroupLimits | None = None
    ) -> None:
        self._connection = connection
        self._perform = perform
        self._limits = limits or GroupLimits()
        self._forming: _Group[I, A] = _Group()
        self._disk = trio.Lock()
        self._in_hand = 0
        self._next_at = -math.inf
        self._wal_pages = 0
        self.commits = 0
        self.writes = 0
        self.largest_group = 0

    @property
    def waiting(self) -> int:
        """Items whose commit is still to come."""
        return self._in_hand + len(self._forming.tickets)

    @property
    def waiting_max(self) -> int:
        """How many those may be before the next caller is held back."""
        return 2 * self._limits.items

    async def start(self) -> None:
        """Take over the checkpoints; once, before the first item."""
        await self._connection.run(lambda db: db.set_wal_hook(self._note_wal))

    async def submit(self, item: I, weight: int = 1) -> A:
        """What became of the item, once its transaction is durable.

        Raises:
            StoreError: The transaction could not be committed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._fits(group := self._forming, weight):
            group.full.set()
            await group.begun.wait()
        ticket: _Ticket[I, A] = _Ticket(item, weight)
        group.add(ticket)
        if not self._fits(group, 1):
            group.full.set()
        if len(group.tickets) == 1:
            await self._commit(group)
        else:
            try:
                await group.answered.wait()
            except trio.Cancelled:
                if not group.begun.is_set():
                    group.remove(ticket)
                raise
        assert ticket.outcome is not None  # noqa: S101  # its group was answered
        return ticket.outcome.unwrap()

    def _fits(self, group: _Group[I, A], weight: int) -> bool:
        limits = self._limits
        return not group.tickets or (
            len(group.tickets) < limits.items and group.weight + weight <= limits.weight
        )

    async def _commit(self, group: _Group[I, A]) -> None:
        """Commit for all who join. Shielded: one who is cancelled must not undo the others."""
        with trio.CancelScope(shield=True):
            async with self._disk:
                # At least one turn of the scheduler: who is ready to write shares this fsync.
                with trio.move_on_at(self._next_at):
                    await group.full.wait()
                self._next_at = trio.current_time() + self._limits.spacing_s
                self._forming = _Group()
                group.begun.set()
                self._in_hand = len(group.tickets)
                answers = await self._transact([ticket.item for ticket in group.tickets])
                for ticket, answer in zip(group.tickets, answers, strict=True):
                    ticket.outcome = answer
                group.answered.set()
                self._in_hand = 0
                # After the answers: those who wait are not made to wait for it.
                if self._wal_pages >= self._limits.checkpoint_pages:
                    await self._checkpoint()

    async def _transact(self, items: Sequence[I]) -> Sequence[Maybe[A]]:
        """What became of each item, now durable; or of all, when the commit failed."""
        try:
            answers = await self._connection.run(partial(self._perform, items))
        except Exception as error:  # noqa: BLE001  # each caller raises it
            return [Error(_twin(error)) for _ in items]
        self.commits += 1
        self.writes += len(items)
        self.largest_group = max(self.largest_group, len(items))
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


class GroupWriter(GroupCommit[Work[Any], Any]):
    """Commits pieces of work that know nothing of each other.

    Characteristics:
        Refusals: work that raises is undone alone; the rest of its group is committed.
        Otherwise: as `GroupCommit`.
    """

    def __init__(self, connection: Connection, limits: GroupLimits | None = None) -> None:
        super().__init__(connection, _commit, limits)

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once its transaction is durable; or what it raised, undone.

        Raises:
            StoreError: The transaction could not be committed.
        """
        answer: T = await self.submit(work)
        return answer


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
