"""What the edge keeps: journal, outbox, the headend's time."""

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from dercp.edge import journal as journal_module
from dercp.edge.headend_time import HeadendTime
from dercp.edge.journal import Journal
from dercp.edge.lease import Report
from dercp.edge.outbox import Batch, Draft, Gap, MemoryOutbox
from dercp.model.dispatch import FINAL, Acked, Applied, Completed, Rejected
from dercp.wire.dispatch import EdgeWord

# ------------------------------------------------------------------- journal


class Desk:
    """A journal with a clock to set and a bell to count."""

    def __init__(self) -> None:
        self.now_us = 0
        self.rung = 0
        self.journal = Journal(lambda: self.now_us, self._ring)

    def _ring(self) -> None:
        self.rung += 1

    def say(self, word: EdgeWord, dispatch_id: str = "d-1", revision: int = 1) -> None:
        """Record a word."""
        self.journal.record(Report(dispatch_id, revision, word))

    def send(self) -> list[str]:
        """Take out all that waits."""
        sent = []
        while (report := self.journal.next_unsent()) is not None:
            sent.append(f"{report.dispatch_id} {report.word.state}")
            self.journal.sent(report)
        return sent


def test_a_dispatch_is_admitted_once() -> None:
    """Its repetition is answered with the last word."""
    desk = Desk()
    assert desk.journal.admits("d-1", 1, "bess-1")
    desk.say(Acked())
    assert desk.send() == ["d-1 acked"]
    assert not desk.journal.admits("d-1", 1, "bess-1")
    assert desk.send() == ["d-1 acked"]


def test_a_repetition_before_the_first_word_waits_for_it() -> None:
    """There is nothing to say yet."""
    desk = Desk()
    desk.journal.admits("d-1", 1, "bess-1")
    assert not desk.journal.admits("d-1", 1, "bess-1")
    assert desk.send() == []


def test_a_newer_revision_is_new_until_the_dispatch_has_ended() -> None:
    """An older one is not; and its words count no more."""
    desk = Desk()
    desk.journal.admits("d-1", 2, "bess-1")
    assert not desk.journal.admits("d-1", 1, "bess-1")
    assert desk.journal.admits("d-1", 3, "bess-1")
    desk.say(Completed(), revision=2)
    assert desk.send() == []
    desk.say(Completed(), revision=3)
    assert not desk.journal.admits("d-1", 4, "bess-1")


def test_words_wait_in_order_and_the_end_is_the_end() -> None:
    """A headend that was away hears the whole story, and nothing after it."""
    desk = Desk()
    desk.journal.admits("d-1", 1, "bess-1")
    for word in (Acked(), Applied(readback_mw=1.0), Completed(), Rejected(reason="late")):
        desk.say(word)
    assert desk.send() == ["d-1 acked", "d-1 applied", "d-1 completed"]


def test_of_too_many_words_the_last_are_kept() -> None:
    """A device that comes and goes for weeks must not fill the memory."""
    desk = Desk()
    desk.journal.admits("d-1", 1, "bess-1")
    for _ in range(100):
        desk.say(Applied())
    desk.say(Completed())
    assert desk.send() == ["d-1 applied"] * 15 + ["d-1 completed"]


def test_words_of_an_older_revision_still_leave() -> None:
    """And do not hold up those of other dispatches."""
    desk = Desk()
    desk.journal.admits("d-1", 1, "bess-1")
    desk.say(Acked())
    desk.journal.admits("d-1", 2, "bess-1")
    desk.journal.admits("d-2", 1, "bess-1")
    desk.say(Acked(), "d-2")
    assert desk.send() == ["d-1 acked", "d-2 acked"]


def test_a_word_that_comes_while_another_is_sent_is_not_lost() -> None:
    """Sent is what was sent."""
    desk = Desk()
    desk.journal.admits("d-1", 1, "bess-1")
    desk.say(Acked())
    on_its_way = desk.journal.next_unsent()
    assert on_its_way is not None
    desk.say(Completed())
    desk.journal.sent(on_its_way)
    assert desk.send() == ["d-1 completed"]


def test_a_new_session_hears_the_last_hour_again() -> None:
    """What was on the wire when the last one died may have been lost; running ones always."""
    desk = Desk()
    for number in (1, 2, 3):
        desk.journal.admits(f"d-{number}", 1, "bess-1")
    desk.say(Completed(), "d-1")
    desk.say(Applied(), "d-2")
    desk.now_us = 2_000_000_000
    desk.say(Completed(), "d-3")
    desk.send()
    desk.now_us = 4_000_000_000
    desk.journal.repeat_recent()
    assert desk.send() == ["d-2 applied", "d-3 completed"]


def test_a_full_journal_forgets_what_ended_and_admits_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has not ended, or whose end is not sent, is never forgotten."""
    monkeypatch.setattr(journal_module, "ENTRIES_MAX", 2)
    desk = Desk()
    assert desk.journal.admits("d-1", 1, "bess-1")
    assert desk.journal.admits("d-2", 1, "bess-1")
    assert not desk.journal.admits("d-3", 1, "bess-1")
    desk.say(Completed(), "d-2")
    assert not desk.journal.admits("d-3", 1, "bess-1")
    desk.send()
    assert desk.journal.admits("d-3", 1, "bess-1")
    assert desk.journal.statistics().entries == 2
    assert desk.journal.asset_of("d-2") is None


words = st.sampled_from([Acked(), Applied(), Completed(), Rejected(reason="no")])
names = st.sampled_from(["d-1", "d-2", "d-3"])
entries = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), names, st.integers(1, 3)),
        st.tuples(st.just("say"), names, words),
        st.tuples(st.just("send"), names, st.none()),
        st.tuples(st.just("repeat"), names, st.none()),
    ),
    max_size=60,
)


@given(script=entries)
def test_the_last_thing_said_of_a_dispatch_is_its_last_word(script: list[Any]) -> None:
    """And nothing is executed after a dispatch has ended."""
    desk = Desk()
    sent: list[str] = []
    last: dict[str, str] = {}
    ended: set[str] = set()
    for move, name, detail in script:
        match move:
            case "admit":
                assert not (desk.journal.admits(name, detail, "bess-1") and name in ended)
            case "say":
                desk.say(detail, name, revision=3)
                if desk.journal.asset_of(name) and name not in ended:
                    last[name] = f"{name} {detail.state}"
                    ended |= {name} if detail.state in FINAL else set()
            case "send":
                report = desk.journal.next_unsent()
                if report is not None:
                    sent.append(f"{report.dispatch_id} {report.word.state}")
                    desk.journal.sent(report)
            case "repeat":
                desk.journal.repeat_recent()
    sent += desk.send()
    assert {line.split()[0]: line for line in sent} == last
    assert desk.journal.statistics().unsent == 0


# -------------------------------------------------------------------- outbox


def draft(number: int, size: int = 10) -> Draft:
    """A frame of one row, taken at its number."""
    return Draft(registration_id=b"r", payload=bytes(size), from_us=number, to_us=number, samples=1)


async def test_batches_are_numbered_and_handed_out_in_order() -> None:
    """The same again until it has left."""
    outbox = MemoryOutbox("s-1", lambda: None)
    for number in (1, 2):
        await outbox.put(draft(number))
    first = outbox.next_unsent()
    assert isinstance(first, Batch)
    assert first.sequence == 1
    assert outbox.next_unsent() is first
    outbox.rewind()
    assert outbox.next_unsent() is first
    outbox.sent(first)
    second = outbox.next_unsent()
    assert isinstance(second, Batch)
    assert second.sequence == 2


async def test_a_batch_that_can_never_be_sent_becomes_a_gap() -> None:
    """With its own reason, beside others."""
    outbox = MemoryOutbox("s-1", lambda: None)
    await outbox.put(draft(1))
    batch = outbox.next_unsent()
    assert isinstance(batch, Batch)
    outbox.refused(batch, "too_large")
    gap = outbox.next_unsent()
    assert isinstance(gap, Gap)
    assert (gap.sequences.first, gap.sequences.last, gap.reason) == (1, 1, "too_large")


moves = st.lists(
    st.one_of(st.integers(1, 40), st.sampled_from(["send", "take", "refuse"])), max_size=80
)


class Audit:
    """Sends what an outbox hands out and keeps account of it."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self.outbox = outbox
        self.produced = 0
        self.sent: list[int] = []
        self.declared: list[int] = []

    async def play(self, move: int | str) -> None:
        """Put a batch of this size, or do as told."""
        if isinstance(move, int):
            self.produced += 1
            await self.outbox.put(draft(self.produced, move))
        elif move == "send":
            self.send()
        elif isinstance(parcel := self.outbox.next_unsent(), Batch) and move == "refuse":
            self.outbox.refused(parcel, "too_large")

    def send(self) -> bool:
        """Send one parcel; False when none waits."""
        parcel = self.outbox.next_unsent()
        match parcel:
            case None:
                return False
            case Batch():
                self.sent.append(parcel.sequence)
            case Gap():
                numbers = range(parcel.sequences.first, parcel.sequences.last + 1)
                self.declared += numbers
                assert parcel.samples == len(numbers)
                assert (parcel.from_us, parcel.to_us) == (numbers[0], numbers[-1])
        self.outbox.sent(parcel)
        return True


@given(script=moves)
async def test_produced_is_sent_plus_declared_plus_waiting(script: list[int | str]) -> None:
    """In order, each once, within the bound, whatever happens."""
    audit = Audit(MemoryOutbox("s-1", lambda: None, bytes_max=60))
    for move in script:
        await audit.play(move)
        assert audit.outbox.statistics().waiting_bytes <= 60
    while audit.send():
        pass

    assert sorted(audit.sent + audit.declared) == list(range(1, audit.produced + 1))
    assert audit.sent == sorted(audit.sent)
    assert audit.outbox.statistics().dropped_batches == len(audit.declared)


# ------------------------------------------------------------- headend's time


async def test_before_the_first_welcome_the_edges_own_clock_stands() -> None:
    """There is no other."""
    time = HeadendTime(lambda: 42)
    time.begin(0)
    assert time.now_us() == 42


async def test_the_headends_time_goes_on_by_the_monotonic_clock(mock_clock: MockClock) -> None:
    """Whatever the own clock is set to."""
    time = HeadendTime(lambda: 42)
    time.begin(1_000_000)
    mock_clock.jump(2.5)
    assert time.now_us() == 3_500_000


async def test_the_fastest_of_the_last_messages_counts(mock_clock: MockClock) -> None:
    """A message held up turns nothing back; a clock set back is followed in the end."""
    time = HeadendTime(lambda: 42)
    time.begin(1)
    mock_clock.jump(10)
    time.observe(4_000_000)
    assert time.now_us() == 10_000_001
    time.observe(11_000_000)
    assert time.now_us() == 11_000_000
    for _ in range(8):
        time.observe(5_000_000)
    assert time.now_us() == 5_000_000


async def test_another_headend_is_another_clock(mock_clock: MockClock) -> None:
    """A Welcome begins anew."""
    time = HeadendTime(lambda: 42)
    time.begin(10_000_000)
    time.begin(1_000_000)
    assert time.now_us() == 1_000_000
    await trio.lowlevel.checkpoint()
