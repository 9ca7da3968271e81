"""What one transaction of the spool is to do."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from dercp.edge.spool.outbox import Batch, Gap, Parcel, Sequences

__all__ = ["Job", "gap_of", "joined"]


class Job(msgspec.Struct, kw_only=True):
    """Gathers while the transaction before it runs. Doing it twice is doing it once."""

    inserts: list[Parcel] = msgspec.field(default_factory=list)
    # In order, and none of them touching.
    acknowledged: list[Sequences] = msgspec.field(default_factory=list)
    refused: dict[int, str] = msgspec.field(default_factory=dict)
    sent_gaps: set[int] = msgspec.field(default_factory=set)
    # The journal's entries; None: forget it.
    dispatches: dict[str, bytes | None] = msgspec.field(default_factory=dict)
    # Somebody waits for it.
    is_urgent: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        work = (self.inserts, self.acknowledged, self.refused, self.sent_gaps, self.dispatches)
        return not any(work)

    def acknowledge(self, held: Iterable[Sequences]) -> None:
        """Add what the headend holds."""
        ranges = sorted((*self.acknowledged, *held), key=lambda one: one.first)
        merged: list[Sequences] = []
        for one in ranges:
            if one.last < one.first:
                continue
            if merged and one.first <= merged[-1].last + 1:
                merged[-1] = Sequences(merged[-1].first, max(merged[-1].last, one.last))
            else:
                merged.append(one)
        self.acknowledged = merged

    def before(self, later: "Job") -> "Job":
        """This and what came after it, as one job."""
        both = Job(
            inserts=[*self.inserts, *later.inserts],
            refused={**self.refused, **later.refused},
            sent_gaps=self.sent_gaps | later.sent_gaps,
            dispatches={**self.dispatches, **later.dispatches},
            is_urgent=later.is_urgent,
        )
        both.acknowledge((*self.acknowledged, *later.acknowledged))
        return both

    def shorten(self, bytes_max: int, reason: str) -> None:
        """Make gaps of the oldest batches until the rest fits."""
        excess = sum(one.bytes for one in self.inserts if isinstance(one, Batch)) - bytes_max
        kept: list[Parcel] = []
        for parcel in self.inserts:
            if isinstance(parcel, Batch) and excess > 0:
                excess -= parcel.bytes
                gap = gap_of(parcel, reason)
                if kept and (longer := joined(kept[-1], gap)) is not None:
                    kept[-1] = longer
                else:
                    kept.append(gap)
            else:
                kept.append(parcel)
        self.inserts = kept


def gap_of(batch: Batch, reason: str) -> Gap:
    """The declaration that this batch will never come."""
    return Gap(
        sequences=batch.sequences,
        from_us=batch.frame.from_us,
        to_us=batch.frame.to_us,
        samples=batch.frame.samples,
        reason=reason,
    )


def joined(before: Parcel, after: Gap) -> Gap | None:
    """One gap for two that touch; None if they do not, or differ in their reasons."""
    if (
        not isinstance(before, Gap)
        or before.reason != after.reason
        or before.sequences.last + 1 != after.sequences.first
    ):
        return None
    return replace(
        before,
        sequences=Sequences(before.sequences.first, after.sequences.last),
        from_us=min(before.from_us, after.from_us),
        to_us=max(before.to_us, after.to_us),
        samples=before.samples + after.samples,
    )
