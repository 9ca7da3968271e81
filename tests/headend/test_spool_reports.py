"""What agents say of their spools, and what the headend makes of it."""

import pytest
import trio
from headend_plant import Plant, open_plant
from trio.abc import Clock

from dercp.headend.views import SpoolSums, SpoolView
from dercp.wire import v1

HOUR_US = 3_600_000_000


def spool(plant: Plant, agent_id: str = "edge-1") -> SpoolView | None:
    """What is shown of an agent's spool."""
    agent = plant.headend.reader.agent(agent_id)
    assert agent is not None
    return agent.spool


def state(oldest_us: int, **fields: object) -> v1.SpoolState:
    """A spool with something in it."""
    said = v1.SpoolState(batches=7, bytes=700, oldest_us=oldest_us, bytes_max=1_000)
    for name, value in fields.items():
        setattr(said, name, value)
    return said


async def test_what_was_never_told_is_not_known(autojump_clock: Clock) -> None:
    """Null, not an empty spool."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.say(heartbeat=v1.Heartbeat(time_us=plant.clock()))
        await plant.settle()
        assert spool(plant) is None
        assert plant.headend.operations.system().spools == SpoolSums()


async def test_the_last_word_on_a_spool_stays_with_its_time(autojump_clock: Clock) -> None:
    """Also when the agent is away; what waits there goes on to age."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            # The agent's clock is an hour behind, and its oldest sample a minute old.
            there_us = plant.clock() - HOUR_US
            said = state(there_us - 60_000_000, dropped_samples=3, trouble="disk_full")
            await agent.say(heartbeat=v1.Heartbeat(time_us=there_us, spool=said))
            await plant.settle()
            told_us = plant.clock()
        await trio.sleep(30)
        told = spool(plant)
        assert told is not None
        assert (told.batches, told.bytes, told.bytes_max) == (7, 700, 1_000)
        assert (told.dropped_samples, told.trouble) == (3, "disk_full")
        assert (told.oldest_us, told.reported_us) == (there_us - 60_000_000, told_us)
        assert told.oldest_age_s == pytest.approx(90)


async def test_the_newest_word_counts(autojump_clock: Clock) -> None:
    """An empty spool has nothing old; a heartbeat that says nothing of it changes nothing."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.say(heartbeat=v1.Heartbeat(spool=state(1)))
        await agent.say(heartbeat=v1.Heartbeat(spool=v1.SpoolState(bytes_max=1_000)))
        await agent.say(heartbeat=v1.Heartbeat())
        await plant.settle()
        told = spool(plant)
        assert told is not None
        assert (told.batches, told.oldest_us, told.oldest_age_s) == (0, None, None)


async def test_the_end_of_an_older_session_brings_no_older_word_back(
    autojump_clock: Clock,
) -> None:
    """A superseded session ends after the newer one has spoken."""
    async with open_plant() as plant, plant.agent() as older:
        await older.say(heartbeat=v1.Heartbeat(spool=state(1, batches=1)))
        await trio.sleep(1)
        async with plant.agent() as newer:
            await newer.say(heartbeat=v1.Heartbeat(spool=state(1, batches=2)))
            await trio.sleep(1)
        await trio.sleep(5)
        told = spool(plant)
        assert told is not None
        assert told.batches == 2


async def test_the_fleet_is_summed(autojump_clock: Clock) -> None:
    """Sums of what waits, the oldest of all, and how many are in trouble."""
    async with (
        open_plant() as plant,
        plant.agent() as one,
        plant.agent("edge-2", "site-2", assets=["bess-2"]) as two,
    ):
        now_us = plant.clock()
        said = state(now_us - 5_000_000)
        await one.say(heartbeat=v1.Heartbeat(time_us=now_us, spool=said))
        said = state(now_us - 9_000_000, trouble="disk_failed", dropped_samples=4)
        await two.say(heartbeat=v1.Heartbeat(time_us=now_us, spool=said))
        await plant.settle()
        sums = plant.headend.operations.system().spools
        assert (sums.batches, sums.bytes) == (14, 1_400)
        assert (sums.in_trouble, sums.dropped_samples) == (1, 4)
        assert sums.oldest_age_s == pytest.approx(9)
