"""What the operator of the headend sees: readiness, totals, the tree."""

import trio
from headend_plant import open_plant
from memory_store import MemoryDisk

Clock = trio.abc.Clock


async def test_a_headend_that_listens_is_ready(autojump_clock: Clock) -> None:
    """And says how many of what there are."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")):
        system = plant.headend.operations.system()
        assert system.ready
        assert (system.assets, system.assets_online, system.agents_connected) == (2, 2, 1)


async def test_the_tree_shows_every_part(autojump_clock: Clock) -> None:
    """Desk, fleet, site, asset, session, listener."""
    async with open_plant() as plant, plant.agent():
        paths = set(plant.headend.system.registry)
        assert {
            "headend/desk",
            "headend/core/fleet",
            "headend/core/fleet/sites/site-1",
            "headend/core/fleet/sites/site-1/assets/bess-1",
            "headend/core/sessions/session-1",
            "headend/core/listener",
        } <= paths
        assert plant.headend.operations.tree().path == "headend"


async def test_totals_never_go_back_when_a_session_ends(autojump_clock: Clock) -> None:
    """A running session counts itself; its counts stay when it is gone."""
    async with open_plant() as plant:
        seen: list[float] = []
        for _ in range(3):
            async with plant.agent() as agent:
                for _ in range(5):
                    await agent.sample()
                    await plant.settle()
                    seen.append(plant.count("samples"))
                await agent.wire.cut()
                await plant.settle()
                seen.append(plant.count("samples"))
        assert seen == sorted(seen)
        assert seen[-1] == 15
        assert plant.count("frames") == 15
        assert plant.count("sessions") == 3
        assert plant.count("sessions_ended_link_lost") == 3


async def test_the_listeners_totals_survive_its_restart(autojump_clock: Clock) -> None:
    """A new link server counts on."""
    async with open_plant() as plant:
        async with plant.agent():
            pass
        await plant.settle()
        assert plant.count("link_calls_accepted") == 1
        plant.door.close()
        assert plant.count("link_calls_accepted") == 1
        assert plant.headend.operations.system().not_ready_because == (
            "the gRPC listener is not up"
        )


async def test_a_full_disk_is_a_reason_not_to_be_ready(autojump_clock: Clock) -> None:
    """As soon as a dispatch could not be written."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        taken = await plant.submit()
        disk.full = True
        await agent.update(taken.dispatch_id, "acked")
        await plant.settle()
        assert "no space left" in plant.headend.operations.system().not_ready_because
        disk.full = False
        await trio.sleep(1.5)
        assert plant.headend.operations.system().ready
