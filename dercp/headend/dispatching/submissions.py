"""What is handed in at the desk: checked, numbered, and made into dispatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dercp.headend.errors import DeskBusy, FleetMoved, KeyReused
from dercp.model.dispatch import (
    Authority,
    Dispatch,
    DispatchError,
    DispatchLimits,
    DispatchReason,
    DispatchRequest,
    begun_at_site,
    check_request,
    submit,
)
from dercp.model.plan import moved
from dercp.model.schedule import check_schedule, requests_of
from dercp.model.time import us_from_s
from dercp.store.records import IdempotencyRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.dispatching.groups import Groups
    from dercp.headend.dispatching.planner import Planner
    from dercp.headend.dispatching.round import Round
    from dercp.headend.messages import Submit, SubmitSchedule
    from dercp.headend.settings import HeadendSettings

# Dispatches leave by themselves; whoever was turned away may come again in a moment.
RETRY_S = 1.0
LIMITS = DispatchLimits()


class Submissions:
    """Takes what is handed in into a round. Decides only; writes nothing.

    A key that was used gives what it made. The first dispatch of an answer is the one that
    the key names; of a schedule all others belong to the same schedule.
    """

    def __init__(
        self,
        book: DispatchBook,
        planner: Planner,
        groups: Groups,
        *,
        settings: HeadendSettings,
        new_id: Callable[[int], str],
    ) -> None:
        self._book = book
        self._planner = planner
        self._groups = groups
        self._settings = settings
        self._new_id = new_id

    def take(self, asked: Submit, this: Round) -> tuple[Dispatch, tuple[Dispatch, ...]]:
        """The dispatch that was asked for, and those that are to be sent of it.

        Raises:
            KeyReused: The key was used with another body.
            UnknownTarget: Nobody registered the target.
            DispatchError: The target does not allow it.
            PlanError: The plan's token is none for this dispatch.
            FleetMoved: The plan would be another one now.
            DeskBusy: Too many dispatches have not ended.
        """
        repeated = self._repeated(asked, this)
        if repeated is not None:
            return repeated, ()
        request = asked.request
        check_request(request, self._planner.spec_of(request.target), this.now_us, LIMITS)
        if asked.plan_token:
            self._check_plan(request, asked.plan_token, this.now_us)
        self._check_room(1, this)
        dispatch, leaves = self._enter(request, this)
        self._enter_key(asked, dispatch, this)
        return dispatch, leaves

    def take_schedule(
        self, asked: SubmitSchedule, this: Round
    ) -> tuple[Dispatch, tuple[Dispatch, ...]]:
        """The dispatch of the first block, and those that are to be sent of all blocks.

        Raises:
            KeyReused: The key was used with another body.
            UnknownTarget: Nobody registered the target.
            DispatchError: A block is not allowed; the pointer says which.
            DeskBusy: Too many dispatches have not ended.
        """
        repeated = self._repeated(asked, this)
        if repeated is not None:
            return repeated, ()
        schedule = replace(asked.schedule, schedule_id=self._new_id(this.now_us))
        spec = self._planner.spec_of(schedule.target)
        check_schedule(schedule, spec, this.now_us, LIMITS)
        self._check_room(len(schedule.blocks), this)
        entered = [self._enter(request, this) for request in requests_of(schedule)]
        first = entered[0][0]
        self._enter_key(asked, first, this)
        return first, tuple(leaf for _, leaves in entered for leaf in leaves)

    def take_local(
        self, dispatch_id: str, request: DispatchRequest, this: Round
    ) -> Dispatch | None:
        """A dispatch that began at its site; None where there is no room, or no reason, for it.

        It may be long over: an edge tells of what happened while nobody listened.
        """
        horizon_us = this.now_us + us_from_s(LIMITS.horizon_s_max)
        open_count = self._book.open_count() + this.added_count()
        if request.until_us > horizon_us or open_count >= self._settings.dispatches_open_max:
            return None
        dispatch = begun_at_site(dispatch_id, self._settings.tenant_id, request, this.now_us)
        this.add(dispatch)
        return dispatch

    def _repeated(self, asked: Submit | SubmitSchedule, this: Round) -> Dispatch | None:
        known = this.known_keys.get(asked.key)
        if known is None:
            return None
        if known.fingerprint != asked.fingerprint:
            raise KeyReused
        repeated = this.get(known.dispatch_id)
        assert repeated is not None  # noqa: S101 - a key lives as long as its dispatch
        return repeated

    def _check_plan(self, request: DispatchRequest, token: str, now_us: int) -> None:
        differences = moved(self._planner.plan(request, now_us), token)
        if differences:
            raise FleetMoved(differences)

    def _check_room(self, count: int, this: Round) -> None:
        open_count = self._book.open_count() + this.added_count() + count
        if open_count > self._settings.dispatches_open_max:
            this.counts["dispatches_turned_away"] += 1
            raise DeskBusy(RETRY_S, "too many dispatches have not ended yet")

    def _enter(
        self, request: DispatchRequest, this: Round
    ) -> tuple[Dispatch, tuple[Dispatch, ...]]:
        """The dispatch of a request that was checked, and what is to be sent of it."""
        dispatch = submit(self._new_id(this.now_us), self._settings.tenant_id, request, this.now_us)
        this.add(dispatch)
        if not self._groups.is_divided(request.target):
            return dispatch, (dispatch,)
        return dispatch, self._groups.divide(dispatch, this)

    def _enter_key(self, asked: Submit | SubmitSchedule, first: Dispatch, this: Round) -> None:
        this.add_key(
            IdempotencyRecord(
                tenant_id=self._settings.tenant_id,
                key=asked.key,
                fingerprint=asked.fingerprint,
                dispatch_id=first.dispatch_id,
                created_us=this.now_us,
            )
        )


def check_headends(dispatch: Dispatch) -> None:
    """Refuse to end what is not the headend's.

    Raises:
        DispatchError: `local_operator`: only those at the site can.
    """
    request = dispatch.request
    if request.authority is not Authority.HEADEND:
        raise DispatchError(
            DispatchReason.LOCAL_OPERATOR,
            "",
            f"{request.requested_by} at the site has taken the lease, and only the site can end it",
        )
