"""A dispatch that was divided: what its children make of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.dispatch import (
    FINAL,
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
    Failed,
    FollowingSeen,
    PortfolioTarget,
    Rejected,
    Sent,
    ShareState,
    SiteTarget,
    Source,
    Superseded,
    Tick,
    Undelivered,
    advance,
    cancel_due,
    deliverable,
    grouped,
    next_deadline_us,
    planned,
    submit,
    summarise,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp
from dercp.model.split import Capacity, Split, excluding, split

S = 1_000_000
UNTIL_US = 60 * S
GRACE_S = 30.0
FLEET = [Capacity(id=f"a{n}", min_mw=-2, max_mw=2, weight_mw=2) for n in range(3)]


def request(target: AssetTarget | SiteTarget | PortfolioTarget, mw: float) -> DispatchRequest:
    """A minute from second 0, to be delivered in 20 s."""
    return DispatchRequest(
        target=target, setpoint_mw=mw, start_us=0, until_us=UNTIL_US, deliver_by_us=20 * S
    )


class Family:
    """A parent and its children; each event of a child is followed by a summary."""

    def __init__(self, asked_mw: float = 3.0, shared: Split | None = None) -> None:
        self.parent = submit("p", "default", request(SiteTarget("north"), asked_mw), 0)
        self.children: dict[str, Dispatch] = {}
        self.share("d", shared or split(asked_mw, FLEET))

    def share(self, prefix: str, shared: Split, *, round_: int = 1) -> None:
        """Divide it, or divide it again."""
        for each in shared.allocations:
            wish = request(AssetTarget(each.id), each.setpoint_mw)
            name = f"{prefix}-{each.id}"
            self.children[name] = submit(name, "default", wish, 0, parent_id="p")
        new = [name for name in self.children if name.startswith(prefix)]
        shares = planned(shared, round_=round_)
        self.parent = grouped(self.parent, new, shares, 0).dispatch

    def tell(self, name: str, *events: DispatchEvent, at_s: float = 1) -> "Family":
        """Something happens to a child."""
        for event in events:
            child = advance(self.children[name], event, round(at_s * S)).dispatch
            self.children[name] = child
            summary = summarise(self.parent, self.children.values(), round(at_s * S))
            self.parent = summary.dispatch
        return self

    def tell_all(self, *events: DispatchEvent, at_s: float = 1) -> "Family":
        """The same to each, one after the other."""
        for event in events:
            for name in self.children:
                self.tell(name, event, at_s=at_s)
        return self

    def state(self) -> str:
        """The parent's."""
        return self.parent.state.value

    @property
    def story(self) -> list[str]:
        """The parent's states, without repetitions."""
        states = [entry.state.value for entry in self.parent.timeline]
        return [each for n, each in enumerate(states) if n == 0 or states[n - 1] != each]

    def megawatts(self) -> tuple[float, float, float, float]:
        """Placed, pending, failed, unplaced."""
        now = self.parent.placement
        assert now is not None
        return now.placed_mw, now.pending_mw, now.failed_mw, now.unplaced_mw


def test_a_family_whose_leases_run_to_their_end() -> None:
    """The parent takes each step when the last of its children has."""
    family = Family().tell_all(Sent(), Acked(), Applied(1.0), FollowingSeen(), Completed())
    steps = ["submitted", "sent", "acked", "applied", "following", "completed"]
    assert family.story == steps
    assert family.parent.timeline[-1].detail == "3 completed"
    assert family.megawatts() == (3, 0, 0, 0)


def test_what_is_not_confirmed_is_pending() -> None:
    """Two of three have answered."""
    family = Family().tell_all(Sent(), Acked())
    family.tell("d-a0", Applied(1.0)).tell("d-a1", Applied(1.0))
    assert family.megawatts() == (2, 1, 0, 0)
    assert family.state() == "acked"


def test_a_partial_failure_is_a_result() -> None:
    """The rest goes on; the megawatts tell."""
    family = Family().tell_all(Sent(), Acked())
    family.tell("d-a0", Failed(detail="no answer"))
    family.tell("d-a1", Applied(1.0), FollowingSeen()).tell("d-a2", Applied(1.0), FollowingSeen())
    assert family.state() == "following"
    assert family.megawatts() == (2, 0, 1, 0)
    family.tell("d-a1", Completed()).tell("d-a2", Completed())
    assert family.parent.timeline[-1].reason == "partial"
    assert family.parent.timeline[-1].detail == "2 completed, 1 failed"
    assert family.parent.placement is not None
    failed = family.parent.placement.shares[0]
    assert (failed.state, failed.reason, failed.detail) == (
        ShareState.FAILED,
        "device_failed",
        "no answer",
    )


def test_one_that_deviates_makes_the_whole_deviate() -> None:
    """And back."""
    family = Family().tell_all(Sent(), Acked(), Applied(1.0), FollowingSeen())
    family.tell("d-a1", DeviatingSeen())
    assert family.state() == "deviating"
    family.tell("d-a1", FollowingSeen())
    assert family.state() == "following"


def test_one_that_is_unknown_leaves_the_whole_unknown_until_the_edge_speaks() -> None:
    """Its agent comes back with its journal after the deadline."""
    family = Family().tell_all(Sent(), Acked(), Applied(1.0))
    family.tell("d-a0", Completed(), at_s=60).tell("d-a1", Completed(), at_s=60)
    family.tell("d-a2", Tick(GRACE_S), at_s=90)
    assert family.state() == "unknown"
    assert family.megawatts() == (2, 0, 1, 0)
    family.tell("d-a2", Completed(), at_s=200)
    assert family.state() == "completed"
    assert family.parent.timeline[-1].source is Source.EDGE
    assert family.megawatts() == (3, 0, 0, 0)


def test_who_was_left_out_stays_in_the_result() -> None:
    """With the reason, and the others carry all of it."""
    family = Family(shared=split(3, excluding(FLEET, {"a0": "offline"})))
    family.tell_all(Sent(), Acked(), Applied(1.5))
    placed = family.parent.placement
    assert placed is not None
    assert [(each.id, each.state.value, each.reason) for each in placed.shares] == [
        ("a0", "excluded", "offline"),
        ("a1", "applied", ""),
        ("a2", "applied", ""),
    ]


def test_what_an_edge_clamps_is_unplaced() -> None:
    """Its share is what its limits left of it."""
    family = Family().tell_all(Sent(), Acked())
    clamp = Clamp("configured_limit", 1.0, 0.25)
    family.tell("d-a0", Applied(0.25, clamps=(clamp,))).tell("d-a1", Applied(1.0))
    assert family.children["d-a0"].applied_mw == 0.25
    assert family.megawatts() == (1.25, 1, 0, 0.75)


def test_a_shortfall_shared_again_is_carried_by_the_others() -> None:
    """Who failed is left out of the second round; the later dispatch of each other counts."""
    family = Family().tell_all(Sent(), Acked())
    family.tell("d-a0", Failed())
    family.tell("d-a1", Applied(1.0)).tell("d-a2", Applied(1.0))
    family.share("e", split(3, excluding(FLEET, {"a0": "device_failed"})), round_=2)
    assert family.megawatts() == (0, 3, 0, 0)
    for asset in ("a1", "a2"):
        family.tell(f"e-{asset}", Sent(), Acked(), Applied(1.5))
        family.tell(f"d-{asset}", Superseded(by=f"e-{asset}"))
    assert family.megawatts() == (3, 0, 0, 0)
    assert family.parent.placement is not None
    assert family.parent.placement.round == 2
    family.tell("e-a1", Completed()).tell("e-a2", Completed())
    assert family.state() == "completed"
    assert family.parent.timeline[-1].detail == "2 completed, 1 failed"


def test_a_second_dispatch_that_came_to_nothing_does_not_count() -> None:
    """The first one is still in force."""
    family = Family().tell_all(Sent(), Acked(), Applied(1.0))
    family.share("e", split(3, FLEET), round_=2)
    family.tell("e-a0", Rejected("schedule_full", source=Source.HEADEND))
    assert family.megawatts() == (1, 2, 0, 0)


def test_a_wish_to_end_it_is_recorded_and_its_children_end_it() -> None:
    """It is itself never sent, never due, never late."""
    family = Family()
    wish = Cancelled(source=Source.OPERATOR, reason="operator")
    family.parent = advance(family.parent, wish, S).dispatch
    assert family.parent.withdrawn_as is DispatchState.CANCELLED
    assert family.state() == "submitted"
    assert not cancel_due(family.parent)
    assert not deliverable(family.parent, 0)
    assert next_deadline_us(family.parent) is None
    family.tell_all(wish)
    assert family.state() == "cancelled"


def test_outcomes_are_those_of_the_children_together() -> None:
    """In sum."""
    part = Outcome(
        setpoint_mw=1.0,
        from_us=0,
        until_us=UNTIL_US,
        energy_asked_mwh=1 / 60,
        energy_delivered_mwh=1 / 120,
        followed_pct=50.0,
        known_pct=100.0,
        samples_good=60,
        samples_expected=60,
    )
    family = Family().tell_all(Sent(), Acked(), Applied(1.0), Completed(outcome=part))
    whole = family.parent.outcome
    assert whole is not None
    assert (whole.setpoint_mw, whole.followed_pct, whole.samples_good) == (3, 50, 180)


def test_a_summary_needs_all_of_the_children() -> None:
    """Of some it could only be a guess."""
    family = Family()
    with pytest.raises(ValueError, match="its 3 children"):
        summarise(family.parent, list(family.children.values())[1:], 0)


def test_a_dispatch_that_was_not_divided_is_left_alone() -> None:
    """It has no children to speak for it."""
    alone = submit("p", "default", request(PortfolioTarget("all"), 1), 0)
    assert not summarise(alone, [], 0).changed
    assert not grouped(alone, [], planned(split(1, FLEET)), 0).changed


# --------------------------------------------------------- in any order of events

events: st.SearchStrategy[DispatchEvent] = st.sampled_from(
    [
        Sent(),
        Undelivered(),
        Acked(),
        Applied(1.0),
        FollowingSeen(),
        DeviatingSeen(),
        Completed(),
        Failed(),
        Rejected("not_remote"),
        Cancelled(source=Source.OPERATOR),
        Cancelled(),
        Superseded(by="x"),
        Tick(GRACE_S),
    ]
)
happenings = st.lists(
    st.tuples(st.sampled_from(["d-a0", "d-a1", "d-a2"]), events, st.integers(0, 100)), max_size=30
)


@given(happenings)
def test_a_parent_never_goes_back_and_its_end_is_final(
    story: list[tuple[str, DispatchEvent, int]],
) -> None:
    """Only what was unknown becomes known; a summary repeated adds nothing; it can be kept."""
    family, before = Family(), DispatchState.SUBMITTED
    order = [state.value for state in DispatchState]
    for name, event, at_s in story:
        family.tell(name, event, at_s=at_s)
        parent = family.parent
        assert not summarise(parent, family.children.values(), at_s * S).changed
        assert parent.is_final == all(child.is_final for child in family.children.values())
        if before in FINAL:
            assert parent.state is before or before is DispatchState.UNKNOWN
        elif {before.value, parent.state.value} != {"following", "deviating"}:
            assert parent.state in FINAL or order.index(parent.state) >= order.index(before)
        before = parent.state
    assert msgspec.json.decode(msgspec.json.encode(family.parent), type=Dispatch) == family.parent


@given(happenings)
def test_a_family_always_ends(story: list[tuple[str, DispatchEvent, int]]) -> None:
    """By until and grace, whatever happened before."""
    family = Family()
    for name, event, at_s in story:
        family.tell(name, event, at_s=at_s)
    family.tell_all(Tick(GRACE_S), at_s=200)
    assert family.parent.is_final


@given(happenings)
def test_how_the_events_of_the_children_interleave_does_not_matter(
    story: list[tuple[str, DispatchEvent, int]],
) -> None:
    """Each child hears its own in order; in the end the parent is the same."""
    together, apart = Family(), Family()
    for name, event, at_s in story:
        together.tell(name, event, at_s=at_s)
    for wanted in ("d-a2", "d-a0", "d-a1"):
        for name, event, at_s in story:
            if name == wanted:
                apart.tell(name, event, at_s=at_s)
    assert together.children == apart.children
    together.tell_all(Tick(GRACE_S), at_s=200)
    apart.tell_all(Tick(GRACE_S), at_s=200)
    assert together.parent.state is apart.parent.state
    assert together.parent.placement == apart.parent.placement


@given(happenings)
def test_the_megawatts_always_make_up_what_was_asked(
    story: list[tuple[str, DispatchEvent, int]],
) -> None:
    """Placed, pending, failed and unplaced."""
    family = Family()
    for name, event, at_s in story:
        family.tell(name, event, at_s=at_s)
        assert abs(sum(family.megawatts()) - 3) < 1e-9


def test_a_word_that_only_moves_shares_is_news() -> None:
    """A gateway tells that one more of its assets has failed, while it goes on following."""
    alone = submit("p", "default", request(SiteTarget("north"), 3), 0)
    before = planned(split(3, FLEET))
    after = replace(before, failed_mw=1.0, pending_mw=2.0)
    now = alone
    for event in (Sent(), Acked(placement=before), Applied(3.0, placement=before)):
        now = advance(now, event, S).dispatch
    assert not advance(now, Applied(3.0, placement=before), 2 * S).changed
    told = advance(now, Applied(3.0, placement=after), 2 * S)
    assert told.dispatch.placement == after
    assert told.entry is not None
    assert (told.entry.state, told.entry.reason) == ("applied", "shares_changed")
    late = advance(told.dispatch, Acked(placement=before), 3 * S)
    assert not late.changed
