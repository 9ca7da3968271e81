"""Keeps a flood of lost messages from becoming a flood of events."""

import trio

from actors._events import DeadLetter, Event, EventStream, Overflowed, Undelivered
from actors._mailbox_spec import OnFull

QUIET_S = 1.0
"""At most one event per path and cause in this time."""


class _Tally:
    """What was held back since the last event of one path and cause."""

    __slots__ = ("count", "message")

    def __init__(self) -> None:
        self.count = 0
        self.message: object = None


class Reports:
    """Reports the first loss at once, then how many there were, once a second.

    Every loss is in exactly one event's count, so the sum over the events of a closed
    system equals the mailboxes' counters.
    """

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._held: dict[tuple[str, OnFull | Undelivered], _Tally] = {}
        self._first = trio.Event()

    def overflowed(self, path: str, on_full: OnFull) -> None:
        """One message found the mailbox of `path` full."""
        self._note(path, on_full, None)

    def undelivered(self, path: str, why: Undelivered, message: object) -> None:
        """One message to `path` was not handled."""
        self._note(path, why, message)

    async def run(self) -> None:
        """Report once a second what was held back; asleep while nothing is."""
        while True:
            await self._first.wait()
            while self._held:
                await trio.sleep(QUIET_S)
                self.flush()
            self._first = trio.Event()

    def flush(self) -> None:
        """Report what was held back, and forget who has been quiet."""
        for key, tally in tuple(self._held.items()):
            if tally.count == 0:
                del self._held[key]
            else:
                self._held[key] = _Tally()
                self._events.emit(_event(*key, tally.count, tally.message))

    def _note(self, path: str, cause: OnFull | Undelivered, message: object) -> None:
        tally = self._held.get((path, cause))
        if tally is None:
            self._held[path, cause] = _Tally()
            self._first.set()
            self._events.emit(_event(path, cause, 1, message))
        else:
            tally.count += 1
            tally.message = message


def _event(path: str, cause: OnFull | Undelivered, count: int, message: object) -> Event:
    if isinstance(cause, OnFull):
        return Overflowed(path, trio.current_time(), cause, count)
    return DeadLetter(path, trio.current_time(), cause, count, message)
