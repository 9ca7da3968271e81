"""What all tests of the headend share."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Log lines as tests need them: structlog's own tracebacks print every local variable."""
    structlog.configure(processors=[structlog.processors.LogfmtRenderer(bool_as_flag=False)])
    yield
    structlog.reset_defaults()
