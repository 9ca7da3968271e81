"""Where telemetry waits for the uplink."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

__all__ = [
    "Batch",
    "Draft",
    "Gap",
    "MemoryOutbox",
    "Outbox",
    "OutboxStatistics",
    "Parcel",
    "Sequences",
]

OUTBOX_BYTES_MAX: Final = 32 * 1024 * 1024


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


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Batches that will never come, and what was in them."""

    sequences: Sequences
    from_us: int
    to_us: int
    samples: int
    reason: str


Parcel: TypeAlias = Batch | Gap


class OutboxStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an outbox holds and has seen."""

    waiting: int
    waiting_bytes: int
    last_sequence: int
    dropped_batches: int
    dropped_samples: int


class Outbox(Protocol):
    """Numbers frames and hands them to the uplink, in order.

    What is dropped is counted and handed out as a `Gap`, so that produced = sent + declared.
    """

    @property
    def spool_id(self) -> str:
        """Within which the sequence counts."""
        ...

    async def put(self, draft: Draft) -> None:
        """Give the frame the next number and keep it."""
        ...

    def next_unsent(self) -> Parcel | None:
        """What is to be sent next; the same again until `sent` or `refused`."""
        ...

    def sent(self, parcel: Parcel) -> None:
        """The parcel has left."""
        ...

    def refused(self, batch: Batch, reason: str) -> None:
        """The batch can never be sent: declare it."""
        ...

    def acknowledged(self, spool_id: str, ranges: Sequence[Sequences]) -> None:
        """The headend holds these durably."""
        ...

    def rewind(self) -> None:
        """A new session: hand out again what the headend has not acknowledged."""
        ...

    def statistics(self) -> OutboxStatistics:
        """The counts now."""
        ...


class MemoryOutbox:
    """An outbox for as long as the process lives.

    Characteristics:
        Bound: `bytes_max` bytes of payload beside the batch that is being sent.
        When full: drops the oldest batches; neighbours share a gap.
        Order: by sequence; a gap goes before the batches after it.
        Keeps: until sent, not until acknowledged. What was on the wire when a link died may
            be lost without a declaration.
    """

    def __init__(
        self, spool_id: str, on_unsent: Callable[[], None], bytes_max: int = OUTBOX_BYTES_MAX
    ) -> None:
        self._spool_id = spool_id
        self._on_unsent = on_unsent
        self._bytes_max = bytes_max
        self._in_hand: Parcel | None = None
        self._gaps: deque[Gap] = deque()
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._last_sequence = 0
        self._dropped_batches = 0
        self._dropped_samples = 0

    @property
    def spool_id(self) -> str:
        """Within which the sequence counts."""
        return self._spool_id

    async def put(self, draft: Draft) -> None:
        """Give the frame the next number and keep it."""
        self._last_sequence += 1
        self._batches.append(Batch(self._last_sequence, draft))
        self._bytes += len(draft.payload)
        while self._bytes > self._bytes_max:
            self._declare(self._take_oldest(), "outbox_full")
        self._on_unsent()

    def next_unsent(self) -> Parcel | None:
        """What is to be sent next; the same again until `sent` or `refused`."""
        if self._in_hand is None:
            if self._gaps:
                self._in_hand = self._gaps.popleft()
            elif self._batches:
                self._in_hand = self._take_oldest()
        return self._in_hand

    def sent(self, parcel: Parcel) -> None:
        """The parcel has left."""
        if parcel is self._in_hand:
            self._in_hand = None

    def refused(self, batch: Batch, reason: str) -> None:
        """The batch can never be sent: declare it."""
        if batch is self._in_hand:
            self._in_hand = None
            self._declare(batch, reason)

    def acknowledged(self, spool_id: str, ranges: Sequence[Sequences]) -> None:
        """Nothing is kept for acknowledgements here."""

    def rewind(self) -> None:
        """What was being sent is still in hand."""

    def statistics(self) -> OutboxStatistics:
        """The counts now."""
        return OutboxStatistics(
            waiting=len(self._batches) + (self._in_hand is not None),
            waiting_bytes=self._bytes,
            last_sequence=self._last_sequence,
            dropped_batches=self._dropped_batches,
            dropped_samples=self._dropped_samples,
        )

    def _take_oldest(self) -> Batch:
        batch = self._batches.popleft()
        self._bytes -= len(batch.frame.payload)
        return batch

    def _declare(self, batch: Batch, reason: str) -> None:
        """Turn a batch into a gap, or into a longer one when it stands beside the last."""
        frame = batch.frame
        self._dropped_batches += 1
        self._dropped_samples += frame.samples
        before = self._gaps.pop() if self._gaps else None
        alone = Gap(
            sequences=Sequences(batch.sequence, batch.sequence),
            from_us=frame.from_us,
            to_us=frame.to_us,
            samples=frame.samples,
            reason=reason,
        )
        if before is None:
            self._gaps.append(alone)
        elif before.reason == reason and before.sequences.last + 1 == batch.sequence:
            self._gaps.append(_joined(before, alone))
        else:
            self._gaps.extend((before, alone))


def _joined(before: Gap, after: Gap) -> Gap:
    return Gap(
        sequences=Sequences(before.sequences.first, after.sequences.last),
        from_us=min(before.from_us, after.from_us),
        to_us=max(before.to_us, after.to_us),
        samples=before.samples + after.samples,
        reason=before.reason,
    )
