"""Who holds the setpoint of an asset now, as far as the headend knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dercp.headend.views import ControlView
from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchState,
    Share,
    ShareState,
    SiteTarget,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.fleet.twin import Twin

_IN_FORCE = frozenset({DispatchState.APPLIED, DispatchState.FOLLOWING, DispatchState.DEVIATING})


def control_of(twin: Twin, book: DispatchBook) -> ControlView | None:
    """The dispatch in force: one for the asset itself, or the one its site's gateway shares.

    Where the edge's words leave several, it is the one that began to hold it last.
    """
    holding = max(_holding(twin, book), key=lambda each: _since_us(each[0]), default=None)
    if holding is None:
        return None
    dispatch, setpoint_mw = holding
    return ControlView(
        dispatch_id=dispatch.dispatch_id,
        setpoint_mw=setpoint_mw,
        until_us=dispatch.request.until_us,
        fallback=twin.spec.fallback,
        authority=dispatch.request.authority,
        state=dispatch.state,
    )


def _holding(twin: Twin, book: DispatchBook) -> Iterator[tuple[Dispatch, float]]:
    asset_id = twin.spec.asset_id
    for dispatch in book.open_of(AssetTarget(asset_id)):
        if dispatch.state in _IN_FORCE:
            applied_mw = dispatch.applied_mw
            yield dispatch, dispatch.request.setpoint_mw if applied_mw is None else applied_mw
    for dispatch in book.open_of(SiteTarget(twin.site_id)):
        share = _share_of(asset_id, dispatch)
        if share is not None and share.state is ShareState.APPLIED and not dispatch.is_group:
            yield dispatch, share.setpoint_mw


def _share_of(asset_id: str, dispatch: Dispatch) -> Share | None:
    if dispatch.placement is None:
        return None
    return next((each for each in dispatch.placement.shares if each.id == asset_id), None)


def _since_us(dispatch: Dispatch) -> int:
    return next(e.time_us for e in dispatch.timeline if e.state in _IN_FORCE)
