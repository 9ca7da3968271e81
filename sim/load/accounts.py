"""The loss audit from outside: what agents say they produced against what the API says is held.

    produced = stored + declared, exactly, batch by batch and in samples

`sim.audit` reads every row through the `Historian` port; this compares numbers alone, so that
it also serves for millions of samples on another machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

__all__ = ["Held", "SpoolLedger", "Verdict", "compare"]

FINDINGS_MAX: Final = 50


class SpoolLedger(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of its spool at its end: batches 1 to `sequences` were produced."""

    agent_id: str
    spool_id: str
    sequences: int
    samples: int
    # Never acknowledged: batches, and the samples in them.
    waiting: int = 0
    waiting_samples: int = 0


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a headend says it holds of a spool; ranges include both their ends."""

    spool_id: str
    stored: list[tuple[int, int]] = []
    declared: list[tuple[int, int]] = []
    stored_batches: int = 0
    stored_samples: int = 0
    declared_samples: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over all spools, in samples, and what is wrong."""

    produced: int = 0
    stored: int = 0
    declared: int = 0
    # Not held, but the agent had them still when it was stopped.
    waiting: int = 0
    # Held by nobody.
    lost: int = 0
    # Held beyond what was produced.
    duplicates: int = 0
    findings: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether everything produced was stored once, or declared."""
        return not self.findings


def compare(ledgers: Iterable[SpoolLedger], held: Sequence[Held]) -> Verdict:
    """Hold what was produced against what is held; spools of others are passed over."""
    by_id = {each.spool_id: each for each in held}
    sums = [0, 0, 0, 0, 0, 0]
    findings: list[str] = []
    for ledger in ledgers:
        account = by_id.get(ledger.spool_id, Held(spool_id=ledger.spool_id))
        excess = account.stored_samples + account.declared_samples - ledger.samples
        waiting = min(ledger.waiting_samples, max(0, -excess))
        for place, number in enumerate(
            (
                ledger.samples,
                account.stored_samples,
                account.declared_samples,
                waiting,
                max(0, -excess - waiting),
                max(0, excess),
            )
        ):
            sums[place] += number
        findings += (f"{ledger.agent_id}: {each}" for each in _findings(ledger, account))
    if len(findings) > FINDINGS_MAX:
        findings[FINDINGS_MAX:] = [f"and {len(findings) - FINDINGS_MAX} more of the kind"]
    produced, stored, declared, waits, lost, duplicates = sums
    return Verdict(
        produced=produced,
        stored=stored,
        declared=declared,
        waiting=waits,
        lost=lost,
        duplicates=duplicates,
        findings=tuple(findings),
    )


def _findings(ledger: SpoolLedger, held: Held) -> Iterator[str]:
    missing = list(_missing(ledger.sequences, [*held.stored, *held.declared]))
    batches = sum(last - first + 1 for first, last in missing)
    for first, last in missing[:FINDINGS_MAX]:
        yield (
            f"{_batches(first, last)} waited at the agent still when it was stopped"
            if batches <= ledger.waiting
            else f"{_batches(first, last)} {_are(first, last)} lost: neither stored nor declared"
        )
    for first, last in _beyond(ledger.sequences, [*held.stored, *held.declared]):
        yield f"never produced, and yet there: {_batches(first, last)}"
    numbers = sum(last - first + 1 for first, last in held.stored)
    if numbers != held.stored_batches:
        yield f"{numbers} batches are said to be stored, and {held.stored_batches} are there"
    found = held.stored_samples + held.declared_samples
    if found != ledger.samples:
        yield (
            f"{ledger.samples} samples were produced, but {held.stored_samples} are stored and "
            f"{held.declared_samples} declared ({ledger.waiting_samples} waited)"
        )


def _missing(sequences: int, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of 1 to `sequences` is in none of the ranges."""
    following = 1
    for first, last in sorted(ranges):
        if first > following:
            yield following, min(first - 1, sequences)
        following = max(following, last + 1)
        if following > sequences:
            return
    if following <= sequences:
        yield following, sequences


def _beyond(sequences: int, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for first, last in sorted(ranges):
        if last > sequences:
            yield max(first, sequences + 1), last


def _batches(first: int, last: int) -> str:
    return f"batch {first}" if first == last else f"batches {first} to {last}"


def _are(first: int, last: int) -> str:
    return "is" if first == last else "are"
