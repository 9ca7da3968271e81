"""Postgres in trouble: killed, restarted, frozen, slow, full; and callers who are cut off.

These run on the real clock, with a real server; each wait has a bound far above what is usual.
"""

from collections.abc import Callable

import asyncpg
import msgspec
import pytest
import trio
from history_samples import frame, gap, numbers
from postgres_server import PostgresServer

from dercp.model.dispatch import Dispatch, DispatchState
from dercp.store import (
    Appended,
    FrameRecord,
    IdempotencyRecord,
    SessionRecord,
    StoreAway,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreUnusable,
)
from dercp.store.postgres import PostgresSettings, PostgresStore, open_postgres
from dercp.store.postgres._bridge import Db, Work

QUICK = PostgresSettings(
    connections_max=2, connect_within_s=1.0, statement_s=5.0, answer_within_s=10.0,
    reconnect_max_s=0.1,
)  # fmt: skip
DEADLINE_S = 20.0


def database_of(url: str) -> str:
    """Its name alone."""
    return url.rpartition("/")[2]


def session(number: int) -> SessionRecord:
    """The session of that number."""
    return SessionRecord(
        tenant_id="default",
        session_id=f"session-{number}",
        agent_id="alpha-gw",
        epoch=number,
        peer="192.0.2.7:50123",
        connected_us=1,
    )


async def append_until_taken(store: PostgresStore, frames: list[FrameRecord]) -> Appended:
    """What a drain does: the same again, for as long as the server is away."""
    with trio.fail_after(DEADLINE_S):
        while True:
            try:
                return await store.history.append(frames)
            except StoreBusy:
                await trio.sleep(0.05)
    raise AssertionError


async def test_a_killed_server_is_away_until_it_is_back(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Everybody is told at once; afterwards work goes on as if nothing had been."""
    async with open_postgres(postgres_url, settings=QUICK) as store:
        await store.history.append([frame(1)])
        connects = store.server().connects
        postgres_server.kill()
        with trio.fail_after(DEADLINE_S):
            for _ in range(20):
                with pytest.raises(StoreAway, match=r"127\.0\.0\.1.*it is tried again"):
                    await store.registry.load()
        assert store.statistics().failure == store.server().away
        assert "does not answer" in (store.history.statistics().failure or "")
        postgres_server.start()
        assert await append_until_taken(store, [frame(1), frame(2)]) == Appended(
            stored=1, duplicates=1
        )
        assert await numbers(store.history) == [1, 2]
        assert store.statistics().failure is None
        assert store.server().connects > connects


async def test_a_restarted_server_is_reconnected_to(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Nobody asked meanwhile, so nobody notices."""
    async with open_postgres(postgres_url, settings=QUICK) as store:
        await store.sessions.opened(session(1))
        postgres_server.stop()
        postgres_server.start()
        await append_until_taken(store, [frame(1)])
        assert await store.sessions.recent("alpha-gw", 9) == (session(1),)


async def test_batches_are_stored_once_however_often_the_server_is_killed(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Cut off anywhere in a transaction, its commit included, and sent again."""
    rounds, sent = 5, 0

    async def kill(after_s: float) -> None:
        await trio.sleep(after_s)
        postgres_server.kill()
        postgres_server.start()

    async with open_postgres(postgres_url, settings=QUICK) as store:
        for turn in range(rounds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill, 0.005 * turn)
                for _ in range(6):
                    batch = [frame(sent + n, size=4_000) for n in range(1, 41)]
                    await append_until_taken(store, batch)
                    sent += len(batch)
        assert await numbers(store.history) == list(range(1, sent + 1))
        (spool,) = await store.history.sequences("default", "alpha-gw")
        assert [(each.first, each.last) for each in spool.stored] == [(1, sent)]
        assert store.history.statistics().frames == sent


async def test_a_frozen_server_is_given_up_in_time(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Neither its silence nor that of the network holds a caller for longer than stated."""
    settings = msgspec.structs.replace(QUICK, answer_within_s=0.3, connect_within_s=0.3)
    async with open_postgres(postgres_url, settings=settings) as store:
        await store.history.append([frame(1)])
        postgres_server.freeze()
        try:
            with trio.fail_after(DEADLINE_S):
                with pytest.raises(StoreAway, match=r"did not answer within 0\.3 s"):
                    await store.history.append([frame(2)])
                with pytest.raises(StoreAway):
                    await store.history.append([frame(3)])
        finally:
            postgres_server.thaw()
        await append_until_taken(store, [frame(2), frame(3)])
        assert await numbers(store.history) == [1, 2, 3]


@pytest.mark.parametrize("size", [40, 2_000_000])
async def test_who_is_cut_off_leaves_at_once_and_takes_nothing_along(
    postgres_server: PostgresServer, postgres_url: str, size: int
) -> None:
    """Waiting for an answer, or in the middle of sending; no connection is lost for good."""
    settings = msgspec.structs.replace(QUICK, connections_max=1)
    async with open_postgres(postgres_url, settings=settings) as store:
        await store.history.append([frame(1)])
        postgres_server.freeze()
        try:
            began = trio.current_time()
            with trio.move_on_after(0.1) as scope:
                await store.history.append([frame(n, size=size) for n in range(2, 12)])
            assert scope.cancelled_caught
            assert trio.current_time() - began < DEADLINE_S / 4
        finally:
            postgres_server.thaw()
        await append_until_taken(store, [frame(n, size=size) for n in range(2, 12)])
        assert await numbers(store.history) == list(range(1, 12))


async def test_cut_off_anywhere_a_write_is_there_wholly_or_not(
    postgres_url: str, a_dispatch: Callable[..., Dispatch]
) -> None:
    """And the next one finds a connection that is not in the middle of something."""
    async with open_postgres(postgres_url, settings=QUICK) as store:
        for turn in range(40):
            with trio.move_on_after(0.0002 * turn):
                await store.dispatches.commit([a_dispatch(f"{turn}-a"), a_dispatch(f"{turn}-b")])
            there = [await store.dispatches.get(f"{turn}-{each}") for each in "ab"]
            assert (there[0] is None) == (there[1] is None)


async def lost_after_commit(work: Work[object], db: Db) -> object:
    """The server has done it, and nobody hears of that."""
    async with db.transaction():
        await work(db)
    raise asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")


async def lost_before_commit(work: Work[object], db: Db) -> object:
    """All was sent but the end of it."""
    async with db.transaction():
        await work(db)
        raise asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")


@pytest.mark.parametrize("lost", [lost_after_commit, lost_before_commit])
async def test_a_dispatch_that_was_refused_is_not_in_the_ledger_after_all(
    postgres_url: str,
    a_dispatch: Callable[..., Dispatch],
    monkeypatch: pytest.MonkeyPatch,
    lost: Callable[..., object],
) -> None:
    """Its submitter was told to try again: nobody would deliver it, or end it."""
    key = IdempotencyRecord(
        tenant_id="default", key="k", fingerprint="f", dispatch_id="d-1", created_us=1
    )
    async with open_postgres(postgres_url, settings=QUICK) as store:
        ledger = store.dispatches
        await ledger.commit([a_dispatch("d-0")])
        with monkeypatch.context() as patched:
            patched.setattr("dercp.store.postgres._bridge._in_transaction", lost)
            with pytest.raises(StoreAway):
                await ledger.commit(
                    [a_dispatch("d-0", DispatchState.ACKED), a_dispatch("d-1")], [key]
                )
        assert await ledger.find_key("default", "k") is None
        assert [each.dispatch_id for each in await ledger.open()] == ["d-0"]
        again = msgspec.structs.replace(key, dispatch_id="d-2")
        await ledger.commit([a_dispatch("d-2")], [again])
        assert await ledger.find_key("default", "k") == again


async def test_who_waits_for_a_lock_is_told_that_the_store_is_busy(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Somebody's own transaction holds the tables; nothing is undone but this call."""
    settings = msgspec.structs.replace(QUICK, statement_s=0.2)
    name = database_of(postgres_url)
    async with open_postgres(postgres_url, settings=settings) as store:
        async with trio.open_nursery() as nursery:
            hold = "BEGIN; LOCK TABLE dercp.extent; SELECT pg_sleep(1)"
            nursery.start_soon(
                trio.to_thread.run_sync, lambda: postgres_server.sql(hold, database=name)
            )
            await trio.sleep(0.3)
            with pytest.raises(StoreBusy) as busy:
                await store.history.append([frame(1)])
            assert not isinstance(busy.value, StoreAway)
        await append_until_taken(store, [frame(1)])
        await store.history.declare([gap(2, 3)])
        assert store.server().away is None


async def test_a_headend_that_was_thrown_out_comes_in_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """An administrator ended its connections, that which keeps others out among them."""
    async with open_postgres(postgres_url, settings=QUICK) as store:
        await store.sessions.opened(session(1))
        postgres_server.empty(database_of(postgres_url))
        await append_until_taken(store, [frame(1)])
        assert await store.sessions.recent("alpha-gw", 9) == ()


SAID = {
    "53100": StoreFull,
    "53200": StoreAway,
    "53300": StoreAway,
    "57P01": StoreAway,
    "08006": StoreAway,
    "25006": StoreAway,
    "57014": StoreBusy,
    "40001": StoreBusy,
    "40P01": StoreBusy,
    "42501": StoreUnusable,
    "XX001": StoreDamaged,
    "58030": StoreFailed,
    "0A000": StoreDamaged,
}


async def test_what_the_server_says_is_said_in_our_words(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """By SQLSTATE; whatever it was, nothing of the call is left and the next one works."""
    name = database_of(postgres_url)
    postgres_server.sql(
        "CREATE TABLE dercp.trouble (state text)",
        "GRANT ALL ON dercp.trouble TO dercp",
        "CREATE FUNCTION dercp.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM dercp.trouble) THEN RAISE EXCEPTION 'so it is'"
        " USING ERRCODE = (SELECT state FROM dercp.trouble); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER raise BEFORE INSERT ON dercp.session"
        " FOR EACH ROW EXECUTE FUNCTION dercp.raise()",
        database=name,
    )
    try:
        async with open_postgres(postgres_url, settings=QUICK) as store:
            for state, kind in SAID.items():
                trouble = f"INSERT INTO dercp.trouble VALUES ('{state}')"  # noqa: S608  # ours
                postgres_server.sql(trouble, database=name)
                with pytest.raises(StoreError, match="so it is") as told:
                    await store.sessions.opened(session(1))
                assert type(told.value) is kind, state
                postgres_server.sql("DELETE FROM dercp.trouble", database=name)
            postgres_server.sql("INSERT INTO dercp.trouble VALUES ('22021')", database=name)
            with pytest.raises(ValueError, match="cannot be stored"):
                await store.sessions.opened(session(1))
            postgres_server.sql("DELETE FROM dercp.trouble", database=name)
            await store.sessions.opened(session(1))
            assert await store.sessions.recent("alpha-gw", 9) == (session(1),)
    finally:
        postgres_server.sql(
            "DROP TRIGGER raise ON dercp.session",
            "DROP FUNCTION dercp.raise",
            "DROP TABLE dercp.trouble",
            database=name,
        )


async def test_who_is_at_work_when_the_store_is_closed_is_told(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """It neither hangs nor is it taken for trouble of the server."""
    told: list[StoreError] = []

    async def load(store: PostgresStore) -> None:
        try:
            await store.registry.load()
        except StoreError as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        async with open_postgres(postgres_url, settings=QUICK) as store:
            postgres_server.freeze()
            for _ in range(5):
                nursery.start_soon(load, store)
            await trio.sleep(0.05)
        postgres_server.thaw()
    assert [type(each) for each in told] == [StoreClosed] * 5
