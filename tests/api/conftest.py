"""An application over fakes, and a client that holds every answer to the description."""

import sys
from pathlib import Path

import pytest
from api_client import CheckedClient
from api_fakes import FakeHeadend

# The plant of the headend's tests serves here, too.
sys.path.append(str(Path(__file__).parent.parent / "headend"))


@pytest.fixture
def headend() -> FakeHeadend:
    """Three assets at two sites, a desk and their application."""
    return FakeHeadend()


@pytest.fixture
def client(headend: FakeHeadend) -> CheckedClient:
    """Asks the application without a socket."""
    return CheckedClient(headend.app)
