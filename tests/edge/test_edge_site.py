"""Dispatches for a whole site: agents in virtual time, devices made of paper."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import trio
from edge_plant import (
    FakeDevice,
    MemoryCall,
    PaperHeadend,
    asset_config,
    config,
    dispatch,
    virtual_clock,
)
from msgspec.structs import replace
from trio.testing import MockClock

from adapters import DeviceError, Readings
from dercp.edge import agent as agent_module
from dercp.edge.agent import Agent, run_agent
from dercp.edge.asset.lockout import Lock, LockoutFile
from dercp.edge.site.keeper import SiteKeeper
from dercp.edge.site.state import Sharing
from dercp.edge.spool.spool import Spool, in_line, open_spool
from dercp.model.reading import Reading
from dercp.wire import v1
from dercp.wire.dispatch import event_from_update

NAMES = ("bess-1", "bess-2", "bess-3")


class Battery(FakeDevice):
    """A device of 2 MW that says how full it is."""

    def __init__(self) -> None:
        super().__init__()
        self.soc_pct = 50.0
        self.follows = True
        self.told_at: list[tuple[float, float | str]] = []

    async def read(self) -> Readings:
        """Say how it stands."""
        power_mw = self.power_mw if self.follows else 0.0
        self.values = [Reading("active_power_mw", power_mw), Reading("soc_pct", self.soc_pct)]
        return await super().read()

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        readback_mw = await super().write_setpoint(active_power_mw)
        self.told_at.append((trio.current_time(), active_power_mw))
        return readback_mw

    async def release(self) -> None:
        """Let go."""
        await super().release()
        self.told_at.append((trio.current_time(), "release"))

    @property
    def powers(self) -> list[float | str]:
        """What it was told after the first fallback."""
        return self.told[1:]


class Site:
    """Three batteries, a headend, and the lives of an agent between them."""

    def __init__(self, directory: Path) -> None:
        self.headend = PaperHeadend()
        self.batteries = [Battery() for _ in NAMES]
        self.directory = directory
        self.lives = 0

    @property
    def data_dir(self) -> Path:
        """Where the life that goes on now keeps its journal."""
        return self.directory / str(self.lives)

    @asynccontextmanager
    async def live(self, life_s: float = 20_000) -> AsyncIterator[tuple[Agent, MemoryCall]]:
        """One life of the agent, ended by a kill: what it does when it is stopped is lost."""
        assets = (asset_config(n, b) for n, b in zip(NAMES, self.batteries, strict=True))
        settings = replace(config(*assets), data_dir=self.data_dir)
        calls = len(self.headend.calls)
        with trio.fail_after(life_s):
            async with trio.open_nursery() as nursery:
                run = partial(
                    run_agent, settings, clock=virtual_clock, dial=self.headend.dial, seed=1
                )
                agent = await nursery.start(run)
                call = await self.headend.call(calls + 1)
                await trio.sleep(1.5)
                yield agent, call
                shutil.copytree(self.data_dir, self.directory / str(self.lives + 1))
                self.lives += 1
                nursery.cancel_scope.cancel("the test is over")

    def restart(self) -> None:
        """The batteries of the life to come: what they are told is counted anew."""
        for battery in self.batteries:
            battery.told.clear()
            battery.told_at.clear()

    def powers(self) -> list[list[float | str]]:
        """What each was told, after the first fallback."""
        return [battery.powers for battery in self.batteries]


@pytest.fixture(autouse=True)
def disk_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would work while virtual time flies."""
    monkeypatch.setattr(agent_module, "open_spool", partial(open_spool, runner=in_line))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with nothing behind it."""
    return Site(tmp_path)


def for_site(
    dispatch_id: str = "d-1", setpoint_mw: float = 3.0, *, site_id: str = "site-1", **more: object
) -> v1.Dispatch:
    """A dispatch for the whole site."""
    on_limit = more.pop("on_limit", v1.OnLimit.CLAMP)
    schedule_id = more.pop("schedule_id", "")
    order = dispatch(dispatch_id, setpoint_mw=setpoint_mw, **more)  # type: ignore[arg-type]  # by name
    order.asset_id, order.site_id = None, site_id
    order.on_limit, order.schedule_id = on_limit, schedule_id  # type: ignore[assignment]  # the same
    return order


def words(call: MemoryCall, dispatch_id: str = "d-1") -> list[v1.DispatchUpdate]:
    """What was said of a dispatch; in each of it the parts make up the whole."""
    said = [update for update in call.updates() if update.dispatch_id == dispatch_id]
    for update in said:
        assert "/" not in update.dispatch_id
        word = event_from_update(update)
        if word.placement is not None:
            shares = word.placement
            sums = shares.placed_mw + shares.pending_mw + shares.failed_mw + shares.unplaced_mw
            assert sums == pytest.approx(3.0)
    return said


def split_of(update: v1.DispatchUpdate) -> v1.Split:
    """How it stands."""
    assert update.split is not None
    return update.split


def shares_of(update: v1.DispatchUpdate) -> dict[str, tuple[str, float, str]]:
    """By asset: how its share stands, what it is, and why."""
    return {
        each.asset_id: (
            each.state.name.lower(),
            round(each.setpoint_mw, 6),
            each.reason or each.limit,
        )
        for each in split_of(update).allocations
    }


async def test_a_dispatch_for_the_site_is_shared_followed_and_measured(
    autojump_clock: MockClock, site: Site
) -> None:
    """Planned, applied, followed and completed; nobody upstream hears of the parts."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=60))
        await call.wait_state("completed")
        await trio.sleep(5)
    assert call.states() == ["acked", "applied", "following", "completed"]
    acked, applied, _, completed = words(call)
    assert shares_of(acked) == dict.fromkeys(NAMES, ("planned", 1.0, ""))
    assert shares_of(applied) == dict.fromkeys(NAMES, ("applied", 1.0, ""))
    assert applied.readback_mw == 3.0
    assert shares_of(completed) == dict.fromkeys(NAMES, ("ended", 1.0, ""))
    assert completed.outcome is not None
    assert completed.outcome.asked_mwh == pytest.approx(3 / 60, rel=0.01)
    assert completed.outcome.delivered_mwh == pytest.approx(3 / 60, rel=0.05)
    assert completed.outcome.completeness == pytest.approx(1.0, abs=0.05)
    assert site.powers() == [[1.0, "release"]] * 3
    assert {update.dispatch_id for update in call.updates()} == {"d-1"}


async def test_an_asset_that_fails_is_made_up_for_once(
    autojump_clock: MockClock, site: Site
) -> None:
    """The others take over what they have room for, a second later; the result says who failed."""
    async with site.live() as (_, call):
        site.batteries[1].write_error = DeviceError("no")
        call.say(dispatch=for_site(until_in_s=60))
        await trio.sleep(10)
        said = words(call)
        assert shares_of(said[1])["bess-2"] == ("failed", 1.0, "device_failed")
        assert split_of(said[1]).failed_mw == 1.0
        assert said[1].clamps[-1].to_mw == 2.0
        assert shares_of(said[-1]) == {
            "bess-1": ("applied", 1.5, ""),
            "bess-2": ("failed", 0.0, "device_failed"),
            "bess-3": ("applied", 1.5, ""),
        }
        assert split_of(said[-1]).round == 2
        assert split_of(said[-1]).failed_mw == 0.0
        site.batteries[0].write_error = DeviceError("no")
        await call.wait_state("completed")
    assert words(call)[-1].reason == "partial"
    assert site.batteries[2].powers == [1.0, 1.5, "release"]


async def test_nobody_who_can_take_a_share_is_a_rejection(
    autojump_clock: MockClock, site: Site
) -> None:
    """With the reason; so is a part without a place, of a dispatch that wants all or nothing."""
    async with site.live() as (_, call):
        for battery in site.batteries:
            battery.soc_pct = 0.0
        await trio.sleep(2)
        call.say(dispatch=for_site("d-1"))
        await call.wait_state("rejected", "d-1")
        assert call.updates()[-1].reason == "state_of_charge"
        site.batteries[0].soc_pct = 50.0
        await trio.sleep(2)
        call.say(dispatch=for_site("d-2", on_limit=v1.OnLimit.REJECT))
        await call.wait_state("rejected", "d-2")
        call.say(dispatch=for_site("d-3"))
        await call.wait_state("applied", "d-3")
        last = call.updates()[-1]
        assert (split_of(last).placed_mw, split_of(last).unplaced_mw) == (2.0, 1.0)
        assert last.clamps[-1].to_mw == 2.0
        call.say(dispatch=for_site("d-4", site_id="site-2"))
        await call.wait_state("rejected", "d-4")
        assert call.updates()[-1].reason == "unknown_asset"


async def test_all_that_fail_fail_the_dispatch(autojump_clock: MockClock, site: Site) -> None:
    """Only then."""
    async with site.live() as (_, call):
        for battery in site.batteries:
            battery.write_error = DeviceError("no")
        call.say(dispatch=for_site())
        await call.wait_state("failed")
    assert call.states() == ["acked", "failed"]
    assert split_of(words(call)[-1]).failed_mw == 3.0


async def test_a_cancelled_dispatch_leaves_all_assets(
    autojump_clock: MockClock, site: Site
) -> None:
    """Cancelled is said when they are at their fallback."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site())
        await call.wait_state("applied")
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-1", revision=1, reason="no"))
        await call.wait_state("cancelled")
        assert site.powers() == [[1.0, "release"]] * 3
        assert words(call)[-1].outcome is not None
        # Nobody reaches a part by its name.
        call.say(dispatch=for_site("d-2"))
        await call.wait_state("applied", "d-2")
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-2/bess-1", revision=1))
        await trio.sleep(2)
        assert site.batteries[0].powers[-1] == 1.0


async def test_a_newer_dispatch_takes_over_without_a_fallback(
    autojump_clock: MockClock, site: Site
) -> None:
    """And an asset that has no share of the newer one is left to its fallback."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site("d-1", until_in_s=600))
        await call.wait_state("applied", "d-1")
        site.batteries[2].read_error = DeviceError("gone")
        await trio.sleep(10)
        call.say(dispatch=for_site("d-2", 2.0, until_in_s=60))
        await call.wait_state("superseded", "d-1")
        await call.wait_state("applied", "d-2")
        assert call.updates()[-1].split is not None
        assert site.powers()[:2] == [[1.0, 1.0]] * 2
        shares = shares_of(next(u for u in call.updates() if u.dispatch_id == "d-2"))
        assert shares["bess-3"][0] == "excluded"
        await call.wait_state("completed", "d-2")
    superseded = [u for u in words(call, "d-1") if u.state is v1.DispatchState.SUPERSEDED]
    assert superseded[0].superseded_by == "d-2"


async def test_an_asset_that_is_locked_or_taken_leaves_the_dispatch(
    autojump_clock: MockClock, site: Site
) -> None:
    """Its share says so; what was lost is shared once more, then told and not chased."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=120))
        await call.wait_state("following")
        call.say(dispatch=dispatch("d-9", asset_id="bess-1", setpoint_mw=-1.0, until_in_s=300))
        await trio.sleep(15)
        shares = shares_of(words(call)[-1])
        assert shares["bess-1"] == ("failed", 0.0, "newer_dispatch")
        assert shares["bess-2"] == shares["bess-3"] == ("applied", 1.5, "")
        LockoutFile(site.data_dir, "edge-1").lock("bess-2", Lock("a fan", virtual_clock()))
        await trio.sleep(15)
        last = words(call)[-1]
        assert shares_of(last)["bess-2"] == ("failed", 1.5, "local_lockout")
        assert split_of(last).failed_mw == 1.5
        await call.wait_state("completed")
    assert site.batteries[2].powers == [1.0, 1.5, "release"]
    assert words(call)[-1].reason == "partial"


async def test_an_asset_out_of_reach_keeps_its_share(autojump_clock: MockClock, site: Site) -> None:
    """It may follow it all the same: giving it to others might be too much. The sum is unknown."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=120))
        await call.wait_state("following")
        site.batteries[0].read_error = DeviceError("gone")
        await trio.sleep(30)
        assert shares_of(words(call)[-1])["bess-1"] == ("applied", 1.0, "stale")
        site.batteries[0].read_error = None
        await trio.sleep(40)
        assert shares_of(words(call)[-1])["bess-1"] == ("applied", 1.0, "")
        await call.wait_state("completed")
    outcome = words(call)[-1].outcome
    assert outcome is not None
    assert outcome.completeness < 0.95
    assert site.batteries[1].powers == [1.0, "release"]


async def test_a_sum_that_is_off_deviates(autojump_clock: MockClock, site: Site) -> None:
    """One that makes up for another by itself is no deviation."""
    async with site.live() as (_, call):
        site.batteries[0].follows = False
        call.say(dispatch=for_site(until_in_s=120))
        await call.wait_state("deviating")
        site.batteries[0].follows = True
        await call.wait_state("following")


async def test_a_schedule_runs_through_and_is_divided_at_each_start(
    autojump_clock: MockClock, site: Site
) -> None:
    """To the second, with the headend gone, by the limits of the moment, and no fallback."""
    async with site.live() as (_, call):
        blocks = ((30, 60, 3.0), (60, 90, 2.4), (95, 120, 3.6))
        begin_s = trio.current_time()
        for number, (start_s, until_s, power_mw) in enumerate(blocks):
            order = for_site(
                f"d-{number}", power_mw, start_in_s=start_s, until_in_s=until_s, schedule_id="plan"
            )
            call.say(dispatch=order)
        await call.wait_state("acked", "d-2")
        site.headend.unreachable = True
        call.cut()
        await trio.sleep(50)
        site.batteries[2].soc_pct = 0.0
        await trio.sleep(90)
    told = [(round(at_s - begin_s, 1), power) for at_s, power in site.batteries[0].told_at[1:]]
    assert told == [(30.0, 1.0), (60.0, 1.2), (95.0, 1.8), (120.0, "release")]
    # The third is empty now, and stands at 0.
    third = [(round(at_s - begin_s, 1), power) for at_s, power in site.batteries[2].told_at[1:]]
    assert third[0] == (30.0, 1.0)
    assert third[1] == (60.0, 0.0)


async def test_a_shared_dispatch_survives_a_kill(autojump_clock: MockClock, site: Site) -> None:
    """The parts go on and are given to nobody twice; the end tells all of it."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=60, deliver_within_s=30))
        await call.wait_state("following")
        await trio.sleep(5)
    site.restart()
    async with site.live() as (agent, call):
        call.say(dispatch=for_site(until_in_s=60))
        await call.wait_state("completed")
        assert agent.status().journal.unended == 0
    assert site.powers() == [["release"]] * 3 or all(
        told[0] == 1.0 and told[-1] == "release" for told in (b.told for b in site.batteries)
    )
    assert [told.count(1.0) for told in (b.told for b in site.batteries)] == [1, 1, 1]
    assert shares_of(words(call)[-1]) == dict.fromkeys(NAMES, ("ended", 1.0, ""))


async def test_a_dispatch_that_ended_while_nobody_was_there_is_no_success(
    autojump_clock: MockClock, site: Site
) -> None:
    """It has ended all the same, and with it its parts."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=60))
        await call.wait_state("applied")
    await trio.sleep(100)
    site.restart()
    async with site.live() as (agent, call):
        await call.wait_state("failed")
        assert agent.status().journal.unended == 0
    assert call.updates()[-1].reason == "edge_stopped"
    assert [battery.told for battery in site.batteries] == [["release"]] * 3


async def test_no_part_is_ordered_before_the_journal_has_the_shares(
    autojump_clock: MockClock, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing lets nothing begin."""
    async with site.live() as (_, call):
        with monkeypatch.context() as failing:
            failing.setattr(Spool, "commit", _refuses)
            call.say(dispatch=for_site())
            await call.wait_state("failed")
    assert words(call)[-1].reason == "journal_failed"
    assert all(1.0 not in battery.told for battery in site.batteries)


async def _refuses(_spool: object) -> bool:
    await trio.lowlevel.checkpoint()
    return False


async def test_an_agent_that_stops_says_so_of_the_site(
    autojump_clock: MockClock, site: Site
) -> None:
    """Of what is in force; what waits for its start goes on waiting, and begins in time."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site("d-1"))
        call.say(dispatch=for_site("d-2", start_in_s=100, until_in_s=200))
        await call.wait_state("applied", "d-1")
    assert words(call, "d-1")[-1].state is v1.DispatchState.CANCELLED
    assert words(call, "d-1")[-1].reason == "edge_stopped"
    site.restart()
    async with site.live() as (_, call):
        await call.wait_state("completed", "d-2")
    for battery in site.batteries:
        assert [at_s for at_s, power in battery.told_at if power == 1.0][-1] == 101.5


async def test_a_longer_lease_is_given_to_all(autojump_clock: MockClock, site: Site) -> None:
    """A newer revision of the same dispatch, without a fallback."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(until_in_s=30))
        await call.wait_state("following")
        call.say(dispatch=for_site(until_in_s=90, revision=2))
        await trio.sleep(60)
        assert site.powers() == [[1.0, 1.0]] * 3
        await call.wait_state("completed")
        assert trio.current_time() == pytest.approx(93, abs=3)
    assert site.powers() == [[1.0, 1.0, "release"]] * 3


async def test_an_order_that_was_not_given_before_a_kill_is_not_given_up(
    autojump_clock: MockClock, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shares were kept, their orders were not: nobody has written anything for them yet."""
    with monkeypatch.context() as killed:
        killed.setattr(SiteKeeper, "_give", lambda *_: None)
        async with site.live() as (_, call):
            call.say(dispatch=for_site(until_in_s=60))
            await call.wait_state("acked")
            await trio.sleep(1)
    site.restart()
    async with site.live() as (_, call):
        await call.wait_state("completed")
    assert [battery.told for battery in site.batteries] == [["release", 1.0, "release"]] * 3


async def test_a_kill_at_any_moment_ends_well(
    autojump_clock: MockClock, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After each line of the journal: repeated by the headend, it is in force once, and ends."""
    moments: list[Path] = []
    note = Spool.note

    def noting(spool: Spool, dispatch_id: str, content: bytes | None) -> int:
        # What is on the disk before this line: all lines before it, if the kill comes now.
        moments.append(shutil.copytree(site.data_dir, tmp_path / f"moment-{len(moments)}"))
        return note(spool, dispatch_id, content)

    with monkeypatch.context() as watched:
        watched.setattr(Spool, "note", noting)
        async with site.live() as (_, call):
            order = for_site(until_in_s=5000, deliver_within_s=4000)
            call.say(dispatch=order)
            await call.wait_state("following")
    distinct = {_journal_of(moment): moment for moment in moments}
    assert len(distinct) > 3
    for number, moment in enumerate(distinct.values()):
        again = Site(tmp_path / f"again-{number}")
        shutil.copytree(moment, again.data_dir)
        async with again.live() as (agent, call):
            call.say(dispatch=order)
            await trio.sleep(12)
            assert [battery.told.count(1.0) for battery in again.batteries] == [1, 1, 1]
            assert shares_of(words(call)[-1]) == dict.fromkeys(NAMES, ("applied", 1.0, ""))
            call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-1", revision=1))
            await call.wait_state("cancelled")
            assert agent.status().journal.unended == 0
        assert [battery.told[-1] for battery in again.batteries] == ["release"] * 3


def _journal_of(directory: Path) -> bytes:
    """What the journal on a disk says."""
    with closing(sqlite3.connect(directory / "edge-1.spool")) as db:
        return repr(db.execute("SELECT * FROM dispatch ORDER BY dispatch_id").fetchall()).encode()


async def test_a_gateway_that_crashes_comes_back_to_its_dispatches(
    autojump_clock: MockClock, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its assets said meanwhile is heard; their leases never noticed."""
    look, crashes = SiteKeeper._look, 0

    async def crashing(keeper: SiteKeeper, sharing: Sharing, now_s: float) -> None:
        nonlocal crashes
        await look(keeper, sharing, now_s)
        if now_s > 20 and crashes < 30:
            crashes += 1
            raise RuntimeError("a fault in the gateway")

    monkeypatch.setattr(SiteKeeper, "_look", crashing)
    async with site.live() as (agent, call):
        call.say(dispatch=for_site(until_in_s=60))
        await call.wait_state("completed")
        assert trio.current_time() < 60 + 35
        await trio.sleep(1)
        assert agent.status().journal.unended == 0
    assert crashes > 1
    assert site.powers() == [[1.0, "release"]] * 3


async def test_a_dispatch_that_comes_too_late_is_not_carried_out(
    autojump_clock: MockClock, site: Site
) -> None:
    """Judged by the headend's clock, as for an asset; a repetition is answered, not repeated."""
    async with site.live() as (_, call):
        call.say(dispatch=for_site(deliver_within_s=-0.1))
        await call.wait_state("expired")
        order = for_site("d-2", until_in_s=10, deliver_within_s=10)
        call.say(dispatch=order)
        await call.wait_state("completed", "d-2")
        call.say(dispatch=order)
        await trio.sleep(5)
        assert call.states("d-2")[-2:] == ["completed", "completed"]
    assert site.powers() == [[1.0, "release"]] * 3
