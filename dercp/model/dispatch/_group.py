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

Shared again after a shortfall, it has a second dispatch for some targets. Of two for one
target the later one counts, unless that came to nothing, and the earlier one did not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from dercp.model.dispatch._advance import PROGRESS, Transition, tell
from dercp.model.dispatch._placement import Placement, Share, ShareState, placement
from dercp.model.dispatch._record import Dispatch, DispatchState, Source, TimelineEntry
from dercp.model.dispatch._request import id_of
from dercp.model.following import combined
from dercp.model.reasons import DispatchReason

__all__ = ["grouped", "summarise"]

_WORST_FIRST = (
    DispatchState.UNKNOWN,
    DispatchState.COMPLETED,
    DispatchState.FAILED,
    DispatchState.CANCELLED,
    DispatchState.SUPERSEDED,
    DispatchState.EXPIRED,
    DispatchState.REJECTED,
)
_MAY_HAVE_RUN = frozenset({DispatchState.COMPLETED, DispatchState.UNKNOWN})
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

    Its placement is told anew with its state. Without another state it follows silently: that
    adds no line to the story.

    Raises:
        ValueError: These are not all of its children.
    """
    below = _in_order(parent, children)
    if not below:
        return Transition(parent)
    by_target = _by_target(below)
    counted = list(by_target.values())
    state = _state(parent, below, counted)
    if state is parent.state:
        follows = parent.placement is not None and not parent.is_final
        return Transition(
            replace(parent, placement=_placement(parent, by_target)) if follows else parent
        )
    entry = TimelineEntry(
        state=state,
        time_us=now_us,
        # What was unknown becomes known by the edge's word only.
        source=Source.EDGE if parent.is_final else Source.HEADEND,
        reason=_reason(state, counted),
        detail=_counts(counted),
    )
    outcomes = [child.outcome for child in below if child.outcome is not None]
    told = replace(
        parent,
        ever_sent=parent.ever_sent or any(child.ever_sent for child in below),
        placement=_placement(parent, by_target),
        outcome=combined(parent.request.setpoint_mw, outcomes),
    )
    return tell(told, entry)


def _placement(parent: Dispatch, by_target: Mapping[str, Dispatch]) -> Placement:
    """How the shares of a parent stand, by what all its children have come to.

    Those who were left out of the last split stay so.
    """
    known = {} if parent.placement is None else {s.id: s for s in parent.placement.shares}
    shares = {key: s for key, s in known.items() if s.state is ShareState.EXCLUDED}
    for key, child in by_target.items():
        limit = known[key].limit if key in known else ""
        shares.setdefault(key, _share(child, key, limit))
    round_ = 1 if parent.placement is None else parent.placement.round
    return placement(parent.request.setpoint_mw, shares.values(), round_=round_)


def _in_order(parent: Dispatch, children: Iterable[Dispatch]) -> list[Dispatch]:
    below = {child.dispatch_id: child for child in children}
    if below.keys() != set(parent.children):
        raise ValueError(f"{parent.dispatch_id}: expected its {len(parent.children)} children")
    return [below[each] for each in parent.children]


def _by_target(children: Iterable[Dispatch]) -> dict[str, Dispatch]:
    """The one that counts for each target."""
    counted: dict[str, Dispatch] = {}
    for child in children:
        key = id_of(child.request.target)
        if key not in counted or not _came_to_nothing(child) or _came_to_nothing(counted[key]):
            counted[key] = child
    return counted


def _came_to_nothing(child: Dispatch) -> bool:
    return child.is_final and child.state not in _MAY_HAVE_RUN and not _was_in_force(child)


def _was_in_force(child: Dispatch) -> bool:
    return any(entry.state in _IN_FORCE for entry in child.timeline)


def _state(parent: Dispatch, children: list[Dispatch], counted: list[Dispatch]) -> DispatchState:
    unfinished = [child for child in children if not child.is_final]
    if not unfinished:
        states = {child.state for child in counted}
        may_end = not parent.is_final or parent.state is DispatchState.UNKNOWN
        return next(s for s in _WORST_FIRST if s in states) if may_end else parent.state
    if parent.is_final:
        return parent.state
    states = {child.state for child in unfinished}
    reached = min(states, key=PROGRESS.__getitem__)
    applied = PROGRESS[reached] >= PROGRESS[DispatchState.APPLIED]
    if applied and DispatchState.DEVIATING in states:
        reached = DispatchState.DEVIATING
    if reached is DispatchState.SUBMITTED and any(child.ever_sent for child in children):
        reached = DispatchState.SENT
    return reached if PROGRESS[reached] >= PROGRESS[parent.state] else parent.state


def _reason(state: DispatchState, children: list[Dispatch]) -> str:
    if state is DispatchState.COMPLETED and any(child.state is not state for child in children):
        return DispatchReason.PARTIAL
    reasons = {child.timeline[-1].reason for child in children if child.state is state}
    return min(reasons) if len(reasons) == 1 else ""


def _counts(children: list[Dispatch]) -> str:
    """As in "2 completed, 1 failed"."""
    counts = Counter(child.state for child in children)
    return ", ".join(f"{counts[state]} {state}" for state in DispatchState if state in counts)


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
    if child.state in _IN_FORCE:
        return ShareState.APPLIED
    if not child.is_final:
        return ShareState.PLANNED
    if child.state is DispatchState.COMPLETED:
        return ShareState.ENDED
    ended = child.state in {DispatchState.CANCELLED, DispatchState.SUPERSEDED}
    return ShareState.ENDED if ended and _was_in_force(child) else ShareState.FAILED
