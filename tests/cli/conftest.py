"""A fake API behind a real port, and the environment of a newcomer."""

from collections.abc import Iterator

import pytest
import structlog
from fake_api import FakeApi, served


@pytest.fixture
def api() -> FakeApi:
    """What the headend of this test answers."""
    return FakeApi()


@pytest.fixture
def url(api: FakeApi) -> Iterator[str]:
    """Where it answers."""
    with served(api) as where:
        yield where


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    """Undo what `configure_logs` did to this process."""
    yield
    structlog.reset_defaults()
