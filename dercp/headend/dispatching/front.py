"""The dispatch desk as the API sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors import ActorError
from dercp.headend.dispatching.submissions import LIMITS, RETRY_S
from dercp.headend.errors import DeskBusy, StoreAwaited
from dercp.headend.messages import Cancel, CancelSchedule, Submit, SubmitSchedule
from dercp.model.dispatch import check_request
from dercp.store.records import DispatchFilter

if TYPE_CHECKING:
    from collections.abc import Collection

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.dispatching.planner import Planner
    from dercp.headend.dispatching.reader import DispatchReader
    from dercp.headend.dispatching.record_views import DispatchRecord
    from dercp.headend.dispatching.recorder import Recorder
    from dercp.headend.messages import DeskRef
    from dercp.model.dispatch import Dispatch, DispatchRequest, DispatchState
    from dercp.model.plan import Plan
    from dercp.model.schedule import Schedule
    from dercp.model.time import Clock
    from dercp.store.records import DispatchPage


class DeskFront:
    """Hand in, plan, end early, look up.

    Whatever waits for the desk raises `DeskBusy` when it was not answered in time; the same
    key, or the same wish, may then be handed in again.
    """

    def __init__(
        self,
        desk: DeskRef,
        book: DispatchBook,
        planner: Planner,
        dispatches: DispatchReader,
        recorder: Recorder,
        *,
        clock: Clock,
        within_s: float,
    ) -> None:
        self._desk = desk
        self._book = book
        self._planner = planner
        self._dispatches = dispatches
        self._recorder = recorder
        self._clock = clock
        self._within_s = within_s

    async def submit(
        self, request: DispatchRequest, *, key: str, fingerprint: str, plan_token: str = ""
    ) -> Dispatch:
        """Take a dispatch, durably, before this returns.

        Raises:
            KeyReused: The key was used with another body.
            UnknownTarget: Nobody registered the target.
            DispatchError: The request is outside what the target allows.
            PlanError: The plan's token is none for this dispatch.
            FleetMoved: The plan would be another one now.
            DeskBusy: It was not taken in time.
        """
        return await self._ask(
            Submit(request=request, key=key, fingerprint=fingerprint, plan_token=plan_token)
        )

    async def submit_schedule(self, schedule: Schedule, *, key: str, fingerprint: str) -> Dispatch:
        """Take all blocks of a schedule, durably; returns the first, which bears the new id.

        Raises:
            KeyReused: The key was used with another body.
            UnknownTarget: Nobody registered the target.
            DispatchError: A block is not allowed; the pointer says which.
            DeskBusy: It was not taken in time.
        """
        return await self._ask(SubmitSchedule(schedule=schedule, key=key, fingerprint=fingerprint))

    async def cancel(self, dispatch_id: str, detail: str) -> Dispatch:
        """End a dispatch early; where an edge may have it, only that edge can end it.

        Raises:
            UnknownDispatch: There is none by this id.
            DispatchEnded: It has ended otherwise.
            DeskBusy: It was not taken in time.
        """
        return await self._ask(Cancel(dispatch_id=dispatch_id, detail=detail))

    async def cancel_schedule(self, schedule_id: str, detail: str) -> Dispatch:
        """End all that is open of a schedule; returns its first open block.

        Raises:
            UnknownDispatch: Nothing of it is open.
            DeskBusy: It was not taken in time.
        """
        return await self._ask(CancelSchedule(schedule_id=schedule_id, detail=detail))

    def preview(self, request: DispatchRequest) -> Plan:
        """What a dispatch would come to now; nothing is done.

        Raises:
            UnknownTarget: Nobody registered the target.
            DispatchError: The request is outside what the target allows.
        """
        now_us = self._clock()
        check_request(request, self._planner.spec_of(request.target), now_us, LIMITS)
        return self._planner.plan(request, now_us)

    async def dispatch(self, dispatch_id: str) -> Dispatch | None:
        """One dispatch in its newest state; None when there was never one by this id.

        Raises:
            StoreAwaited: It is not remembered here, and the store cannot be read now.
        """
        return await self._dispatches.get(dispatch_id)

    async def page(
        self,
        before: int | None,
        limit: int,
        *,
        asset_id: str | None = None,
        site_id: str | None = None,
        portfolio_id: str | None = None,
        schedule_id: str | None = None,
        parent_id: str | None = None,
        state: Collection[DispatchState] | None = None,
    ) -> DispatchPage:
        """Dispatches that pass all filters given, newest first, from `before` on.

        Raises:
            StoreAwaited: The store cannot be read now.
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        which = DispatchFilter(
            asset_id=asset_id,
            site_id=site_id,
            portfolio_id=portfolio_id,
            schedule_id=schedule_id,
            parent_id=parent_id,
            states=tuple(state or ()),
        )
        return await self._dispatches.page(before, limit, which)

    async def record(self, dispatch_id: str) -> DispatchRecord | None:
        """All that is known of one dispatch; None when there was never one by this id.

        Raises:
            StoreAwaited: The ledger cannot be read now.
            HistoryUnavailable: The samples cannot be read now.
        """
        return await self._recorder.record(dispatch_id)

    async def _ask(self, message: Submit | SubmitSchedule | Cancel | CancelSchedule) -> Dispatch:
        if self._book.stuck_because:
            raise StoreAwaited(RETRY_S, "the store takes nothing now")
        try:
            return await self._desk.ask(message, within_s=self._within_s)
        except ActorError as error:
            raise DeskBusy(RETRY_S) from error
