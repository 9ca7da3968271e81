"""From the log into the store: in order, once, and whatever the store does."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from headend_plant import START_US, Plant, open_plant
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryDisk, MemoryHistory, open_memory_history
from msgspec.structs import replace
from trio.abc import Clock

from actors import Crashed
from dercp.headend.history.views import HistorySpan
from dercp.headend.views import DrainState, DrainView
from dercp.model.asset import standard_point
from dercp.store.errors import StoreAway, StoreBusy
from dercp.store.records import Appended, FrameRecord, HistoryLimits
from dercp.wire import v1

EVER = 2**62


def away() -> None:
    """A store that is not there."""
    raise StoreAway("Postgres at db:5432/dercp does not answer")


def frame(sequence: int) -> FrameRecord:
    """A batch of one sample."""
    return FrameRecord(
        tenant_id="default",
        agent_id="edge-1",
        spool_id="spool-1",
        sequence=sequence,
        registration_id=b"r" * 32,
        ingest_time_us=START_US + sequence * 1_000,
        first_time_us=START_US + sequence * 1_000,
        last_time_us=START_US + sequence * 1_000 + 999,
        samples=1,
        payload=b"payload",
    )


class FussyHistory(MemoryHistory):
    """A store that will never take batches of some numbers, and not many at once."""

    def __init__(
        self, disk: MemoryDisk, limits: HistoryLimits | None, refused: Collection[int], at_most: int
    ) -> None:
        super().__init__(disk, limits or HistoryLimits())
        self._refused_numbers = refused
        self._at_most = at_most

    async def append(self, frames: Sequence[FrameRecord]) -> Appended:
        if len(frames) > self._at_most:
            raise StoreBusy("canceling statement due to statement timeout")
        if any(frame.sequence in self._refused_numbers for frame in frames):
            raise ValueError("cannot be stored: invalid byte sequence")
        return await super().append(frames)


@asynccontextmanager
async def drained_by(
    disk: MemoryDisk, elsewhere: MemoryDisk, refused: Collection[int] = (), *, at_most: int = 1_000
) -> AsyncIterator[tuple[MemoryHistory, Plant]]:
    """A headend, and the log that it drains, for a test to append to."""

    @asynccontextmanager
    async def fussy(disk: MemoryDisk, limits: HistoryLimits | None) -> AsyncIterator[MemoryHistory]:
        yield FussyHistory(disk, limits, refused, at_most)

    async with (
        open_plant(disk, elsewhere=elsewhere, open_there=fussy) as plant,
        open_memory_history(disk, destination="elsewhere") as log,
    ):
        yield log, plant


def at(disk: MemoryDisk) -> list[int]:
    """The sequences of the frames there, in the order in which they came."""
    return [frame.sequence for frame in disk.frames.values()]


def drain_of(plant: Plant) -> DrainView:
    """How the drain stands."""
    view = plant.headend.operations.system().drain
    assert view is not None
    return view


def span(first_us: int = 0, end_us: int = EVER) -> HistorySpan:
    """All of an asset's power."""
    return HistorySpan(
        agent_id="edge-1",
        asset_id="bess-1",
        points=(standard_point("active_power_mw"),),
        from_us=first_us,
        to_us=end_us,
    )


async def powers(plant: Plant) -> list[float | None]:
    """What history says."""
    page = await plant.headend.history.samples(span(), after=None, limit=100)
    return [sample.readings[0].value for sample in page.samples]


async def test_what_is_acknowledged_reaches_the_store(autojump_clock: Clock) -> None:
    """Frames and gaps, within a moment; the log says so."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        for _ in range(3):
            await agent.sample()
        await agent.say(
            gap_report=v1.GapReport(
                spool_id="spool-1",
                sequences=v1.SequenceRange(first=4, last=9),
                from_us=1,
                to_us=2,
                samples=7,
                reason="spool_full",
            )
        )
        await trio.sleep(1.0)
        assert at(elsewhere) == [1, 2, 3]
        [gap] = elsewhere.gaps.values()
        assert (gap.first_sequence, gap.last_sequence, gap.samples) == (4, 9, 7)
        view = drain_of(plant)
        assert (view.state, view.position, view.lag_frames) == (DrainState.DRAINED, 3, 0)
        assert disk.drained.position == 3
        assert (plant.count("drain_frames"), plant.count("drain_gaps")) == (3, 1)


async def test_while_the_store_is_away_telemetry_is_taken_as_ever(autojump_clock: Clock) -> None:
    """Acknowledged, seen, counted as waiting; then it catches up in order."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        await trio.sleep(1.0)
        elsewhere.on_write = away
        for n in range(1, 61):
            await agent.sample(n / 100)
            assert await agent.expect_ack() == [(n, n)]
            await trio.sleep(1.0)
        assert plant.power_mw("bess-1") == 0.6
        assert at(elsewhere) == []
        view = drain_of(plant)
        assert (view.state, view.lag_frames) == (DrainState.WAITING, 60)
        assert view.lag_s == pytest.approx(60.0, abs=1.0)
        assert view.lag_bytes > 60 * 20
        system = plant.headend.operations.system()
        assert system.ready
        assert "does not answer" in system.degraded_because
        assert "60 batches wait in the log" in system.degraded_because
        assert 20 < plant.count("drain_retries") < 80

        elsewhere.on_write = lambda: None
        await trio.sleep(11.0)
        assert at(elsewhere) == list(range(1, 61))
        system = plant.headend.operations.system()
        assert system.degraded_because == ""
        assert system.drain is not None
        assert system.drain.waiting_since_us is None
        plant.assert_unharmed()


async def test_a_crash_between_store_and_mark_repeats_a_batch(autojump_clock: Clock) -> None:
    """The store knows what it has."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        for _ in range(3):
            await agent.sample()
        await trio.sleep(1.0)
    disk.drained = replace(disk.drained, position=1)
    async with open_plant(disk, elsewhere=elsewhere) as plant:
        await trio.sleep(1.0)
        assert at(elsewhere) == [1, 2, 3]
        assert disk.drained.position == 3


async def test_a_store_that_hangs_is_given_up_and_tried_again(autojump_clock: Clock) -> None:
    """After a minute; and the headend stops in time even then."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        elsewhere.write_takes_s = 1e6
        await agent.sample()
        await trio.sleep(70.0)
        assert drain_of(plant).state is DrainState.WAITING
        assert "no answer within 60 s" in drain_of(plant).last_error
        await trio.sleep(10.0)
        stopping_at = trio.current_time()
    assert trio.current_time() - stopping_at < 20.0


async def test_a_frame_refused_for_good_is_kept_aside_and_declared(autojump_clock: Clock) -> None:
    """The others get through, and history says what is missing there."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with drained_by(disk, elsewhere, {5, 17}) as (log, plant):
        await log.append([frame(n) for n in range(1, 33)])
        await trio.sleep(1.0)
        assert at(elsewhere) == [n for n in range(1, 33) if n not in {5, 17}]
        assert {each.position: each.why for each in disk.quarantine.values()} == {
            5: "cannot be stored: invalid byte sequence",
            17: "cannot be stored: invalid byte sequence",
        }
        gaps = {gap.first_sequence: gap for gap in elsewhere.gaps.values()}
        assert set(gaps) == {5, 17}
        assert gaps[5].reason == "refused_by_store"
        assert gaps[5].samples == 1
        assert await plant.headend.history.complete_until("edge-1") == frame(32).last_time_us
        assert drain_of(plant).quarantined == 2
        assert drain_of(plant).state is DrainState.DRAINED


async def test_a_store_that_refuses_everything_stops_the_drain(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else than the frames is wrong then: the rest waits in the log."""
    monkeypatch.setattr(MemoryHistory, "QUARANTINED_MAX", 3)
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with drained_by(disk, elsewhere, range(100)) as (log, plant):
        for n in range(1, 11):
            await log.append([frame(n)])
            await trio.sleep(1.0)
        assert len(disk.quarantine) == 3
        assert disk.drained.position == 3
        view = drain_of(plant)
        assert (view.state, view.lag_frames) == (DrainState.WAITING, 7)
        assert "refuses frame after frame" in view.last_error


async def test_history_has_no_hole_at_its_end(autojump_clock: Clock) -> None:
    """What is not in the store yet is read in the log; complete_until does not count on it."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        for n in range(1, 4):
            await agent.sample(n / 10)
        await trio.sleep(1.0)
        complete_us = await plant.headend.history.complete_until("edge-1")
        elsewhere.on_write = away
        for n in range(4, 7):
            await agent.sample(n / 10)
            await trio.sleep(1.0)
        assert await powers(plant) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        assert await plant.headend.history.complete_until("edge-1") == complete_us
        buckets = await plant.headend.history.buckets(span(), resolution_us=2**50, limit=10)
        assert sum(bucket.points["active_power_mw"].count for bucket in buckets.buckets) == 6


async def test_the_log_gives_up_what_is_drained(autojump_clock: Clock) -> None:
    """An hour stays; history has the rest from the store."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    limits = HistoryLimits(tail_s=3_600.0)
    async with open_plant(disk, elsewhere=elsewhere, history=limits) as plant:
        async with plant.agent() as agent:
            await agent.sample(0.5)
            await agent.expect_ack()
            await trio.sleep(4_000.0)
            await agent.sample(0.6)
            await agent.expect_ack()
            await trio.sleep(1.0)
        assert at(disk) == [2]
        assert await powers(plant) == [0.5, 0.6]


@given(st.data())
@settings(max_examples=40)
def test_whatever_the_store_does_it_ends_with_everything_once(data: st.DataObject) -> None:
    """Batches of any size, in the log's order; failures before and after the store's commit."""
    draw = data.draw

    async def main() -> None:
        disk, elsewhere = MemoryDisk(), MemoryDisk()
        fails = draw(st.lists(st.booleans(), max_size=12))
        refused = set(draw(st.lists(st.integers(1, 60), max_size=4)))

        def on_write() -> None:
            if fails and fails.pop():
                away()

        elsewhere.on_write = on_write
        async with drained_by(disk, elsewhere, refused) as (log, plant):
            sent = 0
            while sent < 60:
                count = draw(st.integers(1, 20))
                await log.append([frame(n) for n in range(sent + 1, min(60, sent + count) + 1)])
                sent += count
                await trio.sleep(draw(st.sampled_from((0.0, 0.3, 5.0))))
            await trio.sleep(200.0)
            assert at(elsewhere) == [n for n in range(1, 61) if n not in refused]
            assert {disk.frames[position].sequence for position in disk.quarantine} == refused
            assert plant.events.of(Crashed) == []

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_busy_store_is_given_less_at_a_time(autojump_clock: Clock) -> None:
    """A batch that is too much for it would be too much for ever."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with drained_by(disk, elsewhere, at_most=70) as (log, plant):
        await log.append([frame(n) for n in range(1, 801)])
        await trio.sleep(60.0)
        assert at(elsewhere) == list(range(1, 801))
        assert drain_of(plant).state is DrainState.DRAINED


async def test_a_batch_has_so_many_samples(autojump_clock: Clock) -> None:
    """However many frames they are in; a larger frame goes alone."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with drained_by(disk, elsewhere) as (log, plant):
        await trio.sleep(1.0)
        before = plant.count("drain_batches")
        await log.append([replace(frame(n), samples=9_000) for n in range(1, 10)])
        await log.append([replace(frame(10), samples=90_000)])
        await trio.sleep(1.0)
        assert at(elsewhere) == list(range(1, 11))
        assert plant.count("drain_batches") - before == 6
