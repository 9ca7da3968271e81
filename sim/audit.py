"""The loss audit: is everything that was produced stored once, or declared as lost?

    produced = stored + declared + waiting at the edge, exactly

It counts for itself. What an edge produced comes from its ledger; what the headend holds is
read page by page through the `Historian` port, and the rows are counted in the payloads.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from dercp.model.completeness import Stretch
from dercp.store import Historian
from dercp.store.records import DEFAULT_TENANT, FrameRecord, GapRecord, SpoolSequences
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = ["Audit", "Held", "Ledger", "SpoolAudit", "audit"]

FINDINGS_MAX: Final = 20
"""Sentences per spool; what is beyond is counted."""

_EVER: Final = (-(2**62), 2**62)


class Held(msgspec.Struct, frozen=True):
    """Batches that the edge keeps still, sequences from first to last, and their samples."""

    first: int
    last: int
    samples: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge says it has produced in one spool.

    Attributes:
        agent_id: Whose it is.
        spool_id: Within which the sequences count.
        sequences: The last number given: there are batches 1 to this.
        samples: In all of them.
        waiting: What the headend has not acknowledged, batches and declarations.
    """

    agent_id: str
    spool_id: str
    sequences: int
    samples: int
    waiting: tuple[Held, ...] = ()


class SpoolAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool; well if there are no findings."""

    agent_id: str
    spool_id: str
    produced_samples: int
    stored_batches: int
    stored_samples: int
    declared_samples: int
    waiting_samples: int
    findings: tuple[str, ...]


class Audit(msgspec.Struct, frozen=True):
    """The verdict on all spools."""

    spools: tuple[SpoolAudit, ...]
    # Of the history as a whole.
    findings: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is wrong, each with whose it is."""
        return self.findings + tuple(
            f"{spool.agent_id} ({spool.spool_id}): {finding}"
            for spool in self.spools
            for finding in spool.findings
        )

    @property
    def exit_code(self) -> int:
        """0 if all is accounted for; 1 if not."""
        return 1 if self.sentences else 0

    def __str__(self) -> str:
        """A line for each spool, then what is wrong."""
        lines = [
            f"{spool.agent_id}: produced {spool.produced_samples} = stored {spool.stored_samples}"
            f" + declared {spool.declared_samples} + waiting {spool.waiting_samples}"
            for spool in self.spools
        ]
        return "\n".join([*lines, *self.sentences])


async def audit(
    historian: Historian, ledgers: Sequence[Ledger], *, tenant_id: str = DEFAULT_TENANT
) -> Audit:
    """Compare what edges produced with what a history holds.

    The history must not have aged anything out, and must be at rest.
    """
    spools: list[SpoolAudit] = []
    findings: list[str] = []
    for agent_id in sorted({ledger.agent_id for ledger in ledgers}):
        frames, corrupt = await _read_frames(historian, tenant_id, agent_id)
        gaps = await _read_gaps(historian, tenant_id, agent_id)
        known = {each.spool_id: each for each in await historian.sequences(tenant_id, agent_id)}
        own = [ledger for ledger in ledgers if ledger.agent_id == agent_id]
        if corrupt:
            findings.append(f"{agent_id}: {corrupt} stored frames cannot be read")
        found = {frame.spool_id for frame in frames} | {gap.spool_id for gap in gaps} | set(known)
        strange = found - {ledger.spool_id for ledger in own}
        findings.extend(
            f"{agent_id}: history has spool {each}, which no edge speaks of"
            for each in sorted(strange)
        )
        spools.extend(_audit_spool(ledger, frames, gaps, known) for ledger in own)
    return Audit(tuple(spools), tuple(findings))


async def _read_frames(
    historian: Historian, tenant_id: str, agent_id: str
) -> tuple[list[FrameRecord], int]:
    found: list[FrameRecord] = []
    corrupt, after = 0, None
    while True:
        page = await historian.frames(tenant_id, agent_id, *_EVER, after)
        found += page.frames
        corrupt += page.corrupt
        after = page.next_after
        if after is None:
            return found, corrupt


async def _read_gaps(historian: Historian, tenant_id: str, agent_id: str) -> list[GapRecord]:
    found: list[GapRecord] = []
    after = None
    while True:
        page = await historian.gaps(tenant_id, agent_id, *_EVER, after)
        found += page.gaps
        after = page.next_after
        if after is None:
            return found


def _audit_spool(
    ledger: Ledger,
    frames: Sequence[FrameRecord],
    gaps: Sequence[GapRecord],
    known: dict[str, SpoolSequences],
) -> SpoolAudit:
    books = _Books(
        ledger,
        [frame for frame in frames if frame.spool_id == ledger.spool_id],
        [gap for gap in gaps if gap.spool_id == ledger.spool_id],
    )
    findings = list(books.findings(known.get(ledger.spool_id)))
    if len(findings) > FINDINGS_MAX:
        more = len(findings) - FINDINGS_MAX
        findings[FINDINGS_MAX:] = [f"and {more} more of the kind"]
    return SpoolAudit(
        agent_id=ledger.agent_id,
        spool_id=ledger.spool_id,
        produced_samples=ledger.samples,
        stored_batches=len(books.stored),
        stored_samples=books.stored_samples,
        declared_samples=books.declared_samples,
        waiting_samples=books.waiting_samples,
        findings=tuple(findings),
    )


class _Books:
    """The three accounts of one spool: each number belongs to the first that has it."""

    def __init__(
        self, ledger: Ledger, frames: Sequence[FrameRecord], gaps: Sequence[GapRecord]
    ) -> None:
        self._ledger = ledger
        self._frames = sorted(frames, key=lambda frame: frame.sequence)
        self._rows = {frame.sequence: _rows_of(frame) for frame in self._frames}
        self.stored = {sequence: len(rows) for sequence, rows in self._rows.items()}
        self.stored_samples = sum(self.stored.values())
        self._declared = _counts(range(gap.first_sequence, gap.last_sequence + 1) for gap in gaps)
        self.declared_samples = sum(
            gap.samples - self._stored_within(gap.first_sequence, gap.last_sequence) for gap in gaps
        )
        waiting = [each for each in ledger.waiting if not self._is_here(each)]
        self._waiting = _counts(range(each.first, each.last + 1) for each in waiting)
        self.waiting_samples = sum(each.samples for each in waiting)

    def _stored_within(self, first: int, last: int) -> int:
        """A batch that came although it was declared counts as stored."""
        return sum(self.stored.get(number, 0) for number in range(first, last + 1))

    def _is_here(self, held: Held) -> bool:
        """Whether the headend has it, and only the acknowledgement is on its way."""
        return held.first in self.stored or held.first in self._declared

    def findings(self, known: SpoolSequences | None) -> Iterator[str]:
        """Whatever is not as it must be."""
        yield from self._holes()
        yield from self._twice()
        yield from self._wrong_counts()
        yield from self._out_of_order()
        yield from self._other_sequences(known)

    def _holes(self) -> Iterator[str]:
        accounted = {*self.stored, *self._declared, *self._waiting}
        produced = set(range(1, self._ledger.sequences + 1))
        for first, last in _runs(produced - accounted):
            yield f"batches {first} to {last} are lost: neither stored, declared nor waiting"
        for first, last in _runs(accounted - produced):
            yield f"batches {first} to {last} were never produced"

    def _twice(self) -> Iterator[str]:
        for number, count in Counter(frame.sequence for frame in self._frames).items():
            if count > 1:
                yield f"batch {number} is stored {count} times"
        for number, count in self._declared.items():
            if count > 1:
                yield f"batch {number} is declared {count} times"

    def _wrong_counts(self) -> Iterator[str]:
        for frame in self._frames:
            if frame.samples != self.stored[frame.sequence]:
                yield (
                    f"batch {frame.sequence} is said to have {frame.samples} samples, "
                    f"and has {self.stored[frame.sequence]}"
                )
        found = self.stored_samples + self.declared_samples + self.waiting_samples
        if found != self._ledger.samples:
            yield (
                f"{self._ledger.samples} samples were produced, but {self.stored_samples} are "
                f"stored, {self.declared_samples} declared and {self.waiting_samples} waiting"
            )

    def _out_of_order(self) -> Iterator[str]:
        """In the order of the sequences, no asset's sample comes twice or before an earlier one."""
        newest: dict[int, tuple[int, int]] = {}
        for sequence in sorted(self._rows):
            for asset_index, time_us in self._rows[sequence]:
                before_us, before = newest.get(asset_index, (time_us - 1, 0))
                if time_us <= before_us:
                    yield (
                        f"asset {asset_index}: the sample of {time_us} µs in batch {sequence} "
                        f"follows that of {before_us} µs in batch {before}"
                    )
                newest[asset_index] = (time_us, sequence)

    def _other_sequences(self, known: SpoolSequences | None) -> Iterator[str]:
        """What the historian says of its sequences is what its frames and gaps say."""
        stored = () if known is None else known.stored
        declared = () if known is None else known.declared
        if _numbers(stored) != set(self.stored):
            yield "the sequences said to be stored are not those of the frames"
        if _numbers(declared) != set(self._declared) - set(self.stored):
            yield "the sequences said to be declared are not those of the gaps"


def _rows_of(frame: FrameRecord) -> list[tuple[int, int]]:
    """Asset index and source time of each row."""
    payload = upb.TelemetryPayload.FromString(frame.payload)
    base_us = payload.base_time_us
    return [(row.asset_index, base_us + row.time_offset_us) for row in payload.rows]


def _counts(ranges: Iterable[range]) -> Counter[int]:
    return Counter(number for each in ranges for number in each)


def _numbers(stretches: Iterable[Stretch]) -> set[int]:
    return {number for each in stretches for number in range(each.first, each.last + 1)}


def _runs(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """The numbers as the fewest ranges, both ends included."""
    ordered = sorted(numbers)
    if not ordered:
        return
    first = ordered[0]
    for number, following in pairwise(ordered):
        if following != number + 1:
            yield first, number
            first = following
    yield first, ordered[-1]
