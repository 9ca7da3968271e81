"""Logs: readable on a terminal, one JSON object a line elsewhere. Always on standard error."""

import logging
import os
import sys
from typing import TextIO

import structlog


def configure_logs(level: int, stream: TextIO | None = None) -> None:
    """Set up structlog for this process; library logs of WARNING and above pass through it."""
    stream = sys.stderr if stream is None else stream
    on_terminal = stream.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if on_terminal:
        renderer = _console_renderer()
    else:
        shared += [_tracebacks, _event_first]
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer)
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


# Local variables may be large, and secret.
_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _event_first(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """When, how bad, what; then what the event brings along."""
    return {name: event.pop(name, None) for name in ("timestamp", "level", "event")} | dict(event)


def _console_renderer() -> structlog.dev.ConsoleRenderer:
    """In colour where that is wanted; tracebacks as Python prints them."""
    colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )
