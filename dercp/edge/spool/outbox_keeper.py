"""The actor in whose time the outbox works."""

from typing import NoReturn

import trio

from actors import Actor, Context
from dercp.edge.spool.outbox import Outbox

__all__ = ["OutboxKeeper"]


class OutboxKeeper(Actor[NoReturn]):
    """Runs the outbox's own work; what the outbox holds outlives a crash of it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def run(self, context: Context[NoReturn]) -> None:
        """Until told to end; what is left to do then is done when the outbox is closed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._outbox.run)
            await context.wait_ending()
            nursery.cancel_scope.cancel("the agent stops")
