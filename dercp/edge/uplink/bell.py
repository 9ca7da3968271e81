"""Wakes one task when there may be something to do."""

import trio

__all__ = ["Bell"]


class Bell:
    """Rung by many, waited for by one. Rung while nobody waits, it is heard at the next wait."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """There may be something to do."""
        self._rung.set()

    async def wait(self) -> None:
        """Wait until it was rung since the last wait."""
        await self._rung.wait()
        self._rung = trio.Event()
