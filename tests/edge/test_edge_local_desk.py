"""Dispatches that begin at the site, in the journal."""

import pytest
import structlog
from edge_plant import START_US

from dercp.edge import journal as journals
from dercp.edge.asset.lease import Report
from dercp.edge.journal import Journal
from dercp.model.dispatch import Acked, AssetTarget, Authority, Completed, DispatchRequest, Rejected

LOG = structlog.get_logger()
REQUEST = DispatchRequest(
    target=AssetTarget("bess-1"),
    setpoint_mw=0.5,
    start_us=START_US,
    until_us=START_US + 900_000_000,
    deliver_by_us=START_US + 8_000_000,
    requested_by="opcua:anna",
    authority=Authority.LOCAL_OPERATOR,
)


class Disk:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.settled = 0
        self.kept: dict[str, bytes] = {}

    def note(self, dispatch_id: str, content: bytes | None) -> int:
        self.kept.pop(dispatch_id, None)
        if content is not None:
            self.kept[dispatch_id] = content
        return self.settled

    def note_later(self, dispatch_id: str, content: bytes | None) -> None:
        self.note(dispatch_id, content)

    async def commit(self) -> bool:
        return True


def journal_on(disk: Disk) -> Journal:
    """A journal that finds what the disk has."""
    return Journal(lambda: START_US, lambda: START_US, lambda: None, disk, dict(disk.kept), LOG)


def test_it_is_told_with_what_was_asked_and_no_headend_can_revise_it() -> None:
    """Also after a restart; a refused one is forgotten."""
    disk = Disk()
    journal = journal_on(disk)
    heard: list[Report] = []
    journal.tell_of_locals(heard.append)
    for name in ("taken", "refused"):
        assert journal.enter(name, "bess-1", REQUEST)
    journal.record(Report("taken", 1, Acked()))
    journal.record(Report("refused", 1, Rejected(reason="out_of_range")))
    assert [report.dispatch_id for report in heard] == ["taken", "refused"]
    assert not journal.admits("taken", 2, "bess-1")
    again = journal_on(disk)
    assert again.local("taken") == REQUEST
    assert again.local("refused") is None
    again.repeat_recent()
    report = again.next_unsent()
    assert report is not None
    assert (report.dispatch_id, report.local) == ("taken", REQUEST)


def test_a_headend_that_stays_away_keeps_nobody_from_acting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a full journal the oldest local dispatches that have ended give way, unsent or not."""
    monkeypatch.setattr(journals, "ENTRIES_MAX", 3)
    disk = Disk()
    journal = journal_on(disk)
    for number in range(10):
        name = f"local-{number}"
        assert journal.enter(name, "bess-1", REQUEST)
        journal.record(Report(name, 1, Completed()))
    assert journal.statistics().entries == 3
    assert journal.local("local-9") is not None
