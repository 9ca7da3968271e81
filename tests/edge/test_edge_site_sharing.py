"""How a site's dispatch stands with its assets: plays, and whatever comes in whatever order."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dercp.edge.asset.lease import Lease
from dercp.edge.site import sharing as sharings
from dercp.edge.site.parts import Hold
from dercp.edge.site.room import members_again
from dercp.edge.site.state import DivideAgain, Give, Heard, Say, Sharing, Step, TakeBack
from dercp.model.dispatch import (
    FINAL,
    Acked,
    Applied,
    Cancelled,
    Completed,
    DeviatingSeen,
    Failed,
    FollowingSeen,
    Rejected,
    Superseded,
)
from dercp.model.guardrail import Clamp
from dercp.model.split import Capacity, split
from dercp.wire.dispatch import EdgeWord

UNTIL_S = 120.0


def lease(setpoint_mw: float = 3.0) -> Lease:
    """Two minutes for the site."""
    return Lease(
        dispatch_id="d-1", revision=1, setpoint_mw=setpoint_mw, start_s=0.0, until_s=UNTIL_S
    )


def battery(name: str, most_mw: float = 2.0, excluded: str = "") -> Capacity:
    """Takes and gives as much."""
    return Capacity(id=name, min_mw=-most_mw, max_mw=most_mw, weight_mw=most_mw, excluded=excluded)


class Play:
    """One dispatch shared by a, b and c; each line of the play is what follows."""

    def __init__(self, *members: Capacity, setpoint_mw: float = 3.0) -> None:
        self.members = list(members) or [battery(name) for name in "abc"]
        self.lease = lease(setpoint_mw)
        self.now_s = 0.0
        self.said: list[EdgeWord] = []
        self.sharing: Sharing
        self.lines: list[str] = []
        self._take(sharings.share(self.lease, split(setpoint_mw, self.members), 0.0))

    def hear(self, name: str, word: EdgeWord, revision: int | None = None) -> list[str]:
        """An asset speaks, by default of its latest order."""
        part = self.sharing.parts.get(name)
        revision = (part.revision if part else 1) if revision is None else revision
        heard = [Heard(name, revision, word)]
        return self._take(sharings.heard(self.sharing, heard, self.now_s))

    def all_hear(self, word: EdgeWord) -> list[str]:
        """All that have an order say the same."""
        heard = [Heard(n, self.sharing.parts[n].revision, word) for n in self.sharing.holders]
        return self._take(sharings.heard(self.sharing, heard, self.now_s))

    def wait(self, seconds: float) -> list[str]:
        """Time passes, looked at each half second."""
        lines: list[str] = []
        for _ in range(round(seconds * 2)):
            self.now_s += 0.5
            lines += self._take(sharings.tick(self.sharing, self.now_s))
        return lines

    def end(self, word: EdgeWord) -> list[str]:
        """It shall end."""
        return self._take(sharings.end(self.sharing, word, self.now_s))

    def _take(self, step: Step) -> list[str]:
        assert not (self.said and self.said[-1].state in FINAL and step.commands)
        self.sharing = step.sharing
        lines = []
        for command in step.commands:
            match command:
                case Give(name, revision, power_mw):
                    lines.append(f"give {name} {power_mw:g} as {revision}")
                case TakeBack(name):
                    lines.append(f"take back {name}")
                case Say(word):
                    self._say(word)
                    lines.append(f"say {word.state}")
                case DivideAgain():
                    members = members_again(self.sharing, self.members)
                    again = split(self.lease.setpoint_mw, members)
                    lines += self._take(sharings.divided_again(self.sharing, again, self.now_s))
        return lines

    def _say(self, word: EdgeWord) -> None:
        shares = word.placement
        assert shares is not None
        sums = (shares.placed_mw, shares.pending_mw, shares.failed_mw, shares.unplaced_mw)
        assert math.fsum(sums) == pytest.approx(self.lease.setpoint_mw, abs=1e-6)
        self.said.append(word)


def test_what_is_given_is_confirmed_and_ends() -> None:
    """Applied when all have answered; completed when all have left."""
    play = Play()
    for name in "ab":
        assert play.hear(name, Applied(readback_mw=1.0)) == []
    assert play.hear("c", Applied(readback_mw=1.0)) == ["say applied"]
    play.now_s = UNTIL_S
    assert play.end(Completed()) == []
    assert play.hear("a", Completed()) == []
    assert play.hear("b", Completed()) == []
    assert play.hear("c", Completed()) == ["say completed"]


def test_a_shortfall_is_divided_once() -> None:
    """A second after the failure; what fails later is told."""
    play = Play()
    play.hear("a", Failed())
    play.hear("b", Applied())
    assert play.hear("c", Applied()) == ["say applied"]
    assert play.wait(1.5) == ["give b 1.5 as 2", "give c 1.5 as 2"]
    play.hear("b", Applied())
    assert play.hear("c", Applied()) == ["say applied"]
    assert play.hear("c", Cancelled(reason="local_lockout")) == []
    assert play.sharing.placement.failed_mw == 1.5
    assert play.wait(30) == ["say applied"]


def test_what_nobody_can_take_over_stays_failed() -> None:
    """The rest of it is where it went."""
    play = Play(battery("a"), battery("b", 1.2), battery("c", 0.8))
    play.hear("a", Failed())
    play.hear("b", Applied())
    play.hear("c", Applied())
    play.wait(2)
    play.all_hear(Applied())
    placement = play.sharing.placement
    assert (placement.placed_mw, placement.failed_mw) == pytest.approx((2.0, 1.0))
    assert placement.unplaced_mw == pytest.approx(0.0)


def test_one_that_is_narrowed_gets_no_more() -> None:
    """It has said what it has room for."""
    play = Play()
    play.hear("a", Applied(clamps=(Clamp("state_of_charge", 1.0, 0.0),)))
    play.hear("b", Failed())
    play.hear("c", Applied())
    assert play.wait(2) == ["give c 2 as 2"]
    assert play.sharing.parts["a"].share.setpoint_mw == 0.0


def test_a_ramp_on_its_way_is_no_limit() -> None:
    """What it leads to counts."""
    play = Play()
    play.all_hear(Applied(clamps=(Clamp("ramp", 1.0, 0.1),)))
    assert play.sharing.placement.placed_mw == 3.0


def test_one_that_does_not_answer_is_told_to_leave_before_others_get_its_part() -> None:
    """And what it says of it then changes nothing."""
    play = Play()
    play.hear("a", Applied())
    play.hear("b", Applied())
    lines = play.wait(22)
    assert lines[:2] == ["take back c", "say applied"]
    assert "give a 1.5 as 2" in lines
    assert lines.index("take back c") < lines.index("give a 1.5 as 2")
    play.hear("c", Applied())
    assert play.sharing.parts["c"].hold is Hold.RECALLED
    play.hear("c", Cancelled())
    assert play.sharing.parts["c"].share.reason == "no_answer"


def test_one_out_of_reach_keeps_its_share_and_says_so() -> None:
    """Nobody else is given it."""
    play = Play()
    play.all_hear(Applied())
    step = sharings.out_of_reach(play.sharing, ["b"], 20.0)
    assert [command.word.placement.shares[1].reason for command in step.commands] == ["stale"]  # type: ignore[union-attr]  # a word
    assert sharings.out_of_reach(step.sharing, ["b"], 21.0).sharing is step.sharing
    assert sharings.tick(step.sharing, 60.0).commands == ()


def test_changes_are_told_at_most_every_ten_seconds() -> None:
    """An asset that comes and goes must not fill the journal."""
    play = Play()
    play.all_hear(Applied())
    said = 0
    for second in range(60):
        gone = ["a"] if second % 2 else []
        step = sharings.out_of_reach(play.sharing, gone, float(second))
        play.sharing = step.sharing
        said += len(step.commands)
    assert 4 <= said <= 7


def test_a_cancelled_dispatch_waits_for_its_assets_but_not_for_ever() -> None:
    """They are told until they have left."""
    play = Play()
    play.all_hear(Applied())
    assert play.end(Cancelled()) == ["take back a", "take back b", "take back c"]
    play.hear("a", Cancelled())
    assert play.wait(1) == ["take back b", "take back c"]
    play.hear("b", Cancelled())
    assert play.wait(20)[-1] == "say cancelled"
    last = play.said[-1].placement
    assert last is not None
    assert [share.state for share in last.shares] == ["ended", "ended", "failed"]
    assert last.shares[2].reason == "no_end_heard"


def test_one_that_is_succeeded_leaves_its_assets_to_the_successor() -> None:
    """Who was not given a newer order in two seconds is told to leave."""
    play = Play()
    play.all_hear(Applied())
    assert play.end(Superseded(by="d-2")) == []
    play.hear("a", Superseded(by="d-2/a"))
    play.hear("b", Superseded(by="d-2/b"))
    assert play.wait(2) == ["take back c"]
    assert play.hear("c", Cancelled()) == ["say superseded"]


def test_when_nobody_holds_it_any_more_it_is_over() -> None:
    """Cancelled, with what they have in common."""
    play = Play()
    play.all_hear(Applied())
    play.all_hear(Cancelled(reason="local_lockout"))
    assert play.wait(2) == ["say cancelled"]
    assert getattr(play.said[-1], "reason", "") == "local_lockout"


def test_a_second_order_that_is_turned_down_ends_the_first() -> None:
    """The asset would go on with it, and nobody would know."""
    play = Play()
    play.hear("a", Failed())
    play.hear("b", Applied())
    play.hear("c", Applied())
    play.wait(1.5)
    assert play.hear("b", Rejected(reason="outranked"))[0] == "take back b"


any_word = st.sampled_from(
    [
        Acked(),
        Acked(clamps=(Clamp("configured_limit", 1.0, 0.5),)),
        Applied(readback_mw=1.0),
        Applied(clamps=(Clamp("state_of_charge", 1.0, 0.0),)),
        FollowingSeen(),
        DeviatingSeen(),
        Completed(),
        Failed(),
        Failed(reason="fallback_failed"),
        Rejected(reason="outranked"),
        Cancelled(),
        Cancelled(reason="local_lockout"),
        Superseded(by="d-9"),
    ]
)
moves = st.lists(
    st.one_of(
        st.tuples(
            st.just("hear"), st.sampled_from("abcd"), any_word, st.sampled_from([None, 1, 2])
        ),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 25.0]), st.none(), st.none()),
        st.tuples(
            st.just("end"),
            st.sampled_from([Completed(), Cancelled(), Superseded(by="d-2"), Rejected(reason="x")]),
            st.none(),
            st.none(),
        ),
        st.tuples(st.just("lose"), st.sampled_from("abc"), st.none(), st.none()),
    ),
    max_size=30,
)
fleets = st.lists(
    st.tuples(st.floats(0.1, 5.0), st.sampled_from(["", "", "stale"])), min_size=1, max_size=4
)


@settings(max_examples=300)
@given(fleet=fleets, setpoint_mw=st.floats(-8, 8), script=moves)
def test_whatever_the_assets_say_it_adds_up_and_ends_once(
    fleet: list[tuple[float, str]], setpoint_mw: float, script: list[tuple[Any, Any, Any, Any]]
) -> None:
    """Each word's parts make up what was asked; the last word is the last; there is one."""
    names = "abcd"
    members = [battery(names[at], *each) for at, each in enumerate(fleet)]
    play = Play(*members, setpoint_mw=setpoint_mw)
    for move, what, word, revision in script:
        match move:
            case "hear":
                play.hear(what, word, revision)
            case "wait":
                play.wait(what)
            case "end":
                play.end(what)
            case "lose":
                play._take(sharings.out_of_reach(play.sharing, [what], play.now_s))
        gave = [part for part in play.sharing.parts.values() if part.hold is not Hold.NONE]
        assert all(part.revision > 0 for part in gave)
        assert play.sharing.round <= 2
    play.now_s = max(play.now_s, UNTIL_S)
    play.end(Completed())
    play.wait(sharings.ENDS_WITHIN_S + 1)
    assert play.sharing.is_over
    assert [word.state in FINAL for word in play.said].count(True) == 1
    assert play.said[-1].state in FINAL
