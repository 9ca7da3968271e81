"""What the edge remembers: the journal, the headend's time."""

from typing import Any

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st

from dercp.edge import journal as journal_module
from dercp.edge.asset.lease import Report
from dercp.edge.journal import Journal
from dercp.model.dispatch import FINAL, Acked, Applied, Completed, Rejected
from dercp.wire.dispatch import EdgeWord

# ------------------------------------------------------------------- journal


class PaperDisk:
    """Keeps the journal's entries; holds back what is settled when told to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.notes = 0
        self.slow = False
        self._settled = 0

    @property
    def settled(self) -> int:
        """Everything, unless the disk is slow."""
        if not self.slow:
            self._settled = self.notes
        return self._settled

    def note(self, dispatch_id: str, content: bytes | None) -> int:
        """Keep it."""
        self.notes += 1
        self.note_later(dispatch_id, content)
        return self.notes

    def note_later(self, dispatch_id: str, content: bytes | None) -> None:
        """Keep it as well."""
        if content is None:
            self.kept.pop(dispatch_id, None)
        else:
            self.kept[dispatch_id] = content

    async def commit(self) -> bool:
        """It is."""
        await trio.lowlevel.checkpoint()
        return True


class Desk:
    """A journal with a clock to set and a bell to count."""

    def __init__(self) -> None:
        self.now_us = 0
        self.rung = 0
        self.disk = PaperDisk()
        self.journal = self.opened()

    def opened(self) -> Journal:
        """The journal as an agent that starts now finds it."""
        clock = lambda: self.now_us  # noqa: E731 - a clock is a function
        log = structlog.get_logger()
        return Journal(clock, clock, self._ring, self.disk, dict(self.disk.kept), log)

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
    """What left last may have been lost, however long ago that was; running ones always."""
    desk = Desk()
    for number in (1, 2, 3):
        desk.journal.admits(f"d-{number}", 1, "bess-1")
    desk.say(Completed(), "d-1")
    desk.say(Applied(), "d-2")
    desk.send()
    desk.now_us = 4_000_000_000
    desk.say(Completed(), "d-3")
    desk.send()
    desk.now_us = 20_000_000_000
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


def test_what_is_said_of_a_part_goes_to_the_site_and_to_no_headend() -> None:
    """It is kept for as long as its dispatch; no dispatch of the headend can be taken for it."""
    desk = Desk()
    heard: list[str] = []
    desk.journal.tell_of_parts(lambda report: heard.append(report.dispatch_id))
    desk.journal.admits("d-1", 1, None)
    desk.say(Acked())
    assert desk.journal.admits("d-1/bess-1", 1, "bess-1")
    desk.say(Applied(), "d-1/bess-1")
    assert heard == ["d-1/bess-1"]
    assert desk.send() == ["d-1 acked"]
    assert desk.journal.statistics().entries == 1
    assert [one.dispatch_id for one in desk.opened().unended()] == ["d-1", "d-1/bess-1"]
    assert not desk.journal.admits("d-1/bess-1", 1, "bess-1")
    desk.say(Completed())
    assert desk.journal.part("d-1/bess-1") is None
    assert list(desk.disk.kept) == ["d-1"]


def test_a_part_that_a_kill_has_left_behind_is_forgotten() -> None:
    """Its dispatch has ended."""
    desk = Desk()
    desk.journal.admits("d-1", 1, None)
    desk.say(Acked())
    desk.journal.admits("d-1/bess-1", 1, "bess-1")
    desk.say(Applied(), "d-1/bess-1")
    left = desk.disk.kept["d-1/bess-1"]
    desk.say(Completed())
    desk.disk.kept["d-1/bess-1"] = left
    assert desk.opened().part("d-1/bess-1") is None
    assert list(desk.disk.kept) == ["d-1"]


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
