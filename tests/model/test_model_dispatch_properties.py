"""What holds for a dispatch whatever happens, in whatever order, as often as it likes."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.dispatch import (
    FINAL,
    TIMELINE_ENTRIES_MAX,
    Acked,
    Applied,
    AssetTarget,
    Cancelled,
    Completed,
    DeviatingSeen,
    Dispatch,
    DispatchEvent,
    DispatchRequest,
    DispatchState,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Rejected,
    Sent,
    Share,
    ShareState,
    SiteTarget,
    Source,
    Superseded,
    Target,
    Tick,
    Transition,
    Undelivered,
    advance,
    cancel_due,
    deliverable,
    next_deadline_us,
    placement,
    submit,
)
from dercp.model.guardrail import Clamp

GRACE_S = 30.0
HORIZON_US = 200_000_000

Happening = tuple[int, DispatchEvent]

targets: st.SearchStrategy[Target] = st.just(AssetTarget("pv-1")) | st.just(SiteTarget("north"))
sources = st.sampled_from(Source)
instants = st.integers(0, HORIZON_US)
source_times = st.none() | instants
clamps = st.sampled_from([(), (Clamp("ramp", 2.0, 1.0),), (Clamp("dead_band", 1.0, 0.0),)])
placements = st.sampled_from(
    [
        None,
        placement(2.0, [Share(id="a", setpoint_mw=2.0)]),
        placement(2.0, [Share(id="a", setpoint_mw=2.0, state=ShareState.APPLIED)]),
    ]
)
events: st.SearchStrategy[DispatchEvent] = st.one_of(
    st.just(Sent()),
    st.just(Undelivered()),
    st.just(Tick(GRACE_S)),
    st.builds(Acked, source_time_us=source_times, placement=placements),
    st.builds(Applied, st.none() | st.floats(), clamps=clamps, placement=placements),
    st.builds(FollowingSeen, source=sources, source_time_us=source_times, placement=placements),
    st.builds(DeviatingSeen, source=sources, source_time_us=source_times),
    st.builds(Completed),
    st.builds(Failed, detail=st.text(max_size=5)),
    st.builds(ExpiredAtEdge),
    st.builds(Rejected, st.just("out_of_range"), source=sources),
    st.builds(Cancelled, source=sources),
    st.builds(Superseded, by=st.none() | st.just("d-2"), source=sources),
)
happenings = st.lists(st.tuples(instants, events), max_size=40)


@st.composite
def submitted(draw: st.DrawFn) -> Dispatch:
    """A new dispatch with some lease."""
    until_us = draw(st.integers(1, HORIZON_US // 2))
    request = DispatchRequest(
        target=draw(targets),
        setpoint_mw=draw(st.floats(-10, 10)),
        start_us=draw(st.integers(0, until_us - 1)),
        until_us=until_us,
        deliver_by_us=draw(st.integers(1, HORIZON_US)),
        priority=draw(st.integers(-5, 5)),
    )
    return submit("d-1", "default", request, 0)


def transitions(dispatch: Dispatch, story: list[Happening]) -> list[Transition]:
    """What each happening makes of the dispatch."""
    made = []
    for now_us, event in story:
        made.append(advance(dispatch, event, now_us))
        dispatch = made[-1].dispatch
    return made


def told(dispatch: Dispatch, story: list[Happening]) -> Dispatch:
    """The dispatch after all of it."""
    for transition in transitions(dispatch, story):
        dispatch = transition.dispatch
    return dispatch


@given(submitted(), happenings)
def test_a_final_state_is_left_only_from_unknown_and_by_the_edge(
    dispatch: Dispatch, story: list[Happening]
) -> None:
    """Final is final; what nobody knew may become known."""
    for now_us, event in story:
        after = advance(dispatch, event, now_us)
        if dispatch.is_final and after.changed:
            assert after.entry is not None
            assert dispatch.state is DispatchState.UNKNOWN
            assert after.entry.source is Source.EDGE
            assert after.dispatch.state in FINAL - {DispatchState.UNKNOWN}
        dispatch = after.dispatch


@given(submitted(), happenings)
def test_every_dispatch_is_final_by_until_and_grace(
    dispatch: Dispatch, story: list[Happening]
) -> None:
    """One tick at that time is enough, whatever has happened before."""
    end_us = dispatch.request.until_us + round(GRACE_S * 1e6)
    after = told(dispatch, [*story, (end_us, Tick(GRACE_S))])
    assert after.is_final
    assert next_deadline_us(after, GRACE_S) is None


@given(submitted(), happenings)
def test_a_tick_before_the_next_deadline_changes_nothing(
    dispatch: Dispatch, story: list[Happening]
) -> None:
    """And one at the deadline ends it."""
    after = told(dispatch, story)
    deadline_us = next_deadline_us(after, GRACE_S)
    if deadline_us is not None:
        assert not advance(after, Tick(GRACE_S), deadline_us - 1).changed
        assert advance(after, Tick(GRACE_S), deadline_us).dispatch.is_final


@given(submitted(), happenings, instants)
def test_nothing_leaves_too_late(dispatch: Dispatch, story: list[Happening], now_us: int) -> None:
    """At or after deliver_by or until it is not deliverable, and Sent says so by no change."""
    after = told(dispatch, story)
    late = now_us >= min(dispatch.request.deliver_by_us, dispatch.request.until_us)
    if late or after.state not in {DispatchState.SUBMITTED, DispatchState.SENT}:
        assert not deliverable(after, now_us)
    if not deliverable(after, now_us):
        assert not advance(after, Sent(), now_us).changed


@given(submitted(), happenings)
def test_the_story_and_the_state_agree(dispatch: Dispatch, story: list[Happening]) -> None:
    """It begins with submitted, ends with the state, never runs backwards, and is bounded."""
    after = told(dispatch, story * 3)
    states = [entry.state for entry in after.timeline]
    times = [entry.time_us for entry in after.timeline]
    assert states[0] is DispatchState.SUBMITTED
    assert states[-1] is after.state
    assert times == sorted(times)
    assert len(states) <= TIMELINE_ENTRIES_MAX + 10
    finals = [state for state in states if state in FINAL]
    assert len(finals) <= 1 or (finals[0] is DispatchState.UNKNOWN and len(finals) == 2)
    assert all(state not in FINAL for state in states[: len(states) - len(finals)])
    assert (DispatchState.SENT in states) == after.ever_sent


@given(submitted(), happenings)
def test_each_change_adds_the_line_it_reports(dispatch: Dispatch, story: list[Happening]) -> None:
    """What is shown live is what is stored."""
    for transition in transitions(dispatch, story):
        if transition.changed:
            assert transition.dispatch.timeline[-1] == transition.entry
            assert transition.dispatch != dispatch
        else:
            assert transition.dispatch is dispatch
        dispatch = transition.dispatch


@given(submitted(), happenings, st.tuples(instants, events))
def test_a_repeated_event_changes_nothing(
    dispatch: Dispatch, story: list[Happening], last: Happening
) -> None:
    """Links repeat themselves; dispatches do not."""
    now_us, event = last
    once = advance(told(dispatch, story), event, now_us).dispatch
    assert not advance(once, event, now_us).changed


@given(submitted(), happenings)
def test_only_the_edge_ends_what_has_left_it(dispatch: Dispatch, story: list[Happening]) -> None:
    """The headend alone may say unknown, and nothing else, of what may be running."""
    for transition in transitions(dispatch, story):
        entry = transition.entry
        if entry and entry.state in FINAL and dispatch.ever_sent:
            assert entry.source is Source.EDGE or entry.state is DispatchState.UNKNOWN
        if entry and not dispatch.ever_sent:
            assert entry.source is not Source.EDGE
            assert entry.state is not DispatchState.UNKNOWN
        dispatch = transition.dispatch


@given(submitted(), happenings)
def test_a_cancel_is_due_until_the_end(dispatch: Dispatch, story: list[Happening]) -> None:
    """From the operator's wish to the edge's word or the deadline, and it is not sent again."""
    after = told(dispatch, story)
    if cancel_due(after):
        assert after.ever_sent
        assert not after.is_final
        assert not deliverable(after, 0)


@given(submitted(), happenings)
def test_json_carries_a_dispatch_unchanged(dispatch: Dispatch, story: list[Happening]) -> None:
    """The ledger keeps it as JSON."""
    after = told(dispatch, story)
    assert msgspec.json.decode(msgspec.json.encode(after), type=Dispatch) == after


@given(events)
def test_json_carries_an_event(event: DispatchEvent) -> None:
    """A journal can keep it; a readback that is no number comes back as unknown."""
    back = msgspec.json.decode(msgspec.json.encode(event), type=DispatchEvent)
    assert type(back) is type(event)
