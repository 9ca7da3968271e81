"""The state machine: what an event makes of a dispatch."""

import math
from typing import assert_never

import msgspec
from msgspec.structs import replace

from dercp.model.dispatch._events import (
    Acked,
    Applied,
    Cancelled,
    Completed,
    DeviatingSeen,
    DispatchEvent,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Measured,
    Rejected,
    Sent,
    Superseded,
    Tick,
    Undelivered,
    Withdrawing,
    Word,
)
from dercp.model.dispatch._record import (
    FINAL,
    TIMELINE_ENTRIES_MAX,
    Dispatch,
    DispatchState,
    Source,
    TimelineEntry,
    deliverable,
    next_deadline_us,
)
from dercp.model.reasons import DispatchReason

_UNANSWERED = frozenset({DispatchState.SUBMITTED, DispatchState.SENT})
_MEASURED = frozenset({DispatchState.FOLLOWING, DispatchState.DEVIATING})
PROGRESS = {
    DispatchState.SUBMITTED: 0,
    DispatchState.SENT: 1,
    DispatchState.ACKED: 2,
    DispatchState.APPLIED: 3,
    DispatchState.FOLLOWING: 4,
    DispatchState.DEVIATING: 4,
    **dict.fromkeys(FINAL, 5),
}


class Transition(msgspec.Struct, frozen=True):
    """What an event made of a dispatch: the next record, and the line it added to the story."""

    dispatch: Dispatch
    entry: TimelineEntry | None = None

    @property
    def changed(self) -> bool:
        """Whether there is anything to make durable and to show."""
        return self.entry is not None


def advance(dispatch: Dispatch, event: DispatchEvent, now_us: int) -> Transition:
    """The next state of a dispatch; a repeated, late or contradicting event changes nothing.

    `now_us` is the headend's clock. It may step back; the timeline does not. To one that
    was divided nothing happens but that somebody wants it to end (see `summarise`).
    """
    match event:
        case Sent():
            return _sent(dispatch, now_us)
        case Undelivered():
            return _undelivered(dispatch, event, now_us)
        case Tick():
            return _tick(dispatch, event, now_us)
        case Rejected() | Cancelled() | Superseded() if event.source is not Source.EDGE:
            return _withdraw(dispatch, event, now_us)
        case FollowingSeen() | DeviatingSeen() if event.source is not Source.EDGE:
            return _measure(dispatch, event, now_us)
        case (
            Acked()
            | Applied()
            | FollowingSeen()
            | DeviatingSeen()
            | Completed()
            | Rejected()
            | ExpiredAtEdge()
            | Cancelled()
            | Superseded()
            | Failed()
        ):
            return _hear_edge(dispatch, event, now_us)
        case _:
            assert_never(event)


def _sent(dispatch: Dispatch, now_us: int) -> Transition:
    if dispatch.state is not DispatchState.SUBMITTED or not deliverable(dispatch, now_us):
        return Transition(dispatch)
    return tell(
        replace(dispatch, ever_sent=True),
        TimelineEntry(state=DispatchState.SENT, time_us=now_us, source=Source.HEADEND),
    )


def _undelivered(dispatch: Dispatch, event: Undelivered, now_us: int) -> Transition:
    if dispatch.state is not DispatchState.SENT or dispatch.is_group:
        return Transition(dispatch)
    entry = TimelineEntry(
        state=DispatchState.SUBMITTED,
        time_us=now_us,
        source=Source.HEADEND,
        reason=event.reason,
    )
    return tell(dispatch, entry)


def _tick(dispatch: Dispatch, event: Tick, now_us: int) -> Transition:
    deadline_us = next_deadline_us(dispatch, event.grace_s)
    if deadline_us is None or now_us < deadline_us:
        return Transition(dispatch)
    if not dispatch.ever_sent:
        state, reason = DispatchState.EXPIRED, DispatchReason.NOT_DELIVERED
    elif dispatch.state in _UNANSWERED:
        state, reason = DispatchState.UNKNOWN, DispatchReason.NO_ANSWER
    else:
        state, reason = DispatchState.UNKNOWN, DispatchReason.NO_END_HEARD
    entry = TimelineEntry(state=state, time_us=now_us, source=Source.HEADEND, reason=reason)
    return tell(dispatch, entry)


def _hear_edge(dispatch: Dispatch, word: Word, now_us: int) -> Transition:
    """The edge may skip steps: after a lost link its journal tells where things stand now."""
    if not _is_news(dispatch, word.state):
        return _hear_more(dispatch, word, now_us)
    return tell(_with_facts(dispatch, word), _line(word, now_us))


def _hear_more(dispatch: Dispatch, word: Word, now_us: int) -> Transition:
    """Without another state there may be news: of the limits in force, or of the shares.

    A setpoint that is narrowed while it is followed is applied once more, with other clamps.
    """
    if not _may_speak_of(dispatch) or dispatch.is_final:
        return Transition(dispatch)
    is_in_force = PROGRESS[dispatch.state] >= PROGRESS[DispatchState.APPLIED]
    same_step = PROGRESS[word.state] == PROGRESS[dispatch.state]
    if isinstance(word, Applied) and is_in_force and word.clamps != dispatch.clamps:
        reason = DispatchReason.LIMITS_CHANGED
    elif same_step and word.placement is not None and word.placement != dispatch.placement:
        reason = DispatchReason.SHARES_CHANGED
    else:
        return Transition(dispatch)
    entry = replace(_line(word, now_us), state=dispatch.state, reason=reason)
    return tell(_with_facts(dispatch, word), entry)


def _is_news(dispatch: Dispatch, state: DispatchState) -> bool:
    if not _may_speak_of(dispatch):
        return False
    if dispatch.state is DispatchState.UNKNOWN:
        return state in FINAL
    if dispatch.state in _MEASURED and state in _MEASURED:
        return state is not dispatch.state
    return PROGRESS[state] > PROGRESS[dispatch.state]


def _may_speak_of(dispatch: Dispatch) -> bool:
    """Of what never left the edge knows nothing; of what was divided it knows the parts."""
    return dispatch.ever_sent and not dispatch.is_group


def _withdraw(dispatch: Dispatch, word: Withdrawing, now_us: int) -> Transition:
    """End what never left; of what may be with the edge, only record what is wanted."""
    if dispatch.is_final:
        return Transition(dispatch)
    if not dispatch.ever_sent and not dispatch.is_group:
        return tell(_with_facts(dispatch, word), _line(word, now_us))
    match word:
        case Rejected():
            wanted = False
        case Superseded():
            wanted = dispatch.withdrawn_as is None and dispatch.state in _UNANSWERED
        case Cancelled():
            wanted = dispatch.withdrawn_as is not DispatchState.CANCELLED
        case _:
            assert_never(word)
    if not wanted:
        return Transition(dispatch)
    entry = TimelineEntry(
        state=dispatch.state,
        time_us=now_us,
        source=word.source,
        reason=DispatchReason.WITHDRAWN,
        detail=f"to be {word.state}: {word.detail or word.reason}",
    )
    return tell(replace(_with_facts(dispatch, word), withdrawn_as=word.state), entry)


def _measure(dispatch: Dispatch, word: Measured, now_us: int) -> Transition:
    """The headend's own measurement says something only of a setpoint that is in force."""
    in_force = dispatch.state is DispatchState.APPLIED or dispatch.state in _MEASURED
    if not in_force or word.state is dispatch.state or dispatch.is_group:
        return Transition(dispatch)
    return tell(dispatch, _line(word, now_us))


def _with_facts(dispatch: Dispatch, word: Word) -> Dispatch:
    dispatch = replace(
        dispatch,
        clamps=word.clamps if isinstance(word, Applied) else word.clamps or dispatch.clamps,
        placement=word.placement or dispatch.placement,
        outcome=word.outcome or dispatch.outcome,
    )
    if dispatch.clamps:
        dispatch = replace(dispatch, applied_mw=dispatch.clamps[-1].to_mw)
    elif isinstance(word, Applied):
        dispatch = replace(dispatch, applied_mw=dispatch.request.setpoint_mw)
    match word:
        case Applied(readback_mw=float(mw)) if math.isfinite(mw):
            return replace(dispatch, readback_mw=mw)
        case Superseded(by=str(by)):
            return replace(dispatch, superseded_by=by)
        case _:
            return dispatch


def _line(word: Word, now_us: int) -> TimelineEntry:
    return TimelineEntry(
        state=word.state,
        time_us=now_us,
        source=word.source,
        reason=word.reason,
        detail=word.detail,
        source_time_us=word.source_time_us,
    )


def tell(dispatch: Dispatch, entry: TimelineEntry) -> Transition:
    """Add a line to the story; a long back and forth keeps its beginning and its end."""
    story = dispatch.timeline
    entry = replace(entry, time_us=max(entry.time_us, story[-1].time_us))
    folded = 2 if len(story) >= TIMELINE_ENTRIES_MAX and _swings_back(story, entry) else 0
    told = replace(
        dispatch,
        state=entry.state,
        timeline=(*story[: len(story) - folded], entry),
        flips_folded=dispatch.flips_folded + folded,
    )
    return Transition(told, entry)


def _swings_back(story: tuple[TimelineEntry, ...], entry: TimelineEntry) -> bool:
    """Whether the last two lines and this one only go back and forth (a, b, a, and now b)."""
    before, there, back = (line.state for line in story[-3:])
    return before == back and there == entry.state
