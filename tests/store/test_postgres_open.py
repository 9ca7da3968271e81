"""Opening Postgres: what is made, what is refused, and in which words."""

from collections.abc import Iterator

import pytest
import trio
from postgres_server import PASSWORD, QUOTED_PASSWORD, PostgresServer

from dercp.model.points import POINTS
from dercp.store import (
    Purpose,
    StoreAway,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreNewer,
    StoreUnusable,
)
from dercp.store.postgres import (
    PostgresSettings,
    open_postgres,
    purpose_of_postgres,
    wipe_postgres,
)

HASTY = PostgresSettings(connect_within_s=1.0, answer_within_s=2.0)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """A database that nobody has opened yet."""
    if not postgres_server.is_running:
        postgres_server.start()
    name = postgres_server.create_database()
    yield name
    postgres_server.drop_database(name)


async def refusal(url: str) -> StoreError:
    """What opening raises; never with the password in it or anywhere behind it."""
    with pytest.raises(StoreError) as raised:
        async with open_postgres(url, settings=HASTY):
            pass
    error: BaseException | None = raised.value
    while error is not None:
        for secret in (PASSWORD, QUOTED_PASSWORD):
            assert secret not in str(error)
        error = error.__cause__
    return raised.value


async def test_tables_are_made_once_and_for_a_purpose(
    postgres_server: PostgresServer, database: str
) -> None:
    """The store keeps its identity, and what it was made for, from then on."""
    url = postgres_server.url(database)
    assert await purpose_of_postgres(url) is None
    async with open_postgres(url, purpose=Purpose.DEVELOPMENT) as store:
        identity = store.identity
    async with open_postgres(url, purpose=Purpose.PRODUCTION) as store:
        assert store.identity == identity
        assert store.statistics().failure is None
        assert store.server().place == f"Postgres at 127.0.0.1:{postgres_server.port}/{database}"
    assert await purpose_of_postgres(url) is Purpose.DEVELOPMENT


async def test_only_what_was_made_for_development_is_wiped(
    postgres_server: PostgresServer, database: str
) -> None:
    """Afterwards it is another store, with another identity."""
    url = postgres_server.url(database)
    async with open_postgres(url, purpose=Purpose.DEVELOPMENT) as store:
        identity = store.identity
    await wipe_postgres(url)
    assert await purpose_of_postgres(url) is None
    await wipe_postgres(url)
    async with open_postgres(url) as store:
        assert store.identity != identity
    with pytest.raises(StoreUnusable, match="not made for development"):
        await wipe_postgres(url)
    assert await purpose_of_postgres(url) is Purpose.PRODUCTION


async def test_a_newer_database_is_refused(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    """An older release would harm it."""
    name = postgres_url.rpartition("/")[2]
    newer = "INSERT INTO dercp.schema_version VALUES (999, 'later')"
    postgres_server.sql(newer, database=name)
    try:
        error = await refusal(postgres_url)
    finally:
        postgres_server.sql("DELETE FROM dercp.schema_version WHERE version = 999", database=name)
    assert isinstance(error, StoreNewer)
    assert "schema 999" in str(error)


async def test_a_second_headend_is_kept_out(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the sessions of the first, and send its dispatches twice."""
    monkeypatch.setattr("dercp.store.postgres._schema._HOLD_WITHIN_MS", 100)
    async with open_postgres(postgres_url) as store:
        error = await refusal(postgres_url)
        assert isinstance(error, StoreBusy)
        assert "another headend works with this database" in str(error)
        with pytest.raises(StoreBusy):
            await wipe_postgres(postgres_url)
        assert (await store.registry.load()).agents == ()


async def test_two_that_open_a_new_database_at_once_make_it_once(
    postgres_server: PostgresServer, database: str
) -> None:
    """The second waits until the first has gone."""
    identities = []

    async def run() -> None:
        async with open_postgres(postgres_server.url(database)) as store:
            identities.append(store.identity)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        nursery.start_soon(run)
    assert len(identities) == 2
    assert len(set(identities)) == 1


async def test_what_no_waiting_mends_is_refused_with_its_mend(
    postgres_server: PostgresServer, database: str
) -> None:
    """Password, user, database and rights: the operator must act, and is told how."""
    postgres_server.sql("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    urls = {
        postgres_server.url(database, password="wr%2Fong"): "correct the user or the password",  # noqa: S106  # it is wrong
        postgres_server.url(database, user="nobody"): "correct the user or the password",
        postgres_server.url("no_such"): "CREATE DATABASE",
        postgres_server.url(database, user="stranger", password="x"): "the owner of the database",  # noqa: S106  # of a test
        "mysql://dercp:" + QUOTED_PASSWORD + "@db/dercp": "expected postgresql://",
        "postgresql://[dercp:" + QUOTED_PASSWORD: "expected postgresql://",
    }
    try:
        for url, mend in urls.items():
            error = await refusal(url)
            assert isinstance(error, StoreUnusable), error
            assert mend in str(error)
            assert "wr%2Fong" not in str(error)
    finally:
        postgres_server.sql("DROP ROLE stranger")


async def test_a_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    """It could not hold every name."""
    postgres_server.sql(
        "CREATE DATABASE ascii OWNER dercp TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    )
    try:
        error = await refusal(postgres_server.url("ascii"))
    finally:
        postgres_server.drop_database("ascii")
    assert isinstance(error, StoreUnusable)
    assert "SQL_ASCII" in str(error)


async def test_what_may_pass_is_told_as_such(
    postgres_server: PostgresServer, database: str
) -> None:
    """A server that is down, has no connection left, or is a standby: try again."""
    url = postgres_server.url(database)
    down = url.replace(f":{postgres_server.port}/", ":1/")
    assert "127.0.0.1:1/" in str(await refusal(down))
    assert isinstance(await refusal(down), StoreAway)
    for trouble, mend, said in [
        ("CONNECTION LIMIT 1", "CONNECTION LIMIT -1", "allow more connections"),
        (
            "SET default_transaction_read_only = on",
            "RESET default_transaction_read_only",
            "name the primary",
        ),
    ]:
        postgres_server.sql(f"ALTER DATABASE {database} {trouble}")
        error = await refusal(url)
        postgres_server.sql(f"ALTER DATABASE {database} {mend}")
        assert isinstance(error, StoreAway), error
        assert said in str(error)
    async with open_postgres(url):
        pass


async def test_an_error_inside_the_block_comes_out_as_it_is(postgres_url: str) -> None:
    """Not in a group, as the nurseries of the bridge would have it."""
    with pytest.raises(KeyError):
        async with open_postgres(postgres_url):
            raise KeyError
    async with open_postgres(postgres_url) as store:
        pass
    with pytest.raises(StoreClosed):
        await store.registry.load()


def test_each_point_of_the_table_has_its_column(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A point that is added needs a migration that adds it to `samples`."""
    columns = postgres_server.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'samples'"
        " AND data_type = 'double precision' ORDER BY ordinal_position",
        database=postgres_url.rpartition("/")[2],
    )
    assert columns.splitlines() == [point.name for point in POINTS]
