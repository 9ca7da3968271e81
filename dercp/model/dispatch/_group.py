"""A dispatch that the headend shares among several: its state follows from theirs.

The one above (the parent) is never sent itself. What may happen to it is that somebody
wants it to end; all else is told by those it was divided into, in whatever order they
change, because their states alone decide:

    While some are open, it stands where the last of them stands (and `sent`, once any may
        be with an edge); one that deviates makes it deviate. It never goes back.
    When all have ended: `unknown` if one is unknown; else `completed` if one completed
        (the placement says what the others came to); else what they have in common, or the
        first of failed, cancelled, superseded, expired, rejected.
    It ends when they have ended, and each of them always ends.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from dercp.model.dispatch._advance import PROGRESS, Transition, tell
from dercp.model.dispatch._placement import Placement, Share, ShareState, placement
from dercp.model.dispatch._record import Dispatch, DispatchState, Source, TimelineEntry
from dercp.model.dispatch._request import AssetTarget, PortfolioTarget, SiteTarget, Target
from dercp.model.following import combined
from dercp.model.reasons import DispatchReason

__all__ = ["grouped", "placement_of", "summarise"]

_WORST_FIRST = (
    DispatchState.UNKNOWN,
    DispatchState.COMPLETED,
    DispatchState.FAILED,
    DispatchState.CANCELLED,
    DispatchState.SUPERSEDED,
    DispatchState.EXPIRED,
    DispatchState.REJECTED,
)
_IN_FORCE = frozenset({DispatchState.APPLIED, DispatchState.FOLLOWING, DispatchState.DEVIATING})


def grouped(
    parent: Dispatch, children: Sequence[str], shares: Placement, now_us: int
) -> Transition:
    """The parent with (more) dispatches below it: first when it is split, then when again.

    Nothing comes of it when the parent has ended.
    """
    added = tuple(each for each in children if each not in parent.children)
    if parent.is_final or not added:
        return Transition(parent)
    entry = TimelineEntry(
        state=parent.state,
        time_us=now_us,
        source=Source.HEADEND,
        reason=DispatchReason.SHARED,
        detail=f"among {len(added)}, round {shares.round}",
    )
    return tell(replace(parent, children=(*parent.children, *added), placement=shares), entry)


def summarise(parent: Dispatch, children: Iterable[Dispatch], now_us: int) -> Transition:
    """What the states of all its children make of a parent.

    Raises:
        ValueError: These are not all of its children.
    """
    below = {child.dispatch_id: child for child in children}
    if below.keys() != set(parent.children):
        raise ValueError(f"{parent.dispatch_id}: expected its {len(parent.children)} children")
    if not below:
        return Transition(parent)
    state = _state(parent, below.values())
    if state is parent.state:
        return Transition(parent)
    entry = TimelineEntry(
        state=state,
        time_us=now_us,
        # What was unknown becomes known by the edge's word only.
        source=Source.EDGE if parent.is_final else Source.HEADEND,
        reason=_reason(state, below.values()),
        detail=_counted(below.values()),
    )
    ended = [child.outcome for child in below.values() if child.outcome is not None]
    told = replace(
        parent,
        ever_sent=parent.ever_sent or any(child.ever_sent for child in below.values()),
        placement=placement_of(parent, below.values()),
        outcome=combined(parent.request.setpoint_mw, ended),
    )
    return tell(told, entry)


def placement_of(parent: Dispatch, children: Iterable[Dispatch]) -> Placement:
    """How the shares of a parent stand, by what its children have come to.

    Those who were left out of the split are kept from the placement it was given. Of two
    dispatches for one target (it was shared again) the later one counts.
    """
    known = {} if parent.placement is None else {s.id: s for s in parent.placement.shares}
    order = {dispatch_id: index for index, dispatch_id in enumerate(parent.children)}
    shares = {key: s for key, s in known.items() if s.state is ShareState.EXCLUDED}
    for child in sorted(children, key=lambda each: order[each.dispatch_id]):
        key = _id_of(child.request.target)
        shares[key] = _share(child, key, known[key].limit if key in known else "")
    counter = 1 if parent.placement is None else parent.placement.round
    return placement(parent.request.setpoint_mw, shares.values(), round_=counter)


def _state(parent: Dispatch, children: Iterable[Dispatch]) -> DispatchState:
    states = Counter(child.state for child in children)
    unfinished = [child for child in children if not child.is_final]
    if not unfinished:
        ended = next(state for state in _WORST_FIRST if states[state])
        left_open = not parent.is_final or parent.state is DispatchState.UNKNOWN
        return ended if left_open else parent.state
    if parent.is_final:
        return parent.state
    reached = min((child.state for child in unfinished), key=PROGRESS.__getitem__)
    if any(child.state is DispatchState.DEVIATING for child in unfinished):
        deviates = PROGRESS[reached] >= PROGRESS[DispatchState.APPLIED]
        reached = DispatchState.DEVIATING if deviates else reached
    if reached is DispatchState.SUBMITTED and any(child.ever_sent for child in children):
        reached = DispatchState.SENT
    return reached if PROGRESS[reached] >= PROGRESS[parent.state] else parent.state


def _reason(state: DispatchState, children: Iterable[Dispatch]) -> str:
    if state is DispatchState.COMPLETED and any(child.state is not state for child in children):
        return DispatchReason.PARTIAL
    reasons = {child.timeline[-1].reason for child in children if child.state is state}
    return reasons.pop() if len(reasons) == 1 else ""


def _counted(children: Iterable[Dispatch]) -> str:
    """As in "2 completed, 1 failed"."""
    counts = Counter(child.state.value for child in children)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _share(child: Dispatch, key: str, limit: str) -> Share:
    last = child.timeline[-1]
    asked_mw = child.request.setpoint_mw
    return Share(
        id=key,
        setpoint_mw=asked_mw if child.applied_mw is None else child.applied_mw,
        state=_share_state(child),
        limit=child.clamps[-1].reason if child.clamps else limit,
        reason=last.reason,
        detail=last.detail,
        readback_mw=child.readback_mw,
    )


def _share_state(child: Dispatch) -> ShareState:
    was_in_force = any(entry.state in _IN_FORCE for entry in child.timeline)
    match child.state:
        case DispatchState.COMPLETED:
            return ShareState.ENDED
        case DispatchState.CANCELLED | DispatchState.SUPERSEDED if was_in_force:
            return ShareState.ENDED
        case state if state in _IN_FORCE:
            return ShareState.APPLIED
        case _:
            return ShareState.FAILED if child.is_final else ShareState.PLANNED


def _id_of(target: Target) -> str:
    match target:
        case AssetTarget(asset_id):
            return asset_id
        case SiteTarget(site_id):
            return site_id
        case PortfolioTarget(portfolio_id):
            return portfolio_id
