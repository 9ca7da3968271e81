"""The latest value of something, which wakes nobody unless asked to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from actors._errors import ActorStopped, MailboxFull
from actors._ref import Ref

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """What a slot has seen: what it took, and what was older than what it had."""

    accepted: int
    late: int


class Slot(Generic[T]):
    """Keeps the newest item by a rule of its own; the quiet end of a telemetry path.

    An actor holds it and hands it to whoever feeds it; readers peek through the actor's
    owner. Most items arrive and are overwritten without anybody looking: that must cost
    about a comparison and two assignments, and no task switch.

    Characteristics:
        Bound: one item.
        Order: `newer(item, held)` decides; an item that is not newer is counted as late.
        Wakes: nobody, until `wake_once` asks for it, and then once.
    """

    __slots__ = ("_accepted", "_item", "_late", "_newer", "_ring")

    def __init__(self, newer: Callable[[T, T], bool]) -> None:
        self._newer = newer
        self._item: T | None = None
        self._ring: Callable[[], None] | None = None
        self._accepted = 0
        self._late = 0

    def put(self, item: T) -> bool:
        """Keep the item if it is newer than the one held; whether it was."""
        held = self._item
        if held is not None and not self._newer(item, held):
            self._late += 1
            return False
        self._item = item
        self._accepted += 1
        if self._ring is not None:
            self._wake(self._ring)
        return True

    def peek(self) -> T | None:
        """The newest item; None before the first."""
        return self._item

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
        return SlotStatistics(self._accepted, self._late)

    def _wake(self, ring: Callable[[], None]) -> None:
        self._ring = None
        try:
            ring()
        except MailboxFull:
            self._ring = ring  # it is awake and busy: the next item tries again
        except ActorStopped:
            pass  # whom the item no longer concerns
