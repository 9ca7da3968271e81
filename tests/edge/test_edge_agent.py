"""Whole agents in virtual time, with devices and a headend made of paper."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import structlog
import trio
from edge_plant import (
    START_US,
    FakeCaptive,
    FakeDevice,
    MemoryCall,
    PaperHeadend,
    Telemetry,
    asset_config,
    config,
    dispatch,
    virtual_clock,
    welcome,
)
from trio.testing import MockClock

from adapters import DeviceError
from dercp.edge import agent as agent_module
from dercp.edge import journal
from dercp.edge.agent import Agent, run_agent
from dercp.edge.asset.connection import ConnectionState
from dercp.edge.asset.device import DeviceActor
from dercp.edge.config.settings import AssetConfig
from dercp.edge.desk import Desk
from dercp.edge.spool.spool import open_memory_outbox
from dercp.link import LinkError
from dercp.model.asset import Fallback, FallbackValue
from dercp.model.bounds import Bounds
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire import v1
from dercp.wire.envelope import decode_uplink, encode_downlink


@asynccontextmanager
async def running(
    headend: PaperHeadend, *assets: AssetConfig, clock: Clock = virtual_clock
) -> AsyncIterator[Agent]:
    """An agent, for as long as the block lasts; stopped in order at its end."""
    with trio.fail_after(4000):  # a test that waits in vain must not wait for ever
        async with trio.open_nursery() as nursery:
            run = partial(run_agent, config(*assets), clock=clock, dial=headend.dial, seed=1)
            yield await nursery.start(run)
            nursery.cancel_scope.cancel("the test is over")


@pytest.fixture
def device() -> FakeDevice:
    """The device of bess-1."""
    return FakeDevice()


@pytest.fixture
def headend() -> PaperHeadend:
    """Where the agent calls."""
    return PaperHeadend()


def state(agent: Agent, asset_index: int = 0) -> ConnectionState:
    """How the agent stands with a device."""
    connection = agent.status().assets[asset_index].connection
    assert connection is not None
    return connection.state


# ----------------------------------------------------------------- telemetry


async def test_a_round_of_polls_goes_out_as_one_frame(
    autojump_clock: MockClock, headend: PaperHeadend
) -> None:
    """Numbered from 1, as soon as all have reported, stamped with the edge's clock."""
    assets = [asset_config(f"bess-{i}", FakeDevice()) for i in range(3)]
    async with running(headend, *assets):
        await trio.sleep(4.5)

    call = await headend.call()
    assert [batch.sequence for batch in call.batches()] == [1, 2, 3, 4, 5]
    for index in range(3):
        times_us = [row.source_time_us for row in Telemetry(call).rows(index)]
        assert times_us == [START_US + second * 1_000_000 for second in range(5)]


async def test_each_heartbeat_says_what_waits(
    autojump_clock: MockClock, headend: PaperHeadend
) -> None:
    """The first right after the Welcome."""
    headend.answer = None
    async with running(headend, asset_config("bess-1", FakeDevice())):
        call = await headend.call()
        call.acks = False
        await trio.sleep(5.5)
        headend.welcome(call)
        await trio.sleep(10)
    beats = [up.heartbeat for up in call.heard if up.heartbeat is not None]
    states = [beat.spool for beat in beats if beat.spool is not None]
    assert [(each.batches, each.oldest_us) for each in states] == [(6, START_US), (16, START_US)]
    assert states[0].bytes_max > states[1].bytes > states[0].bytes > 0
    assert {(each.trouble, each.dropped_samples) for each in states} == {("", 0)}


async def test_a_dispatch_that_waits_for_the_first_connection_finds_its_device(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """After a restart of the agent nothing is rejected for being early."""
    device.open_takes_s = 3
    order = dispatch(now_us=START_US)

    def answer(call: MemoryCall) -> None:
        headend.welcome(call)
        call.say(dispatch=order)

    headend.answer = answer
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await call.wait_state("applied")
    assert device.told[:2] == ["release", 1.0]


async def test_a_slow_device_delays_nobody_for_more_than_a_tenth_of_a_second(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """And misses its own ticks, which are counted."""
    slow = FakeDevice()
    slow.read_takes_s = 2.5
    async with running(
        headend, asset_config("bess-1", device), asset_config("bess-2", slow)
    ) as agent:
        await trio.sleep(9.5)
        fast_status, slow_status = agent.status().assets

    telemetry = Telemetry(await headend.call())
    assert len(telemetry.rows(0)) == 10
    assert fast_status.missed_ticks == 0
    assert (slow_status.samples, slow_status.missed_ticks) == (3, 6)


async def test_a_dead_device_is_reported_as_lost_and_stops_nobody(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Its points are bad and unknown, never zero; it comes back by itself."""
    dead = FakeDevice()
    dead.open_error = DeviceError("nobody answers at 10.0.0.9")
    async with running(
        headend, asset_config("bess-1", device), asset_config("bess-2", dead)
    ) as agent:
        await trio.sleep(9.5)
        connection = agent.status().assets[1].connection
        dead.open_error = None
        await trio.sleep(60)
        assert state(agent, 1) is ConnectionState.OPEN

    telemetry = Telemetry(await headend.call())
    assert len(telemetry.rows(0)) == 70
    assert len(telemetry.rows(1)) >= 69
    lost = Reading("active_power_mw", None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
    assert telemetry.powers(1)[:9] == [lost] * 9
    assert telemetry.powers(1)[-1] == Reading("active_power_mw", 0.0)
    assert connection is not None
    assert connection.state is ConnectionState.LOST
    assert connection.last_error == "nobody answers at 10.0.0.9"


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("read_error", DeviceError("timeout")),
        ("read_error", OSError("a bug in the adapter")),
        ("read_takes_s", 3600.0),
        ("values", [Reading("active_power_mw", "much")]),  # type: ignore[arg-type]  # the point
        ("values", ["much"]),
        ("open_takes_s", 3600.0),
        ("open_error", RuntimeError("a bug in the adapter")),
    ],
)
async def test_whatever_an_adapter_does_it_is_a_lost_device(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice, part: str, fault: object
) -> None:
    """Errors of its own, no answer, nonsense: bounded, reported, tried again."""
    setattr(device, part, fault)
    async with running(headend, asset_config("bess-1", device)) as agent:
        await trio.sleep(30)
        connection = agent.status().assets[0].connection
        assert connection is not None
        assert connection.failures > 0
        device.__init__()  # type: ignore[misc]  # well again
        await trio.sleep(60)
        assert state(agent) is ConnectionState.OPEN
    powers = Telemetry(await headend.call()).powers()
    assert powers[0].reasons is Reason.DEVICE_COMMS_LOST
    assert powers[-1].value == 0.0


async def test_an_adapter_that_breaks_in_the_background_is_a_lost_device(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Even in the middle of a call, whose own failure then counts no more."""
    async with running(headend, asset_config("bess-1", device)):
        await trio.sleep(1.5)
        device.read_takes_s = 3
        await trio.sleep(1)
        device.breaks.set()
        await trio.sleep(0.1)
        device.read_takes_s = 0
        device.read_error = DeviceError("the line is closed")
        await trio.sleep(2.5)
        device.read_error = None
        await trio.sleep(60)
    powers = Telemetry(await headend.call()).powers()
    assert any(power.reasons is Reason.DEVICE_COMMS_LOST for power in powers)
    assert powers[-1].value == 0.0
    assert device.open_now == 0


async def test_a_device_with_a_clock_of_its_own_keeps_its_time(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Unless no calendar has that time: then the poll's own stands."""
    device.source_time_us = START_US - 1
    async with running(headend, asset_config("bess-1", device)):
        await trio.sleep(0.5)
        device.source_time_us = -5
        await trio.sleep(1)
    times_us = [row.source_time_us for row in Telemetry(await headend.call()).rows()]
    assert times_us == [START_US - 1, START_US + 1_000_000]


async def test_what_does_not_fit_while_the_headend_is_away_is_declared(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Produced = sent + declared, exactly."""
    small = partial(open_memory_outbox, bytes_max=2000)
    monkeypatch.setattr(agent_module, "open_memory_outbox", small)
    headend.unreachable = True
    async with running(headend, asset_config("bess-1", device)) as agent:
        await trio.sleep(600)
        headend.unreachable = False
        call = await headend.call()
        await call.wait_heard("gap_report")
        await trio.sleep(5)
        produced = agent.status().assets[0].samples

    gaps = [up.gap_report for up in call.heard if up.gap_report is not None]
    sequences = [batch.sequence for batch in call.batches()]
    for gap in gaps:
        assert gap.sequences is not None
        assert gap.reason == "spool_full"
        sequences += range(gap.sequences.first, gap.sequences.last + 1)
    assert sorted(sequences) == list(range(1, produced + 1))
    assert sum(gap.samples for gap in gaps) + len(call.batches()) == produced


async def test_the_headends_limit_is_kept(autojump_clock: MockClock, headend: PaperHeadend) -> None:
    """Frames are as large as the Welcome allows."""
    headend.answer = lambda call: call.say_bytes(
        encode_downlink(welcome(virtual_clock(), message_bytes_max=400))
    )
    assets = [asset_config(f"bess-{i}", FakeDevice()) for i in range(20)]
    async with running(headend, *assets):
        await trio.sleep(5)
    batches = (await headend.call()).batches()
    assert len(batches) > 20
    assert all(len(batch.payload) <= 200 for batch in batches[7:])


async def test_frames_made_for_a_larger_limit_are_declared(
    headend: PaperHeadend, autojump_clock: MockClock
) -> None:
    """Sent, they would end every session."""
    headend.unreachable = True
    headend.answer = lambda call: call.say_bytes(
        encode_downlink(welcome(virtual_clock(), message_bytes_max=400))
    )
    async with running(headend, *[asset_config(f"bess-{i}", FakeDevice()) for i in range(20)]):
        await trio.sleep(10)
        headend.unreachable = False
        call = await headend.call()
        await call.wait_heard("gap_report")
        await trio.sleep(5)
    gaps = [up.gap_report for up in call.heard if up.gap_report is not None]
    assert {gap.reason for gap in gaps} == {"too_large"}
    assert sum(gap.samples for gap in gaps) >= 200
    assert len(call.batches()) > 20


# ---------------------------------------------------------------- dispatches


async def test_a_dispatch_runs_its_course(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Acked, applied with what was read back, completed at until, and the asset let go."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        await trio.sleep(1)
        call.say(dispatch=dispatch(setpoint_mw=1.25, until_in_s=60))
        await call.wait_state("applied")
        lease = agent.status().assets[0].lease
        await trio.sleep(59.9)
        assert device.told == ["release", 1.25]
        await trio.sleep(0.2)
        assert device.told == ["release", 1.25, "release"]

    assert call.states() == ["acked", "applied", "following", "completed"]
    assert [update.readback_mw for update in call.updates()] == [None, 1.25, None, None]
    assert call.updates()[3].time_us == START_US + 61_000_000
    assert lease is not None
    assert (lease.dispatch_id, lease.setpoint_mw, lease.ends_in_s) == ("d-1", 1.25, 60)


async def test_a_lease_ends_with_the_headend_gone(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """The asset falls back at until; the headend hears of it when it is back."""
    async with running(headend, asset_config("bess-1", device, fallback="zero")):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=60))
        await call.wait_state("applied")
        headend.unreachable = True
        call.cut()
        await trio.sleep(60.1)
        assert device.told == [0.0, 1.0, 0.0]
        headend.unreachable = False
        call = await headend.call(2)
        await call.wait_state("completed")


async def test_a_repeated_dispatch_is_answered_and_not_executed(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """At most once per id and revision, in whatever session it comes again."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        order = dispatch(until_in_s=5)
        call.say(dispatch=order)
        await call.wait_state("completed")
        call.say(dispatch=order)
        await trio.sleep(1)
        assert call.states() == ["acked", "applied", "following", "completed", "completed"]
        call.cut()
        call = await headend.call(2)
        call.say(dispatch=order)
        await trio.sleep(1)
        assert set(call.states()) == {"completed"}
    assert device.told == ["release", 1.0, "release"]


async def test_the_headends_clock_decides_and_not_the_edges(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """A site PC that believes it is 1970 obeys in time and refuses what came too late."""
    async with running(headend, asset_config("bess-1", device), clock=lambda: 0):
        call = await headend.call()
        await trio.sleep(5)
        call.say(dispatch=dispatch("late", now_us=START_US, deliver_within_s=4))
        call.say(dispatch=dispatch("timely", until_in_s=10))
        await call.wait_state("completed", "timely")
    assert call.states("late") == ["expired"]
    assert trio.current_time() >= 15


class LaggingCall(MemoryCall):
    """A call whose messages are up to two seconds on their way, up and down, in order."""

    def __init__(self, nursery: trio.Nursery, draw: Random) -> None:
        super().__init__()
        self.accepted_at_us: dict[str, int] = {}
        self._nursery = nursery
        self._draw = draw
        self._up_s = self._down_s = 0.0

    async def send(self, message: bytes) -> None:
        """Leave the edge; arrive later."""
        await trio.lowlevel.checkpoint()
        update = decode_uplink(message).dispatch_update
        if update is not None and update.state is v1.DispatchState.ACKED:
            self.accepted_at_us[update.dispatch_id] = virtual_clock()
        self._up_s = self._later(self._up_s)
        self._nursery.start_soon(self._arrive, message, self._up_s)

    async def _arrive(self, message: bytes, at_s: float) -> None:
        await trio.sleep_until(at_s)
        if decode_uplink(message).hello is not None:
            PaperHeadend.welcome(self)
        await super().send(message)

    def _say(self, said: bytes | LinkError | None) -> None:
        self._down_s = self._later(self._down_s)
        self._nursery.start_soon(self._deliver, said, self._down_s)

    async def _deliver(self, said: bytes | LinkError | None, at_s: float) -> None:
        await trio.sleep_until(at_s)
        super()._say(said)

    def _later(self, last_s: float) -> float:
        return max(last_s + 1e-6, trio.current_time() + self._draw.choice((0.0, 0.1, 2.0)))


@pytest.mark.parametrize("seed", range(10))
async def test_no_dispatch_is_accepted_late_whatever_the_link_does(
    autojump_clock: MockClock, nursery: trio.Nursery, device: FakeDevice, seed: int
) -> None:
    """By the headend's true clock; what comes well in time is accepted all the same."""
    draw = Random(seed)
    call = LaggingCall(nursery, draw)

    @asynccontextmanager
    async def dial() -> AsyncIterator[MemoryCall]:
        await trio.lowlevel.checkpoint()
        yield call

    settings = config(asset_config("bess-1", device))
    run = partial(run_agent, settings, clock=lambda: 0, dial=dial, seed=seed)
    async with trio.open_nursery() as running_agent:
        await running_agent.start(run)
        deliver_by_us: dict[str, int] = {}
        await call.wait_heard("hello")
        for number in range(60):
            await trio.sleep(draw.uniform(0, 3))
            order = dispatch(f"d-{number}", deliver_within_s=draw.choice((1.0, 2.0, 3.0, 30.0)))
            deliver_by_us[order.dispatch_id] = order.deliver_by_us
            call.say(dispatch=order)
        await trio.sleep(10)
        running_agent.cancel_scope.cancel("the test is over")
    late = {
        name: at_us - deliver_by_us[name]
        for name, at_us in call.accepted_at_us.items()
        if at_us >= deliver_by_us[name]
    }
    assert not late
    assert 15 < len(call.accepted_at_us) < 60


async def test_a_message_held_up_does_not_turn_the_headends_clock_back(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """A stalled line delivers an old heartbeat and an old dispatch together: it has expired."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await trio.sleep(20)
        call.say(heartbeat=v1.Heartbeat(time_us=START_US + 1_000_000))
        call.say(dispatch=dispatch(now_us=START_US + 1_000_000, deliver_within_s=10))
        await call.wait_state("expired")


async def test_a_dispatch_for_later_begins_at_its_start(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Accepted at once, applied then."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch(start_in_s=20, until_in_s=40))
        await trio.sleep(19)
        assert call.states() == ["acked"]
        assert device.told == ["release"]
        await trio.sleep(2)
        assert call.states()[:2] == ["acked", "applied"]


async def test_a_newer_dispatch_supersedes(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """And says by which."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch("d-1"))
        await call.wait_state("applied")
        call.say(dispatch=dispatch("d-2", setpoint_mw=-1.0))
        await call.wait_state("applied", "d-2")
    superseded = [up for up in call.updates() if up.state is v1.DispatchState.SUPERSEDED]
    assert [up.superseded_by for up in superseded] == ["d-2"]
    assert device.told == ["release", 1.0, -1.0, "release"]


async def test_a_cancelled_dispatch_falls_back(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Also one that comes only after its cancellation."""
    async with running(headend, asset_config("bess-1", device, fallback="hold")):
        call = await headend.call()
        call.say(dispatch=dispatch())
        await call.wait_state("applied")
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-1", revision=1))
        await call.wait_state("cancelled")
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-2", revision=1))
        call.say(dispatch=dispatch("d-2"))
        await trio.sleep(1)
        assert set(call.states("d-2")) == {"cancelled"}
    assert device.told == [1.0]


async def test_a_site_limit_narrows_and_says_so(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Applied is what was applied."""
    limited = asset_config("bess-1", device, limits=Bounds(-0.5, 0.5))
    async with running(headend, limited):
        call = await headend.call()
        call.say(dispatch=dispatch(setpoint_mw=1.0))
        await call.wait_state("applied")
    assert call.updates()[1].reason == "narrowed"
    assert call.updates()[1].readback_mw == 0.5


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (lambda: dispatch(setpoint_mw=2.5), "out_of_range"),
        (lambda: dispatch(setpoint_mw=float("nan")), "malformed"),
        (lambda: dispatch(asset_id="bess-9"), "unknown_asset"),
    ],
)
async def test_what_cannot_be_done_is_rejected_with_its_reason(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    order: Callable[[], v1.Dispatch],
    reason: str,
) -> None:
    """And the device is left alone."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=order())
        await call.wait_state("rejected")
    assert call.updates()[0].reason == reason
    assert device.told == ["release"]


async def test_a_write_that_fails_is_said_and_the_fallback_tried(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Until it succeeds: the device is opened again for it."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await trio.sleep(1)
        device.write_error = DeviceError("illegal data value")
        call.say(dispatch=dispatch())
        await call.wait_state("failed")
        assert call.updates()[-1].reason == "device_failed"
        assert call.updates()[-1].detail == "illegal data value"
        await trio.sleep(5)
        device.write_error = None
        await trio.sleep(60)
        assert device.told == ["release", "release"]


async def test_a_device_that_confirms_something_else_has_not_obeyed(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Accepted and ignored is the commonest lie of a device."""
    device.readback_offset_mw = -0.5
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch())
        await call.wait_state("failed")
    assert call.updates()[-1].reason == "readback_differs"
    assert call.updates()[-1].detail == "wrote 1 MW, the device says 0.5 MW"
    assert device.told == ["release", 1.0, "release"]


async def test_a_lease_is_written_again_when_its_device_comes_back(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """It may have forgotten, and the lease has not ended."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=300))
        await call.wait_state("applied")
        device.read_error = DeviceError("gone")
        await trio.sleep(3)
        device.read_error = None
        await trio.sleep(60)
        assert device.told == ["release", 1.0, *[1.0] * (device.opened - 1)]
        assert device.opened > 1


async def test_a_lease_that_ends_while_its_device_is_lost_is_no_success(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """The fallback is made good as soon as the device is there."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=20))
        await call.wait_state("applied")
        device.read_error = device.open_error = DeviceError("gone")
        await call.wait_state("failed")
        assert trio.current_time() == 20
        assert call.updates()[-1].reason == "fallback_failed"
        device.read_error = device.open_error = None
        await trio.sleep(60)
        assert device.told == ["release", 1.0, "release"]


async def test_a_lost_device_rejects_what_begins_now_only(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """For a later start it may be back."""
    device.open_error = DeviceError("gone")
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await trio.sleep(1)
        call.say(dispatch=dispatch("now"))
        call.say(dispatch=dispatch("later", start_in_s=100, until_in_s=200))
        await call.wait_state("acked", "later")
        device.open_error = None
        await call.wait_state("applied", "later")
    assert call.states("now") == ["rejected"]


async def test_without_a_way_back_no_dispatch_is_taken(
    autojump_clock: MockClock, headend: PaperHeadend
) -> None:
    """A lease whose end the device does not have is no lease."""
    device = FakeCaptive()
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await trio.sleep(1)
        call.say(dispatch=dispatch())
        await call.wait_state("rejected")
    assert call.updates()[0].reason == "no_fallback"
    assert device.told == []


@pytest.mark.parametrize(
    ("fallback", "told"),
    [("release", "release"), ("zero", 0.0), (FallbackValue(-0.5), -0.5), ("hold", 1.0)],
)
async def test_every_fallback_is_carried_out(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    fallback: Fallback,
    told: float | str,
) -> None:
    """As the site has configured it."""
    async with running(headend, asset_config("bess-1", device, fallback=fallback)):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=5))
        await call.wait_state("completed")
    assert device.told[-1] == told


async def test_more_dispatches_than_an_asset_can_hold_are_rejected(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Its mailbox is bounded, and nobody is left without an answer."""
    device.open_takes_s = 5
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        for number in range(518):
            call.say(dispatch=dispatch(f"d-{number}"))
        await trio.sleep(1)
        assert [up.reason for up in call.updates()] == ["busy"] * 6
        await trio.sleep(10)
    assert {up.dispatch_id for up in call.updates()} == {f"d-{number}" for number in range(518)}


async def test_a_dispatch_without_a_name_is_passed_over(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """There is nothing to answer to."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch(""))
        await trio.sleep(1)
        assert call.updates() == []
    assert device.told == ["release"]


async def test_what_cannot_be_remembered_is_not_executed(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most once is worth more than once."""
    monkeypatch.setattr(journal, "ENTRIES_MAX", 1)
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch("d-1"))
        await call.wait_state("applied")
        call.say(dispatch=dispatch("d-2"))
        await trio.sleep(5)
        assert call.states("d-2") == []
    assert device.told == ["release", 1.0, "release"]


# ------------------------------------------------------------------ sessions


async def test_refusals_are_counted_and_acknowledgements_taken(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Neither ends the session."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        call.say(reject=v1.Reject(code=v1.RejectCode.BAD_PAYLOAD, detail="what?", sequence=1))
        call.say(
            telemetry_ack=v1.TelemetryAck(spool_id="s", ranges=[v1.SequenceRange(first=1, last=2)])
        )
        await trio.sleep(5)
        assert agent.status().uplink.refusals == 1
    assert len(headend.calls) == 1


async def test_silence_is_noticed_and_the_agent_calls_again(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """A half-open link looks alive to TCP."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        call.beats = call.acks = False
        await headend.call(2)
        assert agent.status().uplink.last_end == "heartbeat_missed"
    assert 30 <= headend.called_at_s[1] <= 31
    assert headend.calls[0].kinds().count("heartbeat") == 3


async def test_heartbeats_keep_a_session_up(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """For as long as they come."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        await trio.sleep(600)
        session = agent.status().uplink.session
    assert len(headend.calls) == 1
    assert session is not None
    assert session.live_for_s == 600


async def test_garbage_ends_the_session_and_nothing_else(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Devices and leases go on."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=600))
        await call.wait_state("applied")
        call.say_bytes(b"\xff\xff\xff")
        call = await headend.call(2)
        await trio.sleep(5)
        status = agent.status()
        assert call.states() == ["applied", "following"]
    assert status.uplink.last_end == "garbled"
    assert device.opened == 1
    assert status.assets[0].missed_ticks == 0


async def test_a_drained_agent_parts_in_order_and_comes_back(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """What it sent before is still read; nothing is missing afterwards."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        await trio.sleep(60)
        call.say(drain=v1.Drain(reconnect_within_ms=20_000, reason="maintenance"))
        again = await headend.call(2)
        assert call.ended
        await again.wait_heard("telemetry")
        assert agent.status().uplink.last_end == "drained"
    assert 60 <= headend.called_at_s[1] <= 80
    assert again.batches()[0].sequence == call.batches()[-1].sequence + 1


async def test_an_unreachable_headend_is_called_ever_more_rarely(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Full jitter up to a minute, for weeks if need be."""
    headend.unreachable = True
    async with running(headend, asset_config("bess-1", device, interval_s=60)):
        await trio.sleep(3600)
    pauses = [b - a for a, b in zip(headend.called_at_s, headend.called_at_s[1:], strict=False)]
    assert pauses[0] <= 1
    assert max(pauses) <= 60
    assert 60 <= len(pauses) <= 200


async def test_a_refused_agent_keeps_asking_slowly(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Somebody will mend the registration."""
    headend.answer = lambda call: call.say(
        reject=v1.Reject(code=v1.RejectCode.NOT_YOURS, detail="bess-1 is another's", final=True)
    )
    async with running(headend, asset_config("bess-1", device)) as agent:
        await trio.sleep(600)
        uplink = agent.status().uplink
    assert 5 <= len(headend.calls) <= 10
    assert (uplink.last_end, uplink.last_end_detail) == (
        "rejected_not_yours",
        "bess-1 is another's",
    )


async def test_a_headend_that_takes_nothing_is_left(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """Every wait is bounded."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        await trio.sleep(5)
        call.stuck = True
        await headend.call(2)
        assert trio.current_time() <= 20
        call.stuck = False


# ------------------------------------------------------------- life and death


async def test_a_stopping_agent_ends_its_leases_and_its_call_in_order(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """The last row and the last word still reach the headend."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch())
        await call.wait_state("applied")
    assert call.states() == ["acked", "applied", "cancelled"]
    assert call.updates()[-1].reason == "edge_stopped"
    assert device.told == ["release", 1.0, "release"]
    assert call.ended
    assert device.open_now == 0
    assert trio.current_time() < 1


async def test_a_device_that_hangs_does_not_hold_up_the_stop(
    autojump_clock: MockClock, headend: PaperHeadend, device: FakeDevice
) -> None:
    """The others fall back meanwhile, and all is over within the grace."""
    hung = FakeDevice()
    async with running(headend, asset_config("bess-1", device), asset_config("bess-2", hung)):
        call = await headend.call()
        call.say(dispatch=dispatch())
        await call.wait_state("applied")
        hung.read_takes_s = 3600
        await trio.sleep(1.5)
        began_s = trio.current_time()
    assert device.told == ["release", 1.0, "release"]
    assert call.ended
    assert trio.current_time() - began_s <= 15


async def test_two_agents_in_one_process_know_nothing_of_each_other(
    autojump_clock: MockClock,
) -> None:
    """No globals."""
    headends = [PaperHeadend(), PaperHeadend()]
    devices = [FakeDevice(), FakeDevice()]
    async with (
        running(headends[0], asset_config("bess-1", devices[0])),
        running(headends[1], asset_config("bess-1", devices[1])),
    ):
        call = await headends[0].call()
        call.say(dispatch=dispatch())
        await call.wait_state("applied")
        await (await headends[1].call()).wait_heard("telemetry", 3)
    assert devices[0].told == ["release", 1.0, "release"]
    assert devices[1].told == ["release"]


async def test_a_crash_of_a_devices_actor_does_not_forget_the_lease(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is written again, kept to its end, and the headend hears how it ended."""
    async with running(headend, asset_config("bess-1", device)):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=30))
        await call.wait_state("applied")
        with monkeypatch.context() as bug, structlog.testing.capture_logs() as logs:
            bug.setattr(DeviceActor, "_poll", _crash)
            await trio.sleep(2)
        assert {"event": "actor_crashed", "path": "edge-1/devices/bess-1"}.items() <= logs[
            0
        ].items()
        await call.wait_state("completed")
        assert trio.current_time() == 30
    assert device.told[0] == "release"
    assert device.told[-1] == "release"
    assert set(device.told[1:-1]) == {1.0}
    assert len(device.told) > 3


async def test_a_crash_of_the_uplink_takes_nothing_along(
    autojump_clock: MockClock,
    headend: PaperHeadend,
    device: FakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It calls again; the numbers go on."""
    async with running(headend, asset_config("bess-1", device)) as agent:
        call = await headend.call()
        await call.wait_heard("telemetry", 3)
        with monkeypatch.context() as bug:
            bug.setattr(Desk, "execute", _crash)
            call.say(dispatch=dispatch("lost"))
            call = await headend.call(2)
        call.say(dispatch=dispatch())
        await call.wait_state("applied")
        await call.wait_heard("telemetry")
        assert agent.status().assets[0].missed_ticks == 0
    assert min(batch.sequence for batch in call.batches()) == 4


def _crash(*_args: object) -> None:
    raise RuntimeError("a bug of our own")
