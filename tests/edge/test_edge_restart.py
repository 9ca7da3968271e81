"""Whole agents that are killed and started again, in virtual time, on a real file."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

from dercp.edge import agent as agent_module
from dercp.edge.agent import Agent, run_agent
from dercp.edge.spool.outbox import Lane
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.spool.spool import Spool, in_line, open_spool
from dercp.wire import v1
from dercp.wire.registration import registration_id


@pytest.fixture(autouse=True)
def disk_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would work while virtual time flies."""
    monkeypatch.setattr(agent_module, "open_spool", partial(open_spool, runner=in_line))


class Life:
    """One agent's lives: each goes on from what the one before left when it was killed."""

    def __init__(self, directory: Path, spool: SpoolSettings | None = None) -> None:
        self.directory = directory
        self.spool = spool or SpoolSettings()
        self.lives = 0

    @asynccontextmanager
    async def live(
        self, headend: PaperHeadend, device: FakeDevice, asset_id: str = "bess-1"
    ) -> AsyncIterator[Agent]:
        """A life that ends with a kill: what it does while it is stopped leaves no trace."""
        here, after = (self.directory / str(n) for n in (self.lives, self.lives + 1))
        self.lives += 1
        settings = replace(config(asset_config(asset_id, device)), data_dir=here, spool=self.spool)
        with trio.fail_after(20_000):
            async with trio.open_nursery() as nursery:
                run = partial(
                    run_agent, settings, clock=virtual_clock, dial=headend.dial, seed=self.lives
                )
                yield await nursery.start(run)
                shutil.copytree(here, after)
                nursery.cancel_scope.cancel("the test is over")


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """An agent with nothing behind it."""
    return Life(tmp_path)


def rows(*headends: PaperHeadend) -> list[tuple[str, int, bytes]]:
    """Every batch that came to any of these, by spool and number."""
    return [
        (call.spool_id, batch.sequence, batch.payload)
        for headend in headends
        for call in headend.calls
        for batch in call.batches()
    ]


async def test_what_was_not_acknowledged_comes_again_under_its_numbers(
    autojump_clock: MockClock, life: Life
) -> None:
    """Also after a kill; nothing is missing, and no number stands for two batches."""
    first, second = PaperHeadend(), PaperHeadend()

    def deaf(call: MemoryCall) -> None:
        call.acks = False
        first.welcome(call)

    first.answer = deaf
    async with life.live(first, FakeDevice()) as agent:
        await trio.sleep(100.5)
        assert agent.status().outbox.waiting == 101
    async with life.live(second, FakeDevice()) as agent:
        await trio.sleep(60)
        status = agent.status().outbox
        assert status.waiting <= 1
    last = status.last_sequence
    content: dict[tuple[str, int], bytes] = {}
    for spool_id, sequence, payload in rows(first, second):
        assert content.setdefault((spool_id, sequence), payload) == payload
    assert {sequence for _, sequence, _ in rows(second)} >= set(range(1, last + 1))
    assert len({spool_id for spool_id, _, _ in rows(first, second)}) == 1


async def test_after_an_hour_away_live_samples_are_on_time(
    autojump_clock: MockClock, life: Life
) -> None:
    """The backlog follows in order, no faster than its rate; nothing is missing."""
    life.spool = SpoolSettings(backlog_bytes_per_s=2_000)
    headend = PaperHeadend()
    headend.unreachable = True
    async with life.live(headend, FakeDevice()) as agent:
        await trio.sleep(3600)
        headend.unreachable = False
        call = await headend.call()
        begun_s = trio.current_time()
        await trio.sleep(1)
        while (last := agent.status().outbox.last_sequence) and agent.status().outbox.waiting > 5:
            before = len(call.heard)
            await trio.sleep(1.1)
            # What was produced meanwhile is there.
            heard = [up.telemetry for up in call.heard[before:]]
            assert last + 1 in {one.sequence for one in heard if one is not None}
        ended_s = trio.current_time()
    backlog = [one.sequence for one in call.batches() if one.lane is Lane.BACKLOG]
    live = [one.sequence for one in call.batches() if one.lane is Lane.LIVE]
    assert backlog == sorted(backlog)
    assert live == sorted(live)
    assert set(backlog + live) >= set(range(1, last + 1))
    size = sum(len(one.payload) for one in call.batches() if one.lane is Lane.BACKLOG)
    assert ended_s - begun_s >= size / 2_000


async def test_a_backlog_of_another_configuration_is_told_of_before_it_leaves(
    autojump_clock: MockClock, life: Life
) -> None:
    """What it was written under, once in a call; not again once all of it is held."""
    away, headend = PaperHeadend(), PaperHeadend()
    away.unreachable = True
    async with life.live(away, FakeDevice(), "bess-0"):
        await trio.sleep(20)
    for _ in range(2):
        async with life.live(headend, FakeDevice()):
            await trio.sleep(60)
    first, second = headend.calls
    kinds = [each for each in first.kinds() if each in {"earlier_registration", "telemetry"}]
    assert kinds.count("earlier_registration") == 1
    told = [up.earlier_registration for up in first.heard if up.earlier_registration is not None]
    told_at = kinds.index("earlier_registration")
    earlier_id = registration_id(told[0].registration)
    under = [batch.registration_id == earlier_id for batch in first.batches()]
    # A live one may come in between.
    assert under.index(True) in (told_at, told_at + 1)
    assert sum(under) >= 20
    assert "earlier_registration" not in second.kinds()


async def test_what_the_headend_cannot_read_becomes_a_gap(
    autojump_clock: MockClock, life: Life
) -> None:
    """Told so of the first batch that was written under it, all such batches are declared."""
    away, headend = PaperHeadend(), PaperHeadend()
    away.unreachable = True
    async with life.live(away, FakeDevice(), "bess-0") as agent:
        await trio.sleep(20)
        backlog = agent.status().outbox.last_sequence

    def refuse(call: MemoryCall) -> None:
        call.acks_backlog = False
        headend.welcome(call)

    headend.answer = refuse
    async with life.live(headend, FakeDevice()) as agent:
        call = await headend.call()
        await call.wait_heard("earlier_registration")
        await call.wait_heard("telemetry", 2)
        code = v1.RejectCode.UNKNOWN_REGISTRATION
        call.say(reject=v1.Reject(code=code, sequence=1))
        await trio.sleep(60)
        # The newest, and perhaps the first: made before the session, it is backlog, too.
        assert agent.status().outbox.waiting <= 2
    gaps = [up.gap_report for up in call.heard if up.gap_report is not None]
    assert [gap.reason for gap in gaps] == ["unknown_registration"]
    assert gaps[0].sequences == v1.SequenceRange(first=1, last=backlog)


async def test_acknowledgements_that_come_late_or_never_cost_no_sample(
    autojump_clock: MockClock, life: Life
) -> None:
    """Every third is lost; what they spoke of goes again after a minute, under its number."""
    headend = PaperHeadend()
    lost = 0

    def forgetful(call: MemoryCall) -> None:
        say = call.say

        def sometimes(**kind: object) -> None:
            nonlocal lost
            if "telemetry_ack" in kind:
                lost += 1
                if lost % 3 == 0:
                    return
            say(**kind)

        call.say = sometimes  # type: ignore[method-assign]  # the headend's tongue
        headend.welcome(call)

    headend.answer = forgetful
    async with life.live(headend, FakeDevice()) as agent:
        await trio.sleep(600)
        waiting = agent.status().outbox.waiting
        last = agent.status().outbox.last_sequence
    assert waiting < 100
    numbers = {batch.sequence for batch in headend.calls[0].batches()}
    assert numbers >= set(range(1, last))
    assert len(headend.calls) == 1


async def test_a_lease_goes_on_after_a_kill(autojump_clock: MockClock, life: Life) -> None:
    """Written again when the device is there, and ended in time; no fallback in between.

    What was measured before is lost, and the outcome says how much of the lease it knows.
    """
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=60))
        await call.wait_state("applied")
        await trio.sleep(9)
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device) as agent:
        await trio.sleep(1)
        lease = agent.status().assets[0].lease
        assert lease is not None
        call = await headend.call()
        await call.wait_state("completed")
        assert trio.current_time() == pytest.approx(60, abs=1)
    assert device.told == [1.0, "release"]
    assert call.states()[-1] == "completed"
    outcome = call.updates()[-1].outcome
    assert outcome is not None
    assert outcome.to_us - outcome.from_us == pytest.approx(60e6, abs=1e5)
    assert outcome.completeness == pytest.approx(51 / 60, abs=0.02)
    assert outcome.asked_mwh == pytest.approx(1 / 60)


async def test_a_plan_waits_for_an_agent_that_was_stopped(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """In order, by its service manager: the block in force ends, the next one begins in time."""
    headend, device = PaperHeadend(), FakeDevice()
    settings = replace(config(asset_config("bess-1", device)), data_dir=tmp_path)
    run = partial(run_agent, settings, clock=virtual_clock, dial=headend.dial)
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        call = await headend.call()
        call.say(dispatch=dispatch("d-1", until_in_s=60))
        call.say(dispatch=dispatch("d-2", setpoint_mw=-1.0, start_in_s=60, until_in_s=120))
        await call.wait_state("following", "d-1")
        await call.wait_state("acked", "d-2")
        nursery.cancel_scope.cancel("stopped")
    assert call.states("d-1")[-1] == "cancelled"
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        call = await headend.call(2)
        await call.wait_state("completed", "d-2")
        nursery.cancel_scope.cancel("the test is over")
    assert device.told == ["release", 1.0, "release", "release", -1.0, "release"]
    assert trio.current_time() == pytest.approx(120, abs=2)


async def test_a_lease_that_ended_while_nobody_was_there_is_no_success(
    autojump_clock: MockClock, life: Life
) -> None:
    """The asset goes to its fallback at once, and the headend hears why."""
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device):
        call = await headend.call()
        call.say(dispatch=dispatch(until_in_s=60))
        await call.wait_state("applied")
    await trio.sleep(100)
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device):
        call = await headend.call()
        await call.wait_state("failed")
    assert device.told == ["release"]
    assert call.updates()[-1].reason == "edge_stopped"


async def test_a_dispatch_is_carried_out_once_across_kills(
    autojump_clock: MockClock, life: Life
) -> None:
    """A repetition is answered from the journal, ended ones and cancelled ones alike."""
    headend, device = PaperHeadend(), FakeDevice()
    orders = [dispatch(name, until_in_s=5, deliver_within_s=500) for name in ("d-1", "d-2")]
    orders[1] = dispatch("d-2", start_in_s=10, until_in_s=500, deliver_within_s=500)
    async with life.live(headend, device):
        call = await headend.call()
        for order in orders:
            call.say(dispatch=order)
        await call.wait_state("completed", "d-1")
        await call.wait_state("applied", "d-2")
        call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id="d-2", revision=1))
        await call.wait_state("cancelled", "d-2")
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device):
        call = await headend.call()
        for order in orders:
            call.say(dispatch=order)
        await trio.sleep(10)
    assert set(call.states("d-1")) == {"completed"}
    assert set(call.states("d-2")) == {"cancelled"}
    assert device.told == ["release"]


async def test_nothing_is_written_to_a_device_before_the_journal_has_it(
    autojump_clock: MockClock, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing lets no lease begin, and the headend is told."""
    headend, device = PaperHeadend(), FakeDevice()
    async with life.live(headend, device) as agent:
        call = await headend.call()
        await trio.sleep(1)
        with monkeypatch.context() as failing:
            failing.setattr(Spool, "commit", _refuses)
            call.say(dispatch=dispatch())
            await call.wait_state("failed")
        assert agent.status().assets[0].lease is None
    assert [update.reason for update in call.updates()] == ["", "journal_failed"]
    assert 1.0 not in device.told


async def _refuses(_spool: object) -> bool:
    await trio.lowlevel.checkpoint()
    return False
