"""The service that ages history out: what is too old or too much, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from actors import Actor, Context
from dercp.headend.patience import PASSING

if TYPE_CHECKING:
    from dercp.model.time import Clock
    from dercp.store.ports import History

log = structlog.get_logger()

LOOK_EVERY_S = 60.0
# Between two bounded steps, so that what is to be logged gets its turns.
STEP_EVERY_S = 0.05


class AgeingActor(Actor[None]):
    """Prunes in bounded steps for as long as there is something to prune."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def run(self, context: Context[None]) -> None:
        """Look once a minute until told to end."""
        while not context.is_ending:
            pause_s = await self._step()
            with trio.move_on_after(pause_s):
                await context.wait_ending()

    async def _step(self) -> float:
        """One step, and how long to wait for the next."""
        try:
            pruned = await self._history.prune(self._clock())
        except PASSING as error:
            log.error("history_not_pruned", why=str(error))
            return LOOK_EVERY_S
        if pruned.frames:
            log.info("history_pruned", frames=pruned.frames, gaps=pruned.gaps)
        return STEP_EVERY_S if pruned.more else LOOK_EVERY_S
