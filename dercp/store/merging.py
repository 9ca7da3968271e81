"""How gap declarations become one; for every implementation of `IngestLog.declare`."""

from collections.abc import Iterable

from msgspec.structs import replace

from dercp.store.records import GapRecord


def touches(known: GapRecord, gap: GapRecord) -> bool:
    """Whether two gaps of a spool overlap or lie beside each other, for the same reason."""
    return (
        known.reason == gap.reason
        and known.first_sequence <= gap.last_sequence + 1
        and known.last_sequence >= gap.first_sequence - 1
    )


def merge_gaps(known: Iterable[GapRecord], gap: GapRecord) -> GapRecord:
    """One gap of those that touch a new one, and the new one.

    Gaps of one reason never touch each other, so what touches the new one is all there is.
    """
    merged = gap
    for each in known:
        if each.first_sequence <= gap.first_sequence and gap.last_sequence <= each.last_sequence:
            return each
        if gap.first_sequence <= each.first_sequence and each.last_sequence <= gap.last_sequence:
            continue
        merged = replace(
            merged,
            first_sequence=min(merged.first_sequence, each.first_sequence),
            last_sequence=max(merged.last_sequence, each.last_sequence),
            from_us=min(merged.from_us, each.from_us),
            to_us=max(merged.to_us, each.to_us),
            samples=merged.samples + each.samples,
        )
    return merged
