"""What a follower of the headend is told, and what it costs when there is none."""

import trio
from headend_plant import Plant, battery, open_plant

from dercp.headend.agents.facts import SessionFacts
from dercp.headend.dispatching.book import DispatchBook
from dercp.headend.fleet import feed as feed_module
from dercp.headend.fleet.changes import AgentChanged, AssetChange, DispatchChanged
from dercp.headend.fleet.feed import ChangeFeed
from dercp.headend.fleet.roster import Roster
from dercp.headend.views import AgentStatus
from dercp.model.asset import Registration

ChangesByAsset = dict[str, tuple[AssetChange, ...]]


def changes(plant: Plant) -> ChangesByAsset:
    """What has become of assets since the last look."""
    return {each.asset.spec.asset_id: each.changes for each in plant.headend.feed.look().assets}


def sampled(plant: Plant) -> list[str]:
    """Who has news since the last look."""
    return [subject.asset_id for subject in plant.headend.feed.look().sampled]


async def test_only_what_is_new_is_seen(autojump_clock: trio.testing.MockClock) -> None:
    """A look tells the assets with a new sample, once; ages count on by Trio's clock."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
        plant.headend.feed.look()
        assert sampled(plant) == []
        await agent.sample(1.5)
        await plant.settle()
        assert sampled(plant) == ["bess-1", "bess-2"]
        assert sampled(plant) == []
        await trio.sleep(0.5)
        plant.headend.feed.look()
        sample = plant.headend.feed.sample("bess-1")
        telemetry = plant.headend.reader.telemetry("bess-1")
        assert sample is not None
        assert telemetry is not None
        assert list(sample.values) == [point.value for point in telemetry.points]
        assert sample.layout.points == ("active_power_mw", "soc_pct")
        assert sample.layout.units == ("MW", "%")
        assert sample.age_s == telemetry.age_s
        assert sample.source_time_us == telemetry.source_time_us


async def test_a_doubtful_value_is_told_with_its_reasons(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As the reader judges it."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample(1.0, soc_pct=float("nan"))
        await plant.settle()
        plant.headend.feed.look()
        sample = plant.headend.feed.sample("bess-1")
        assert sample is not None
        assert list(sample.values) == [1.0, None]
        assert [reading.point for reading in sample.doubtful] == ["soc_pct"]


async def test_staleness_and_links_are_changes(autojump_clock: trio.testing.MockClock) -> None:
    """An asset is registered, comes, goes stale, recovers, and goes; each is told once."""
    async with open_plant() as plant:
        feed = plant.headend.feed
        feed.look()
        async with plant.agent() as agent:
            assert changes(plant) == {"bess-1": (AssetChange.REGISTERED,)}
            await agent.sample()
            await plant.settle()
            assert changes(plant) == {"bess-1": (AssetChange.FRESH,)}
            await trio.sleep(2.9)
            assert changes(plant) == {}
            await trio.sleep(0.2)
            look = feed.look()
            assert [each.changes for each in look.assets] == [(AssetChange.STALE,)]
            # Its row says so too.
            assert [subject.asset_id for subject in look.sampled] == ["bess-1"]
            assert changes(plant) == {}
            await agent.sample()
            await plant.settle()
            assert changes(plant) == {"bess-1": (AssetChange.FRESH,)}
        await plant.settle()
        assert changes(plant) == {"bess-1": (AssetChange.OFFLINE, AssetChange.STALE)}


async def test_an_asset_that_is_registered_no_longer_is_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A follower can take it off its screen."""
    async with open_plant() as plant:
        async with plant.agent(assets=("bess-1", "bess-2")):
            plant.headend.feed.look()
        async with plant.agent(assets=("bess-1",)):
            assert changes(plant)["bess-2"] == (AssetChange.REMOVED,)
            assert plant.headend.feed.sample("bess-2") is None


async def test_facts_are_told_in_their_order(autojump_clock: trio.testing.MockClock) -> None:
    """A session comes, a dispatch is taken and sent, the session goes."""
    woken = []
    async with open_plant() as plant:
        feed = plant.headend.feed
        feed.follow(lambda: woken.append(trio.current_time()))
        async with plant.agent() as agent:
            dispatch = await plant.submit()
            await agent.expect_dispatch()
            await agent.update(dispatch.dispatch_id, "acked")
            await plant.settle()
            assert [each.dispatch.dispatch_id for each in feed.open_dispatches()] == ["d-1"]
        await plant.settle()
        facts = feed.take_news().facts
        agents = [each for each in facts if isinstance(each, AgentChanged)]
        dispatches = [each for each in facts if isinstance(each, DispatchChanged)]
        assert [each.status for each in agents] == [
            AgentStatus.CONNECTED,
            AgentStatus.DISCONNECTED,
        ]
        assert agents[1].session is not None
        assert agents[1].session.reason is not None
        assert {subject.asset_id for subject in agents[0].subjects} == {"bess-1"}
        states = [each.dispatch.state.value for each in dispatches]
        assert states[:2] == ["sent", "acked"]
        # What is told is durable.
        assert dispatches[-1].dispatch == plant.disk.dispatches["d-1"]
        assert dispatches[0].subject.site_id == "site-1"
        assert len(woken) == len(facts)
        assert feed.take_news().facts == ()


async def test_facts_nobody_takes_are_bounded() -> None:
    """All of them are left out beyond the bound, and how many is told."""
    roster = Roster(sessions_remembered_max=1)
    feed = ChangeFeed(roster, DispatchBook(ended_max=1, grace_s=1.0), lambda: 0)
    registration = Registration(site_id="s", site_name="S", assets=(battery("b"),))
    agent, _ = roster.enter("edge", registration)
    for _ in range(feed_module.FACTS_WAITING_MAX + 3):
        feed.tell_agent(agent, SessionFacts("peer", 0))
    news = feed.take_news()
    assert news.lost == feed_module.FACTS_WAITING_MAX
    assert len(news.facts) == 3
