"""Who is who: records of sessions, ownership, takeovers, restarts."""

from contextlib import AsyncExitStack

import pytest
import trio
from headend_plant import Caller, Plant, battery, open_plant, site_of
from memory_store import MemoryDisk
from msgspec.structs import replace

from dercp.headend.views import AgentStatus, AgentView
from dercp.model.asset import RegistrationLimits
from dercp.wire.v1 import RejectCode

Clock = trio.abc.Clock


def view(plant: Plant, agent_id: str = "edge-1") -> AgentView:
    """The agent as the API shows it."""
    agent = plant.headend.reader.agent(agent_id)
    assert agent is not None
    return agent


def online(plant: Plant) -> dict[str, bool]:
    """Which assets there are, and which of them have a session."""
    return {asset.spec.asset_id: asset.online for asset in plant.headend.reader.assets()}


# --- records of sessions


async def test_a_session_is_shown_with_its_counts(autojump_clock: Clock) -> None:
    """Peer, times, frames, samples, rejects; and where the agent belongs."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
        await trio.sleep(1)
        await agent.sample()
        await agent.call.send(b"\xff")
        await agent.expect_reject(RejectCode.MALFORMED)
        shown = view(plant)
        assert (shown.site_id, shown.site_name) == ("site-1", "Site site-1")
        assert shown.status is AgentStatus.CONNECTED
        assert shown.software_version == "paper 1"
        assert shown.asset_ids == ("bess-1", "bess-2")
        session = shown.session
        assert session is not None
        assert (session.frames, session.samples, session.rejects) == (1, 2, 1)
        assert session.peer == "stream"
        assert session.disconnected_us is None


async def test_an_ended_session_is_remembered_and_stored(autojump_clock: Clock) -> None:
    """When it ended, why, and what came through it."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample()
        await trio.sleep(5)
        await agent.wire.cut()
        await plant.settle()
        shown = view(plant)
        assert shown.status is AgentStatus.DISCONNECTED
        assert shown.clock_offset_s is None
        (session,) = shown.recent_sessions
        assert (session.reason, session.samples) == ("link_lost", 1)
        assert session.disconnected_us == session.connected_us + 5_000_000
        stored = plant.disk.sessions["edge-1:1"]
        assert (stored.reason, stored.samples) == ("link_lost", 1)
        assert stored.disconnected_us == session.disconnected_us


async def test_the_clock_offset_of_an_agent_is_shown(autojump_clock: Clock) -> None:
    """From its Hello and heartbeats; a time not stated says nothing."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await caller.hello(time_us=plant.clock() - 3_000_000)
        assert view(plant).clock_offset_s == pytest.approx(-3)
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await caller.hello(time_us=0)
        assert view(plant).clock_offset_s == 0


async def test_recent_sessions_are_bounded_and_flapping_is_counted(
    autojump_clock: Clock,
) -> None:
    """The newest twenty, newest first; flaps are those of the last five minutes."""
    async with open_plant() as plant:
        for number in range(25):
            async with plant.agent() as agent:
                await trio.sleep(20)
                assert agent.welcome is not None
                assert agent.welcome.epoch == number + 1
        await plant.settle()
        shown = view(plant)
        assert [session.epoch for session in shown.recent_sessions] == [*range(25, 5, -1)]
        assert shown.flaps == 14
        assert len(await plant.headend.reader.recent_sessions("edge-1", 3)) == 3
        await trio.sleep(300)
        assert view(plant).flaps == 0


async def test_a_restarted_headend_knows_its_fleet(autojump_clock: Clock) -> None:
    """Sites, assets and sessions come back; nothing is online; epochs go on."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent(assets=("bess-1", "bess-2")):
        before = plant.headend.reader.asset("bess-1")
        assert before is not None
    async with open_plant(disk) as plant:
        assert online(plant) == {"bess-1": False, "bess-2": False}
        after = plant.headend.reader.asset("bess-1")
        assert after is not None
        assert after.spec == before.spec
        assert [each.reason for each in view(plant).recent_sessions] == ["link_lost"]
        (site,) = plant.headend.reader.sites()
        assert (site.name, site.asset_ids) == ("Site site-1", ("bess-1", "bess-2"))
        async with plant.agent() as agent:
            assert agent.welcome is not None
            assert agent.welcome.epoch == 2


async def test_a_killed_headend_finds_its_sessions_open_and_ends_them(
    autojump_clock: Clock,
) -> None:
    """Their reason says so."""
    disk = MemoryDisk()
    with trio.CancelScope() as kill:
        async with open_plant(disk) as plant, plant.agent():
            kill.cancel()
            await trio.lowlevel.checkpoint()
    disk.sessions["edge-1:1"] = replace(
        disk.sessions["edge-1:1"], disconnected_us=None, reason=None
    )
    async with open_plant(disk) as plant:
        assert [each.reason for each in view(plant).recent_sessions] == ["headend_restarted"]


async def test_a_registration_that_is_too_much_by_now_is_left_out(autojump_clock: Clock) -> None:
    """The limits were narrowed: the headend starts, and the agent may register anew."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent(assets=("bess-1", "bess-2")):
        pass
    async with open_plant(disk, registration=RegistrationLimits(assets_max=1)) as plant:
        assert online(plant) == {}
        assert view(plant).asset_ids == ()
        async with plant.agent() as agent:
            assert agent.welcome is not None
            assert agent.welcome.epoch == 2
            assert online(plant) == {"bess-1": True}
        plant.assert_unharmed()


# --- ownership


@pytest.mark.parametrize(
    ("agent_id", "site_id", "asset_ids", "because"),
    [
        ("edge-2", "site-2", ("bess-1",), "asset bess-1 belongs to site site-1, not site-2"),
        ("edge-2", "site-1", ("bess-1",), "asset bess-1 is spoken for by agent edge-1"),
        ("edge-1", "site-2", ("bess-9",), "agent edge-1 belongs to site site-1, not site-2"),
    ],
    ids=["another site", "another agent", "moved agent"],
)
async def test_what_belongs_to_another_is_refused(
    autojump_clock: Clock, agent_id: str, site_id: str, asset_ids: tuple[str, ...], because: str
) -> None:
    """NOT_YOURS says whose it is; the owner's session does not feel it."""
    async with (
        open_plant() as plant,
        plant.agent() as owner,
        plant.caller(agent_id, site_of(site_id, *asset_ids)) as thief,
    ):
        await thief.say_hello()
        reject = await thief.expect_reject(RejectCode.NOT_YOURS)
        assert because in reject.detail
        await thief.expect_end()
        await owner.sample(0.5)
        await plant.settle()
        assert plant.power_mw("bess-1") == 0.5
        assert plant.sessions() == 1
        plant.assert_unharmed()


@pytest.mark.parametrize(("old", "new"), [("edge-1", "edge-2"), ("edge-2", "edge-1")])
async def test_a_replaced_gateway_takes_over_its_assets(
    autojump_clock: Clock, old: str, new: str
) -> None:
    """While the old one is away; a restart does not give them back."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant:
        async with plant.agent(old, assets=("bess-1", "bess-2")) as gateway:
            await gateway.sample(0.25)
            await plant.settle()
        async with plant.agent(new) as gateway:
            assert view(plant, new).asset_ids == ("bess-1",)
            assert view(plant, old).asset_ids == ("bess-2",)
            await trio.sleep(0.1)
            await gateway.sample(0.5)
            await plant.settle()
            assert plant.power_mw("bess-1") == 0.5
            assert online(plant) == {"bess-1": True, "bess-2": False}
        plant.assert_unharmed()
    async with open_plant(disk) as plant:
        assert view(plant, new).asset_ids == ("bess-1",)
        assert view(plant, old).asset_ids == ("bess-2",)
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.agent_id == new


async def test_an_asset_that_is_registered_no_longer_is_gone(autojump_clock: Clock) -> None:
    """Its actor stops, nobody reads it any more; another site may have it now."""
    async with open_plant() as plant:
        async with plant.agent(assets=("bess-1", "bess-2")):
            assert "headend/core/fleet/sites/site-1/assets/bess-2" in plant.headend.system.registry
        async with plant.agent():
            assert online(plant) == {"bess-1": True}
            assert plant.headend.reader.telemetry("bess-2") is None
            registry = plant.headend.system.registry
            assert "headend/core/fleet/sites/site-1/assets/bess-2" not in registry
            async with plant.agent("edge-2", "site-2", assets=("bess-2",)):
                assert online(plant) == {"bess-1": True, "bess-2": True}
        plant.assert_unharmed()


async def test_a_changed_registration_shows_at_once(autojump_clock: Clock) -> None:
    """A new nameplate and other points; rows of the old kind are still read as what they were."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            await agent.sample(0.25)
            await plant.settle()
        asset = battery("bess-1", p_max_mw=5.0, points=("active_power_mw",))
        changed = replace(site_of("site-1"), assets=(asset,))
        async with plant.caller("edge-1", changed) as caller:
            await caller.hello()
            shown = plant.headend.reader.asset("bess-1")
            assert shown is not None
            assert shown.spec.p_max_mw == 5.0
            assert plant.power_mw("bess-1") == 0.25


# --- many at once


async def test_many_agents_are_admitted_together(autojump_clock: Clock) -> None:
    """Each write takes 10 ms, yet 200 agents of two writes each are in within a second."""
    async with open_plant() as plant, AsyncExitStack() as stack:
        plant.disk.write_takes_s = 0.01
        callers: list[Caller] = [
            await stack.enter_async_context(
                plant.caller(f"edge-{i}", site_of(f"site-{i}", f"bess-{i}"))
            )
            for i in range(200)
        ]
        async with trio.open_nursery() as nursery:
            for caller in callers:
                nursery.start_soon(caller.hello)
        assert trio.current_time() < 1
        await plant.settle()
        assert set(online(plant).values()) == {True}
        plant.assert_unharmed()


async def test_of_two_agents_that_claim_one_new_asset_at_once_one_gets_it(
    autojump_clock: Clock,
) -> None:
    """They are not admitted at the same time, however slow the store is."""
    async with (
        open_plant() as plant,
        plant.caller("edge-1", site_of("site-1", "bess-1")) as one,
        plant.caller("edge-2", site_of("site-1", "bess-1")) as other,
    ):
        plant.disk.write_takes_s = 0.5
        await one.say_hello()
        await other.say_hello()
        kinds = {str(await caller.hear())[:20] for caller in (one, other)}
        assert len(kinds) == 2
        await plant.settle()
        assert sum(agent.session is not None for agent in plant.headend.reader.agents()) == 1
        plant.assert_unharmed()


async def test_sessions_of_one_agent_come_and_go_in_order(autojump_clock: Clock) -> None:
    """Ten sessions at once on a slow store: the newest epoch is the one that stays."""
    async with open_plant() as plant, AsyncExitStack() as stack:
        plant.disk.write_takes_s = 0.05
        callers = [
            await stack.enter_async_context(plant.caller("edge-1", site_of("site-1", "bess-1")))
            for _ in range(10)
        ]
        for caller in callers:
            await caller.say_hello()
        await trio.sleep(20)
        shown = view(plant)
        assert shown.session is not None
        assert shown.session.epoch == 10
        assert sorted(each.epoch for each in shown.recent_sessions) == [*range(1, 10)]
        assert {each.reason for each in shown.recent_sessions} == {"superseded"}
        assert online(plant) == {"bess-1": True}
        plant.assert_unharmed()


async def test_an_end_that_cannot_be_written_harms_nothing(autojump_clock: Clock) -> None:
    """It stays open in the log and is closed there at the next start."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant:
        async with plant.agent():
            disk.full = True
        await plant.settle()
        assert online(plant) == {"bess-1": False}
        plant.assert_unharmed()
        disk.full = False
    assert disk.sessions["edge-1:1"].disconnected_us is None
    async with open_plant(disk) as plant:
        assert [each.reason for each in view(plant).recent_sessions] == ["headend_restarted"]
