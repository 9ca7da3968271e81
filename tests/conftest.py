"""What holds for all tests.

This folder is on the import path, so that `memory_store` serves several parts. Hypothesis
prints how to repeat a failure, and measures no time: a busy machine is no failure.
`pytest --hypothesis-profile=long` tries harder.
"""

from collections.abc import Iterator

import pytest
import trio
from hypothesis import settings
from postgres_server import PostgresMissing, PostgresServer, run_postgres

settings.register_profile("usual", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile("usual")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running Postgres server. Who kills or stops it need not start it again."""
    try:
        with run_postgres() as server:
            yield server
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """A database with the tables of a store."""
    from dercp.store.postgres import open_postgres

    async def make(url: str) -> None:
        async with open_postgres(url):
            pass

    name = postgres_server.create_database()
    trio.run(make, postgres_server.url(name))
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> str:
    """The URL of a database in which nothing is stored, for one test."""
    if not postgres_server.is_running:
        postgres_server.start()
    postgres_server.empty(postgres_database)
    return postgres_server.url(postgres_database)
