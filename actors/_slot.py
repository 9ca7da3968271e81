# ruff: noqa: SLF001  `put_all` is the slots' own, in one call for many of them
"""The latest value of something, which wakes nobody unless asked to."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from actors._errors import ActorStopped, MailboxFull
from actors._ref import Ref

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """What a slot has seen: what it took, and what was older than what it had."""

    accepted: int
    late: int


class Held(NamedTuple, Generic[T]):
    """What a slot holds, and the number that it is ordered by."""

    order: float
    item: T


class Slot(Generic[T]):
    """Keeps the newest item, by a number that comes with it; the quiet end of a telemetry path.

    An actor holds it and hands it to whoever feeds it; readers peek through the actor's
    owner. Most items arrive and are overwritten without anybody looking: that must cost
    about a comparison and two assignments, and no task switch.

    Characteristics:
        Bound: one item.
        Order: an item of a lower order than the held one is counted as late. The order may
            be a time; should a clock be set back, `ceiling` lets the present win over what is
            held from the future.
        Wakes: nobody, until `wake_once` asks for it, and then once.
    """

    __slots__ = ("_item", "_late", "_order", "_ring", "accepted")

    def __init__(self) -> None:
        self.accepted = 0
        """Counts the items taken: another number is another item."""
        self._order = -math.inf
        self._item: T | None = None
        self._ring: Callable[[], None] | None = None
        self._late = 0

    def put(self, item: T, order: float, ceiling: float = math.inf) -> bool:
        """Keep the item unless the one held is newer, yet not beyond `ceiling`; whether kept."""
        return not put_all((self,), (item,), (order,), ceiling)

    def peek(self) -> Held[T] | None:
        """The newest item; None before the first."""
        return None if self._item is None else Held(self._order, self._item)

    def wake_once(self, ref: Ref[M], message: M) -> None:
        """Tell `message` to `ref` when the next item is taken; then be quiet again.

        So a burst costs its actor one message: it peeks, and asks to be woken again while
        it still has a reason. Asking again replaces what was asked before.
        """
        self._ring = lambda: ref.tell_nowait(message)

    def be_quiet(self) -> None:
        """Wake nobody."""
        self._ring = None

    def statistics(self) -> SlotStatistics:
        """The counts so far."""
        return SlotStatistics(self.accepted, self._late)

    def _wake(self, ring: Callable[[], None]) -> None:
        self._ring = None
        try:
            ring()
        except MailboxFull:
            self._ring = ring  # it is awake and busy: the next item tries again
        except ActorStopped:
            pass  # whom the item no longer concerns


def put_all(
    slots: Iterable[Slot[T]], items: Iterable[T], orders: Iterable[float], ceiling: float = math.inf
) -> int:
    """Offer an item to each slot, as `Slot.put` does, and return how many were late.

    One call for a whole frame: a call for each sample would cost more than the rest.
    """
    late = 0
    for slot, item, order in zip(slots, items, orders, strict=True):
        if order < slot._order <= ceiling:
            slot._late += 1
            late += 1
            continue
        slot._order = order
        slot._item = item
        slot.accepted += 1
        if slot._ring is not None:
            slot._wake(slot._ring)
    return late
