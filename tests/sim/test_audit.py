"""The loss audit finds each kind of loss, and nothing where all is well."""

from collections.abc import Sequence

from memory_store import MemoryDisk, open_memory_history
from msgspec.structs import replace

from dercp.store.records import FrameRecord, GapRecord
from dercp.wire.payload import RowDraft, encode_payload
from sim.audit import Audit, Held, Ledger, audit

LEDGER = Ledger(agent_id="edge-1", spool_id="s-1", sequences=4, samples=8)


def frame(sequence: int, **fields: object) -> FrameRecord:
    """A batch of two samples, one of each of two assets, taken a second after the one before."""
    time_us = sequence * 1_000_000
    rows = [RowDraft(index, time_us, [1.0]) for index in (0, 1)]
    record = FrameRecord(
        tenant_id="default",
        agent_id="edge-1",
        spool_id="s-1",
        sequence=sequence,
        registration_id=bytes(16),
        ingest_time_us=time_us,
        first_time_us=time_us,
        last_time_us=time_us,
        samples=2,
        payload=encode_payload(time_us, rows),
    )
    return replace(record, **fields)


def gap(first: int, last: int, samples: int) -> GapRecord:
    """A declaration."""
    return GapRecord(
        tenant_id="default",
        agent_id="edge-1",
        spool_id="s-1",
        first_sequence=first,
        last_sequence=last,
        from_us=first * 1_000_000,
        to_us=last * 1_000_000,
        samples=samples,
        reason="spool_full",
        declared_us=0,
    )


async def verdict(
    frames: Sequence[FrameRecord], gaps: Sequence[GapRecord] = (), ledger: Ledger = LEDGER
) -> Audit:
    """What the audit says of this history."""
    async with open_memory_history(MemoryDisk()) as history:
        await history.append(frames)
        await history.declare(gaps)
        return await audit(history, [ledger])


async def test_what_is_stored_declared_or_waiting_is_accounted_for() -> None:
    """One of each: no sentence, exit code 0."""
    ledger = replace(LEDGER, waiting=(Held(4, 4, 2),))
    found = await verdict([frame(1), frame(3)], [gap(2, 2, 2)], ledger)
    assert found.sentences == ()
    assert found.exit_code == 0
    (spool,) = found.spools
    assert (spool.stored_samples, spool.declared_samples, spool.waiting_samples) == (4, 2, 2)


async def test_a_batch_that_is_stored_and_waits_counts_once() -> None:
    """Its acknowledgement is on its way."""
    ledger = replace(LEDGER, waiting=(Held(4, 4, 2),))
    assert (await verdict([frame(n) for n in (1, 2, 3, 4)], (), ledger)).exit_code == 0


async def test_a_declared_batch_that_came_after_all_counts_once() -> None:
    """The gap's samples less those that are stored."""
    assert (await verdict([frame(1), frame(2)], [gap(2, 4, 6)])).exit_code == 0


async def test_a_lost_batch_is_found() -> None:
    """Its numbers and its samples."""
    found = await verdict([frame(1), frame(4)])
    assert found.exit_code == 1
    assert "batches 2 to 3 are lost: neither stored, declared nor waiting" in str(found)
    assert "8 samples were produced, but 4 are stored, 0 declared and 0 waiting" in str(found)


async def test_a_gap_that_counts_wrongly_is_found() -> None:
    """All numbers are accounted for, but not all samples."""
    found = await verdict([frame(1), frame(2), frame(3)], [gap(4, 4, 1)])
    assert len(found.sentences) == 1
    assert "6 are stored, 1 declared" in found.sentences[0]


async def test_a_batch_that_nobody_produced_is_found() -> None:
    """The edge never gave that number."""
    found = await verdict([frame(n) for n in (1, 2, 3, 4, 5)])
    assert "batches 5 to 5 were never produced" in str(found)


async def test_a_sample_stored_twice_under_two_numbers_is_found() -> None:
    """It is as old as the one before."""
    again = frame(4, payload=frame(3).payload)
    found = await verdict([frame(1), frame(2), frame(3), again])
    assert "asset 0: the sample of 3000000 µs in batch 4 follows that of" in str(found)


async def test_a_frame_that_says_another_count_than_it_has_is_found() -> None:
    """The audit counts rows for itself."""
    found = await verdict([frame(1), frame(2), frame(3), frame(4, samples=3)])
    assert "batch 4 is said to have 3 samples, and has 2" in str(found)


async def test_a_spool_that_no_edge_speaks_of_is_found() -> None:
    """History has more than there was."""
    frames = [frame(n) for n in (1, 2, 3, 4)]
    found = await verdict([*frames, frame(1, spool_id="s-2")])
    assert found.findings == ("edge-1: history has spool s-2, which no edge speaks of",)
