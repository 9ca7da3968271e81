"""Where a headend keeps its things: opened, waited for, wiped; or refused in a sentence."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from postgres_server import PASSWORD, PostgresServer

from dercp.cli import stores as opening
from dercp.cli.exits import CommandError, Exit
from dercp.cli.signals import StopRequest
from dercp.cli.stores import Demand, StorePlan, Stores, open_stores, reset_demand
from dercp.headend.settings import HeadendSettings
from dercp.store import AgentRecord, Purpose, RegistrationRecord, SiteRecord, StoreUnusable
from dercp.store.sqlite import wipe_history


@pytest.fixture(params=["embedded", "postgres"])
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlan:
    """Where nothing is yet."""
    if request.param == "embedded":
        return StorePlan(data_dir=tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return StorePlan(data_dir=tmp_path, url=server.url(server.create_database()))


@asynccontextmanager
async def opened(
    plan: StorePlan,
    *demands: Demand,
    purpose: Purpose = Purpose.PRODUCTION,
) -> AsyncIterator[Stores]:
    """The plan, with what else is asked of it."""
    asked = StorePlan(
        data_dir=plan.data_dir, url=plan.url, purpose=purpose, demands=frozenset(demands)
    )
    async with open_stores(asked, HeadendSettings(), StopRequest()) as stores:
        yield stores


async def put_agent(stores: Stores) -> None:
    """Something to be found again, or not."""
    await stores.store.registry.register(
        AgentRecord(
            tenant_id="default",
            agent_id="edge-1",
            site_id="site-1",
            epoch=0,
            registration_id=b"r",
            software_version="1",
            spool_id="spool-1",
            first_seen_us=1,
            last_seen_us=1,
        ),
        SiteRecord(tenant_id="default", site_id="site-1", name="Site"),
        RegistrationRecord(registration_id=b"r", content=b"", first_seen_us=1),
        asset_ids=(),
    )


async def agents(stores: Stores) -> int:
    """How many it knows."""
    return len((await stores.store.registry.load()).agents)


async def test_what_is_kept_is_there_at_the_next_start(plan: StorePlan) -> None:
    """In the data directory, or in Postgres with the way to it."""
    async with opened(plan) as stores:
        assert (stores.drain is None) == (plan.url is None)
        await put_agent(stores)
    async with opened(plan) as stores:
        assert await agents(stores) == 1


async def test_a_development_store_is_reset(plan: StorePlan) -> None:
    """All of it; and what is made then is for development again only if that is said."""
    async with opened(plan, purpose=Purpose.DEVELOPMENT) as stores:
        await put_agent(stores)
    async with opened(
        plan, Demand.RESET, Demand.DEVELOPMENT, purpose=Purpose.DEVELOPMENT
    ) as stores:
        assert await agents(stores) == 0
        await put_agent(stores)
    async with opened(plan, Demand.RESET) as stores:
        assert await agents(stores) == 0
    with pytest.raises(CommandError, match="is refused"):
        async with opened(plan, Demand.RESET):
            pass


async def test_a_reset_of_nothing_begins(plan: StorePlan) -> None:
    """The first start of a new machine needs no other command."""
    async with opened(plan, Demand.RESET) as stores:
        assert await agents(stores) == 0


async def test_any_other_store_is_not_reset(plan: StorePlan) -> None:
    """Nothing of it is touched, and the sentence says what to do."""
    async with opened(plan) as stores:
        await put_agent(stores)
    with pytest.raises(CommandError, match="dercp headend --development") as refused:
        async with opened(plan, Demand.RESET, purpose=Purpose.DEVELOPMENT):
            pass
    assert refused.value.code is Exit.CONFIG
    assert PASSWORD not in str(refused.value)
    async with opened(plan) as stores:
        assert await agents(stores) == 1


async def test_one_part_of_production_saves_the_other(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """A log with what nobody else has yet, before a database for development."""
    plan = StorePlan(data_dir=tmp_path, url=postgres_server.url(postgres_server.create_database()))
    async with opened(plan, purpose=Purpose.DEVELOPMENT) as stores:
        await put_agent(stores)
    await trio.to_thread.run_sync(wipe_history, tmp_path)
    async with opened(plan):
        pass
    with pytest.raises(CommandError, match=r"history\.sqlite3 was not made for development"):
        async with opened(plan, Demand.RESET):
            pass
    async with opened(plan) as stores:
        assert await agents(stores) == 1


async def test_production_does_not_become_development(plan: StorePlan) -> None:
    """Not by an option that somebody forgot in a script."""
    async with opened(plan):
        pass
    with pytest.raises(CommandError, match="not made for development") as refused:
        async with opened(plan, Demand.DEVELOPMENT, purpose=Purpose.DEVELOPMENT):
            pass
    assert refused.value.code is Exit.CONFIG
    async with opened(plan, purpose=Purpose.DEVELOPMENT):
        pass
    with pytest.raises(CommandError, match="is refused"):
        async with opened(plan, Demand.RESET):
            pass


@pytest.mark.parametrize(
    ("environment", "demands"),
    [
        ({}, frozenset()),
        ({"RESET_DB": ""}, frozenset()),
        ({"RESET_DB": "0"}, frozenset()),
        ({"RESET_DB": "1"}, frozenset({Demand.RESET})),
    ],
)
def test_the_environment_asks_for_a_reset(
    environment: dict[str, str], demands: frozenset[Demand]
) -> None:
    """By a one, and by nothing else."""
    assert reset_demand(environment) == demands


@pytest.mark.parametrize("word", ["true", "yes", "2", "on", " 1"])
def test_any_other_word_is_a_mistake(word: str) -> None:
    """Somebody believes that this does something."""
    with pytest.raises(CommandError, match="expected 1") as refused:
        reset_demand({"RESET_DB": word})
    assert refused.value.code is Exit.CONFIG


async def test_a_server_that_comes_late_is_waited_for(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """A database is often started together with the headend."""
    plan = StorePlan(data_dir=tmp_path, url=postgres_server.url(postgres_server.create_database()))
    postgres_server.stop()

    async def start_later() -> None:
        await trio.sleep(0.3)
        await trio.to_thread.run_sync(postgres_server.start)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_later)
            async with opened(plan) as stores:
                assert await agents(stores) == 0
    finally:
        if not postgres_server.is_running:
            postgres_server.start()


async def test_a_server_that_stays_away_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bounded time, with the place, without the password."""
    monkeypatch.setattr(opening, "START_WITHIN_S", 0.2)
    plan = StorePlan(data_dir=tmp_path, url="postgresql://dercp:secret@127.0.0.1:1/dercp")
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:1/dercp does not answer") as ended:
        async with open_stores(plan, HeadendSettings(), StopRequest()):
            pass
    assert ended.value.code is Exit.UNAVAILABLE
    assert "secret" not in str(ended.value)
    assert "secret" not in repr(plan)


async def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    """Nobody waits a minute for a headend that has not begun."""
    stop = StopRequest()
    stop.note(15)
    plan = StorePlan(data_dir=tmp_path, url="postgresql://dercp:secret@127.0.0.1:1/dercp")
    with pytest.raises(CommandError, match="SIGTERM") as ended:
        async with open_stores(plan, HeadendSettings(), stop):
            pass
    assert ended.value.code is Exit.INTERRUPTED


async def test_what_is_no_url_is_told_at_once(tmp_path: Path) -> None:
    """Nothing is waited for that cannot come."""
    plan = StorePlan(data_dir=tmp_path, url="localhost:5432")
    with pytest.raises(StoreUnusable, match="expected postgresql://"):
        async with open_stores(plan, HeadendSettings(), StopRequest()):
            pass


async def test_without_the_extra_the_command_names_it(tmp_path: Path) -> None:
    """The password that stands in the URL is not repeated."""
    without = "import sys; sys.modules['asyncpg'] = None; from dercp.cli import main; main()"
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    done = await trio.run_process(
        [sys.executable, "-c", without, "headend", "--data-dir", str(tmp_path), *ports],
        env={**os.environ, "DERCP_STORE_URL": "postgresql://dercp:secret@127.0.0.1:1/dercp"},
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == Exit.UNAVAILABLE
    assert b"pip install 'dercp[postgres]'" in done.stderr
    assert b"secret" not in done.stderr
