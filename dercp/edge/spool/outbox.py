"""Where telemetry waits until the headend holds it: the port, and what passes through it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import msgspec

from dercp.wire.v1 import Lane

__all__ = [
    "PARCEL_BYTES",
    "Batch",
    "Draft",
    "DropReason",
    "Gap",
    "Lane",
    "Outbox",
    "OutboxStatistics",
    "Outgoing",
    "Parcel",
    "Sequences",
]

PARCEL_BYTES: Final = 200
"""What a parcel takes beside its payload: its row, its indexes, its envelope on the wire."""


class DropReason(StrEnum):
    """Why batches will never come; the reason that a gap bears."""

    SPOOL_FULL = "spool_full"
    DISK_FULL = "disk_full"
    TOO_OLD = "too_old"
    THINNED = "thinned"
    TOO_LARGE = "too_large"
    CORRUPT = "corrupt"
    TORN = "torn"
    SPOOL_LOST = "spool_lost"
    UNKNOWN_REGISTRATION = "unknown_registration"


class Sequences(msgspec.Struct, frozen=True):
    """A range of sequence numbers, both ends included."""

    first: int
    last: int


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that has no number yet. `samples` counts its rows."""

    registration_id: bytes
    payload: bytes
    from_us: int
    to_us: int
    samples: int


class Batch(msgspec.Struct, frozen=True):
    """A numbered frame."""

    sequence: int
    frame: Draft

    @property
    def sequences(self) -> Sequences:
        """The one number it has."""
        return Sequences(self.sequence, self.sequence)

    @property
    def bytes(self) -> int:
        """What it takes on the disk and on the wire."""
        return len(self.frame.payload) + PARCEL_BYTES


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Batches that will never come, and what was in them."""

    sequences: Sequences
    from_us: int
    to_us: int
    samples: int
    reason: str

    @property
    def bytes(self) -> int:
        """What it takes on the disk and on the wire."""
        return PARCEL_BYTES


Parcel: TypeAlias = Batch | Gap


class Outgoing(msgspec.Struct, frozen=True):
    """A parcel and the lane it goes out on."""

    parcel: Parcel
    lane: Lane


class OutboxStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an outbox holds and has seen."""

    spool_id: str
    # Of batches and gaps that the headend has not acknowledged.
    waiting: int
    waiting_bytes: int
    waiting_samples: int
    waiting_gaps: int
    bytes_max: int
    # When the oldest sample that waits was taken, by the edge's clock.
    oldest_us: int | None
    last_sequence: int
    # Since the spool began; each is declared.
    dropped_batches: int
    dropped_samples: int
    # Of this session: sent and not yet acknowledged, and whether the backlog is being sent.
    in_flight: int
    in_flight_bytes: int
    live_waiting: int
    backlog_waiting: int
    # A stable word; "" while all is well. `disk_full`: it grows no more, or takes nothing;
    # `disk_locked`, `disk_failed`: what comes is kept in memory until the disk takes it;
    # `memory_only`: no spool could be opened.
    trouble: str


class Outbox(Protocol):
    """Numbers frames, keeps them until the headend holds them, and hands them to the uplink.

    What is dropped is counted and handed out as a `Gap`, which is kept until it is
    acknowledged as well: produced = acknowledged + waiting + declared, exactly.
    """

    @property
    def spool_id(self) -> str:
        """Within which the sequence counts."""
        ...

    async def run(self) -> None:
        """Do the outbox's own work, until cancelled; without it `put` waits for ever."""
        ...

    async def put(self, draft: Draft) -> None:
        """Give the frame the next number and keep it; afterwards a killed process has it."""
        ...

    def begin_session(self) -> None:
        """A session is up: all that is here is backlog, what comes from now on is live."""
        ...

    def end_session(self) -> None:
        """It is over: nothing is on its way any more."""
        ...

    def next_unsent(self) -> Outgoing | None:
        """What is to be sent now; the same again until `sent` or `refused`."""
        ...

    def sent(self, outgoing: Outgoing) -> None:
        """The parcel has left."""
        ...

    def registration(self, registration_id: bytes) -> bytes | None:
        """The schema that batches here were written under; None where it was not kept."""
        ...

    def refused(self, batch: Batch, reason: str) -> None:
        """The batch can never be sent: declare it."""
        ...

    def unreadable(self, sequence: int) -> None:
        """The headend cannot know what this batch was written under: declare all such batches."""
        ...

    def acknowledged(self, spool_id: str, ranges: Sequence[Sequences]) -> None:
        """The headend holds these durably, batches and declarations."""
        ...

    def statistics(self) -> OutboxStatistics:
        """The counts now; those of what waits are up to a second old."""
        ...
