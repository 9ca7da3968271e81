"""How a lease goes, by the device's own measurements: what is told of it, and when."""

from typing import Final

import trio
from msgspec.structs import replace

from dercp.edge.asset.lease import Lease, Report
from dercp.model.dispatch import FINAL, DeviatingSeen, FollowingSeen
from dercp.model.following import (
    Following,
    Outcome,
    Tolerance,
    Verdict,
    follow,
    observe,
    outcome,
    redirect,
)
from dercp.model.quality import Quality
from dercp.model.time import Clock, us_from_s

__all__ = ["Measuring"]

# A power at the edge of its tolerance must not fill the journal.
WORDS_EVERY_S: Final = 10.0


class Measuring:
    """Compares the measured power of one asset with the setpoint that was written for a lease.

    After a restart of the agent it measures from then on; the outcome still speaks of the
    whole lease, and its completeness says how much of it was measured.
    """

    def __init__(self, tolerance: Tolerance, interval_s: float, headend_clock: Clock) -> None:
        self._tolerance = tolerance
        self._interval_s = interval_s
        self._headend_clock = headend_clock
        self._lease: Lease | None = None
        self._following: Following | None = None
        self._said = Verdict.SETTLING
        self._next_word_s = 0.0

    def written(self, lease: Lease, setpoint_mw: float) -> None:
        """This power was written for this lease."""
        now_us, until_us = _now_us(), us_from_s(lease.until_s)
        before = self._following
        if before is None or self._lease is None or self._lease.dispatch_id != lease.dispatch_id:
            before = follow(
                setpoint_mw,
                from_us=us_from_s(lease.start_s),
                until_us=until_us,
                tolerance=self._tolerance,
                interval_s=self._interval_s,
            )
            self._said, self._next_word_s = Verdict.SETTLING, 0.0
        self._lease = lease
        self._following = redirect(before, now_us, setpoint_mw, until_us)

    def observe(self, power_mw: float | None, quality: Quality) -> Report | None:
        """A poll was answered; the word for it, if there is one to say."""
        lease = self._lease
        if lease is None or self._following is None:
            return None
        self._following = following = observe(self._following, _now_us(), power_mw, quality)
        now_s = trio.current_time()
        if following.verdict is self._said or now_s < self._next_word_s:
            return None
        self._said, self._next_word_s = following.verdict, now_s + WORDS_EVERY_S
        match following.verdict:
            case Verdict.FOLLOWING:
                return Report(lease.dispatch_id, lease.revision, FollowingSeen())
            case Verdict.DEVIATING:
                detail = f"{power_mw:g} MW measured, {following.setpoint_mw:g} MW written"
                return Report(lease.dispatch_id, lease.revision, DeviatingSeen(detail=detail))
            case Verdict.SETTLING:
                return None

    def completed(self, report: Report) -> Report:
        """The report, with the outcome where it is the last one of the lease that is measured."""
        lease = self._lease
        if (
            lease is None
            or self._following is None
            or lease.dispatch_id != report.dispatch_id
            or report.word.state not in FINAL
        ):
            return report
        word = replace(report.word, outcome=self._outcome(lease, self._following))
        self._lease = self._following = None
        return replace(report, word=word)

    def _outcome(self, lease: Lease, following: Following) -> Outcome:
        """In the headend's time; asked is what the dispatch wanted, whatever limits left of it."""
        measured = outcome(following, _now_us())
        ahead_us = self._headend_clock() - _now_us()
        lasted_h = (measured.until_us - measured.from_us) / 3.6e9
        return replace(
            measured,
            setpoint_mw=lease.setpoint_mw,
            from_us=measured.from_us + ahead_us,
            until_us=measured.until_us + ahead_us,
            energy_asked_mwh=lease.setpoint_mw * lasted_h,
        )


def _now_us() -> int:
    return us_from_s(trio.current_time())
