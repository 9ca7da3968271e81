"""Dispatches that begin at the site: how the headend learns of them, and what it may do."""

from collections.abc import AsyncIterator

import pytest
from headend_plant import Plant, open_plant

from dercp.headend.errors import DispatchEnded
from dercp.model.dispatch import Authority, DispatchError, DispatchState
from dercp.wire import v1


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    """A headend."""
    async with open_plant() as plant:
        yield plant


def asked(plant: Plant, **fields: object) -> v1.LocalDispatch:
    """What somebody wants at the site."""
    now_us = plant.clock()
    local = v1.LocalDispatch(
        setpoint_mw=-0.5,
        start_us=now_us,
        until_us=now_us + 900_000_000,
        authority=v1.Authority.LOCAL_OPERATOR,
        requested_by="opcua:anna",
    )
    target = fields or {"asset_id": "bess-1"}
    for name, value in target.items():
        setattr(local, name, value)
    return local


async def test_the_first_update_tells_of_the_dispatch(plant: Plant) -> None:
    """It is in the ledger with who asked, by which authority, and it holds the asset."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        await agent.update("local-1", "APPLIED", local=asked(plant), readback_mw=-0.5)
        await plant.settle()
        dispatch = await plant.dispatch("local-1")
        assert dispatch.request.authority is Authority.LOCAL_OPERATOR
        assert dispatch.request.requested_by == "opcua:anna"
        assert await plant.story("local-1") == ["sent", "applied"]
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        control = asset.control
        assert control is not None
        assert (control.authority, control.setpoint_mw) == (Authority.LOCAL_OPERATOR, -0.5)


async def test_a_repeated_update_makes_no_second_dispatch(plant: Plant) -> None:
    """The edge says it again with each session."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        for state in ("ACKED", "ACKED", "APPLIED", "COMPLETED", "COMPLETED"):
            await agent.update("local-1", state, local=asked(plant))
        await plant.settle()
        assert await plant.story("local-1") == ["sent", "acked", "applied", "completed"]


async def test_one_that_is_long_over_is_heard_of_all_the_same(plant: Plant) -> None:
    """An edge tells of what happened while nobody listened."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        local = asked(plant)
        local.start_us -= 7_200_000_000
        local.until_us -= 7_200_000_000
        await agent.update("local-1", "COMPLETED", local=local)
        await plant.settle()
        assert (await plant.dispatch("local-1")).state is DispatchState.COMPLETED


async def test_an_agent_speaks_for_its_own_site_only(plant: Plant) -> None:
    """Neither for an asset of somebody else nor for one that nobody has."""
    async with (
        plant.agent("edge-1", "mill-lane"),
        plant.agent("edge-2", "hill-top", assets=["bess-9"]) as stranger,
    ):
        await stranger.update("local-1", "APPLIED", local=asked(plant))
        await stranger.update("local-2", "APPLIED", local=asked(plant, asset_id="nobody"))
        await stranger.update("local-3", "APPLIED", local=asked(plant, site_id="mill-lane"))
        await plant.settle()
        assert plant.count("dispatch_updates_refused") == 3
        assert not plant.disk.dispatches


async def test_a_lease_without_an_end_is_not_believed(plant: Plant) -> None:
    """It would be open for ever."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        local = asked(plant)
        local.until_us += 1_000_000_000_000_000
        await agent.update("local-1", "APPLIED", local=local)
        await plant.settle()
        assert plant.count("dispatch_updates_refused") == 1


async def test_the_headend_cannot_end_what_the_site_has_begun(plant: Plant) -> None:
    """The word of the site counts for more."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        await agent.update("local-1", "APPLIED", local=asked(plant))
        await plant.settle()
        with pytest.raises(DispatchError, match="opcua:anna"):
            await plant.headend.desk.cancel("local-1", detail="stop")
        await agent.update("local-1", "COMPLETED", local=asked(plant))
        await plant.settle()
        with pytest.raises(DispatchEnded):
            await plant.headend.desk.cancel("local-1", detail="stop")


async def test_it_survives_the_session(plant: Plant) -> None:
    """When the link is cut, it is not taken back and never sent."""
    async with plant.agent("edge-1", "mill-lane") as agent:
        await agent.update("local-1", "ACKED", local=asked(plant))
        await plant.settle()
    await plant.settle()
    assert await plant.story("local-1") == ["sent", "acked"]
