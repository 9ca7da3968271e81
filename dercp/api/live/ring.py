"""What happened lately, kept for those who come back, and for those who are behind."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from dercp.api.live.events import Event, items
from dercp.api.live.selection import Scope, Topic
from dercp.headend.fleet.changes import Subject


class Item(NamedTuple):
    """Something that happened, encoded, and whom it concerns."""

    data: bytes
    site_id: str
    subjects: tuple[Subject, ...]


class Entry:
    """Things of one topic that are told together."""

    def __init__(self, topic: Topic, contents: Sequence[Item], *, time: bytes, place: str) -> None:
        self.topic = topic
        self.contents = contents
        self.size_bytes = sum(len(item.data) for item in contents)
        self._time = time
        self._place = place
        # Most read all of it.
        self._whole: Event | None = None

    def event(self, scope: Scope) -> Event | None:
        """What a scope has of it; None when that is nothing."""
        if not scope.is_all:
            return self._event(
                [i.data for i in self.contents if scope.takes_any(i.site_id, i.subjects)]
            )
        if self._whole is None:
            self._whole = self._event([item.data for item in self.contents])
        return self._whole

    def _event(self, parts: list[bytes]) -> Event | None:
        return Event(self.topic, items(parts, self._time), self._place) if parts else None


class Ring:
    """Entries by their position: 1, 2, 3, ...

    Characteristics:
        Bound: `items_max` and `bytes_max`; the oldest entries go first.
    """

    def __init__(self, *, items_max: int, bytes_max: int) -> None:
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._entries: deque[Entry] = deque()
        self._items = 0
        self._bytes = 0
        self.position = 0

    @property
    def floor(self) -> int:
        """The position before the oldest entry: what came after it is all here."""
        return self.position - len(self._entries)

    def add(self, entry: Entry) -> None:
        """Keep an entry; it gets the next position."""
        self._entries.append(entry)
        self.position += 1
        self._items += len(entry.contents)
        self._bytes += entry.size_bytes
        while self._items > self._items_max or self._bytes > self._bytes_max:
            oldest = self._entries.popleft()
            self._items -= len(oldest.contents)
            self._bytes -= oldest.size_bytes

    def skip(self, count: int) -> None:
        """So many entries are missing: nobody can go on from before here."""
        self._entries.clear()
        self._items = self._bytes = 0
        self.position += count

    def after(self, position: int) -> Entry:
        """The entry after a position, which is at least `floor` and less than `position`."""
        return self._entries[position - self.floor]
