"""A link that swallows everything without a word, between a real agent and a real headend."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from chaos_headend import MortalHeadend
from chaos_plan import Plan, SitePlan, StoreTrouble
from chaos_site import Site, now_us
from headend_plant import Plant
from trio.testing import MockClock

from dercp.headend.settings import HeadendSettings
from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest, DispatchState
from dercp.model.time import us_from_s
from sim.link_faults import BlackHole

HEARTBEATS_S = 3 * HeadendSettings().heartbeat_interval_s
GRACE_S = HeadendSettings().dispatch_grace_s
LEASE_S = 600.0
# On the virtual clock: how often both ends are looked at.
LOOK_S = 0.05
# An agent that was cut off calls again at once, or some seconds later.
BACK_WITHIN_S = 30.0


class HalfOpen:
    """An agent and a headend, and the time at which everything begins to disappear."""

    def __init__(self, plant: Plant, site: Site, from_s: float) -> None:
        self.plant = plant
        self.site = site
        self.from_s = from_s
        (self.device,) = site.devices.values()

    async def wait_noticed(self) -> tuple[float, float]:
        """When the edge, and when the headend, knew; in seconds after the link fell silent."""
        edge_s = headend_s = 0.0
        while not (edge_s and headend_s):
            await trio.sleep(LOOK_S)
            since_s = trio.current_time() - self.from_s
            if not edge_s and not self.site.is_live():
                edge_s = since_s
            agent = self.plant.headend.reader.agent(self.site.plan.name)
            if not headend_s and agent is not None and agent.session is None:
                headend_s = since_s
        return edge_s, headend_s

    async def order(self, deliver_within_s: float) -> Dispatch:
        """Hand in a dispatch of a megawatt to the one asset."""
        at_us = now_us()
        request = DispatchRequest(
            target=AssetTarget(self.site.plan.asset_ids[0]),
            setpoint_mw=1.0,
            start_us=at_us,
            until_us=at_us + us_from_s(LEASE_S),
            deliver_by_us=at_us + us_from_s(deliver_within_s),
        )
        return await self.plant.headend.desk.submit(request, key="k", fingerprint="body")

    def dispatch(self) -> Dispatch:
        """The one dispatch as it is on the disk now."""
        (dispatch,) = self.plant.disk.dispatches.values()
        return dispatch


@asynccontextmanager
async def half_open(directory: Path, from_s: float, to_s: float) -> AsyncIterator[HalfOpen]:
    """Both ends, at the moment when the link between them falls silent."""
    site_plan = SitePlan(
        name="edge-1", asset_ids=("edge-1-a",), faults=(BlackHole(from_s=from_s, to_s=to_s),)
    )
    plan = Plan(
        seed=1,
        sites=(site_plan,),
        kills=(),
        store=StoreTrouble.NONE,
        store_from_s=0.0,
        store_to_s=0.0,
    )
    headend = MortalHeadend(plan)
    site = Site(site_plan, 1, headend.open_far, directory)
    with trio.fail_after(3_000.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(headend.run)
            nursery.start_soon(site.run)
            await trio.sleep_until(from_s)
            assert headend.plant is not None
            assert site.is_well()
            yield HalfOpen(headend.plant, site, from_s)
            nursery.cancel_scope.cancel("the test is over")


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 2.5, 5.1, 7.7, 9.9])
async def test_both_ends_notice_within_three_heartbeats(
    autojump_clock: MockClock, tmp_path: Path, phase_s: float
) -> None:
    """Wherever in their beat the silence finds them."""
    async with half_open(tmp_path, 40.0 + phase_s, 1_000.0) as link:
        edge_s, headend_s = await link.wait_noticed()
        assert edge_s <= HEARTBEATS_S + LOOK_S
        assert headend_s <= HEARTBEATS_S + LOOK_S
        assert link.site.link.statistics().swallowed == 1


async def test_a_dispatch_into_silence_is_taken_back_and_never_applied_late(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """What left into silence may have arrived: nobody but the edge could say that it did not."""
    async with half_open(tmp_path, 40.0, 120.0) as link:
        assert (await link.order(deliver_within_s=60.0)).state is DispatchState.SENT
        await link.wait_noticed()
        await trio.sleep(1.0)
        assert link.dispatch().state is DispatchState.SUBMITTED
        assert link.dispatch().timeline[-1].reason == "link_lost"
        await trio.sleep_until(300.0)
        assert link.site.is_well()
        await trio.sleep_until(40.0 + LEASE_S + GRACE_S + 5.0)
        assert link.dispatch().state is DispatchState.UNKNOWN
        assert link.device.told_at_us == []


async def test_a_dispatch_after_the_silence_was_noticed_waits_and_expires(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It never leaves, and says so."""
    async with half_open(tmp_path, 40.0, 120.0) as link:
        await link.wait_noticed()
        dispatch = await link.order(deliver_within_s=30.0)
        assert dispatch.state is DispatchState.SUBMITTED
        await trio.sleep(30.0 + 5.0)
        states = [entry.state.value for entry in link.dispatch().timeline]
        assert states == ["submitted", "expired"]
        assert link.dispatch().timeline[-1].reason == "not_delivered"
        await trio.sleep_until(300.0)
        assert link.site.is_well()
        assert link.device.told_at_us == []


async def test_a_dispatch_into_silence_is_delivered_while_it_may_be(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """On the agent's next call, once, and in time."""
    async with half_open(tmp_path, 40.0, 60.0) as link:
        dispatch = await link.order(deliver_within_s=200.0)
        await link.wait_noticed()
        await trio.sleep(BACK_WITHIN_S)
        assert [setpoint_mw for setpoint_mw, _ in link.device.told_at_us] == [1.0]
        assert link.device.told_at_us[0][1] < dispatch.request.deliver_by_us
        states = [entry.state.value for entry in link.dispatch().timeline]
        assert states[:5] == ["submitted", "sent", "submitted", "sent", "acked"]
