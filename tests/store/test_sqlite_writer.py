"""Group commit from the inside: who commits for whom, and what a cancelled caller leaves."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from dercp.model.dispatch import Dispatch
from dercp.store import open_sqlite
from dercp.store.sqlite._connection import Connection, connect
from dercp.store.sqlite._fuse import Fuse
from dercp.store.sqlite._writer import GroupLimits, GroupWriter


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    """A connection to an empty table of words."""
    path = tmp_path / "words.sqlite3"
    async with connect(path, Fuse(path), None) as connection:
        await connection.fetch("PRAGMA journal_mode = wal")
        await connection.fetch("CREATE TABLE word (word TEXT NOT NULL) STRICT")
        yield connection


class Say:
    """Work that writes a word, and may be held on the connection's thread until released."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.begun = threading.Event()
        self.released = threading.Event()
        self.released.set()

    def __call__(self, db: apsw.Connection) -> str:
        """Write the word; return it when released."""
        db.execute("INSERT INTO word VALUES (?)", (self.word,))
        self.begun.set()
        assert self.released.wait(10)
        return self.word


async def words(connection: Connection) -> list[str]:
    """What was committed, in its order."""
    return [word for (word,) in await connection.fetch("SELECT word FROM word ORDER BY rowid")]


async def test_all_who_are_ready_share_the_first_commit(connection: Connection) -> None:
    """The first one lets the others join before it begins."""
    writer = GroupWriter(connection)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(writer.write, Say(str(number)))
    assert (writer.commits, writer.writes, writer.largest_group) == (1, 100, 100)


async def test_a_waiting_write_is_withdrawn_when_its_caller_is_cancelled(
    connection: Connection,
) -> None:
    """It had not begun, so it never does; its neighbour in the group is written."""
    writer = GroupWriter(connection)
    first = Say("first")
    first.released.clear()
    impatience = trio.CancelScope()

    async def write_impatiently() -> None:
        with impatience:
            await writer.write(Say("withdrawn"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, first)
        await trio.to_thread.run_sync(first.begun.wait, 10)
        nursery.start_soon(writer.write, Say("neighbour"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write_impatiently)
        await trio.testing.wait_all_tasks_blocked()
        assert writer.waiting == 3
        impatience.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert writer.waiting == 2
        first.released.set()
    assert await words(connection) == ["first", "neighbour"]
    assert writer.waiting == 0


async def test_who_commits_for_others_finishes_although_cancelled(connection: Connection) -> None:
    """While it waits for the disk, and while it commits."""
    writer = GroupWriter(connection)
    first, second = Say("first"), Say("second")
    first.released.clear()
    impatience = [trio.CancelScope(), trio.CancelScope()]
    answers: list[str] = []

    async def write_impatiently(say: Say, scope: trio.CancelScope) -> None:
        with scope:
            await writer.write(say)

    async def write_patiently() -> None:
        answers.append(await writer.write(Say("third")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_impatiently, first, impatience[0])
        await trio.to_thread.run_sync(first.begun.wait, 10)
        nursery.start_soon(write_impatiently, second, impatience[1])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write_patiently)
        await trio.testing.wait_all_tasks_blocked()
        for scope in impatience:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        first.released.set()
    assert answers == ["third"]
    assert await words(connection) == ["first", "second", "third"]


async def test_a_caller_already_cancelled_writes_nothing(connection: Connection) -> None:
    """A write is a checkpoint, like everything that may block."""
    writer = GroupWriter(connection)
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.write(Say("never"))
    assert scope.cancelled_caught
    assert (await words(connection), writer.commits) == ([], 0)


async def test_a_mistake_in_one_write_is_undone_alone(connection: Connection) -> None:
    """What it raised reaches its caller; the rest of the group is committed."""
    writer = GroupWriter(connection)

    def fail(db: apsw.Connection) -> None:
        db.execute("INSERT INTO word VALUES ('half')")
        raise ZeroDivisionError

    def break_a_rule(db: apsw.Connection) -> None:
        db.execute("INSERT INTO word VALUES (NULL)")

    async def write_wrongly() -> None:
        with pytest.raises(ZeroDivisionError):
            await writer.write(fail)

    async def write_against_the_rules() -> None:
        with pytest.raises(apsw.ConstraintError):
            await writer.write(break_a_rule)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_wrongly)
        nursery.start_soon(write_against_the_rules)
        nursery.start_soon(writer.write, Say("whole"))
    assert await words(connection) == ["whole"]
    assert writer.commits == 1


async def test_a_group_is_bounded_by_weight(connection: Connection) -> None:
    """Large items make small groups; one that is larger than any group goes alone."""
    writer = GroupWriter(connection, GroupLimits(weight=10))
    async with trio.open_nursery() as nursery:
        for weight in (6, 4, 11, 5, 5, 5):
            nursery.start_soon(writer.submit, Say(str(weight)), weight)
    assert sorted(await words(connection)) == ["11", "4", "5", "5", "5", "6"]
    assert writer.largest_group == 2
    assert writer.commits >= 4


async def test_commits_keep_their_distance_under_load_only(connection: Connection) -> None:
    """The first does not wait; those who come within the spacing of it share the second."""
    writer = GroupWriter(connection, GroupLimits(spacing_s=0.2))
    begin = trio.current_time()
    await writer.write(Say("first"))
    assert trio.current_time() - begin < 0.15
    async with trio.open_nursery() as nursery:
        for word in ("second", "third"):
            nursery.start_soon(writer.write, Say(word))
            await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() - begin >= 0.2
    assert (writer.commits, writer.largest_group) == (2, 2)


async def test_a_full_group_waits_for_no_distance(connection: Connection) -> None:
    """More would not fit in anyway."""
    writer = GroupWriter(connection, GroupLimits(items=2, spacing_s=3_600.0))
    await writer.write(Say("first"))
    with trio.move_on_after(5) as patience:
        async with trio.open_nursery() as nursery:
            for word in ("second", "third"):
                nursery.start_soon(writer.write, Say(word))
    assert not patience.cancelled_caught


async def test_writers_at_the_same_time_share_a_commit(
    tmp_path: Path, a_dispatch: Callable[..., Dispatch]
) -> None:
    """Five hundred commits cost a few fsyncs, and every one of them is there."""
    async with open_sqlite(tmp_path) as store:
        before = store.statistics()
        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(store.dispatches.commit, [a_dispatch(f"d-{number}")])
        after = store.statistics()
        assert after.writes - before.writes == 500
        assert after.commits - before.commits <= 3
        assert after.largest_group >= 200
        assert (after.waiting, after.failure) == (0, None)
    async with open_sqlite(tmp_path) as store:
        assert len(await store.dispatches.open()) == 500


async def test_more_writers_than_places_wait_for_their_turn(
    tmp_path: Path, a_dispatch: Callable[..., Dispatch]
) -> None:
    """Nobody is refused; what waits at once is bounded."""
    async with open_sqlite(tmp_path) as store:
        places = store.statistics().waiting_max
        async with trio.open_nursery() as nursery:
            for number in range(places + 200):
                nursery.start_soon(store.dispatches.commit, [a_dispatch(f"d-{number}")])
            await trio.testing.wait_all_tasks_blocked()
            assert store.statistics().waiting <= places
        assert len(await store.dispatches.open()) == places + 200
        assert store.statistics().largest_group <= places
