"""Frames and gaps of a plant that makes a batch a second, from second 1 on."""

from dercp.store import FrameRecord, GapRecord, History, HistoryLimits

SECOND = 1_000_000
EVER = 2**62


def frame(
    sequence: int, *, agent: str = "alpha-gw", size: int = 40, **other: object
) -> FrameRecord:
    """The batch of that number; it covers the second that begins with it, but for its last."""
    fields: dict[str, object] = {
        "tenant_id": "default",
        "agent_id": agent,
        "spool_id": "spool-1",
        "sequence": sequence,
        "registration_id": b"r" * 32,
        "ingest_time_us": sequence * SECOND + 1,
        "first_time_us": sequence * SECOND,
        "last_time_us": (sequence + 1) * SECOND - 1,
        "samples": 3,
        "payload": sequence.to_bytes(8) * (size // 8),
    }
    return FrameRecord(**(fields | other))  # type: ignore[arg-type]  # fields by name


def gap(first: int, last: int, *, agent: str = "alpha-gw", **other: object) -> GapRecord:
    """Batches that will never come, as many samples as they would have had."""
    fields: dict[str, object] = {
        "tenant_id": "default",
        "agent_id": agent,
        "spool_id": "spool-1",
        "first_sequence": first,
        "last_sequence": last,
        "from_us": first * SECOND,
        "to_us": (last + 1) * SECOND - 1,
        "samples": 3 * (last - first + 1),
        "reason": "spool_full",
        "declared_us": (last + 10) * SECOND,
    }
    return GapRecord(**(fields | other))  # type: ignore[arg-type]  # fields by name


def small(**limits: float) -> HistoryLimits:
    """Limits of a log that may be filled in a test."""
    return HistoryLimits(**({"disk_reserve_bytes": 0} | limits))  # type: ignore[arg-type]  # the same


async def read_all(
    history: History,
    agent: str = "alpha-gw",
    range_us: tuple[int, int] = (0, EVER),
    *,
    tenant: str = "default",
    limit: int = 1_000,
) -> list[FrameRecord]:
    """Every frame of the range, page by page; none of them damaged."""
    found: list[FrameRecord] = []
    after: int | None = None
    while True:
        page = await history.frames(tenant, agent, *range_us, after, limit)
        assert page.corrupt == 0
        found += page.frames
        after = page.next_after
        if after is None:
            return found


async def numbers(history: History, agent: str = "alpha-gw") -> list[int]:
    """The sequences of all frames of an agent, in the order of the log."""
    return [each.sequence for each in await read_all(history, agent)]
