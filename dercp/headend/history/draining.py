"""Brings what the log has taken in into the store, in its order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import structlog
import trio
from msgspec.structs import replace

from actors import Actor, Context
from dercp.headend.patience import retry_s
from dercp.headend.views import DrainState, DrainView
from dercp.store.errors import LogFull, StoreAway, StoreError
from dercp.store.records import GapRecord, Quarantined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from dercp.model.time import Clock
    from dercp.store.ports import DrainableLog, History
    from dercp.store.records import FrameRecord, Undrained

log = structlog.get_logger()

# What comes within this time goes together; more of it waits only for the batch before.
LOOK_EVERY_S = 0.25
BATCH_FRAMES_MAX = 1_000
# A store that keeps a row for each sample takes about a second for so many.
BATCH_SAMPLES_MAX = 25_000
# Of one call of the store. One that hangs for longer is taken for gone.
STORE_WITHIN_S = 60.0
REFUSED_REASON = "refused_by_store"


class Drain:
    """The way from the log to the store: what outlives a crash of who goes it.

    Attributes:
        log: Where frames and gaps come from.
        destination: Where they go.
    """

    def __init__(self, drained: DrainableLog, destination: History) -> None:
        self.log = drained
        self.destination = destination
        self.state = DrainState.DRAINED
        self.waiting_since_us: int | None = None
        self.last_error = ""
        # Of the first frame that waits, when it came.
        self.oldest_us: int | None = None

    def view(self, now_us: int, bytes_per_frame: float) -> DrainView:
        """How it stands."""
        statistics = self.log.drain_statistics()
        lag_frames = statistics.end.position - statistics.drained.position
        waits_us = now_us - self.oldest_us if lag_frames and self.oldest_us is not None else 0
        return DrainView(
            state=self.state,
            position=statistics.drained.position,
            lag_frames=lag_frames,
            lag_bytes=round(lag_frames * bytes_per_frame),
            lag_s=max(0, waits_us) / 1_000_000,
            waiting_since_us=self.waiting_since_us,
            last_error=self.last_error,
            quarantined=statistics.quarantined,
        )


class DrainingActor(Actor[None]):
    """Moves frames and gaps from the log to the store, a batch at a time.

    Characteristics:
        Order: that of the log, of one batch after the other.
        Twice: a crash between the store's commit and the log's mark repeats a batch; the
            store knows each frame and each gap by its name.
        Store away, busy or full: the batch is tried again after a random share of a wait that
            doubles from 0.5 to 3 s. Meanwhile the log keeps what comes.
        A frame refused for good: found by halving the batch, kept aside in the log's file and
            declared in the store as a gap. When no more can be kept aside, nothing is drained.
        Pace: what came in a quarter of a second; when behind, batches as large as they may be,
            one after the other. One that a busy store did not take is tried as a quarter of it,
            and the next ones grow again.
    """

    def __init__(self, drain: Drain, counts: Counter[str], clock: Clock) -> None:
        self._drain = drain
        self._counts = counts
        self._clock = clock
        self._mark = drain.log.drain_statistics().drained
        self._failures = 0
        self._batch_max = BATCH_FRAMES_MAX

    async def run(self, context: Context[None]) -> None:
        """Batch after batch, until told to end."""
        while not context.is_ending:
            pause_s = await self._step(context.random)
            with trio.move_on_after(pause_s):
                await context.wait_ending()

    async def _step(self, random: Random) -> float:
        """One batch, and how long to wait for the next."""
        drain, before = self._drain, self._drain.log.drain_statistics()
        if self._mark == before.end:
            drain.state, drain.oldest_us = DrainState.DRAINED, None
            return LOOK_EVERY_S
        try:
            part = _bounded(await drain.log.undrained(self._mark, self._batch_max))
            if part.frames:
                drain.oldest_us = part.frames[0].ingest_time_us
            with trio.fail_after(STORE_WITHIN_S):
                await self._bring(part)
        except StoreAway as error:
            return self._wait(error, random)
        except (StoreError, trio.TooSlowError) as error:
            self._batch_max = max(1, self._batch_max // 4)
            return self._wait(error, random)
        self._go_on(part)
        # What has come meanwhile may gather; what was there before may not wait.
        is_behind = part.mark.position < before.end.position
        return 0.0 if is_behind else LOOK_EVERY_S

    async def _bring(self, part: Undrained) -> None:
        """Have all of it in the store or kept aside, and noted as such."""
        refused = await self._append(list(zip(part.positions, part.frames, strict=True)))
        await self._declare([*part.gaps, *(each.as_gap(self._clock()) for each in refused)])
        await self._drain.log.note_drained(
            part.mark, [Quarantined(position=each.position, why=each.why) for each in refused]
        )
        for each in refused:
            each.tell()

    async def _append(self, placed: Sequence[tuple[int, FrameRecord]]) -> list[_Refused]:
        """Append frames; the answer is those which the store will never take."""
        if not placed:
            return []
        try:
            await self._drain.destination.append([frame for _, frame in placed])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must get through
            if len(placed) == 1:
                self._see_room_aside(error)
                return [_Refused(*placed[0], str(error) or type(error).__name__)]
            half = len(placed) // 2
            return [*await self._append(placed[:half]), *await self._append(placed[half:])]
        return []

    async def _declare(self, gaps: Sequence[GapRecord]) -> None:
        """Declare gaps. One that the store will never take is passed over, loudly."""
        if not gaps:
            return
        try:
            await self._drain.destination.declare(gaps)
        except StoreError:
            raise
        except Exception as error:
            if len(gaps) == 1:
                self._counts["drain_gaps_refused"] += 1
                log.exception("gap_refused_by_store", gap=str(gaps[0]), why=str(error))
                return
            half = len(gaps) // 2
            await self._declare(gaps[:half])
            await self._declare(gaps[half:])

    def _see_room_aside(self, error: Exception) -> None:
        statistics = self._drain.log.drain_statistics()
        if statistics.quarantined >= statistics.quarantined_max:
            raise LogFull(
                f"the store refuses frame after frame ({error}); {statistics.quarantined:,} are "
                "kept aside and nothing more is drained until it takes them"
            ) from error

    def _go_on(self, part: Undrained) -> None:
        """The batch is in the store."""
        drain, counts = self._drain, self._counts
        if drain.state is DrainState.WAITING:
            log.info("drain_resumed", position=part.mark.position)
        self._mark, self._failures = part.mark, 0
        self._batch_max = min(BATCH_FRAMES_MAX, 2 * self._batch_max)
        drain.state, drain.waiting_since_us = DrainState.DRAINING, None
        if part.frames:
            drain.oldest_us = part.frames[-1].ingest_time_us
        counts["drain_batches"] += 1
        counts["drain_frames"] += len(part.frames)
        counts["drain_gaps"] += len(part.gaps)
        counts["drain_frames_corrupt"] += part.corrupt

    def _wait(self, error: Exception, random: Random) -> float:
        """The store did not take it, and how long to wait before it is asked again."""
        drain, why = self._drain, str(error) or f"no answer within {STORE_WITHIN_S:g} s"
        self._counts["drain_retries"] += 1
        if drain.state is not DrainState.WAITING or why != drain.last_error:
            log.error("drain_waiting", why=why, position=self._mark.position)
        if drain.waiting_since_us is None:
            drain.waiting_since_us = self._clock()
        drain.state, drain.last_error = DrainState.WAITING, why
        self._failures += 1
        return retry_s(self._failures - 1, random)


def _bounded(part: Undrained) -> Undrained:
    """So many of its frames, at least one, as do not hold too many samples."""
    samples = 0
    for count, frame in enumerate(part.frames):
        samples += frame.samples
        if samples > BATCH_SAMPLES_MAX and count:
            mark = replace(part.mark, position=part.positions[count - 1])
            frames, positions = part.frames[:count], part.positions[:count]
            # What is damaged behind these is met, and counted, again.
            return replace(part, frames=frames, positions=positions, mark=mark, corrupt=0)
    return part


class _Refused(NamedTuple):
    """A frame that the store will never take."""

    position: int
    frame: FrameRecord
    why: str

    def as_gap(self, now_us: int) -> GapRecord:
        """What the store is told in its place."""
        frame = self.frame
        return GapRecord(
            tenant_id=frame.tenant_id,
            agent_id=frame.agent_id,
            spool_id=frame.spool_id,
            first_sequence=frame.sequence,
            last_sequence=frame.sequence,
            from_us=frame.first_time_us,
            to_us=frame.last_time_us,
            samples=frame.samples,
            reason=REFUSED_REASON,
            declared_us=now_us,
        )

    def tell(self) -> None:
        """Say it aloud: somebody must look."""
        log.error(
            "frame_quarantined",
            position=self.position,
            agent_id=self.frame.agent_id,
            spool_id=self.frame.spool_id,
            sequence=self.frame.sequence,
            why=self.why,
        )
