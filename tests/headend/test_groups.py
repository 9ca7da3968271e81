"""Sites and portfolios: one dispatch divided among several, and what becomes of all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from headend_plant import Caller, Plant, open_plant

from dercp.headend.errors import DispatchEnded, FleetMoved, UnknownDispatch, UnknownTarget
from dercp.model.dispatch import (
    Dispatch,
    DispatchError,
    PortfolioTarget,
    Share,
    ShareState,
    SiteTarget,
)
from dercp.model.plan import token_of
from dercp.model.portfolio import Portfolio
from dercp.model.schedule import Block, Schedule
from dercp.wire import v1

Clock = trio.abc.Clock
SITE = SiteTarget("site-1")


@asynccontextmanager
async def three_agents(plant: Plant) -> AsyncIterator[list[Caller]]:
    """A site of three agents with one battery of 2 MW each, all of them measured."""
    async with (
        plant.agent("edge-1", assets=("bess-1",)) as one,
        plant.agent("edge-2", assets=("bess-2",)) as two,
        plant.agent("edge-3", assets=("bess-3",)) as three,
    ):
        agents = [one, two, three]
        for agent in agents:
            await agent.sample()
        await plant.settle()
        yield agents


async def shares(plant: Plant, dispatch: Dispatch) -> dict[str, Share]:
    """How a dispatch is shared now."""
    placement = (await plant.dispatch(dispatch.dispatch_id)).placement
    assert placement is not None
    return {share.id: share for share in placement.shares}


async def expect_asset(agent: Caller) -> v1.Dispatch:
    """The part that one agent gets."""
    order = await agent.expect_dispatch()
    assert order.asset_id is not None
    return order


# --- a site of one gateway


async def test_a_site_with_a_gateway_gets_the_dispatch_as_it_is(autojump_clock: Clock) -> None:
    """The gateway splits it; the headend takes over what it says of the shares."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as gateway:
        taken = await plant.submit(3.0, target=SITE)
        order = await gateway.expect_dispatch()
        assert (order.site_id, order.setpoint_mw) == ("site-1", 3.0)
        split = v1.Split(
            allocations=[
                v1.Allocation(asset_id="bess-1", setpoint_mw=2.0, limit="nameplate"),
                v1.Allocation(asset_id="bess-2", setpoint_mw=1.0),
            ],
            round=1,
        )
        await gateway.update(taken.dispatch_id, "acked", split=split)
        known = await shares(plant, taken)
        assert known["bess-1"].setpoint_mw == 2.0
        assert known["bess-1"].limit == "nameplate"
        assert await plant.story(taken.dispatch_id) == ["submitted", "sent", "acked"]
        plant.assert_unharmed()


async def test_a_gateway_that_comes_back_gets_what_waits_for_its_site(
    autojump_clock: Clock,
) -> None:
    """As an asset's dispatch does."""
    async with open_plant() as plant:
        async with plant.agent(assets=("bess-1", "bess-2")):
            pass
        taken = await plant.submit(1.0, target=SITE)
        assert await plant.story(taken.dispatch_id) == ["submitted"]
        async with plant.agent(assets=("bess-1", "bess-2")) as gateway:
            assert (await gateway.expect_dispatch()).dispatch_id == taken.dispatch_id
        assert await plant.story(taken.dispatch_id) == ["submitted", "sent", "submitted"]


# --- a site of several agents


async def test_several_agents_share_and_their_states_make_the_parents(
    autojump_clock: Clock,
) -> None:
    """Divided by weight, sent at once; it ends when all have ended, and never lies between."""
    async with open_plant() as plant, three_agents(plant) as agents:
        taken = await plant.submit(3.0, target=SITE)
        orders = [await expect_asset(agent) for agent in agents]
        assert [order.setpoint_mw for order in orders] == pytest.approx([1.0, 1.0, 1.0])
        assert (await plant.dispatch(taken.dispatch_id)).state == "sent"
        for agent, order in zip(agents, orders, strict=True):
            await agent.update(order.dispatch_id, "acked")
            await agent.update(order.dispatch_id, "applied", readback_mw=1.0)
        parent = await plant.dispatch(taken.dispatch_id)
        assert parent.state == "applied"
        assert parent.placement is not None
        assert parent.placement.placed_mw == pytest.approx(3.0)
        assert len(parent.children) == 3
        for agent, order in zip(agents, orders, strict=True):
            assert (await plant.dispatch(taken.dispatch_id)).state == "applied"
            await agent.update(order.dispatch_id, "completed")
        assert (await plant.dispatch(taken.dispatch_id)).state == "completed"
        plant.assert_unharmed()


async def test_an_offline_asset_takes_no_share_and_is_named(autojump_clock: Clock) -> None:
    """The others take its part as far as they can; the rest is told."""
    async with open_plant() as plant, three_agents(plant) as agents:
        await agents[2].wire.cut()
        await plant.settle()
        taken = await plant.submit(5.0, target=SITE)
        for agent in agents[:2]:
            assert (await expect_asset(agent)).setpoint_mw == pytest.approx(2.0)
        known = await shares(plant, taken)
        assert (known["bess-3"].state, known["bess-3"].reason) == (ShareState.EXCLUDED, "offline")
        placement = (await plant.dispatch(taken.dispatch_id)).placement
        assert placement is not None
        assert placement.unplaced_mw == pytest.approx(1.0)


async def test_a_shortfall_is_divided_anew_once(autojump_clock: Clock) -> None:
    """What one did not take, the others get; what fails then is told, not chased."""
    async with open_plant() as plant, three_agents(plant) as agents:
        taken = await plant.submit(3.0, target=SITE)
        orders = [await expect_asset(agent) for agent in agents]
        for agent, order in zip(agents[:2], orders[:2], strict=True):
            await agent.update(order.dispatch_id, "applied", readback_mw=1.0)
        await agents[2].update(orders[2].dispatch_id, "failed", reason="device_failed")
        again = [await expect_asset(agent) for agent in agents[:2]]
        assert [order.setpoint_mw for order in again] == pytest.approx([1.5, 1.5])
        await agents[0].update(orders[0].dispatch_id, "superseded")
        await agents[0].update(again[0].dispatch_id, "applied", readback_mw=1.5)
        # What it holds already it goes on with.
        await agents[1].update(again[1].dispatch_id, "rejected", reason="ramp")
        parent = await plant.dispatch(taken.dispatch_id)
        assert parent.placement is not None
        assert parent.placement.round == 2
        assert parent.placement.placed_mw == pytest.approx(2.5)
        assert len(parent.children) == 5
        await agents[0].update(again[0].dispatch_id, "completed")
        await agents[1].update(orders[1].dispatch_id, "completed")
        ended = await plant.dispatch(taken.dispatch_id)
        assert (ended.state, ended.timeline[-1].reason) == ("completed", "partial")
        plant.assert_unharmed()


async def test_a_site_of_which_nobody_is_there_is_refused_in_its_story(
    autojump_clock: Clock,
) -> None:
    """Rejected by the headend, with the reason; nothing was sent."""
    async with open_plant() as plant:
        async with three_agents(plant):
            pass
        taken = await plant.submit(3.0, target=SITE)
        assert (taken.state, taken.timeline[-1].reason) == ("rejected", "offline")


async def test_a_group_survives_the_headend(autojump_clock: Clock) -> None:
    """Its parts are in the ledger with it; what they come to is its end."""
    async with open_plant() as plant, three_agents(plant) as agents:
        taken = await plant.submit(3.0, target=SITE)
        orders = [await expect_asset(agent) for agent in agents]
        await agents[0].update(orders[0].dispatch_id, "rejected", reason="local_lockout")
        await plant.settle()
        disk = plant.disk
    async with open_plant(disk) as plant, three_agents(plant) as agents:
        for agent, order in zip(agents[1:], orders[1:], strict=True):
            assert (await expect_asset(agent)).dispatch_id == order.dispatch_id
            await agent.update(order.dispatch_id, "completed")
        ended = await plant.dispatch(taken.dispatch_id)
        assert (ended.state, ended.timeline[-1].reason) == ("completed", "partial")


async def test_a_group_ends_by_until_and_grace_whatever_is_heard(autojump_clock: Clock) -> None:
    """Each of its parts does."""
    async with open_plant() as plant, three_agents(plant) as agents:
        taken = await plant.submit(3.0, target=SITE, lasts_s=60.0)
        await expect_asset(agents[0])
        await trio.sleep(91)
        assert (await plant.dispatch(taken.dispatch_id)).state == "unknown"


# --- portfolios


async def test_a_portfolio_is_split_in_two_stages(autojump_clock: Clock) -> None:
    """Among its sites and assets, then among the assets of each site that has no gateway."""
    async with (
        open_plant() as plant,
        three_agents(plant) as agents,
        plant.agent("edge-9", "site-9", assets=("bess-8", "bess-9")) as gateway,
    ):
        await gateway.sample()
        await plant.settle()
        portfolio = Portfolio(portfolio_id="all", name="All", sites=("site-1", "site-9"))
        await plant.headend.portfolios.put(portfolio, 0)
        taken = await plant.submit(5.0, target=PortfolioTarget("all"))
        assert (await gateway.expect_dispatch()).setpoint_mw == pytest.approx(2.0)
        for agent in agents:
            assert (await expect_asset(agent)).setpoint_mw == pytest.approx(1.0)
        parent = await plant.dispatch(taken.dispatch_id)
        assert len(parent.children) == 2
        assert parent.state == "sent"


async def test_an_unknown_site_or_portfolio_is_refused(autojump_clock: Clock) -> None:
    """With its name in the sentence."""
    async with open_plant() as plant:
        for target in (SiteTarget("x-site"), PortfolioTarget("x-folio")):
            with pytest.raises(UnknownTarget, match="x-"):
                await plant.submit(target=target)


# --- ending early


async def test_cancelling_tells_the_edge_and_it_has_the_last_word(autojump_clock: Clock) -> None:
    """Withdrawn at once, cancelled when the edge says so."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit()
        await agent.expect_dispatch()
        await agent.update(taken.dispatch_id, "applied", readback_mw=1.0)
        await plant.settle()
        withdrawn = await plant.headend.desk.cancel(taken.dispatch_id, "test over")
        assert (withdrawn.state, withdrawn.withdrawn_as) == ("applied", "cancelled")
        wish = (await agent.expect("cancel_dispatch")).cancel_dispatch
        assert wish is not None
        assert wish.dispatch_id == taken.dispatch_id
        await agent.update(taken.dispatch_id, "cancelled")
        assert (await plant.dispatch(taken.dispatch_id)).state == "cancelled"
        again = await plant.headend.desk.cancel(taken.dispatch_id, "test over")
        assert again.state == "cancelled"


async def test_a_wish_that_could_not_be_told_is_told_when_the_agent_is_back(
    autojump_clock: Clock,
) -> None:
    """As long as the lease lives."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            taken = await plant.submit()
            await agent.expect_dispatch()
            await agent.update(taken.dispatch_id, "applied", readback_mw=1.0)
            await plant.settle()
        await plant.headend.desk.cancel(taken.dispatch_id, "")
        async with plant.agent() as agent:
            await agent.expect("cancel_dispatch")


async def test_what_never_left_is_cancelled_at_once(autojump_clock: Clock) -> None:
    """Nobody else needs to be asked."""
    async with open_plant() as plant:
        async with plant.agent():
            pass
        taken = await plant.submit()
        assert (await plant.headend.desk.cancel(taken.dispatch_id, "")).state == "cancelled"


async def test_cancelling_a_group_cancels_its_parts(autojump_clock: Clock) -> None:
    """Each edge is told; the group ends when they have."""
    async with open_plant() as plant, three_agents(plant) as agents:
        taken = await plant.submit(3.0, target=SITE)
        orders = [await expect_asset(agent) for agent in agents]
        await plant.headend.desk.cancel(taken.dispatch_id, "")
        for agent, order in zip(agents, orders, strict=True):
            await agent.expect("cancel_dispatch")
            await agent.update(order.dispatch_id, "cancelled")
        assert (await plant.dispatch(taken.dispatch_id)).state == "cancelled"


async def test_only_what_is_open_can_be_cancelled(autojump_clock: Clock) -> None:
    """One that ended otherwise, and one that never was, are told apart."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit()
        await agent.expect_dispatch()
        await agent.update(taken.dispatch_id, "completed")
        await plant.settle()
        with pytest.raises(DispatchEnded, match="completed"):
            await plant.headend.desk.cancel(taken.dispatch_id, "")
        with pytest.raises(UnknownDispatch):
            await plant.headend.desk.cancel("d-nobody-knows", "")


# --- previews


async def test_a_preview_shows_what_would_be_done_and_does_nothing(autojump_clock: Clock) -> None:
    """The dispatch with its token is the plan, unless the fleet has moved."""
    async with open_plant() as plant, three_agents(plant) as agents:
        plan = plant.headend.desk.preview(plant.request(3.0, target=SITE))
        assert [share.setpoint_mw for share in plan.split.allocations] == pytest.approx([1, 1, 1])
        assert plant.disk.dispatches == {}
        token = token_of(plan)
        taken = await plant.submit(3.0, target=SITE, plan_token=token)
        assert taken.state == "sent"
        await agents[0].wire.cut()
        await plant.settle()
        with pytest.raises(FleetMoved) as moved:
            await plant.submit(3.0, target=SITE, plan_token=token)
        assert [each.id for each in moved.value.differences] == ["bess-1", "bess-2", "bess-3"]


# --- schedules


def blocks(plant: Plant, *powers_mw: float) -> tuple[Block, ...]:
    """Blocks of a quarter of an hour, the first in an hour."""
    begin_us, quarter_us = plant.clock() + 3_600_000_000, 900_000_000
    return tuple(
        Block(begin_us + index * quarter_us, begin_us + (index + 1) * quarter_us, power_mw)
        for index, power_mw in enumerate(powers_mw)
    )


async def test_a_schedule_is_handed_over_ahead_and_can_be_ended(autojump_clock: Clock) -> None:
    """All its blocks in one commit, each a lease of its own; the same key gives the same one."""
    async with open_plant() as plant, plant.agent() as agent:
        schedule = Schedule(
            schedule_id="",
            target=plant.request().target,
            blocks=blocks(plant, 1.0, -1.0, 0.5),
            deliver_by_us=plant.clock() + 30_000_000,
        )
        desk = plant.headend.desk
        first = await desk.submit_schedule(schedule, key="s", fingerprint="f")
        orders = [await agent.expect_dispatch() for _ in range(3)]
        assert [order.setpoint_mw for order in orders] == [1.0, -1.0, 0.5]
        assert {order.schedule_id for order in orders} == {first.request.schedule_id}
        again = await desk.submit_schedule(schedule, key="s", fingerprint="f")
        assert again.dispatch_id == first.dispatch_id
        await desk.cancel_schedule(first.request.schedule_id, "")
        for _ in range(3):
            await agent.expect("cancel_dispatch")


async def test_a_schedule_with_a_bad_block_is_refused_whole(autojump_clock: Clock) -> None:
    """With a pointer to the block; nothing is kept of it."""
    async with open_plant() as plant, plant.agent():
        schedule = Schedule(
            schedule_id="",
            target=plant.request().target,
            blocks=blocks(plant, 1.0, 99.0),
            deliver_by_us=plant.clock() + 30_000_000,
        )
        with pytest.raises(DispatchError) as refused:
            await plant.headend.desk.submit_schedule(schedule, key="s", fingerprint="f")
        assert refused.value.pointer == "/blocks/1/setpoint_mw"
        assert plant.disk.dispatches == {}
