"""What one batch of messages changes at the desk, until it is durable."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from dercp.model.dispatch import Dispatch, DispatchEvent, TimelineEntry, Transition, advance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors import Envelope
    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.dispatching.routes import Route
    from dercp.headend.messages import DeskMessage
    from dercp.store.records import IdempotencyRecord


class Round:
    """All that was decided, to be written first and then acted on; or else to be thrown away.

    Attributes:
        now_us: The time of all that is decided here.
        retry_at: When what waits at the desk goes out again (trio.current_time()).
        fetched: Dispatches the book had forgotten.
        families: Groups that have ended, of which all parts have been fetched.
        known_keys: Whose they are; those taken in this round included.
        answers: Who waits for which dispatch.
        deliveries: What goes out, and which way.
        settled: Groups that follow what their parts came to.
        postponed: Groups that shall follow later, and when (trio.current_time()).
        entries: The new lines of all timelines, in order.
        counts: What else is to be counted.
    """

    def __init__(self, book: DispatchBook, now_us: int, retry_at: float) -> None:
        self._book = book
        self.now_us = now_us
        self.retry_at = retry_at
        self.fetched: dict[str, Dispatch] = {}
        self.families: set[str] = set()
        self.known_keys: dict[str, IdempotencyRecord] = {}
        self.answers: list[tuple[Envelope[DeskMessage], Dispatch]] = []
        self.deliveries: dict[str, tuple[Route, Dispatch]] = {}
        self.settled: set[str] = set()
        self.postponed: dict[str, float] = {}
        self.entries: list[tuple[Dispatch, TimelineEntry]] = []
        self.counts: Counter[str] = Counter()
        self._changed: dict[str, Dispatch] = {}
        self._added: dict[str, Dispatch] = {}
        self._keys: list[IdempotencyRecord] = []
        # Groups of which a part has changed, in order.
        self._touched: dict[str, None] = {}

    def get(self, dispatch_id: str) -> Dispatch | None:
        """The newest state of a dispatch, this round's changes included."""
        return (
            self._added.get(dispatch_id)
            or self._changed.get(dispatch_id)
            or self._book.get(dispatch_id)
            or self.fetched.get(dispatch_id)
        )

    def add(self, dispatch: Dispatch) -> None:
        """Take a new dispatch."""
        self._added[dispatch.dispatch_id] = dispatch
        self.entries.append((dispatch, dispatch.timeline[0]))

    def add_key(self, key: IdempotencyRecord) -> None:
        """Take a new key; a repetition of it later in this round finds it too."""
        self._keys.append(key)
        self.known_keys[key.key] = key

    def advance(self, dispatch: Dispatch, event: DispatchEvent) -> Dispatch:
        """The dispatch after an event."""
        return self.change(advance(dispatch, event, self.now_us))

    def change(self, transition: Transition) -> Dispatch:
        """Take over what became of a dispatch."""
        dispatch = transition.dispatch
        if transition.entry is not None:
            self.keep(dispatch)
            self.entries.append((dispatch, transition.entry))
            if dispatch.parent_id is not None:
                self.touch(dispatch.parent_id)
        return dispatch

    def keep(self, dispatch: Dispatch) -> None:
        """Take over a dispatch of which something has changed that adds no line to its story."""
        into = self._added if dispatch.dispatch_id in self._added else self._changed
        into[dispatch.dispatch_id] = dispatch

    def touch(self, group_id: str) -> None:
        """Have a group looked at, as if a part of it had changed."""
        self._touched[group_id] = None

    def touched_groups(self) -> Iterator[str]:
        """The groups of which a part has changed, each once, those touched meanwhile too."""
        while self._touched:
            dispatch_id = next(iter(self._touched))
            del self._touched[dispatch_id]
            yield dispatch_id

    def added_count(self) -> int:
        """How many dispatches are new."""
        return len(self._added)

    def written(self) -> Iterator[Dispatch]:
        """All that is new or changed, in its newest state."""
        yield from self._changed.values()
        yield from self._added.values()

    def commits(
        self, items_max: int
    ) -> Iterator[tuple[tuple[Dispatch, ...], tuple[IdempotencyRecord, ...]]]:
        """What is to be written, in parts of at most so many dispatches; mostly it is one.

        New dispatches are all in the last part: if an earlier one fails, nothing is in the
        ledger that nobody was told of.
        """
        changed = iter(self._changed.values())
        left = len(self._changed)
        while left + len(self._added) > items_max and left:
            part = tuple(islice(changed, items_max))
            left -= len(part)
            yield part, ()
        if left or self._added:
            yield (*changed, *self._added.values()), tuple(self._keys)
