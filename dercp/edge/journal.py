"""What became of each dispatch: the memory behind at-most-once, and the mail to the headend.

In memory for now: it does not survive the process.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from dercp.edge.lease import Report
from dercp.model.dispatch import FINAL
from dercp.model.time import Clock, us_from_s

__all__ = ["Journal", "JournalStatistics"]

ENTRIES_MAX: Final = 4096
# A dispatch has half a dozen words in its life; more of them swing back and forth.
UNSENT_WORDS_MAX: Final = 16
# Everything that may have been lost with a link, or with the headend's last second.
REPEATED_US: Final = us_from_s(3600.0)


class JournalStatistics(msgspec.Struct, frozen=True):
    """How full the journal is."""

    entries: int
    unended: int
    unsent: int


class _Entry(msgspec.Struct):
    revision: int
    asset_id: str | None
    last: Report | None = None
    unsent: deque[Report] = msgspec.field(default_factory=deque)

    @property
    def is_final(self) -> bool:
        return self.last is not None and self.last.word.state in FINAL


class Journal:
    """The last word on each dispatch, by id.

    Characteristics:
        Bound: 4096 dispatches. Forgotten are the oldest that have ended and were sent; while
            there is none of these, `admits` refuses new ones.
        Mail: the reports of a dispatch wait in order, at most 16, of which the oldest makes
            room; kept across sessions. The last word is never dropped.
        Survives: a crash of any actor; not the process.
    """

    def __init__(self, clock: Clock, on_unsent: Callable[[], None]) -> None:
        self._clock = clock
        self._on_unsent = on_unsent
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._unsent: OrderedDict[str, None] = OrderedDict()

    def admits(self, dispatch_id: str, revision: int, asset_id: str | None) -> bool:
        """Enter a dispatch; False if it must not be executed.

        That is when this revision or a later one was here before (its last word is then sent
        again), when it has ended, or when there is no room left to remember it.
        """
        entry = self._entries.get(dispatch_id)
        if entry is not None and (entry.is_final or revision <= entry.revision):
            self._send(dispatch_id, entry)
            return False
        if entry is None and len(self._entries) >= ENTRIES_MAX and not self._forget():
            return False
        unsent = deque() if entry is None else entry.unsent
        self._entries[dispatch_id] = _Entry(revision, asset_id, unsent=unsent)
        return True

    def asset_of(self, dispatch_id: str) -> str | None:
        """Which asset a dispatch is for; None if it is not known here."""
        entry = self._entries.get(dispatch_id)
        return None if entry is None else entry.asset_id

    def has_ended(self, dispatch_id: str) -> bool:
        """Whether a dispatch is known here, and over."""
        entry = self._entries.get(dispatch_id)
        return entry is not None and entry.is_final

    def record(self, report: Report) -> None:
        """Take in a report. A dispatch that has ended, or has a newer revision, hears no more."""
        entry = self._entries.get(report.dispatch_id)
        if entry is None or entry.is_final or report.revision < entry.revision:
            return
        entry.last = replace(report, word=replace(report.word, source_time_us=self._clock()))
        entry.unsent.append(entry.last)
        if len(entry.unsent) > UNSENT_WORDS_MAX:
            entry.unsent.popleft()
        self._send(report.dispatch_id, entry)

    def next_unsent(self) -> Report | None:
        """The report that waits longest; its word bears the time, by the headend's clock."""
        for dispatch_id in self._unsent:
            return self._entries[dispatch_id].unsent[0]
        return None

    def sent(self, report: Report) -> None:
        """The report has left; the next one of its dispatch follows."""
        entry = self._entries[report.dispatch_id]
        if entry.unsent and entry.unsent[0] is report:
            entry.unsent.popleft()
        if not entry.unsent:
            self._unsent.pop(report.dispatch_id, None)

    def repeat_recent(self) -> None:
        """A new session: say again what the headend may not have heard or kept."""
        since_us = self._clock() - REPEATED_US
        for dispatch_id, entry in self._entries.items():
            said_us = 0 if entry.last is None else entry.last.word.source_time_us or 0
            if not entry.is_final or said_us >= since_us:
                self._send(dispatch_id, entry)

    def statistics(self) -> JournalStatistics:
        """The counts now."""
        unended = sum(not entry.is_final for entry in self._entries.values())
        return JournalStatistics(len(self._entries), unended, len(self._unsent))

    def _send(self, dispatch_id: str, entry: _Entry) -> None:
        if entry.last is not None:
            if not entry.unsent:
                entry.unsent.append(entry.last)
            self._unsent[dispatch_id] = None
            self._on_unsent()

    def _forget(self) -> bool:
        for dispatch_id, entry in self._entries.items():
            if entry.is_final and dispatch_id not in self._unsent:
                del self._entries[dispatch_id]
                return True
        return False
