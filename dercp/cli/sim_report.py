"""What a simulation came to: one document, and some lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dercp.cli.destination import new_file
from sim.load.accounts import Verdict
from sim.load.plan import Plan

AGE_WORDS = "from the device to where it can be read"


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Agents that lost their sessions, and how long until all had one again."""

    at_s: float
    least_up: int
    # None: not while it was measured.
    back_after_s: float | None


class DispatchSums(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the dispatches of all storms."""

    submitted: int = 0
    refused: int = 0
    acked: int = 0
    applied: int = 0
    acked_p50_s: float | None = None
    acked_p99_s: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation. Rates, ages and costs are of the time that was measured.

    `load_*` is the cost of the processes that made the load, `headend_*` of the headend's.
    """

    plan: Plan
    api: str
    processes: int
    # Since when all agents were connected, or were waited for no longer.
    measured_s: float
    # Why it ended: "duration", or the signal that came.
    ended_by: str
    agents: int
    agents_connected: int
    samples_produced: int
    samples_stored: int
    samples_in_gaps: int
    # Still in the spools when the agents were stopped.
    samples_waiting: int
    duplicates: int
    lost: int
    # Sent again and known as such, by the headend: no harm, but a measure of it.
    batches_repeated: int
    samples_missed: int
    reconnects: int
    # Acknowledged, in the time that was measured.
    samples_per_s: float
    frames_per_s: float
    age_p50_s: float | None
    age_p99_s: float | None
    ages_seen: int
    ack_p50_s: float | None
    ack_p99_s: float | None
    headend_cpu_s: float
    headend_cpu_share: float
    headend_rss_mb: float
    load_cpu_s: float
    load_cpu_share: float
    recoveries: tuple[Recovery, ...] = ()
    dispatches: DispatchSums = DispatchSums()
    # What is wrong; empty when everything produced was stored once, or declared.
    findings: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost."""
        return not self.findings


def accounted(verdict: Verdict) -> dict[str, int]:
    """The members of a report that the audit fills."""
    return {
        "samples_produced": verdict.produced,
        "samples_stored": verdict.stored,
        "samples_in_gaps": verdict.declared,
        "samples_waiting": verdict.waiting,
        "duplicates": verdict.duplicates,
        "lost": verdict.lost,
    }


def write_report(report: Report, path: Path) -> None:
    """As JSON, indented for people who compare two of them.

    Raises:
        CommandError: It cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(report), indent=2)
    with new_file(path, "--report") as file:
        file.write(content + b"\n")


def lines(report: Report) -> Iterator[str]:
    """What a person wants to know."""
    yield (
        f"measured {report.measured_s:.0f} s: {report.samples_per_s:,.0f} samples/s acknowledged "
        f"in {report.frames_per_s:,.1f} frames/s; {report.samples_missed:,} samples missed, "
        f"{report.reconnects:,} reconnects"
    )
    yield (
        f"age {_ms(report.age_p50_s)}, p99 {_ms(report.age_p99_s)} ({AGE_WORDS}, "
        f"{report.ages_seen} looked at); acknowledged {_ms(report.ack_p50_s)}, "
        f"p99 {_ms(report.ack_p99_s)}"
    )
    yield (
        f"headend {report.headend_cpu_share:.0%} of a core, {report.headend_rss_mb:,.0f} MB; "
        f"load {report.load_cpu_share:.0%}"
    )
    for each in report.recoveries:
        back = "not back" if each.back_after_s is None else f"back after {each.back_after_s:.1f} s"
        yield f"at {each.at_s:.1f} s {each.least_up:,} of {report.agents:,} connected; {back}"
    if report.dispatches.submitted or report.dispatches.refused:
        sums = report.dispatches
        yield (
            f"dispatches: {sums.submitted:,} taken, {sums.refused:,} refused, {sums.acked:,} "
            f"acked (p50 {_ms(sums.acked_p50_s)}, p99 {_ms(sums.acked_p99_s)}), "
            f"{sums.applied:,} applied"
        )
    yield (
        f"produced {report.samples_produced:,} = stored {report.samples_stored:,} + declared "
        f"{report.samples_in_gaps:,}"
        + (f" + waiting {report.samples_waiting:,}" if report.samples_waiting else "")
        + (f" + lost {report.lost:,}" if report.lost else "")
        + (f" - twice {report.duplicates:,}" if report.duplicates else "")
    )
    yield "nothing lost" if report.is_well else "the audit has failed:"
    yield from (f"  {finding}" for finding in report.findings)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f} ms"
