"""What became of each dispatch: the memory behind at-most-once, and the mail to the headend.

Each entry is kept on the spool's disk. A setpoint is written only after the entry that says
so is there, and a word is sent only then: what the headend was told, a killed agent knows.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, Protocol

import msgspec
import structlog
import trio
from msgspec.structs import replace

from dercp.edge.asset.kept_lease import KeptLease, keep
from dercp.edge.asset.lease import Lease, Report
from dercp.edge.site.parts import KeptShares, parent_of
from dercp.model.dispatch import FINAL, DispatchRequest, DispatchState
from dercp.model.time import Clock, us_from_s

__all__ = ["Journal", "JournalDisk", "JournalStatistics", "Remembered", "Unended"]

# A day of five-minute blocks for a hundred assets, and some; about 1 KiB each.
ENTRIES_MAX: Final = 32_768
# A dispatch has half a dozen words in its life; more of them swing back and forth.
UNSENT_WORDS_MAX: Final = 16
# Everything that may have been lost with a link, or with the headend's last second.
REPEATED_US: Final = us_from_s(3600.0)


class JournalStatistics(msgspec.Struct, frozen=True):
    """How full the journal is."""

    entries: int
    unended: int
    unsent: int


class JournalDisk(Protocol):
    """Where the entries are kept."""

    @property
    def settled(self) -> int:
        """Notes up to this number are on the disk, or the disk takes nothing."""
        ...

    def note(self, dispatch_id: str, content: bytes | None) -> int:
        """Keep an entry, or forget it; it is settled when `settled` reaches the number."""
        ...

    def note_later(self, dispatch_id: str, content: bytes | None) -> None:
        """The same, some time soon: should it be lost, something is only said twice."""
        ...

    async def commit(self) -> bool:
        """Wait until all notes are on the disk; False if the disk does not take them."""
        ...


class Unended(msgspec.Struct, frozen=True):
    """A dispatch that had not ended when the process before this one did."""

    dispatch_id: str
    revision: int
    asset_id: str | None
    lease: KeptLease | None
    # Of a site's dispatch that was divided: among whom.
    shares: KeptShares | None = None


class Remembered(msgspec.Struct, frozen=True):
    """What is known of an asset's part of a dispatch."""

    revision: int
    last: Report | None


class _Entry(msgspec.Struct):
    revision: int
    asset_id: str | None
    last: Report | None = None
    unsent: list[Report] = msgspec.field(default_factory=list)
    # When a word of it last left, by the headend's clock.
    sent_us: int = 0
    lease: KeptLease | None = None
    shares: KeptShares | None = None
    # What was asked, of a dispatch that began here.
    local: DispatchRequest | None = None

    @property
    def is_final(self) -> bool:
        return self.last is not None and self.last.word.state in FINAL


class Journal:
    """The last word on each dispatch, by id.

    Characteristics:
        Bound: 32,768 dispatches. Forgotten are the oldest that have ended and were sent; while
            there is none of these, `admits` refuses new ones.
            The parts of a site's dispatch are forgotten with its end, and not counted.
        Mail: the reports of a dispatch wait in order, at most 16, of which the oldest makes
            room; kept across sessions. The last word is never dropped.
            What is said of a part goes to the site's gateway, and to no headend.
        Began here: refused ones are forgotten at once. With a headend that stays away those
            that have ended are forgotten, too, the oldest first: it keeps nobody here from
            acting.
        Survives: the process, as far as the disk has taken it.
        Disk full or failing: no new lease begins; words are sent without being kept.
    """

    def __init__(
        self,
        clock: Clock,
        own_clock: Clock,
        on_unsent: Callable[[], None],
        disk: JournalDisk,
        kept: Mapping[str, bytes],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._clock = clock
        self._own_clock = own_clock
        self._on_unsent = on_unsent
        self._disk = disk
        # By dispatch: the note that must be settled before its words may leave.
        self._settles_at: dict[str, int] = {}
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._unsent: OrderedDict[str, None] = OrderedDict()
        # The parts of the dispatches that a site's assets share, by dispatch and part.
        self._parts: dict[str, dict[str, _Entry]] = {}
        self._on_part: Callable[[Report], None] = _unheard
        self._on_local: Callable[[Report], None] = _unheard
        for dispatch_id, content in kept.items():
            self._recall(dispatch_id, content, log)
        self._forget_orphans()

    def tell_of_parts(self, on_part: Callable[[Report], None]) -> None:
        """Who hears what is said of the parts of a site's dispatches."""
        self._on_part = on_part

    def tell_of_locals(self, on_local: Callable[[Report], None]) -> None:
        """Who hears what is said of the dispatches that began here."""
        self._on_local = on_local

    def enter(self, dispatch_id: str, asset_id: str | None, local: DispatchRequest) -> bool:
        """Enter a dispatch that begins here, for an asset or (None) the site.

        False if there is no room left to remember it.
        """
        if len(self._entries) >= ENTRIES_MAX and not self._forget():
            return False
        self._entries[dispatch_id] = _Entry(1, asset_id, local=local)
        return True

    def local(self, dispatch_id: str) -> DispatchRequest | None:
        """What was asked of a dispatch that began here; None of any other."""
        entry = self._entries.get(dispatch_id)
        return None if entry is None else entry.local

    def admits(self, dispatch_id: str, revision: int, asset_id: str | None) -> bool:
        """Enter a dispatch; False if it must not be executed.

        That is when this revision or a later one was here before (its last word is then sent
        again), when it has ended or began here, or when there is no room left to remember it.
        """
        parent_id = parent_of(dispatch_id)
        if parent_id is not None:
            return self._admits_part(parent_id, dispatch_id, _Entry(revision, asset_id))
        entry = self._entries.get(dispatch_id)
        if entry is not None and (entry.is_final or entry.local or revision <= entry.revision):
            self._send(dispatch_id, entry)
            return False
        if entry is None and len(self._entries) >= ENTRIES_MAX and not self._forget():
            return False
        unsent = [] if entry is None else entry.unsent
        lease = None if entry is None else entry.lease
        shares = None if entry is None else entry.shares
        self._entries[dispatch_id] = _Entry(
            revision, asset_id, unsent=unsent, lease=lease, shares=shares
        )
        return True

    def asset_of(self, dispatch_id: str) -> str | None:
        """Which asset a dispatch is for; None if it is not known here."""
        entry = self._entries.get(dispatch_id)
        return None if entry is None else entry.asset_id

    def is_open(self, dispatch_id: str) -> bool:
        """Whether a dispatch is known here, and not over."""
        entry = self._entries.get(dispatch_id)
        return entry is not None and not entry.is_final

    def record(self, report: Report) -> None:
        """Take in a report. A dispatch that has ended, or has a newer revision, hears no more."""
        entry = self._find(report.dispatch_id)
        if entry is None or entry.is_final or report.revision < entry.revision:
            return
        refused = entry.last is None and report.word.state in _REFUSED
        word = replace(report.word, source_time_us=self._clock())
        entry.last = replace(report, word=word, local=entry.local)
        if parent_of(report.dispatch_id) is not None:
            self._record_part(entry, entry.last)
            return
        if entry.local is not None:
            self._on_local(entry.last)
        if entry.local is not None and refused:
            del self._entries[report.dispatch_id]
            return
        entry.unsent.append(entry.last)
        if len(entry.unsent) > UNSENT_WORDS_MAX:
            del entry.unsent[0]
        if report.word.state in FINAL:
            entry.lease = entry.shares = None
            for part_id in self._parts.pop(report.dispatch_id, ()):
                self._disk.note_later(part_id, None)
        self._note(report.dispatch_id, entry)
        self._send(report.dispatch_id, entry)

    def hold(self, lease: Lease) -> None:
        """A lease was taken: an agent that starts anew goes on with it."""
        entry = self._find(lease.dispatch_id)
        if entry is None or entry.is_final:
            return
        entry.lease = keep(
            lease, headend_us=self._clock(), own_us=self._own_clock(), now_s=trio.current_time()
        )
        self._note(lease.dispatch_id, entry)

    def let_go(self, dispatch_id: str) -> None:
        """A lease is over, or about to be: nobody shall go on with it."""
        entry = self._find(dispatch_id)
        if entry is not None and entry.lease is not None:
            entry.lease = None
            self._note(dispatch_id, entry)

    def keep_shares(self, dispatch_id: str, shares: KeptShares) -> None:
        """A site's dispatch was divided, or its parts have moved."""
        entry = self._entries.get(dispatch_id)
        if entry is not None and not entry.is_final:
            entry.shares = shares
            self._note(dispatch_id, entry)

    def part(self, part_id: str) -> Remembered | None:
        """What is known of an asset's part of a dispatch; None if its order never came."""
        entry = self._find(part_id)
        return None if entry is None else Remembered(entry.revision, entry.last)

    async def commit(self) -> bool:
        """Wait until all of this is on the disk; False if the disk does not take it."""
        return await self._disk.commit()

    def unended(self) -> Sequence[Unended]:
        """What has not ended; of interest when the agent starts anew."""
        parts = (item for parts in self._parts.values() for item in parts.items())
        return [
            Unended(dispatch_id, entry.revision, entry.asset_id, entry.lease, entry.shares)
            for dispatch_id, entry in (*self._entries.items(), *parts)
            if not entry.is_final
        ]

    def next_unsent(self) -> Report | None:
        """The report that waits longest; its word bears the time, by the headend's clock."""
        for dispatch_id in self._unsent:
            if self._settles_at.get(dispatch_id, 0) <= self._disk.settled:
                return self._entries[dispatch_id].unsent[0]
        return None

    def sent(self, report: Report) -> None:
        """The report has left; the next one of its dispatch follows."""
        entry = self._entries[report.dispatch_id]
        if entry.unsent and entry.unsent[0] is report:
            del entry.unsent[0]
            entry.sent_us = self._clock()
            self._disk.note_later(report.dispatch_id, msgspec.msgpack.encode(entry))
        if not entry.unsent:
            self._unsent.pop(report.dispatch_id, None)

    def repeat_recent(self) -> None:
        """A new session: say again what the headend may not have heard or kept."""
        # Counted from what left last: the headend may have been away for long since then.
        last_us = max((entry.sent_us for entry in self._entries.values()), default=0)
        since_us = min(last_us, self._clock()) - REPEATED_US
        for dispatch_id, entry in self._entries.items():
            if not entry.is_final or entry.sent_us >= since_us:
                self._send(dispatch_id, entry)

    def statistics(self) -> JournalStatistics:
        """The counts now."""
        unended = sum(not entry.is_final for entry in self._entries.values())
        return JournalStatistics(len(self._entries), unended, len(self._unsent))

    def _find(self, dispatch_id: str) -> _Entry | None:
        parent_id = parent_of(dispatch_id)
        if parent_id is None:
            return self._entries.get(dispatch_id)
        return self._parts.get(parent_id, {}).get(dispatch_id)

    def _admits_part(self, parent_id: str, part_id: str, entry: _Entry) -> bool:
        """The same for a part; a dispatch has as many as the site has assets, at most."""
        parts = self._parts.setdefault(parent_id, {})
        before = parts.get(part_id)
        if before is not None and (before.is_final or entry.revision <= before.revision):
            return False
        entry.lease = None if before is None else before.lease
        parts[part_id] = entry
        return True

    def _record_part(self, entry: _Entry, report: Report) -> None:
        if report.word.state in FINAL:
            entry.lease = None
        self._note(report.dispatch_id, entry)
        self._on_part(report)

    def _send(self, dispatch_id: str, entry: _Entry) -> None:
        if entry.last is not None:
            if not entry.unsent:
                entry.unsent.append(entry.last)
            self._unsent[dispatch_id] = None
            self._on_unsent()

    def _forget(self) -> bool:
        entries = self._entries.items()
        sent = (each for each, e in entries if e.is_final and each not in self._unsent)
        began_here = (each for each, e in entries if e.is_final and e.local)
        dispatch_id = next(chain(sent, began_here), None)
        if dispatch_id is None:
            return False
        del self._entries[dispatch_id]
        self._unsent.pop(dispatch_id, None)
        self._settles_at.pop(dispatch_id, None)
        self._disk.note_later(dispatch_id, None)
        return True

    def _note(self, dispatch_id: str, entry: _Entry) -> None:
        number = self._disk.note(dispatch_id, msgspec.msgpack.encode(entry))
        if parent_of(dispatch_id) is None:  # no word of a part leaves
            self._settles_at[dispatch_id] = number

    def _recall(
        self, dispatch_id: str, content: bytes, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        try:
            entry = _DECODER.decode(content)
        except msgspec.DecodeError as error:
            log.error("journal_entry_unreadable", dispatch_id=dispatch_id, why=str(error))
            return
        parent_id = parent_of(dispatch_id)
        if parent_id is not None:
            self._parts.setdefault(parent_id, {})[dispatch_id] = entry
            return
        self._entries[dispatch_id] = entry
        if entry.unsent:
            self._unsent[dispatch_id] = None

    def _forget_orphans(self) -> None:
        """Parts whose dispatch has ended are of no use, if a kill came between the two."""
        for parent_id in [each for each in self._parts if not self.is_open(each)]:
            for part_id in self._parts.pop(parent_id):
                self._disk.note_later(part_id, None)


def _unheard(_report: Report) -> None:
    """Nobody asks for parts where no site is dispatched."""


_REFUSED = frozenset({DispatchState.REJECTED, DispatchState.EXPIRED})
_DECODER = msgspec.msgpack.Decoder(_Entry)
