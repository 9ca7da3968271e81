"""The lifecycle of a dispatch, as playbooks: given these events, expect that line of the story."""

from typing import NamedTuple, Self

import pytest

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
    Source,
    Superseded,
    Tick,
    TimelineEntry,
    Undelivered,
    advance,
    cancel_due,
    deliverable,
    next_deadline_us,
    submit,
)
from dercp.model.guardrail import Clamp

GRACE_S = 30.0
UNTIL_S = 60
DELIVER_BY_S = 20


class Step(NamedTuple):
    """An event and when it reaches the headend."""

    now_us: int
    event: DispatchEvent


class Becomes(NamedTuple):
    """The line that the last event added to the story."""

    state: str
    reason: str = ""


class Nothing(NamedTuple):
    """The last event changed nothing."""


class Playbook:
    """`play(...) << at(1, Sent()) >> Becomes("sent")`: do and expect, step by step."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.entry: TimelineEntry | None = None

    def __lshift__(self, step: Step) -> Self:
        before = self.dispatch
        transition = advance(before, step.event, step.now_us)
        self.dispatch, self.entry = transition.dispatch, transition.entry
        assert transition.changed == (self.dispatch != before)
        return self

    def __rshift__(self, expected: Becomes | Nothing) -> Self:
        told = Becomes(self.entry.state, self.entry.reason) if self.entry else Nothing()
        assert told == expected
        assert type(told) is type(expected)
        return self

    @property
    def story(self) -> list[str]:
        """The states so far."""
        return [entry.state.value for entry in self.dispatch.timeline]


def at(seconds: float, event: DispatchEvent | None = None) -> Step:
    """An event at this second; without one, the mere passing of time."""
    return Step(round(seconds * 1e6), event or Tick(GRACE_S))


def play() -> Playbook:
    """A dispatch submitted at second 0, to be delivered by 20, until 60."""
    request = DispatchRequest(
        target=AssetTarget("bess-1"),
        setpoint_mw=2.5,
        start_us=0,
        until_us=at(UNTIL_S).now_us,
        deliver_by_us=at(DELIVER_BY_S).now_us,
    )
    return Playbook(submit("d-1", "default", request, 0))


def test_a_lease_runs_to_its_end() -> None:
    """The story everybody hopes for, each step with its time and its source."""
    book = (
        play()
        << at(1, Sent())
        << at(2, Acked(source_time_us=1_900_000))
        << at(3, Applied(2.4))
        << at(8, FollowingSeen())
        << at(60, Completed())
    )
    assert book.story == ["submitted", "sent", "acked", "applied", "following", "completed"]
    times_s = [entry.time_us / 1e6 for entry in book.dispatch.timeline]
    assert times_s == [0, 1, 2, 3, 8, 60]
    sources = [entry.source.value for entry in book.dispatch.timeline]
    assert sources == ["operator", "headend", "edge", "edge", "edge", "edge"]
    assert book.dispatch.timeline[2].source_time_us == 1_900_000
    assert book.dispatch.readback_mw == 2.4
    assert book.dispatch.is_final


def test_what_was_never_sent_expires() -> None:
    """An edge that does not come back by deliver_by never gets a stale command."""
    play() << at(19) >> Nothing() << at(20) >> Becomes("expired", "not_delivered")


def test_a_late_acknowledgement_does_not_revive_an_expired_dispatch() -> None:
    """Expired is final."""
    play() << at(20) >> Becomes("expired", "not_delivered") << at(21, Acked()) >> Nothing()


def test_what_was_sent_is_not_called_expired() -> None:
    """The edge may have accepted it: only the edge knows, until its last word is overdue."""
    (
        play()
        << at(1, Sent())
        << at(20)
        >> Nothing()
        << at(89)
        >> Nothing()
        << at(90)
        >> Becomes("unknown", "no_answer")
    )


def test_an_accepted_dispatch_without_an_end_is_unknown() -> None:
    """The site may be cut off; nobody at the headend claims to know how it went."""
    book = play() << at(1, Sent()) << at(2, Acked()) << at(3, Applied(2.5))
    book << at(89) >> Nothing() << at(90) >> Becomes("unknown", "no_end_heard")


def test_a_late_word_of_the_edge_resolves_unknown() -> None:
    """The journal at the edge tells the truth when the link is back, and then it is final."""
    book = play() << at(1, Sent()) << at(90) >> Becomes("unknown", "no_answer")
    book << at(500, Acked()) >> Nothing() << at(501, Completed()) >> Becomes("completed")
    book << at(502, Failed()) >> Nothing()


def test_a_lost_link_gives_the_dispatch_back() -> None:
    """It goes out again on the next session, while there is time."""
    book = play() << at(1, Sent()) << at(2, Undelivered()) >> Becomes("submitted", "link_lost")
    assert deliverable(book.dispatch, at(19).now_us)
    assert not deliverable(book.dispatch, at(20).now_us)
    book << at(5, Sent()) >> Becomes("sent") << at(6, Acked()) >> Becomes("acked")


def test_given_back_too_late_it_stays_undecided() -> None:
    """It was sent once, so it does not expire; and it does not leave again."""
    book = play() << at(19, Sent()) << at(21, Undelivered()) << at(22, Sent()) >> Nothing()
    book << at(23) >> Nothing() << at(90) >> Becomes("unknown", "no_answer")


def test_a_link_that_dies_after_the_answer_gives_nothing_back() -> None:
    """The edge has it, and goes on alone."""
    play() << at(1, Sent()) << at(2, Acked()) << at(3, Undelivered()) >> Nothing()


def test_the_edge_may_answer_though_the_link_was_lost() -> None:
    """The acknowledgement died with the link; the journal repeats it on the next session."""
    book = play() << at(1, Sent()) << at(2, Undelivered()) << at(9, Acked()) >> Becomes("acked")
    assert not deliverable(book.dispatch, at(10).now_us)


def test_the_edge_may_skip_steps() -> None:
    """After a lost link the journal tells where things stand now, not each step."""
    book = play() << at(1, Sent()) << at(30, FollowingSeen()) >> Becomes("following")
    book << at(31, Applied(2.5)) >> Nothing() << at(32, Acked()) >> Nothing()


def test_an_edge_cannot_speak_of_what_never_left() -> None:
    """Whatever it says, the dispatch is still to be delivered."""
    book = play() << at(1, Acked()) >> Nothing() << at(1, Completed()) >> Nothing()
    assert deliverable(book.dispatch, at(2).now_us)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (Rejected("out_of_range", "2.5 MW, allowed 2"), Becomes("rejected", "out_of_range")),
        (ExpiredAtEdge(), Becomes("expired", "expired")),
        (Failed(), Becomes("failed", "device_failed")),
        (Cancelled("local_operator"), Becomes("cancelled", "local_operator")),
        (Superseded("d-2"), Becomes("superseded", "newer_dispatch")),
        (Completed(), Becomes("completed")),
    ],
)
def test_the_edge_can_end_it_at_any_time(word: DispatchEvent, line: Becomes) -> None:
    """An end that the edge reports is an end, whatever steps were heard of before."""
    before: list[list[DispatchEvent]] = [[], [Acked()], [Acked(), Applied(1.0), DeviatingSeen()]]
    for steps in before:
        book = play() << at(1, Sent())
        for step in steps:
            book << at(2, step)
        book << at(3, word) >> line << at(3, word) >> Nothing()


def test_following_and_deviating_take_turns() -> None:
    """The measured state changes as often as the measurement says so."""
    book = play() << at(1, Sent()) << at(2, Applied(2.5)) << at(8, DeviatingSeen())
    book >> Becomes("deviating") << at(9, DeviatingSeen()) >> Nothing()
    book << at(10, FollowingSeen()) >> Becomes("following")
    book << at(11, DeviatingSeen()) >> Becomes("deviating") << at(60, Completed())
    book >> Becomes("completed")


def test_a_setpoint_narrowed_while_it_is_followed_stays_in_its_state() -> None:
    """What the limits leave of it is news; so is when they leave it all again."""
    full = Clamp("state_of_charge", 2.5, 0.0)
    book = play() << at(1, Sent()) << at(2, Applied(2.5)) << at(8, FollowingSeen())
    book << at(9, Applied(0.0, clamps=(full,))) >> Becomes("following", "limits_changed")
    assert (book.dispatch.clamps, book.dispatch.applied_mw) == ((full,), 0.0)
    book << at(10, Applied(0.0, clamps=(full,))) >> Nothing() << at(11, DeviatingSeen())
    book << at(12, Applied(2.5)) >> Becomes("deviating", "limits_changed")
    assert (book.dispatch.clamps, book.dispatch.applied_mw) == ((), 2.5)
    book << at(60, Completed()) << at(61, Applied(0.0, clamps=(full,))) >> Nothing()


def test_the_headend_measures_only_what_is_in_force() -> None:
    """Power near the setpoint before the write is chance, not following."""
    seen = FollowingSeen(source=Source.HEADEND)
    book = play() << at(1, Sent()) << at(2, Acked()) << at(3, seen) >> Nothing()
    book << at(4, Applied(2.5)) << at(5, seen) >> Becomes("following") << at(6, seen) >> Nothing()


def test_the_headend_rejects_what_has_not_left() -> None:
    """For example when the asset is gone."""
    refusal = Rejected("unknown_asset", source=Source.HEADEND)
    play() << at(1, refusal) >> Becomes("rejected", "unknown_asset") << at(2, Sent()) >> Nothing()


def test_the_headend_cannot_reject_what_has_left() -> None:
    """It may run at the edge by now."""
    play() << at(1, Sent()) << at(2, Rejected("unknown_asset", source=Source.HEADEND)) >> Nothing()


def test_cancelling_what_has_not_left_ends_it() -> None:
    """Nobody else knows of it."""
    book = play() << at(1, Cancelled("operator", source=Source.OPERATOR))
    book >> Becomes("cancelled", "operator") << at(2, Sent()) >> Nothing()
    assert not cancel_due(book.dispatch)


def test_cancelling_what_has_left_waits_for_the_edge() -> None:
    """Until the edge says so the setpoint is in force, whatever the operator wishes."""
    wish = Cancelled("operator", "wrong asset", source=Source.OPERATOR)
    book = play() << at(1, Sent()) << at(2, Applied(2.5)) << at(3, wish)
    book >> Becomes("applied", "withdrawn") << at(3, wish) >> Nothing()
    assert book.dispatch.timeline[-1].detail == "to be cancelled: wrong asset"
    assert cancel_due(book.dispatch)
    book << at(4, Cancelled()) >> Becomes("cancelled")
    assert not cancel_due(book.dispatch)


def test_a_cancelled_dispatch_is_not_sent_again() -> None:
    """It may have been lost on the way; then the edge is told of the end only."""
    book = play() << at(1, Sent()) << at(2, Undelivered())
    book << at(3, Cancelled("operator", source=Source.OPERATOR))
    book >> Becomes("submitted", "withdrawn") << at(4, Sent()) >> Nothing()
    assert not deliverable(book.dispatch, at(4).now_us)
    assert cancel_due(book.dispatch)
    book << at(90) >> Becomes("unknown", "no_answer")
    assert not cancel_due(book.dispatch)


def test_a_newer_dispatch_takes_the_place_of_one_that_has_not_left() -> None:
    """Latest wins in the queue."""
    book = play() << at(1, Superseded("d-2", source=Source.HEADEND))
    book >> Becomes("superseded", "newer_dispatch")
    assert book.dispatch.superseded_by == "d-2"


def test_a_newer_dispatch_holds_back_one_that_is_on_its_way() -> None:
    """It does not leave a second time, behind the newer one; its end is the edge's to tell."""
    newer = Superseded("d-2", source=Source.HEADEND)
    book = play() << at(1, Sent()) << at(2, Undelivered()) << at(3, newer)
    book >> Becomes("submitted", "withdrawn") << at(3, newer) >> Nothing()
    assert not deliverable(book.dispatch, at(4).now_us)
    assert not cancel_due(book.dispatch)
    book << at(5, Superseded()) >> Becomes("superseded", "newer_dispatch")
    assert book.dispatch.superseded_by == "d-2"


def test_an_accepted_dispatch_is_superseded_by_the_edge_only() -> None:
    """The edge decides between two leases, by rank."""
    book = play() << at(1, Sent()) << at(2, Acked())
    book << at(3, Superseded("d-2", source=Source.HEADEND)) >> Nothing()


def test_a_wish_to_cancel_outranks_being_superseded() -> None:
    """The operator wants it gone even where the newer dispatch never arrives."""
    book = play() << at(1, Sent()) << at(2, Superseded("d-2", source=Source.HEADEND))
    book << at(3, Cancelled("operator", source=Source.OPERATOR)) >> Becomes("sent", "withdrawn")
    assert cancel_due(book.dispatch)


def test_a_step_back_of_the_clock_does_not_turn_the_story_round() -> None:
    """Timeline times never run backwards."""
    book = play() << at(10, Sent()) << at(4, Acked())
    assert [entry.time_us for entry in book.dispatch.timeline] == [0, 10_000_000, 10_000_000]


@pytest.mark.parametrize("mw", [None, float("nan"), float("inf")])
def test_a_readback_that_is_no_number_is_unknown(mw: float | None) -> None:
    """Unknown is None, never 0 and never NaN, which no JSON can carry."""
    book = play() << at(1, Sent()) << at(2, Applied(mw))
    assert book.dispatch.readback_mw is None


def test_a_long_back_and_forth_is_folded() -> None:
    """The story stays bounded, keeps its beginning and its end, and counts what it leaves out."""
    book = play() << at(1, Sent()) << at(2, Acked()) << at(3, Applied(2.5))
    flips = 1000
    for second in range(flips):
        book << at(4 + second / 20, FollowingSeen() if second % 2 else DeviatingSeen())
    book << at(60, Completed()) >> Becomes("completed")
    assert len(book.story) <= TIMELINE_ENTRIES_MAX + 2
    assert len(book.story) + book.dispatch.flips_folded == 1 + 3 + flips + 1
    assert book.story[:5] == ["submitted", "sent", "acked", "applied", "deviating"]
    assert book.story[-3:] == ["deviating", "following", "completed"]
    assert book.dispatch.timeline[-2].time_us == at(4 + (flips - 1) / 20).now_us


def test_folding_keeps_what_is_no_back_and_forth() -> None:
    """The operator's wish stays in the story, however long the swinging goes on around it."""
    wish = Cancelled("operator", source=Source.OPERATOR)
    book = play() << at(1, Sent()) << at(2, Applied(2.5))
    for second in range(400):
        book << at(3 + second / 20, FollowingSeen() if second % 2 else DeviatingSeen())
        if second == 200:
            book << at(3 + second / 20, wish) >> Becomes("deviating", "withdrawn")
    assert [entry.reason for entry in book.dispatch.timeline].count("withdrawn") == 1


def test_the_next_deadline_is_when_a_tick_matters() -> None:
    """A desk that sleeps until then misses nothing, and does not wake for nothing."""
    book = play()
    assert next_deadline_us(book.dispatch, GRACE_S) == at(20).now_us
    book << at(1, Sent())
    assert next_deadline_us(book.dispatch, GRACE_S) == at(90).now_us
    book << at(90)
    assert next_deadline_us(book.dispatch, GRACE_S) is None


def test_all_states_but_six_are_final() -> None:
    """The six of a running lease are not."""
    running = [state.value for state in DispatchState if state not in FINAL]
    assert running == ["submitted", "sent", "acked", "applied", "following", "deviating"]
