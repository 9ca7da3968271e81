"""Who holds an asset, and until when. Pure: events in, commands out.

A dispatch that was accepted is a lease. At most one is in force; others may wait for
their start. Whatever happens, a lease in force is followed by another one or by the
asset's fallback, and every lease ends with one report. Times are monotonic seconds.

From one block of a schedule to the next the asset keeps its setpoint, if the gap is short:
the first block lasts until the second begins.
"""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from dercp.model.dispatch import (
    Acked,
    Applied,
    Authority,
    Cancelled,
    Completed,
    DispatchReason,
    DispatchRequest,
    Failed,
    Rejected,
    Superseded,
)
from dercp.model.guardrail import OnLimit
from dercp.model.schedule import GAP_GRACE_S
from dercp.wire.dispatch import EdgeWord

__all__ = [
    "Book",
    "Command",
    "FallBack",
    "Lease",
    "Report",
    "Step",
    "Write",
    "abandon",
    "accept",
    "cancel",
    "end",
    "fell_back",
    "in_force_until_s",
    "leases_of",
    "left_alone",
    "next_deadline_s",
    "not_fallen_back",
    "not_written",
    "reopened",
    "resumed",
    "tick",
    "written",
]

# A day of five-minute blocks, and some.
SCHEDULED_MAX: Final = 300
# An end and a beginning this close were meant to be one instant.
TOUCH_S: Final = 0.5
_ACKED: Final = Acked()


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted dispatch. `setpoint_mw` is what was asked; the guardrails have the last word."""

    dispatch_id: str
    revision: int
    setpoint_mw: float
    start_s: float
    until_s: float
    priority: int = 0
    on_limit: OnLimit = OnLimit.CLAMP
    schedule_id: str = ""
    authority: Authority = Authority.HEADEND

    @property
    def rank(self) -> tuple[int, int]:
        """Which of two goes first: whose word it is, then how urgent."""
        return self.authority.rank, self.priority


class Book(msgspec.Struct, frozen=True):
    """The leases of one asset.

    `scheduled` is in order of start, and no two of them overlap. `owes_fallback` says that
    the asset may still hold a setpoint nobody has a lease on: one of a process before
    this one, or one whose fallback could not be written.
    """

    in_force: Lease | None = None
    scheduled: tuple[Lease, ...] = ()
    owes_fallback: bool = True


class Write(msgspec.Struct, frozen=True):
    """Write the setpoint, then call `written` or `not_written`."""

    lease: Lease


class FallBack(msgspec.Struct, frozen=True):
    """Bring the asset to its fallback, then call `fell_back` or `not_fallen_back`.

    `then` is what is reported of the lease that ended, once the asset is there.
    """

    then: "Report | None"


class Report(msgspec.Struct, frozen=True):
    """Tell the headend how a dispatch stands; `local` is what was asked, if it began here."""

    dispatch_id: str
    revision: int
    word: EdgeWord
    local: DispatchRequest | None = None


Command: TypeAlias = Write | FallBack | Report


class Step(msgspec.Struct, frozen=True):
    """The book afterwards, and what must be done, in this order."""

    book: Book
    commands: tuple[Command, ...] = ()


def resumed(kept: Sequence[Lease], now_s: float) -> Book:
    """The book of an agent that starts anew. What is in force is written when the device opens."""
    ordered = sorted(kept, key=lambda lease: lease.start_s)
    begun = [lease for lease in ordered if lease.start_s <= now_s]
    scheduled = tuple(lease for lease in ordered if lease not in begun)
    # They did not overlap; should clocks have made them, the later one holds.
    in_force = begun[-1] if begun else None
    return Book(in_force, scheduled, owes_fallback=in_force is None)


def accept(book: Book, lease: Lease, now_s: float, acked: Acked = _ACKED) -> Step:
    """Take in a lease. Where it overlaps another, the greater rank wins, then the newer."""
    rivals = [
        other for other in leases_of(book) if _overlap(other, lease) and not _same(other, lease)
    ]
    for rival in rivals:
        if rival.rank > lease.rank:
            return Step(book, (_say(lease, _outranked(rival, lease)),))
    kept = [other for other in book.scheduled if other not in rivals and not _same(other, lease)]
    if len(kept) >= SCHEDULED_MAX:
        detail = f"{SCHEDULED_MAX} dispatches already wait for their start"
        return Step(book, (_say(lease, Rejected(reason="schedule_full", detail=detail)),))
    said = [_say(lease, acked)]
    said += [_superseded(other, lease) for other in rivals if other is not book.in_force]
    scheduled = tuple(sorted((*kept, lease), key=lambda waiting: waiting.start_s))
    step = tick(replace(book, scheduled=scheduled), now_s)
    return Step(step.book, (*said, *step.commands))


def tick(book: Book, now_s: float) -> Step:
    """Time has passed: end what is over, begin what is due."""
    missed = [lease for lease in book.scheduled if lease.until_s <= now_s]
    waiting = tuple(lease for lease in book.scheduled if lease not in missed)
    book = replace(book, scheduled=waiting)
    failed = Failed(detail="its time passed before it could be written")
    commands: list[Command] = [_say(lease, failed) for lease in missed]
    due = waiting[0] if waiting and waiting[0].start_s <= now_s else None
    current = book.in_force
    over = in_force_until_s(book) <= now_s
    if due is not None:
        if current is not None and not _same(current, due):
            ran_out = over or _touch(current, due)
            commands.append(_say(current, Completed()) if ran_out else _superseded(current, due))
        commands.append(Write(due))
        return Step(Book(due, waiting[1:], owes_fallback=False), tuple(commands))
    if current is not None and over:
        commands.append(FallBack(_say(current, Completed())))
        return Step(Book(None, waiting, owes_fallback=True), tuple(commands))
    return Step(book, tuple(commands))


def cancel(book: Book, dispatch_id: str, detail: str) -> Step:
    """End a lease early; nothing happens when it is not in the book."""
    ended = [lease for lease in leases_of(book) if lease.dispatch_id == dispatch_id]
    return _end(book, ended, Cancelled(detail=detail))


def end(book: Book, lease: Lease, word: Cancelled) -> Step:
    """End this lease, as the site wants it."""
    return _end(book, (lease,), word)


def abandon(book: Book) -> Step:
    """The agent stops: nobody is left to end the lease in force later, so it ends now.

    What waits for its start stays: an agent that is back in time goes on with the plan.
    """
    ended = () if book.in_force is None else (book.in_force,)
    return _end(book, ended, Cancelled(reason=DispatchReason.EDGE_STOPPED))


def written(book: Book, lease: Lease, word: Applied) -> Step:
    """The device confirms the setpoint."""
    return Step(book, (_say(lease, word),))


def not_written(book: Book, lease: Lease, word: Failed | Cancelled) -> Step:
    """The lease in force cannot be kept: what the device does is unknown, or must not last."""
    book = replace(book, in_force=None, owes_fallback=True)
    return Step(book, (_say(lease, word), FallBack(None)))


def fell_back(book: Book, command: FallBack) -> Step:
    """The asset is at its fallback."""
    said = () if command.then is None else (command.then,)
    return Step(replace(book, owes_fallback=False), said)


def left_alone(book: Book, command: FallBack) -> Step:
    """The people at the site have the asset: where it stands when they are done, nobody knows."""
    return Step(book, () if command.then is None else (command.then,))


def not_fallen_back(book: Book, command: FallBack, detail: str) -> Step:
    """The fallback could not be written. It stays owed until the device is back."""
    if command.then is None:
        return Step(book)
    failed = Failed(
        reason="fallback_failed",
        detail=f"its lease has ended, but the asset is not at its fallback: {detail}",
    )
    return Step(book, (replace(command.then, word=failed),))


def reopened(book: Book, now_s: float) -> Step:
    """The device is open again and may have forgotten everything: say it again."""
    book, commands = (step := tick(book, now_s)).book, step.commands
    if commands and not isinstance(commands[-1], Report):
        return step
    if book.in_force is not None:
        return Step(book, (*commands, Write(book.in_force)))
    if book.owes_fallback:
        return Step(book, (*commands, FallBack(None)))
    return step


def next_deadline_s(book: Book) -> float:
    """When `tick` next matters; infinite when nothing is awaited."""
    return min(in_force_until_s(book), book.scheduled[0].start_s if book.scheduled else math.inf)


def leases_of(book: Book) -> tuple[Lease, ...]:
    """The lease in force and those that wait for their start."""
    return book.scheduled if book.in_force is None else (book.in_force, *book.scheduled)


def in_force_until_s(book: Book) -> float:
    """When the lease in force ends: at its end, or where the one that follows on it begins."""
    current = book.in_force
    if current is None:
        return math.inf
    if book.scheduled:
        following = book.scheduled[0]
        gap_s = following.start_s - current.until_s
        same_plan = bool(current.schedule_id) and current.schedule_id == following.schedule_id
        if -TOUCH_S <= gap_s <= (GAP_GRACE_S if same_plan else TOUCH_S):
            return following.start_s
    return current.until_s


def _overlap(one: Lease, other: Lease) -> bool:
    overlap = one.start_s < other.until_s and other.start_s < one.until_s
    return overlap and not _touch(one, other) and not _touch(other, one)


def _touch(former: Lease, latter: Lease) -> bool:
    """Whether one was meant to begin where the other ends.

    Each was turned into monotonic time when it came, and what is known of the headend's time
    gets better from one message to the next: so an end and a beginning that are one instant
    in UTC are apart by some milliseconds here.
    """
    return abs(latter.start_s - former.until_s) <= TOUCH_S and former.start_s < latter.start_s


def _same(one: Lease, other: Lease) -> bool:
    """Whether one is a revision of the other: it takes its place without a word."""
    return one.dispatch_id == other.dispatch_id


def _end(book: Book, ended: Sequence[Lease], word: Cancelled) -> Step:
    waiting = tuple(lease for lease in book.scheduled if lease not in ended)
    said = [_say(lease, word) for lease in ended]
    if book.in_force is None or book.in_force not in ended:
        return Step(replace(book, scheduled=waiting), tuple(said))
    return Step(Book(None, waiting, owes_fallback=True), (*said[1:], FallBack(said[0])))


def _outranked(rival: Lease, lease: Lease) -> Rejected:
    if rival.authority is lease.authority:
        detail = f"{rival.dispatch_id} holds the asset with priority {rival.priority}"
        return Rejected(reason=DispatchReason.OUTRANKED, detail=detail)
    detail = f"{rival.dispatch_id} holds the asset for {rival.authority}"
    return Rejected(reason=DispatchReason.LOCAL_OPERATOR, detail=detail)


def _superseded(lease: Lease, by: Lease) -> Report:
    if by.authority is lease.authority:
        return _say(lease, Superseded(by=by.dispatch_id))
    return _say(lease, Superseded(by=by.dispatch_id, reason=DispatchReason.LOCAL_OPERATOR))


def _say(lease: Lease, word: EdgeWord) -> Report:
    return Report(lease.dispatch_id, lease.revision, word)
