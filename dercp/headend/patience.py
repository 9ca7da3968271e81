"""Waiting for a store that is away, busy or full: what passes by itself is no crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog
import trio

from dercp.model.backoff import full_jitter
from dercp.store.errors import StoreAway, StoreBusy, StoreFull

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

T = TypeVar("T")

log = structlog.get_logger()

PASSING = (StoreAway, StoreBusy, StoreFull)
"""What a store says that passes without a restart of the headend."""

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 3.0


async def until_it_answers(ask: Callable[[], Awaitable[T]], random: Random) -> T:
    """What the store answers, asked again for as long as it cannot; each time is logged.

    For an actor that cannot begin without: its mail waits, and so do its askers, each for no
    longer than its own deadline.
    """
    attempt = 0
    while True:
        try:
            return await ask()
        except PASSING as error:
            log.error("store_awaited", why=str(error))
        await trio.sleep(retry_s(attempt, random))
        attempt += 1


def retry_s(attempt: int, random: Random) -> float:
    """How long to wait before attempt number `attempt` + 1."""
    return full_jitter(attempt, draw=random.random(), first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S)
