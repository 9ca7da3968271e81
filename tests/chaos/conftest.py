"""The plants of the headend's and the edge's tests serve here, too."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

TESTS = Path(__file__).parent.parent
sys.path += [str(TESTS / part) for part in ("headend", "edge", "store")]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Trouble is no news here, and telling it takes time; DERCP_CHAOS_LOG=1 tells it."""
    if not os.environ.get("DERCP_CHAOS_LOG"):
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()
