"""What there is of one topic, told part by part."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from dercp.api.live.events import Event
from dercp.api.live.selection import Scope, Topic

V = TypeVar("V")


class Part(NamedTuple):
    """A part of a listing: an event, unless there is nothing to tell, and what comes next."""

    event: Event | None
    # The id after which the next part begins; None at the end.
    after: str | None


class Listing(Generic[V]):
    """All there is of a topic at one look, sorted by id.

    Characteristics:
        Work: is done when somebody asks, and once for all who ask the same.
        Bound: a part has at most `length` entries.
    """

    def __init__(
        self,
        topic: Topic,
        load: Callable[[], Sequence[V]],
        *,
        length: int,
        id_of: Callable[[V], str],
        takes: Callable[[Scope, V], bool],
        data: Callable[[Sequence[V]], bytes],
    ) -> None:
        self._topic = topic
        self._load = load
        self._length = length
        self._id_of = id_of
        self._takes = takes
        self._data = data
        self._entries: Sequence[V] | None = None
        self._parts: dict[tuple[Scope, str], Part] = {}

    def part(self, scope: Scope, after: str) -> Part:
        """What of it is in the scope, beginning after this id."""
        part = self._parts.get((scope, after))
        if part is None:
            part = self._parts[scope, after] = self._make(scope, after)
        return part

    def _make(self, scope: Scope, after: str) -> Part:
        if self._entries is None:
            self._entries = self._load()
        begin = bisect_right(self._entries, after, key=self._id_of)
        taken = (each for each in islice(self._entries, begin, None) if self._takes(scope, each))
        found = list(islice(taken, self._length + 1))
        page = found[: self._length]
        if not page:
            return Part(None, None)
        more = len(found) > self._length
        return Part(Event(self._topic, self._data(page)), self._id_of(page[-1]) if more else None)
