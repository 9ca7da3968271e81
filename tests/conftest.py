"""What holds for all tests.

This folder is on the import path, so that `memory_store` serves several parts. Hypothesis
prints how to repeat a failure, and measures no time: a busy machine is no failure.
`pytest --hypothesis-profile=long` tries harder.
"""

from collections.abc import Iterator

import pytest
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


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, for one test."""
    if not postgres_server.is_running:
        postgres_server.start()
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    if not postgres_server.is_running:
        postgres_server.start()
    postgres_server.drop_database(name)
