"""What a session takes, refuses, and how it ends. A neighbour is always there, untouched."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from headend_plant import START_US, Caller, Plant, open_plant, site_of

from actors import Stopped
from dercp.headend.settings import HeadendSettings
from dercp.link import LinkError
from dercp.model.quality import Quality, Reason
from dercp.wire import v1
from dercp.wire.payload import RowDraft
from dercp.wire.v1 import RejectCode

Clock = trio.abc.Clock


@asynccontextmanager
async def beside_a_neighbour(
    settings: HeadendSettings | None = None,
) -> AsyncIterator[tuple[Plant, Caller]]:
    """One agent to misbehave, one whose samples must come through whatever the other does."""
    async with (
        open_plant(settings=settings) as plant,
        plant.agent("edge-2", "site-2", assets=("bess-2",)) as neighbour,
        plant.agent() as agent,
    ):
        await neighbour.sample(0.25)
        yield plant, agent
        await neighbour.sample(1.75)
        await plant.settle()
        assert plant.power_mw("bess-2") == 1.75
        assert plant.sessions() >= 1
        plant.assert_unharmed()


# --- telemetry


async def test_a_sample_becomes_the_latest_known(autojump_clock: Clock) -> None:
    """With its source time, its ingest time and its age."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.sample(1.25)
        await trio.sleep(2)
        telemetry = plant.headend.reader.telemetry("bess-1")
        assert telemetry is not None
        assert plant.power_mw("bess-1") == 1.25
        assert telemetry.source_time_us == START_US
        assert telemetry.age_s == pytest.approx(2)
        assert not telemetry.stale


async def test_values_that_cannot_be_are_judged(autojump_clock: Clock) -> None:
    """NaN is unknown; infinite is bad; out of the physical range is doubtful."""
    async with beside_a_neighbour() as (plant, agent):
        judged = []
        for value in (math.nan, math.inf, 250.0):
            await agent.sample(1.0, soc_pct=value)
            await plant.settle()
            telemetry = plant.headend.reader.telemetry("bess-1")
            assert telemetry is not None
            soc = telemetry.points[1]
            judged.append((soc.value, soc.quality, soc.reasons))
        assert judged == [
            (None, Quality.BAD, Reason.NONE),
            (None, Quality.BAD, Reason.OUT_OF_RANGE),
            (250.0, Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
        ]
        assert plant.count("samples") == 4


async def test_values_that_cannot_be_are_counted_now_and_then(autojump_clock: Clock) -> None:
    """In the first frame of a session and every sixteenth after it: looking costs."""
    async with beside_a_neighbour() as (plant, agent):
        for _ in range(33):
            await agent.sample(1.0, soc_pct=250.0)
        await plant.settle()
        assert plant.count("values_out_of_range") == 3


async def test_an_older_sample_is_history_only(autojump_clock: Clock) -> None:
    """A backlog never overwrites what is newer, and is counted as late."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.sample(1.0)
        hour_ago = RowDraft(0, START_US - 3_600_000_000, [0.0, 50.0])
        await agent.rows(hour_ago, lane=v1.Lane.BACKLOG)
        await plant.settle()
        assert plant.power_mw("bess-1") == 1.0
        assert plant.count("late_samples") == 1


async def test_a_sample_from_the_future_does_not_freeze_the_latest(
    autojump_clock: Clock,
) -> None:
    """It is shown, marked as of a suspect clock, and the next one replaces it."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.rows(RowDraft(0, START_US + 86_400_000_000, [0.5, 50.0]))
        await plant.settle()
        telemetry = plant.headend.reader.telemetry("bess-1")
        assert telemetry is not None
        assert telemetry.points[0].reasons is Reason.CLOCK_SUSPECT
        assert telemetry.points[0].quality is Quality.UNCERTAIN
        await trio.sleep(0.001)
        await agent.sample(1.0)
        await plant.settle()
        assert plant.power_mw("bess-1") == 1.0


async def test_a_headend_clock_set_back_does_not_freeze_the_latest(
    autojump_clock: Clock,
) -> None:
    """What lies in the future by the new time gives way to the next sample."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.sample(0.5)
        await plant.settle()
        plant.clock.set_by_us = -3_600_000_000
        await agent.sample(1.0)
        await plant.settle()
        assert plant.power_mw("bess-1") == 1.0
        await agent.sample(1.5)
        await plant.settle()
        assert plant.power_mw("bess-1") == 1.5
        plant.clock.set_by_us = 0


async def test_the_latest_of_a_large_frame_does_not_hold_the_frame(autojump_clock: Clock) -> None:
    """Its row is copied out, values and qualities as they were."""
    async with (
        open_plant(frame_bytes_held_max=1_000) as plant,
        plant.agent(assets=[f"bess-{i}" for i in range(100)]) as agent,
    ):
        await agent.sample(0.75)
        await plant.settle()
        twin = plant.headend._roster.twins["bess-7"]  # the slot's content is not public
        latest = twin.look()
        assert latest is not None
        assert latest.row.content.ByteSize() < 100
        assert plant.power_mw("bess-7") == 0.75
        telemetry = plant.headend.reader.telemetry("bess-7")
        assert telemetry is not None
        assert telemetry.source_time_us == START_US
        plant.assert_unharmed()


# --- rejects


async def test_garbage_is_refused_and_the_session_goes_on(autojump_clock: Clock) -> None:
    """MALFORMED, counted; the next sample is taken."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.call.send(b"\xff\xff\xff")
        reject = await agent.expect_reject(RejectCode.MALFORMED)
        assert not reject.final
        await agent.sample(0.5)
        await plant.settle()
        assert plant.power_mw("bess-1") == 0.5
        assert plant.count("rejects_malformed") == 1


async def test_a_second_hello_is_refused(autojump_clock: Clock) -> None:
    """A session has one identity."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.say_hello(agent_id="edge-2")
        await agent.expect_reject(RejectCode.MALFORMED)
        view = plant.headend.reader.agent("edge-2")
        assert view is not None
        assert view.session is not None
        assert view.session.epoch == 1


async def test_a_batch_of_another_registration_is_refused(autojump_clock: Clock) -> None:
    """UNKNOWN_REGISTRATION names the batch."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.sample(sequence=7, registration_id=b"0123456789abcdef")
        reject = await agent.expect_reject(RejectCode.UNKNOWN_REGISTRATION)
        assert reject.sequence == 7
        assert not reject.final
        assert plant.power_mw("bess-1") is None


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (RowDraft(1, START_US, [1.0, 50.0]), "asset 1, but the registration has 1"),
        (RowDraft(4_000_000_000, START_US, [1.0, 50.0]), "asset 4000000000"),
        (RowDraft(0, START_US, [1.0]), "1 values of asset 0, which has 2 points"),
        (RowDraft(0, START_US, [1.0] * 1_000), "1000 values"),
        (RowDraft(0, START_US * 1000, [1.0, 50.0]), "years 1970 to 9999"),
    ],
    ids=["next asset", "absurd asset", "few values", "many values", "absurd time"],
)
async def test_a_row_that_fits_no_asset_refuses_its_batch(
    autojump_clock: Clock, row: RowDraft, fault: str
) -> None:
    """BAD_PAYLOAD says which row and why; nothing of the batch is taken."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.rows(RowDraft(0, START_US, [1.0, 50.0]), row)
        reject = await agent.expect_reject(RejectCode.BAD_PAYLOAD)
        assert reject.detail.startswith("rows[1]: ")
        assert fault in reject.detail
        assert plant.power_mw("bess-1") is None
        assert plant.count("samples") == 1  # the neighbour's


async def test_too_many_rows_refuse_the_batch(autojump_clock: Clock) -> None:
    """TOO_LARGE beyond rows_per_frame_max."""
    async with beside_a_neighbour(HeadendSettings(rows_per_frame_max=3)) as (plant, agent):
        rows = [RowDraft(0, START_US, [1.0, 50.0])] * 4
        await agent.rows(*rows)
        reject = await agent.expect_reject(RejectCode.TOO_LARGE)
        assert reject.sequence == 1
        await agent.rows(*rows[:3])
        await plant.settle()
        assert plant.power_mw("bess-1") == 1.0


async def test_too_many_rejects_end_the_session(autojump_clock: Clock) -> None:
    """The hundredth is final: an agent that is broken does not keep us busy."""
    async with beside_a_neighbour() as (plant, agent):
        for _ in range(100):
            await agent.call.send(b"\xff")
        for _ in range(99):
            assert not (await agent.expect_reject(RejectCode.MALFORMED)).final
        assert (await agent.expect_reject(RejectCode.MALFORMED)).final
        await agent.expect_end()
        assert await plant.ended_as("too_many_rejects")


async def test_a_word_of_a_dispatch_state_from_the_future_is_refused(
    autojump_clock: Clock,
) -> None:
    """A state this version does not know is MALFORMED, not a crash."""
    async with beside_a_neighbour() as (_, agent):
        update = v1.DispatchUpdate(dispatch_id="d-1", state=v1.DispatchState.UNSPECIFIED)
        await agent.say(dispatch_update=update)
        await agent.expect_reject(RejectCode.MALFORMED)


async def test_gaps_and_events_are_counted(autojump_clock: Clock) -> None:
    """What the agent declares is seen in the totals."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.say(
            gap_report=v1.GapReport(sequences=v1.SequenceRange(first=1, last=2), samples=12)
        )
        await agent.say(event=v1.Event(name="door_open"))
        await plant.settle()
        assert plant.count("gap_samples") == 12
        assert plant.count("edge_events") == 1


# --- life and death


@pytest.mark.parametrize("phase_s", [0.0, 3.0, 9.9])
async def test_a_silent_agent_is_let_go_after_three_heartbeats(
    autojump_clock: Clock, phase_s: float
) -> None:
    """The session ends as heartbeat_missed; its asset was stale long before, then offline."""
    async with beside_a_neighbour() as (plant, agent):
        await trio.sleep(phase_s)
        await agent.sample()
        agent.fall_silent()
        await trio.sleep(29)
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert (asset.online, asset.stale) == (True, True)
        await trio.sleep(2)
        assert await plant.ended_as("heartbeat_missed")
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert (asset.online, asset.stale) == (False, True)


async def test_anything_said_is_a_sign_of_life(autojump_clock: Clock) -> None:
    """Telemetry without heartbeats keeps a session."""
    async with beside_a_neighbour() as (plant, agent):
        agent.fall_silent()
        for _ in range(10):
            await trio.sleep(15)
            await agent.sample()
        assert plant.count("sessions_ended_heartbeat_missed") == 0


async def test_the_agent_hears_heartbeats_too(autojump_clock: Clock) -> None:
    """Its own are answered with the headend's time, at once; else one comes in ten seconds."""
    async with beside_a_neighbour() as (plant, agent):
        agent.fall_silent()
        beat = (await agent.expect("heartbeat")).heartbeat
        assert beat == v1.Heartbeat()
        assert trio.current_time() == pytest.approx(10, abs=0.1)
        await trio.sleep(3)
        await agent.say(heartbeat=v1.Heartbeat(time_us=1))
        beat = (await agent.expect("heartbeat")).heartbeat
        assert beat == v1.Heartbeat(time_us=plant.clock())
        assert trio.current_time() == pytest.approx(13, abs=0.1)


async def test_a_cut_line_is_noticed_at_once(autojump_clock: Clock) -> None:
    """link_lost, and the asset is offline."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.wire.cut()
        assert await plant.ended_as("link_lost")
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert not asset.online


async def test_a_line_that_swallows_everything_is_noticed(autojump_clock: Clock) -> None:
    """Half-open, nobody is told: gone within thirty seconds."""
    async with beside_a_neighbour() as (plant, agent):
        agent.wire.swallow()
        await trio.sleep(31)
        assert await plant.ended_as("link_lost")


async def test_an_agent_that_does_not_read_is_cut(autojump_clock: Clock) -> None:
    """Its window fills, sending to it takes too long, and only it is cut."""
    async with beside_a_neighbour(HeadendSettings(rejects_per_session_max=10_000)) as (
        plant,
        agent,
    ):
        sent = 0
        with suppress(LinkError):
            while sent < 10_000:
                await agent.call.send(b"\xff" * 30)
                sent += 1
        assert sent < 10_000
        await trio.sleep(30)
        assert await plant.ended_as("link_lost")


async def test_an_agent_that_closes_has_left(autojump_clock: Clock) -> None:
    """agent_closed, and the call ends in order on both sides."""
    async with beside_a_neighbour() as (plant, agent):
        await agent.call.end()
        await agent.expect_end()
        assert await plant.ended_as("agent_closed")


async def test_a_stuck_desk_does_not_make_agents_look_silent(autojump_clock: Clock) -> None:
    """While words about dispatches cannot be written, the silence is ours: sessions live."""
    settings = HeadendSettings(desk_mailbox_max=1, desk_batch_max=1)
    async with beside_a_neighbour(settings) as (plant, agent):
        taken = await plant.submit()
        await agent.expect_dispatch()
        plant.disk.full = True
        for state in ("acked", "applied", "following", "completed"):
            await agent.update(taken.dispatch_id, state)
        await trio.sleep(100)
        assert plant.sessions() == 2
        assert plant.headend.operations.system().not_ready_because == (
            "dispatches cannot be written: no space left in memory"
        )
        plant.disk.full = False
        await trio.sleep(2)
        assert (await plant.story(taken.dispatch_id))[-1] == "completed"
        assert plant.headend.operations.system().ready


async def test_a_newer_session_supersedes_the_older(autojump_clock: Clock) -> None:
    """The older is told so and ends; the asset stays online."""
    async with beside_a_neighbour() as (plant, older), plant.agent() as newer:
        assert newer.welcome is not None
        assert newer.welcome.epoch == 2
        reject = await older.expect_reject(RejectCode.SUPERSEDED)
        assert reject.final
        await older.expect_end()
        assert await plant.ended_as("superseded")
        await newer.sample(0.5)
        await plant.settle()
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert (asset.online, asset.stale) == (True, False)


async def test_a_superseded_session_has_no_say_any_more(autojump_clock: Clock) -> None:
    """Even while it cannot be told: what it still sends changes nothing."""
    async with beside_a_neighbour() as (plant, older):
        older.wire.far.send_stream.send_all_hook = None  # it hears nothing, but speaks
        async with plant.agent() as newer:
            await newer.sample(0.5)
            await plant.settle()
            for _ in range(3):
                await older.sample(-2.0)
                await plant.settle()
            assert plant.power_mw("bess-1") == 0.5
        await trio.sleep(30)
        assert await plant.ended_as("superseded")


async def test_the_end_of_the_older_session_does_not_take_the_newer_ones_asset(
    autojump_clock: Clock,
) -> None:
    """Older ends first or last: the asset follows the newest epoch."""
    async with beside_a_neighbour() as (plant, older), plant.agent():
        await older.wire.cut()
        await trio.sleep(20)
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.online
        assert plant.sessions() == 2


async def test_a_drain_tells_every_agent_to_come_back(autojump_clock: Clock) -> None:
    """Not ready any more; each agent is told within which time to be back; all ends in order."""
    async with (
        open_plant() as plant,
        plant.agent() as first,
        plant.agent("edge-2", "site-2", assets=("bess-2",)) as second,
    ):
        await plant.headend.drain()
        assert not plant.headend.operations.system().ready
        for agent in (first, second):
            drain = (await agent.expect("drain")).drain
            assert drain is not None
            assert drain.reconnect_within_ms == 10_000
            await agent.expect_end()
        await plant.settle()
        assert plant.count("sessions_ended_drained") == 2
        plant.assert_unharmed()


async def test_a_drained_agent_may_finish_what_it_was_saying(autojump_clock: Clock) -> None:
    """Its words are taken until it ends the call itself, which it may for two seconds."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit()
        await agent.expect_dispatch()
        await plant.headend.drain()
        await agent.expect("drain")
        await agent.update(taken.dispatch_id, "acked")
        await agent.call.end()
        await agent.expect_end()
        assert trio.current_time() < 1
        assert await plant.ended_as("drained")
        assert (await plant.dispatch(taken.dispatch_id)).state == "acked"
        plant.assert_unharmed()


async def test_stopping_the_headend_drains_within_its_time(autojump_clock: Clock) -> None:
    """Leaving the block: Drain to the agent, an end in its record, no actor cut short."""
    async with trio.open_nursery() as nursery:
        plants: list[Plant] = []
        stop = trio.Event()

        async def run() -> None:
            async with open_plant() as plant:
                plants.append(plant)
                await stop.wait()

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        plant = plants[0]
        async with plant.caller("edge-1", site_of("site-1", "bess-1")) as agent:
            await agent.hello()
            began_s = trio.current_time()
            stop.set()
            await agent.expect("drain")
            await agent.expect_end()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() - began_s < 8
        assert plant.disk.sessions["edge-1:1"].reason == "drained"
        assert {event.ending.value for event in plant.events.of(Stopped)} == {
            "stopped",
            "finished",
        }
        plant.assert_unharmed()
