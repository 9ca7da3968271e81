"""What the API reads: ages, staleness, sums. Nothing waits, nothing is invented."""

import pytest
import trio
from headend_plant import START_US, open_plant, site_of

from dercp.model.quality import Quality, Reason
from dercp.wire import v1
from dercp.wire.payload import DeclaredQuality, RowDraft

Clock = trio.abc.Clock


async def test_before_the_first_sample_everything_is_unknown(autojump_clock: Clock) -> None:
    """Online, but stale; no time, no age, no value; not zero."""
    async with open_plant() as plant, plant.agent():
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert (asset.online, asset.stale, asset.age_s) == (True, True, None)
        telemetry = plant.headend.reader.telemetry("bess-1")
        assert telemetry is not None
        assert telemetry.source_time_us is None
        assert telemetry.points == ()
        site = plant.headend.reader.site("site-1")
        assert site is not None
        assert site.aggregate.active_power_mw is None
        assert site.aggregate.coverage_pct == 0


async def test_unknown_ids_give_none(autojump_clock: Clock) -> None:
    """Not an error: the API makes a 404 of it."""
    async with open_plant() as plant:
        reader = plant.headend.reader
        for look_up in (reader.asset, reader.telemetry, reader.site, reader.agent):
            assert look_up("x") is None
        assert await reader.recent_sessions("x", 10) == ()
        assert (reader.assets(), reader.sites(), reader.agents()) == ([], [], [])


async def test_a_sample_is_stale_after_three_intervals(autojump_clock: Clock) -> None:
    """Counted on by the monotonic clock, whatever happens to the wall clock."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample()
        await trio.sleep(2.9)
        plant.clock.set_by_us = 3_600_000_000
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert not asset.stale
        await trio.sleep(0.1)
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.stale
        assert asset.age_s == pytest.approx(3)


async def test_a_sample_that_was_old_when_it_came_says_so(autojump_clock: Clock) -> None:
    """Its age begins at its source time."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.rows(RowDraft(0, START_US - 60_000_000, [1.0, 50.0]))
        await plant.settle()
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.age_s == pytest.approx(60)
        assert asset.stale


async def test_an_agent_whose_clock_is_behind_has_fresh_samples(autojump_clock: Clock) -> None:
    """The offset it declared is taken off the age."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1", "bess-1")) as agent:
        behind_us = START_US - 60_000_000
        await agent.hello(time_us=behind_us)
        await agent.rows(RowDraft(0, behind_us, [1.0, 50.0]))
        await plant.settle()
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.age_s == pytest.approx(0, abs=0.01)
        assert not asset.stale


async def test_what_the_edge_doubts_is_doubtful(autojump_clock: Clock) -> None:
    """A declared quality reaches the reader, value and reasons."""
    async with open_plant() as plant, plant.agent() as agent:
        doubts = [
            DeclaredQuality(0, Quality.UNCERTAIN, Reason.SUBSTITUTED),
            DeclaredQuality(1, Quality.BAD, Reason.DEVICE_COMMS_LOST),
        ]
        await agent.rows(RowDraft(0, START_US, [1.0, 50.0], doubts))
        await plant.settle()
        telemetry = plant.headend.reader.telemetry("bess-1")
        assert telemetry is not None
        power, soc = telemetry.points
        assert (power.name, power.value, power.unit) == ("active_power_mw", 1.0, "MW")
        assert (power.quality, power.reasons) == (Quality.UNCERTAIN, Reason.SUBSTITUTED)
        assert (soc.value, soc.reasons) == (None, Reason.DEVICE_COMMS_LOST)


async def test_a_suspect_clock_from_the_backlog_shows_nothing(autojump_clock: Clock) -> None:
    """It could be from any time: history only."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.rows(RowDraft(0, 1_000_000, [1.0, 50.0]), lane=v1.Lane.BACKLOG)
        await plant.settle()
        assert plant.power_mw("bess-1") is None
        assert plant.count("late_samples") == 1


async def test_a_site_sums_what_reports_and_says_how_much_that_is(autojump_clock: Clock) -> None:
    """A stale asset is left out of the sum and of the coverage, never counted as zero."""
    async with (
        open_plant() as plant,
        plant.agent(assets=("bess-1", "bess-2")) as agent,
    ):
        await agent.sample(1.5)
        await plant.settle()
        site = plant.headend.reader.site("site-1")
        assert site is not None
        assert site.agent_ids == ("edge-1",)
        assert site.aggregate.active_power_mw == 3.0
        assert site.aggregate.coverage_pct == 100
        await trio.sleep(10)
        await agent.rows(RowDraft(1, plant.clock(), [1.0, 50.0]))
        await plant.settle()
        site = plant.headend.reader.site("site-1")
        assert site is not None
        assert site.aggregate.active_power_mw == 1.0
        assert site.aggregate.coverage_pct == 50
        assert (site.aggregate.assets_total, site.aggregate.assets_reporting) == (2, 1)
