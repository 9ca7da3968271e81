"""What the site's own limits do to a dispatch: agents in virtual time, devices made of paper."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from edge_plant import (
    START_US,
    FakeDevice,
    MemoryCall,
    PaperHeadend,
    Telemetry,
    asset_config,
    config,
    dispatch,
    virtual_clock,
)
from msgspec.structs import replace
from trio.testing import MockClock

from adapters import Readings
from dercp.edge import agent as agent_module
from dercp.edge.agent import Agent, run_agent
from dercp.edge.asset.lockout import Lock, LockoutFile
from dercp.edge.config.settings import AssetConfig, RemoteControl, Revert
from dercp.edge.spool.spool import in_line, open_spool
from dercp.model.asset import PointSpec
from dercp.model.guardrail import Remote
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire import v1


class Battery(FakeDevice):
    """A device whose state of charge and switch a test turns, with a timer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.soc_pct: float | None = 50.0
        self.remote = 1.0
        self.armed: list[tuple[float, float, float]] = []
        self.follows = True

    async def read(self) -> Readings:
        """Say how it stands."""
        quality = Quality.BAD if self.soc_pct is None else Quality.GOOD
        self.values = [
            Reading("active_power_mw", self.power_mw if self.follows else 0.0),
            Reading("soc_pct", self.soc_pct, quality),
            Reading("remote", self.remote),
        ]
        return await super().read()

    async def arm_revert(self, active_power_mw: float, within_s: float) -> None:
        """Take the timer."""
        await trio.lowlevel.checkpoint()
        self.armed.append((trio.current_time(), active_power_mw, within_s))

    @property
    def powers(self) -> list[float | str]:
        """What it was told after the first fallback."""
        return self.told[1:]


@pytest.fixture(autouse=True)
def disk_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would work while virtual time flies."""
    monkeypatch.setattr(agent_module, "open_spool", partial(open_spool, runner=in_line))


@pytest.fixture
def battery() -> Battery:
    """The device of bess-1."""
    return Battery()


@pytest.fixture
def headend() -> PaperHeadend:
    """Where the agent calls."""
    return PaperHeadend()


def guarded(battery: Battery, **rails: object) -> AssetConfig:
    """An asset with these guardrails."""
    asset = asset_config("bess-1", battery)
    points = (*asset.spec.points, PointSpec("remote", ""))
    return replace(
        asset,
        spec=replace(asset.spec, points=points),
        guardrails=replace(asset.guardrails, **rails),
    )


@asynccontextmanager
async def running(
    headend: PaperHeadend,
    asset: AssetConfig,
    *,
    clock: Clock = virtual_clock,
    data_dir: Path | None = None,
) -> AsyncIterator[tuple[Agent, MemoryCall]]:
    """An agent and its call."""
    settings = replace(config(asset), data_dir=data_dir)
    with trio.fail_after(20_000):
        async with trio.open_nursery() as nursery:
            run = partial(run_agent, settings, clock=clock, dial=headend.dial, seed=1)
            agent = await nursery.start(run)
            call = await headend.call()
            await trio.sleep(1.5)
            yield agent, call
            nursery.cancel_scope.cancel("the test is over")


def last(call: MemoryCall, state: str) -> v1.DispatchUpdate:
    """The newest word of a state."""
    return [up for up in call.updates() if str(up.state.name).lower() == state][-1]


# ------------------------------------------------------------- state of charge


async def test_a_battery_that_gets_full_is_charged_no_further(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """With the headend gone if need be; it goes on when there is room again."""
    async with running(headend, guarded(battery, soc_max_pct=90.0)) as (_, call):
        call.say(dispatch=dispatch(setpoint_mw=-1.5, until_in_s=600))
        await call.wait_state("following")
        battery.soc_pct = 90.0
        await trio.sleep(2)
        assert battery.powers == [-1.5, 0.0]
        [clamp] = last(call, "applied").clamps
        assert (clamp.reason, clamp.from_mw, clamp.to_mw) == ("state_of_charge", -1.5, 0.0)
        battery.soc_pct = 89.5  # what it loses while it rests is not room again
        await trio.sleep(2)
        assert battery.powers == [-1.5, 0.0]
        battery.soc_pct = 88.9
        await trio.sleep(2)
        assert battery.powers == [-1.5, 0.0, -1.5]
        assert last(call, "applied").clamps == []


async def test_a_state_of_charge_that_is_not_known_is_no_permission(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """But one that fails to come now and then stops nobody."""
    async with running(headend, guarded(battery, soc_min_pct=10.0)) as (_, call):
        call.say(dispatch=dispatch(setpoint_mw=1.5, until_in_s=600))
        await call.wait_state("applied")
        battery.soc_pct = None
        await trio.sleep(4)
        assert battery.powers == [1.5]
        await trio.sleep(4)
        assert battery.powers == [1.5, 0.0]


async def test_a_dispatch_that_wants_all_or_nothing_is_rejected(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """With the word for the limit; and when the limit comes later, the lease ends."""
    async with running(headend, guarded(battery, soc_max_pct=90.0)) as (_, call):
        all_or_nothing = dispatch(setpoint_mw=-1.0, until_in_s=600)
        all_or_nothing.on_limit = v1.OnLimit.REJECT
        battery.soc_pct = 95.0
        await trio.sleep(1.5)
        call.say(dispatch=all_or_nothing)
        await call.wait_state("rejected")
        assert last(call, "rejected").reason == "state_of_charge"
        battery.soc_pct = 80.0
        await trio.sleep(1.5)
        all_or_nothing.dispatch_id = "d-2"
        call.say(dispatch=all_or_nothing)
        await call.wait_state("applied", "d-2")
        battery.soc_pct = 95.0
        await call.wait_state("cancelled", "d-2")
    assert last(call, "cancelled").reason == "state_of_charge"
    assert battery.powers == [-1.0, "release"]


# ------------------------------------------------------------------------ ramp


async def test_a_ramp_is_climbed_step_by_step(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """Never steeper than the site allows; said when it begins, and when it is there."""
    async with running(headend, guarded(battery, ramp_mw_per_min=6.0)) as (_, call):
        call.say(dispatch=dispatch(setpoint_mw=1.0, until_in_s=600))
        await trio.sleep(5.2)
        powers = [power for power in battery.powers if isinstance(power, float)]
        assert powers == pytest.approx([0.1 * step for step in range(1, len(powers) + 1)])
        assert len(powers) in {5, 6}
        assert [clamp.reason for clamp in last(call, "applied").clamps] == ["ramp"]
        await trio.sleep(10)
        assert battery.powers[-1] == 1.0
        assert last(call, "applied").clamps == []
        assert call.states().count("applied") == 2


async def test_writes_keep_their_distance(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """A setpoint that comes too soon waits, and the way back does not."""
    async with running(headend, guarded(battery, write_interval_s=30.0)) as (_, call):
        call.say(dispatch=dispatch("d-1", setpoint_mw=1.0, until_in_s=600))
        await call.wait_state("applied")
        call.say(dispatch=dispatch("d-2", setpoint_mw=-1.0, until_in_s=600))
        await trio.sleep(20)
        assert battery.powers == [1.0]
        assert call.states("d-2") == ["acked"]
        await trio.sleep(15)
        assert battery.powers == [1.0, -1.0]
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-2", revision=1))
        await call.wait_state("cancelled", "d-2")
        assert battery.powers == [1.0, -1.0, "release"]


# -------------------------------------------------------- who else is in control


async def test_local_control_ends_the_lease_and_keeps_hands_off(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """Nothing is written, not even the fallback, before the switch is turned back."""
    asset = replace(
        guarded(battery, remote=Remote.REQUIRED),
        remote_control=RemoteControl("remote", 1.0),
        revert=Revert(0.0, 9.0),
    )
    async with running(headend, asset) as (_, call):
        call.say(dispatch=dispatch(until_in_s=600))
        await call.wait_state("applied")
        battery.remote = 0.0
        await call.wait_state("cancelled")
        assert last(call, "cancelled").reason == "not_remote"
        call.say(dispatch=dispatch("d-2"))
        await call.wait_state("rejected", "d-2")
        assert last(call, "rejected").reason == "not_remote"
        armed = len(battery.armed)
        await trio.sleep(20)
        assert len(battery.armed) == armed
        assert battery.powers == [1.0]
        battery.remote = 1.0
        await trio.sleep(2)
        assert battery.powers == [1.0, "release"]
        call.say(dispatch=dispatch("d-3"))
        await call.wait_state("applied", "d-3")


async def test_a_lock_ends_the_lease_within_a_second(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery, tmp_path: Path
) -> None:
    """The asset goes to its fallback once, and is left alone until it is unlocked."""
    asset = replace(guarded(battery), spec=replace(guarded(battery).spec, sample_interval_s=60.0))
    locks = LockoutFile(tmp_path, "edge-1")
    async with running(headend, asset, data_dir=tmp_path) as (agent, call):
        call.say(dispatch=dispatch(until_in_s=250))
        call.say(dispatch=dispatch("d-2", start_in_s=300, until_in_s=400))
        await call.wait_state("applied")
        locks.lock("bess-1", Lock("fan replaced", START_US))
        await trio.sleep(1.0)
        assert battery.powers == [1.0, "release"]
        word = last(call, "cancelled")
        assert (word.dispatch_id, word.reason) == ("d-1", "local_lockout")
        assert word.detail.endswith("fan replaced")
        assert agent.status().assets[0].locked == "fan replaced"
        call.say(dispatch=dispatch("d-3"))
        await call.wait_state("rejected", "d-3")
        assert last(call, "rejected").reason == "local_lockout"
        # The device is turned off and on: it is not written to.
        battery.breaks.set()
        await trio.sleep(100)
        assert battery.opened == 2
        assert battery.powers == [1.0, "release"]
        locks.unlock("bess-1")
        await trio.sleep(1.0)
        assert battery.powers == [1.0, "release", "release"]
        await call.wait_state("applied", "d-2")


async def test_a_lock_holds_for_an_agent_that_starts(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery, tmp_path: Path
) -> None:
    """And one that nobody can read locks everything."""
    LockoutFile(tmp_path, "edge-1").path.write_text("{", encoding="utf-8")
    async with running(headend, guarded(battery), data_dir=tmp_path) as (_, call):
        call.say(dispatch=dispatch())
        await call.wait_state("rejected")
        assert last(call, "rejected").reason == "local_lockout"
    assert battery.told == []


# ---------------------------------------------------------------- revert timer


async def test_the_devices_own_timer_is_armed_and_put_off(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """For as long as the lease lives, and no longer; a device polled rarely, too."""
    asset = replace(guarded(battery), revert=Revert(0.5, 60.0))
    asset = replace(asset, spec=replace(asset.spec, sample_interval_s=3600.0))
    async with running(headend, asset) as (_, call):
        call.say(dispatch=dispatch(until_in_s=600))
        await call.wait_state("completed")
        times = [time_s for time_s, _, _ in battery.armed]
        assert {(power_mw, after_s) for _, power_mw, after_s in battery.armed} == {(0.5, 60.0)}
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert max(gaps) <= 20.1
        assert times[0] == pytest.approx(1.5)
        assert times[-1] <= 601.5
        await trio.sleep(100)
        assert len(battery.armed) == len(times)


# --------------------------------------------------------------------- outcome


async def test_the_end_of_a_lease_tells_what_was_measured(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """Energy against what was asked, in the headend's time."""
    async with running(headend, guarded(battery)) as (_, call):
        asked_us = virtual_clock()
        call.say(dispatch=dispatch(setpoint_mw=1.2, until_in_s=360))
        await call.wait_state("completed")
    outcome = last(call, "completed").outcome
    assert outcome is not None
    assert outcome.asked_mwh == pytest.approx(0.12)
    assert outcome.delivered_mwh == pytest.approx(0.12, rel=0.01)
    assert (outcome.followed_share, outcome.completeness) == pytest.approx((1.0, 1.0), rel=0.01)
    assert outcome.from_us == pytest.approx(asked_us, abs=100_000)
    assert outcome.to_us - outcome.from_us == pytest.approx(360_000_000, abs=100_000)


async def test_nothing_is_written_for_a_lease_that_ended_while_the_device_was_asked(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """A poll may take seconds; what it says then comes too late for the lease."""
    async with running(headend, guarded(battery, soc_max_pct=90.0)) as (_, call):
        call.say(dispatch=dispatch(setpoint_mw=-1.0, until_in_s=10))
        await call.wait_state("applied")
        await trio.sleep(7)
        battery.soc_pct, battery.read_takes_s = 95.0, 4.0
        await call.wait_state("completed")
    assert battery.powers == [-1.0, "release"]


async def test_a_device_that_confirms_and_does_nothing_deviates(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """After its settling time; what it did not deliver is in the outcome."""
    battery.follows = False
    async with running(headend, guarded(battery)) as (_, call):
        call.say(dispatch=dispatch(until_in_s=60))
        await call.wait_state("deviating")
        assert trio.current_time() == pytest.approx(32, abs=1.1)
        await call.wait_state("completed")
    outcome = last(call, "completed").outcome
    assert outcome is not None
    assert (outcome.delivered_mwh, outcome.followed_share) == (0.0, 0.0)
    assert last(call, "deviating").detail == "0 MW measured, 1 MW written"


# ----------------------------------------------------------- schedules and clocks


async def test_a_day_of_blocks_may_come_at_once_and_runs_without_a_headend(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """To the second, bridging gaps of seconds, with one fallback at the end."""
    async with running(headend, guarded(battery)) as (_, call):
        now_us = virtual_clock()
        for number in range(288):
            block = dispatch(
                f"b-{number}",
                setpoint_mw=1.0 if number % 2 else -1.0,
                now_us=now_us,
                start_in_s=10 + 5 * number,
                until_in_s=13 + 5 * number,
            )
            block.schedule_id = "plan"
            call.say(dispatch=block)
        await call.wait_state("acked", "b-287")
        headend.unreachable = True
        call.cut()
        await trio.sleep(10 + 5 * 288)
        assert battery.powers == [*([-1.0, 1.0] * 144), "release"]
        headend.unreachable = False
        again = await headend.call(2)
        await again.wait_state("completed", "b-287")
    assert {up.state for up in again.updates()} >= {v1.DispatchState.COMPLETED}
    ended = {up.dispatch_id for up in again.updates() if up.state is v1.DispatchState.COMPLETED}
    assert len(ended) >= 286  # the last words of the first call were on their way


async def test_a_site_whose_clock_is_off_takes_nothing_for_later(
    autojump_clock: MockClock, headend: PaperHeadend, battery: Battery
) -> None:
    """What begins now it does, and telemetry goes on, marked."""
    slow = lambda: virtual_clock() - 600_000_000  # noqa: E731 - a clock ten minutes behind
    async with running(headend, guarded(battery), clock=slow) as (_, call):
        call.say(dispatch=dispatch("d-1", start_in_s=60, until_in_s=120))
        call.say(dispatch=dispatch("d-2", until_in_s=120))
        await call.wait_state("applied", "d-2")
        await trio.sleep(2)
        assert call.states("d-1") == ["rejected"]
        assert last(call, "rejected").reason == "clock_suspect"
        power = Telemetry(call).powers()[-1]
        assert (power.value, power.quality) == (1.0, Quality.UNCERTAIN)
        assert power.reasons is Reason.CLOCK_SUSPECT
