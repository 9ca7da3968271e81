"""Puts together all that is known of one dispatch, for those who settle it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dercp.headend.dispatching.record_views import AssetRecord, DispatchRecord
from dercp.headend.history.views import HistorySpan
from dercp.model.dispatch import AssetTarget, ShareState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from dercp.headend.dispatching.reader import DispatchReader
    from dercp.headend.fleet.roster import Roster
    from dercp.headend.fleet.twin import Twin
    from dercp.headend.history.reader import HistoryReader
    from dercp.model.dispatch import Dispatch
    from dercp.model.time import Clock

ASSETS_MAX: Final = 100
SAMPLES_MAX: Final = 5_000
GAPS_MAX: Final = 1_000
# What settles a dispatch; all else is to be had from history.
POINTS: Final = frozenset(
    {"active_power_mw", "setpoint_mw", "soc_pct", "available_min_mw", "available_max_mw"}
)


class Recorder:
    """Makes records out of the ledger and history.

    Characteristics:
        Bound: samples of `ASSETS_MAX` assets, `SAMPLES_MAX` of each; the record says what it
            leaves out.
    """

    def __init__(
        self, dispatches: DispatchReader, history: HistoryReader, roster: Roster, clock: Clock
    ) -> None:
        self._dispatches = dispatches
        self._history = history
        self._roster = roster
        self._clock = clock

    async def record(self, dispatch_id: str) -> DispatchRecord | None:
        """The record of a dispatch; None when there was never one by this id.

        Raises:
            StoreAwaited: The ledger cannot be read now.
            HistoryUnavailable: The samples cannot be read now.
        """
        dispatch = await self._dispatches.get(dispatch_id)
        if dispatch is None:
            return None
        parts = [part async for part in self._parts(dispatch)]
        from_us, to_us = _time_of(dispatch, self._clock())
        twins = [
            twin
            for asset_id in sorted(set(_assets_of((dispatch, *parts))))
            if (twin := self._roster.twins.get(asset_id)) is not None
        ]
        assets = [await self._asset(twin, from_us, to_us) for twin in twins[:ASSETS_MAX]]
        return DispatchRecord(
            dispatch=dispatch,
            parts=tuple(parts),
            from_us=from_us,
            to_us=to_us,
            assets=tuple(assets),
            assets_left_out=max(0, len(twins) - ASSETS_MAX),
        )

    async def _parts(self, dispatch: Dispatch) -> AsyncIterator[Dispatch]:
        for part_id in dispatch.children:
            part = await self._dispatches.get(part_id)
            if part is not None:
                yield part
                async for inner in self._parts(part):
                    yield inner

    async def _asset(self, twin: Twin, from_us: int, to_us: int) -> AssetRecord:
        points = tuple(point for point in twin.spec.points if point.name in POINTS)
        complete_until_us = await self._history.complete_until(twin.agent_id)
        span = HistorySpan(
            agent_id=twin.agent_id,
            asset_id=twin.spec.asset_id,
            points=points,
            from_us=from_us,
            to_us=to_us,
        )
        page = await self._history.samples(span, after=None, limit=SAMPLES_MAX)
        gaps = await self._history.gaps(twin.agent_id, from_us, to_us, after=None, limit=GAPS_MAX)
        last = page.next_after
        return AssetRecord(
            asset_id=twin.spec.asset_id,
            agent_id=twin.agent_id,
            points=points,
            samples=page.samples,
            samples_end_us=None if last is None else last.source_time_us,
            bad_batches=page.bad_batches,
            complete_until_us=complete_until_us,
            gaps=gaps.gaps,
        )


def _time_of(dispatch: Dispatch, now_us: int) -> tuple[int, int]:
    """From when it could act to when it could no longer, or now."""
    request = dispatch.request
    from_us = max(request.start_us, dispatch.timeline[0].time_us)
    ended_us = dispatch.timeline[-1].time_us if dispatch.is_final else now_us
    return from_us, max(from_us, min(ended_us, request.until_us))


def _assets_of(dispatches: Sequence[Dispatch]) -> Iterator[str]:
    """Those that it was for, at any depth: by target, or by what a gateway said of its shares."""
    for dispatch in dispatches:
        if isinstance(dispatch.request.target, AssetTarget):
            yield dispatch.request.target.asset_id
        elif dispatch.placement is not None and not dispatch.is_group:
            for share in dispatch.placement.shares:
                if share.state is not ShareState.EXCLUDED:
                    yield share.id
