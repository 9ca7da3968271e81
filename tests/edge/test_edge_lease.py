"""The lease book as playbooks: given this, expect that."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.edge.asset import lease as leases
from dercp.edge.asset.lease import Book, FallBack, Lease, Report, Step, Write
from dercp.model.dispatch import FINAL, Applied, Failed
from dercp.model.schedule import GAP_GRACE_S


def lease(
    dispatch_id: str = "a",
    *,
    setpoint_mw: float = 1.0,
    start_s: float = 0.0,
    until_s: float = 60.0,
    revision: int = 1,
    priority: int = 0,
    schedule_id: str = "",
) -> Lease:
    """A lease from now for a minute."""
    return Lease(
        dispatch_id=dispatch_id,
        revision=revision,
        setpoint_mw=setpoint_mw,
        start_s=start_s,
        until_s=until_s,
        priority=priority,
        schedule_id=schedule_id,
    )


def said(step: Step) -> list[str]:
    """A step as a line of the play: what is done, and to which dispatch."""
    lines = []
    for command in step.commands:
        match command:
            case Write(written):
                lines.append(f"write {written.dispatch_id} {written.setpoint_mw:g}")
            case FallBack(then):
                lines.append("fall back" + (f", then {_word(then)}" if then else ""))
            case Report():
                lines.append(_word(command))
    return lines


def _word(report: Report) -> str:
    return f"{report.dispatch_id} {report.word.state}"


def booked(*given: Lease, now_s: float = 0.0) -> Book:
    """A book that took these in, all writes well done."""
    book = Book(owes_fallback=False)
    for one in given:
        book = leases.accept(book, one, now_s).book
    return book


def test_a_lease_that_starts_now_is_acknowledged_and_written() -> None:
    """In this order: a word before the deed."""
    step = leases.accept(Book(), lease(), 0.0)
    assert said(step) == ["a acked", "write a 1"]
    assert not step.book.owes_fallback


def test_a_lease_ends_at_until_with_the_fallback() -> None:
    """Completed is said once the asset is there."""
    book = booked(lease(until_s=60))
    assert said(leases.tick(book, 59.9)) == []
    step = leases.tick(book, 60.0)
    assert said(step) == ["fall back, then a completed"]
    [fall_back] = step.commands
    assert isinstance(fall_back, FallBack)
    assert said(leases.fell_back(step.book, fall_back)) == ["a completed"]


def test_a_fallback_that_fails_is_said_and_stays_owed() -> None:
    """The device being back is when it is made good."""
    step = leases.tick(booked(lease()), 60.0)
    [fall_back] = step.commands
    assert isinstance(fall_back, FallBack)
    failed = leases.not_fallen_back(step.book, fall_back, "no answer")
    assert said(failed) == ["a failed"]
    assert said(leases.reopened(failed.book, 70.0)) == ["fall back"]


def test_a_newer_lease_takes_the_place_of_the_older() -> None:
    """Without a fallback between."""
    step = leases.accept(booked(lease("a")), lease("b", setpoint_mw=-1), 10.0)
    assert said(step) == ["b acked", "a superseded", "write b -1"]


def test_a_later_start_leaves_the_older_in_force_until_then() -> None:
    """Superseded is what happens, not what is planned."""
    step = leases.accept(booked(lease("a")), lease("b", start_s=30, until_s=90), 10.0)
    assert said(step) == ["b acked"]
    assert leases.next_deadline_s(step.book) == 30
    assert said(leases.tick(step.book, 30.0)) == ["a superseded", "write b 1"]


def test_one_lease_after_the_other_needs_no_fallback() -> None:
    """A schedule of blocks runs through."""
    book = booked(lease("a", until_s=30), lease("b", start_s=30, until_s=60))
    assert said(leases.tick(book, 30.0)) == ["a completed", "write b 1"]


@pytest.mark.parametrize("off_s", [-0.5, -0.001, 0.001, 0.5])
@pytest.mark.parametrize("schedule_id", ["", "plan"])
def test_leases_that_were_meant_to_touch_do(off_s: float, schedule_id: str) -> None:
    """Each was turned into monotonic time when it came, and those are never quite the same."""
    first = lease("a", until_s=30, schedule_id=schedule_id)
    second = lease("b", start_s=30 + off_s, until_s=60, schedule_id=schedule_id)
    for one, other in ((first, second), (second, first)):
        both = leases.accept(leases.accept(Book(), one, -10.0).book, other, -5.0)
        assert said(both) == [f"{other.dispatch_id} acked"]
    begun = leases.tick(both.book, 0.0).book
    at_s = leases.next_deadline_s(begun)
    assert at_s == pytest.approx(30 + off_s)
    assert said(leases.tick(begun, at_s)) == ["a completed", "write b 1"]


def blocks(gap_s: float, *, after: str = "plan") -> Book:
    """A plan's first block in force until 30, and another one after a gap."""
    return booked(
        lease("a", until_s=30, schedule_id="plan"),
        lease("b", start_s=30 + gap_s, until_s=90, schedule_id=after),
    )


def test_a_short_gap_in_a_schedule_is_bridged() -> None:
    """The asset would only go there and back."""
    book = blocks(GAP_GRACE_S)
    assert leases.next_deadline_s(book) == 40
    assert said(leases.tick(book, 35.0)) == []
    assert said(leases.tick(book, 40.0)) == ["a completed", "write b 1"]


def test_a_long_gap_is_not() -> None:
    """And neither is a short one between two plans, or two dispatches that stand alone."""
    for book in (blocks(GAP_GRACE_S + 0.1), blocks(1.0, after="another"), blocks(1, after="")):
        assert said(leases.tick(book, 30.0)) == ["fall back, then a completed"]


def test_a_gap_whose_second_block_is_cancelled_ends_at_once() -> None:
    """Nothing is left to wait for."""
    step = leases.cancel(leases.tick(blocks(5.0), 32.0).book, "b", "")
    assert said(step) == ["b cancelled"]
    assert said(leases.tick(step.book, 32.0)) == ["fall back, then a completed"]


def test_a_newer_lease_displaces_a_waiting_one_at_once() -> None:
    """It will never begin, and nobody shall believe that it will."""
    book = booked(lease("a", start_s=100, until_s=200))
    step = leases.accept(book, lease("b", start_s=150, until_s=250), 10.0)
    assert said(step) == ["b acked", "a superseded"]


def test_a_lower_priority_is_rejected() -> None:
    """Newest wins within a rank only."""
    book = booked(lease("a", priority=5))
    assert said(leases.accept(book, lease("b", priority=4), 1.0)) == ["b rejected"]
    assert said(leases.accept(book, lease("c", priority=5), 1.0))[0] == "c acked"


def test_a_new_revision_takes_the_place_of_the_old_without_a_word() -> None:
    """It is the same dispatch."""
    step = leases.accept(booked(lease("a")), lease("a", setpoint_mw=2, revision=2), 1.0)
    assert said(step) == ["a acked", "write a 2"]


def test_a_failed_write_is_reported_and_falls_back() -> None:
    """Nobody knows what the device took of it."""
    book = booked(lease("a"))
    step = leases.not_written(book, lease("a"), Failed())
    assert said(step) == ["a failed", "fall back"]
    assert step.book.in_force is None


def test_a_lease_whose_time_passed_unwritten_has_failed() -> None:
    """A machine that slept does not wake into an old setpoint."""
    book = booked(lease("a", start_s=10, until_s=20))
    assert said(leases.tick(book, 30.0)) == ["a failed"]


def test_cancelling_what_is_in_force_falls_back() -> None:
    """And leaves what waits."""
    book = booked(lease("a"), lease("b", start_s=60, until_s=90))
    step = leases.cancel(book, "a", "")
    assert said(step) == ["fall back, then a cancelled"]
    assert said(leases.tick(step.book, 60.0)) == ["write b 1"]


def test_cancelling_what_waits_touches_nothing_else() -> None:
    """And what is not in the book least of all."""
    book = booked(lease("a"), lease("b", start_s=60, until_s=90))
    assert said(leases.cancel(book, "b", "")) == ["b cancelled"]
    assert said(leases.cancel(book, "c", "")) == []


def test_a_device_that_comes_back_is_told_again() -> None:
    """It may have forgotten: the lease, or what it falls back to at the first opening."""
    assert said(leases.reopened(booked(lease("a")), 10.0)) == ["write a 1"]
    assert said(leases.reopened(Book(), 0.0)) == ["fall back"]
    assert said(leases.reopened(Book(owes_fallback=False), 0.0)) == []
    assert said(leases.reopened(booked(lease("a")), 60.0)) == ["fall back, then a completed"]


def test_an_agent_that_stops_ends_the_lease_in_force() -> None:
    """Nobody is left to do it later; a plan waits for the agent's return."""
    book = booked(lease("a"), later := lease("b", start_s=60, until_s=90))
    step = leases.abandon(book)
    assert said(step) == ["fall back, then a cancelled"]
    assert step.book == Book(None, (later,), owes_fallback=True)


def test_the_schedule_is_bounded() -> None:
    """Nobody plans a thousand leases for one asset."""
    book = booked(*(lease(f"d-{i}", start_s=i + 1, until_s=i + 2) for i in range(300)))
    assert said(leases.accept(book, lease("x", start_s=500, until_s=501), 0.0)) == ["x rejected"]


# ---------------------------------------------------------------- properties

accepts = st.builds(
    lease,
    st.sampled_from("abcdefgh"),
    start_s=st.integers(0, 50).map(float),
    until_s=st.integers(51, 100).map(float),
    priority=st.integers(0, 1),
)
moves = st.lists(
    st.one_of(
        accepts,
        st.integers(1, 20).map(float),  # time passes
        st.sampled_from(["cancel a", "cancel b", "reopened", "device fails", "device works"]),
    ),
    max_size=40,
)


class Player:
    """Carries out commands on a device that fails when told to, and keeps the reports."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.book = Book()
        self.works = True
        self.holds: str | None = "somebody's"
        self.words: list[Report] = []

    def carry_out(self, step: Step) -> None:
        """As the lease keeper does."""
        self.book = step.book
        for command in step.commands:
            match command:
                case Report():
                    self.words.append(command)
                case Write(written) if self.works:
                    self.holds = written.dispatch_id
                    self.carry_out(leases.written(self.book, written, Applied()))
                case Write(written):
                    self.carry_out(leases.not_written(self.book, written, Failed()))
                case FallBack() if self.works:
                    self.holds = None
                    self.carry_out(leases.fell_back(self.book, command))
                case FallBack():
                    self.carry_out(leases.not_fallen_back(self.book, command, ""))

    def play(self, script: Iterable[object]) -> set[str]:
        """Returns which dispatches were ever taken in."""
        taken: set[str] = set()
        for move in script:
            match move:
                case Lease():
                    # As behind the journal: an id once, and no lease that is over.
                    if move.dispatch_id not in taken and move.until_s > self.now_s:
                        taken.add(move.dispatch_id)
                        self.carry_out(leases.accept(self.book, move, self.now_s))
                case float():
                    self.now_s += move
                    self.carry_out(leases.tick(self.book, self.now_s))
                case "device fails":
                    self.works = False
                case "device works":
                    self.works = True
                case "reopened":
                    self.carry_out(leases.reopened(self.book, self.now_s))
                case str():
                    self.carry_out(leases.cancel(self.book, move.removeprefix("cancel "), ""))
            self.check()
        return taken

    def check(self) -> None:
        """What holds after every move."""
        in_force = self.book.in_force
        if in_force is not None:
            assert self.holds == in_force.dispatch_id
            assert not self.book.owes_fallback
        elif not self.book.owes_fallback:
            assert self.holds is None
        windows = [(one.start_s, one.until_s) for one in self.book.scheduled]
        assert windows == sorted(windows)
        assert all(a[1] <= b[0] for a, b in pairwise(windows))


@given(script=moves)
def test_every_dispatch_ends_once_and_no_setpoint_outlives_its_lease(script: list[object]) -> None:
    """Whatever happens: exactly one final word each, and in the end a device at its fallback."""
    player = Player()
    taken = player.play(script)
    player.works = True
    player.now_s += 1000
    player.carry_out(leases.tick(player.book, player.now_s))
    player.carry_out(leases.reopened(player.book, player.now_s))

    assert player.holds is None
    final = sorted(word.dispatch_id for word in player.words if word.word.state in FINAL)
    assert final == sorted(taken)
