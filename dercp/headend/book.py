"""The dispatches that are being watched, as others may look at them."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from dercp.model.dispatch import AssetTarget, Dispatch, next_deadline_us


class DispatchBook:
    """Open dispatches, and the last ended ones. Written by the desk, after the ledger was.

    Characteristics:
        Bound: `ended_max` ended dispatches; the longest ended is forgotten first and then
            read from the ledger. Open ones end by their `until`, the API bounds their inflow.
    """

    def __init__(self, *, ended_max: int, grace_s: float) -> None:
        self._ended_max = ended_max
        self._grace_s = grace_s
        self._open: dict[str, Dispatch] = {}
        self._open_by_asset: dict[str, dict[str, None]] = {}
        self._ended: OrderedDict[str, Dispatch] = OrderedDict()
        # (deadline, id); entries of dispatches that moved on meanwhile are passed over.
        self._deadlines: list[tuple[int, str]] = []

    def clear(self) -> None:
        """Forget everything, before it is read anew from the ledger."""
        self._open.clear()
        self._open_by_asset.clear()
        self._ended.clear()
        self._deadlines.clear()

    def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch by id, unless the book has forgotten it."""
        return self._open.get(dispatch_id) or self._ended.get(dispatch_id)

    def put(self, dispatch: Dispatch) -> None:
        """Show the newest state of a dispatch."""
        dispatch_id, target = dispatch.dispatch_id, dispatch.request.target
        if dispatch.is_final:
            self._open.pop(dispatch_id, None)
            if isinstance(target, AssetTarget):
                self._open_by_asset.get(target.asset_id, {}).pop(dispatch_id, None)
            self._ended[dispatch_id] = dispatch
            self._ended.move_to_end(dispatch_id)
            if len(self._ended) > self._ended_max:
                self._ended.popitem(last=False)
            return
        self._open[dispatch_id] = dispatch
        if isinstance(target, AssetTarget):
            self._open_by_asset.setdefault(target.asset_id, {})[dispatch_id] = None
        deadline_us = next_deadline_us(dispatch, self._grace_s)
        if deadline_us is not None:
            heapq.heappush(self._deadlines, (deadline_us, dispatch_id))

    def open_of(self, asset_id: str) -> list[Dispatch]:
        """The open dispatches of an asset, oldest first."""
        return [self._open[each] for each in self._open_by_asset.get(asset_id, ())]

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
            dispatch = self._open.get(dispatch_id)
            if dispatch is not None and next_deadline_us(dispatch, self._grace_s) == deadline_us:
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
