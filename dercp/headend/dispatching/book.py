"""The dispatches that are being watched, as others may look at them."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from dercp.model.dispatch import Dispatch, Target, next_deadline_us

# So many outdated deadlines may wait for their time beside those in force.
OUTDATED_MAX = 1_000


class DispatchBook:
    """Open dispatches, and the last ended ones. Written by the desk, after the ledger was.

    Characteristics:
        Bound: the desk takes no more than `dispatches_open_max` open ones. Of ended ones
            `ended_max`; the longest ended is forgotten first and then read from the ledger.
            The ended parts of an open dispatch stay as long as it is open.

    Attributes:
        stuck_because: Why the desk cannot write at the moment; empty when it can.
    """

    def __init__(self, *, ended_max: int, grace_s: float) -> None:
        self._ended_max = ended_max
        self._grace_s = grace_s
        self._open: dict[str, Dispatch] = {}
        self._open_by_target: dict[Target, dict[str, None]] = {}
        self._ended: OrderedDict[str, Dispatch] = OrderedDict()
        # Ended parts of dispatches that are open.
        self._parts: dict[str, Dispatch] = {}
        # (deadline, id); those that are no longer in force are passed over.
        self._deadlines: list[tuple[int, str]] = []
        self.stuck_because = ""

    def clear(self) -> None:
        """Forget everything, before it is read anew from the ledger."""
        self._open.clear()
        self._open_by_target.clear()
        self._ended.clear()
        self._parts.clear()
        self._deadlines.clear()
        self.stuck_because = ""

    def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by id, unless the book has forgotten it."""
        return (
            self._open.get(dispatch_id)
            or self._parts.get(dispatch_id)
            or self._ended.get(dispatch_id)
        )

    def put(self, dispatch: Dispatch) -> None:
        """Show the newest state of a dispatch."""
        if dispatch.is_final:
            self._put_ended(dispatch)
        else:
            self._put_open(dispatch)

    def _put_open(self, dispatch: Dispatch) -> None:
        dispatch_id, target = dispatch.dispatch_id, dispatch.request.target
        deadline_us, former_us = self._deadline_us(dispatch), self._deadline_in_force(dispatch_id)
        self._open[dispatch_id] = dispatch
        self._open_by_target.setdefault(target, {})[dispatch_id] = None
        if deadline_us is not None and deadline_us != former_us:
            heapq.heappush(self._deadlines, (deadline_us, dispatch_id))
            self._drop_outdated()

    def _put_ended(self, dispatch: Dispatch) -> None:
        dispatch_id, target = dispatch.dispatch_id, dispatch.request.target
        if self._open.pop(dispatch_id, None) is not None:
            of_target = self._open_by_target[target]
            del of_target[dispatch_id]
            if not of_target:
                del self._open_by_target[target]
        if dispatch.parent_id in self._open:
            self._parts[dispatch_id] = dispatch
        else:
            self._remember(dispatch)

    def _remember(self, dispatch: Dispatch) -> None:
        """Keep it, and its parts, among those that may be forgotten."""
        for part in dispatch.children:
            ended = self._parts.pop(part, None)
            if ended is not None:
                self._remember(ended)
        self._ended[dispatch.dispatch_id] = dispatch
        self._ended.move_to_end(dispatch.dispatch_id)
        if len(self._ended) > self._ended_max:
            self._ended.popitem(last=False)

    def open_of(self, target: Target) -> list[Dispatch]:
        """The open dispatches for exactly this target, oldest first."""
        return [self._open[each] for each in self._open_by_target.get(target, ())]

    def open_dispatches(self) -> Iterator[Dispatch]:
        """All that have not ended."""
        return iter(self._open.values())

    def open_count(self) -> int:
        """How many have not ended."""
        return len(self._open)

    def next_deadline_us(self) -> int | None:
        """When time itself next changes a dispatch."""
        while self._deadlines:
            deadline_us, dispatch_id = self._deadlines[0]
            if self._deadline_in_force(dispatch_id) == deadline_us:
                return deadline_us
            heapq.heappop(self._deadlines)
        return None

    def due(self, now_us: int) -> list[str]:
        """The ids of those whose deadline has come. They stay due until they change."""
        due = []
        while (deadline_us := self.next_deadline_us()) is not None and deadline_us <= now_us:
            due.append(heapq.heappop(self._deadlines))
        for entry in due:
            heapq.heappush(self._deadlines, entry)
        return [dispatch_id for _, dispatch_id in due]

    def _deadline_us(self, dispatch: Dispatch) -> int | None:
        return next_deadline_us(dispatch, self._grace_s)

    def _deadline_in_force(self, dispatch_id: str) -> int | None:
        dispatch = self._open.get(dispatch_id)
        return self._deadline_us(dispatch) if dispatch is not None else None

    def _drop_outdated(self) -> None:
        """Dispatches that ended long before their deadline must not pile up."""
        if len(self._deadlines) > 2 * len(self._open) + OUTDATED_MAX:
            self._deadlines = [
                (deadline_us, dispatch_id)
                for dispatch_id, dispatch in self._open.items()
                if (deadline_us := self._deadline_us(dispatch)) is not None
            ]
            heapq.heapify(self._deadlines)
