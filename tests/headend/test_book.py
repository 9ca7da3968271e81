"""The book of dispatches: deadlines in order, memory bounded."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.headend.dispatching.book import OUTDATED_MAX, DispatchBook
from dercp.model.dispatch import (
    Acked,
    AssetTarget,
    Completed,
    DeviatingSeen,
    Dispatch,
    DispatchEvent,
    DispatchRequest,
    DispatchState,
    FollowingSeen,
    Rejected,
    Sent,
    Source,
    advance,
    submit,
)

S = 1_000_000


def dispatch(dispatch_id: str, *, until_s: int = 900, deliver_by_s: int = 30) -> Dispatch:
    """A new dispatch at time 0."""
    request = DispatchRequest(
        target=AssetTarget("bess-1"),
        setpoint_mw=1.0,
        start_us=0,
        until_us=until_s * S,
        deliver_by_us=deliver_by_s * S,
    )
    return submit(dispatch_id, "default", request, 0)


def after(dispatch: Dispatch, *events: DispatchEvent) -> Dispatch:
    """The dispatch after these."""
    for event in events:
        dispatch = advance(dispatch, event, S).dispatch
    return dispatch


def book(ended_max: int = 10) -> DispatchBook:
    """An empty one."""
    return DispatchBook(ended_max=ended_max, grace_s=30.0)


def test_the_next_deadline_is_the_earliest_in_force() -> None:
    """deliver_by before it was sent, until plus grace after."""
    watched = book()
    one, other = dispatch("d-1", deliver_by_s=20), dispatch("d-2", deliver_by_s=10)
    watched.put(one)
    watched.put(other)
    assert watched.next_deadline_us() == 10 * S
    watched.put(after(other, Sent()))
    assert watched.next_deadline_us() == 20 * S
    watched.put(after(one, Sent()))
    assert watched.next_deadline_us() == 930 * S
    watched.put(after(one, Sent(), Acked(), Completed()))
    watched.put(after(other, Sent(), Acked(), Completed()))
    assert watched.next_deadline_us() is None


def test_what_is_due_stays_due_until_it_changes() -> None:
    """A write that failed is tried again with the same."""
    watched = book()
    watched.put(dispatch("d-1"))
    assert watched.due(30 * S - 1) == []
    assert watched.due(30 * S) == ["d-1"]
    assert watched.due(31 * S) == ["d-1"]
    watched.put(after(dispatch("d-1"), Rejected(reason="x", source=Source.HEADEND)))
    assert watched.due(31 * S) == []


def test_open_dispatches_of_an_asset_are_in_order() -> None:
    """Oldest first, ended ones left out."""
    watched = book()
    for name in ("d-1", "d-2", "d-3"):
        watched.put(dispatch(name))
    watched.put(after(dispatch("d-2"), Rejected(reason="x", source=Source.HEADEND)))
    assert [each.dispatch_id for each in watched.open_of(AssetTarget("bess-1"))] == ["d-1", "d-3"]
    assert watched.open_of(AssetTarget("bess-2")) == []


def test_ended_dispatches_are_forgotten_from_the_oldest() -> None:
    """`ended_max` of them are kept, and nothing of the others."""
    watched = book(ended_max=3)
    for number in range(10):
        ended = after(dispatch(f"d-{number}"), Rejected(reason="x", source=Source.HEADEND))
        watched.put(ended)
    assert [number for number in range(10) if watched.get(f"d-{number}")] == [7, 8, 9]
    assert watched.open_count() == 0


def test_an_edge_that_goes_back_and_forth_fills_no_memory() -> None:
    """Ten thousand words about one lease leave one deadline."""
    watched = book()
    running = after(dispatch("d-1"), Sent(), Acked())
    for _ in range(10_000):
        running = after(running, FollowingSeen(), DeviatingSeen())
        watched.put(running)
    assert len(watched._deadlines) == 1


def test_leases_that_end_early_fill_no_memory() -> None:
    """Their deadlines lie a day ahead; they are swept out all the same."""
    watched = book()
    for number in range(10_000):
        one = after(dispatch(f"d-{number}", until_s=86_400), Sent())
        watched.put(one)
        watched.put(after(one, Rejected(reason="not_remote")))
    assert len(watched._deadlines) <= OUTDATED_MAX + 1


def test_parts_of_parts_are_forgotten_with_the_dispatch_they_belong_to() -> None:
    """A portfolio over sites of several agents leaves nothing behind but what is remembered."""
    watched = book(ended_max=2)
    for number in range(10):
        portfolio, site, part = (f"{kind}-{number}" for kind in ("portfolio", "site", "part"))
        family = [
            replace(dispatch(portfolio), children=(site,)),
            replace(dispatch(site), parent_id=portfolio, children=(part,)),
            replace(dispatch(part), parent_id=site),
        ]
        for each in family:
            watched.put(each)
        for each in reversed(family):
            assert watched.get(part) is not None
            watched.put(replace(each, state=DispatchState.COMPLETED))
    assert len(watched._parts) == 0
    assert len(watched._ended) == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["new", "sent", "end"]))))
def test_the_deadline_is_that_of_a_plain_search(steps: list[tuple[int, str]]) -> None:
    """Whatever was put in whatever order."""
    watched, plain = book(), dict[str, Dispatch]()
    for number, step in steps:
        name = f"d-{number}"
        state = plain.get(name) or dispatch(name, deliver_by_s=10 + number)
        if step == "sent":
            state = after(state, Sent())
        elif step == "end":
            state = after(state, Sent(), Completed())
        plain[name] = state
        watched.put(state)
    still_open = {name for name, each in plain.items() if not each.is_final}
    deadlines = [(930 if plain[name].ever_sent else 10 + int(name[2:])) * S for name in still_open]
    assert watched.next_deadline_us() == min(deadlines, default=None)
    assert watched.open_count() == len(still_open)
    assert set(watched.due(10**15)) == still_open
