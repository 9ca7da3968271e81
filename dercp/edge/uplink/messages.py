"""What the edge says, as messages of the wire."""

from typing import Final, assert_never

from dercp.edge.asset.lease import Report
from dercp.edge.spool.outbox import Batch, Gap, OutboxStatistics, Outgoing
from dercp.wire import v1
from dercp.wire.dispatch import update_to_wire

__all__ = ["earlier_registration", "heartbeat", "parcel_message", "report_message"]

# The wire takes no later instant.
YEAR_9999_US: Final = 253_370_764_800_000_000


def heartbeat(time_us: int, spool: OutboxStatistics) -> v1.Uplink:
    """The edge's own time, so that the headend knows the offset, and what its spool holds."""
    state = v1.SpoolState(
        batches=spool.waiting - spool.waiting_gaps,
        bytes=spool.waiting_bytes,
        # A device may have stamped it with any time.
        oldest_us=min(max(0, spool.oldest_us or 0), YEAR_9999_US),
        bytes_max=spool.bytes_max,
        dropped_samples=spool.dropped_samples,
        trouble=spool.trouble,
    )
    return v1.Uplink(heartbeat=v1.Heartbeat(time_us=time_us, spool=state))


def earlier_registration(content: bytes) -> v1.Uplink:
    """What batches to come were written under."""
    return v1.Uplink(earlier_registration=v1.EarlierRegistration(registration=content))


def report_message(report: Report) -> v1.Uplink:
    """How a dispatch stands."""
    return v1.Uplink(
        dispatch_update=update_to_wire(
            report.dispatch_id, report.revision, report.word, report.local
        )
    )


def parcel_message(outgoing: Outgoing, spool_id: str) -> v1.Uplink:
    """A batch, or the declaration that some will never come."""
    match parcel := outgoing.parcel:
        case Batch(sequence, frame):
            return v1.Uplink(
                telemetry=v1.TelemetryBatch(
                    sequence=sequence,
                    registration_id=frame.registration_id,
                    payload=frame.payload,
                    lane=outgoing.lane,
                )
            )
        case Gap():
            return v1.Uplink(
                gap_report=v1.GapReport(
                    spool_id=spool_id,
                    sequences=v1.SequenceRange(
                        first=parcel.sequences.first, last=parcel.sequences.last
                    ),
                    from_us=parcel.from_us,
                    to_us=parcel.to_us,
                    samples=parcel.samples,
                    reason=parcel.reason,
                )
            )
        case _:
            assert_never(parcel)
