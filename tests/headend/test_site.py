"""Sites and assets: links follow the newest session, and outlive crashes."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from headend_plant import Plant, open_plant

from actors import Crashed, Escalated
from dercp.headend.fleet.asset import AssetActor
from dercp.headend.fleet.fleet import FleetActor
from dercp.headend.fleet.site import SiteActor
from dercp.headend.fleet.twin import Link, Twin
from dercp.headend.messages import Attached, Deliver, Detached, SessionDown, SessionUp

Clock = trio.abc.Clock


class Broken(Exception):
    """What a test lets an actor die of."""


def twin_of(plant: Plant, asset_id: str = "bess-1") -> Twin:
    """The twin itself, as the actors see it."""
    return plant.headend._roster.twins[asset_id]


class Fault:
    """Lets actors of a class crash on messages of one kind, once or ever again."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, actor: type[AssetActor | SiteActor]
    ) -> None:
        self._kind: type[object] | None = None
        self._times = 0
        whole: Callable[..., Awaitable[None]] = actor.handle

        async def handle(actor: AssetActor | SiteActor, message: object) -> None:
            if self._kind is not None and isinstance(message, self._kind) and self._times:
                self._times -= 1
                raise Broken
            await whole(actor, message)

        monkeypatch.setattr(actor, "handle", handle)

    def arm(self, kind: type[object], *, times: int = 1) -> None:
        """The next messages of this kind are too much."""
        self._kind, self._times = kind, times


async def test_the_late_end_of_an_older_session_takes_nothing(autojump_clock: Clock) -> None:
    """Detached names the link it means: another one stays, whatever its epoch."""
    async with open_plant() as plant, plant.agent():
        twin = twin_of(plant)
        link = twin.link
        assert link is not None
        assert twin.ref is not None
        for other in (
            Link(link.session, "edge-9", 99),
            Link(link.session, link.agent_id, link.epoch - 1),
        ):
            await twin.ref.tell(Detached(link=other))
            await plant.settle()
            assert twin.link == link
        await twin.ref.tell(Detached(link=link))
        await plant.settle()
        assert twin.link is None


async def test_a_crashed_asset_keeps_its_link_and_delivers_anew(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatch in its hand is taken back and goes out again; telemetry never stops."""
    fault = Fault(monkeypatch, AssetActor)
    async with open_plant() as plant, plant.agent() as agent:
        fault.arm(Deliver)
        taken = await plant.submit()
        await agent.sample(0.5)
        await plant.settle()
        assert len(plant.events.of(Crashed)) == 1
        assert plant.power_mw("bess-1") == 0.5
        assert twin_of(plant).link is not None
        assert (await agent.expect_dispatch()).dispatch_id == taken.dispatch_id
        assert (await plant.story(taken.dispatch_id)) == ["submitted", "sent", "submitted", "sent"]


async def test_a_site_that_dies_of_a_new_link_has_it_when_it_is_back(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes up the links as the fleet knows them; dispatches find their way."""
    fault = Fault(monkeypatch, SiteActor)
    assets = ("bess-1", "bess-2")
    async with open_plant() as plant, plant.agent(assets=assets) as older:
        taken = await plant.submit()
        await older.expect_dispatch()
        fault.arm(SessionUp)
        async with plant.agent(assets=assets) as newer:
            assert (await newer.expect_dispatch()).dispatch_id == taken.dispatch_id
            links = [twin_of(plant, asset_id).link for asset_id in assets]
            assert [link.epoch for link in links if link is not None] == [2, 2]
            await newer.sample(0.5)
            await plant.settle()
            assert plant.power_mw("bess-2") == 0.5
        assert len(plant.events.of(Crashed)) == 1


async def test_a_site_that_dies_of_a_lost_link_has_none_when_it_is_back(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is shown as online that is not; what was out is taken back."""
    fault = Fault(monkeypatch, SiteActor)
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
        taken = await plant.submit()
        await agent.expect_dispatch()
        fault.arm(SessionDown)
        await agent.wire.cut()
        await trio.sleep(1)
        assert [asset.online for asset in plant.headend.reader.assets()] == [False, False]
        assert (await plant.dispatch(taken.dispatch_id)).state == "submitted"
        assert len(plant.events.of(Crashed)) == 1


async def test_a_crashed_fleet_has_everybody_come_again(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions end, the listener is back within seconds, epochs and dispatches go on."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            taken = await plant.submit()
            await agent.expect_dispatch()
            with monkeypatch.context() as patch:

                async def admit(self: FleetActor, message: object) -> None:
                    raise Broken

                patch.setattr(FleetActor, "_admit", admit)
                async with plant.caller("edge-2", agent.registration) as caller:
                    await caller.say_hello()
                    await plant.settle()
                assert not plant.headend.operations.system().ready
            await trio.sleep(15)
        assert plant.headend.operations.system().ready
        assert plant.sessions() == 0
        async with plant.agent() as agent:
            assert agent.welcome is not None
            assert agent.welcome.epoch == 2
            assert (await agent.expect_dispatch()).dispatch_id == taken.dispatch_id
            await agent.sample(0.5)
            await plant.settle()
            assert plant.power_mw("bess-1") == 0.5
            view = plant.headend.reader.agent("edge-1")
            assert view is not None
            assert [each.epoch for each in view.recent_sessions] == [1]
        assert len(plant.events.of(Crashed)) == 1
        assert plant.events.of(Escalated) == []


async def test_many_crashing_assets_do_not_take_their_site_with_them(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that hits a hundred assets of a site at once is still theirs alone."""
    ids = [f"bess-{i}" for i in range(100)]
    fault = Fault(monkeypatch, AssetActor)
    async with open_plant() as plant, plant.agent(assets=ids) as agent:
        fault.arm(Attached, times=100)
        async with plant.caller("edge-1", agent.registration) as caller:
            await caller.say_hello()
            await plant.settle()
        assert len(plant.events.of(Crashed)) == 100
        assert plant.events.of(Escalated) == []
        assert "headend/core/fleet/sites/site-1" in plant.headend.system.registry
