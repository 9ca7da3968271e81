"""The actor that makes telemetry durable, and only then lets it be acknowledged."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, assert_never

import structlog

from actors import Actor, ActorStopped, Context, MailboxFull
from dercp.headend.messages import Durable, IngestMessage, LogFrame, LogGap
from dercp.store.errors import LogFull, StoreBusy, StoreFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dercp.headend.messages import IngestRef, SessionRef
    from dercp.headend.settings import HeadendSettings
    from dercp.store.ports import IngestLog

log = structlog.get_logger()


class IngestFront:
    """Where sessions hand in frames without waiting.

    Characteristics:
        Bound: `ingest_bytes_max` bytes and `ingest_mailbox_max` messages not yet durable.
        When full: the message is not taken, and counted. It stays unacknowledged, so the
            edge sends it again: the log's slowness is felt by the spools, not by sessions.
    """

    def __init__(self, ref: IngestRef, counts: Counter[str], settings: HeadendSettings) -> None:
        self._ref = ref
        self._counts = counts
        self._bytes_max = settings.ingest_bytes_max
        self.waiting_bytes = 0

    def hand_in(self, message: IngestMessage) -> None:
        """Have it logged and acknowledged, if there is room."""
        size = size_of(message)
        if self.waiting_bytes + size > self._bytes_max:
            self._counts["frames_not_taken"] += 1
            return
        try:
            self._ref.tell_nowait(message)
        except (MailboxFull, ActorStopped):
            self._counts["frames_not_taken"] += 1
        else:
            self.waiting_bytes += size

    def pass_over(self) -> None:
        """Count a frame that cannot be read for now: the edge sends it again."""
        self._counts["frames_not_taken"] += 1

    def done(self, messages: Sequence[IngestMessage]) -> None:
        """They wait no longer."""
        self.waiting_bytes -= sum(map(size_of, messages))


class IngestActor(Actor[IngestMessage]):
    """Appends batches of frames to the log, then tells their sessions.

    A full log is said once and tried with every batch; what it does not take is not
    acknowledged and comes again. A failed log is a crash: the headend must begin anew.
    """

    def __init__(
        self,
        ingest_log: IngestLog,
        front: IngestFront,
        counts: Counter[str],
        *,
        settings: HeadendSettings,
    ) -> None:
        self._log = ingest_log
        self._front = front
        self._counts = counts
        self._settings = settings
        self._full = False

    async def run(self, context: Context[IngestMessage]) -> None:
        """One group commit after the other; what comes meanwhile is the next group."""
        self._front.waiting_bytes = 0
        while batch := await context.receive_batch(self._settings.ingest_batch_max):
            messages = [envelope.body for envelope in batch]
            try:
                await self._append(messages)
            except (LogFull, StoreFull, StoreBusy) as error:
                self._say_full(str(error))
                self._counts["frames_not_taken"] += len(messages)
            else:
                self._full = False
                self._acknowledge(messages)
            finally:
                self._front.done(messages)

    async def _append(self, messages: Sequence[IngestMessage]) -> None:
        frames = [message.frame for message in messages if isinstance(message, LogFrame)]
        gaps = [message.gap for message in messages if isinstance(message, LogGap)]
        if frames:
            appended = await self._log.append(frames)
            self._counts["frames_logged"] += appended.stored
            self._counts["frames_duplicate"] += appended.duplicates
        if gaps:
            await self._log.declare(gaps)
            self._counts["gaps_logged"] += len(gaps)

    def _acknowledge(self, messages: Sequence[IngestMessage]) -> None:
        durable: defaultdict[tuple[SessionRef, str], list[tuple[int, int]]] = defaultdict(list)
        for message in messages:
            match message:
                case LogFrame(frame=frame, session=session):
                    durable[session, frame.spool_id].append((frame.sequence, frame.sequence))
                case LogGap(gap=gap, session=session):
                    durable[session, gap.spool_id].append((gap.first_sequence, gap.last_sequence))
                case _:
                    assert_never(message)
        for (session, spool_id), sequences in durable.items():
            try:
                session.tell_nowait(Durable(spool_id=spool_id, sequences=tuple(sequences)))
            except (MailboxFull, ActorStopped):
                self._counts["acknowledgements_lost"] += 1  # the edge sends again

    def _say_full(self, why: str) -> None:
        if not self._full:
            log.error("ingest_log_full", why=why)
        self._full = True


def size_of(message: IngestMessage) -> int:
    """What a message takes of the room, in bytes."""
    return len(message.frame.payload) + 256 if isinstance(message, LogFrame) else 256


def ranges(sequences: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The fewest ranges, in order, that hold the same numbers."""
    if len(sequences) == 1:
        return list(sequences)
    joined: list[tuple[int, int]] = []
    for first, last in sorted(sequences):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
