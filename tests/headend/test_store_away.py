"""A store on a server that does not answer: what goes on, what is refused, and what comes back."""

import pytest
import trio
from headend_plant import open_plant, site_of
from memory_store import MemoryDisk
from trio.abc import Clock

from dercp.headend.errors import HistoryUnavailable, StoreAwaited
from dercp.wire import v1


async def test_telemetry_goes_on_and_all_else_says_come_again(autojump_clock: Clock) -> None:
    """No actor crashes; a minute later everything is taken as before."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent() as agent:
        taken = await plant.submit(lasts_s=900.0)
        await agent.expect_dispatch()
        elsewhere.away = True
        for n in range(1, 61):
            await agent.sample(n / 100)
            assert await agent.expect_ack() == [(n, n)]
            await trio.sleep(1.0)
        assert plant.power_mw("bess-1") == 0.6
        with pytest.raises(StoreAwaited):
            await plant.submit()
        with pytest.raises(StoreAwaited):
            await plant.headend.desk.dispatch("forgotten")
        with pytest.raises(HistoryUnavailable):
            await plant.headend.history.complete_until("edge-1")
        async with plant.caller("edge-2", site_of("site-2", "bess-2")) as late:
            await late.say_hello()
            reject = await late.expect_reject(v1.RejectCode.OVERLOADED)
            assert reject.retry_after_ms > 0
        await agent.update(taken.dispatch_id, "acked")
        system = plant.headend.operations.system()
        assert system.ready
        assert "does not answer" in system.degraded_because

        elsewhere.away = False
        await trio.sleep(5.0)
        assert plant.headend.operations.system().degraded_because == ""
        found = await plant.headend.desk.dispatch(taken.dispatch_id)
        assert found is not None
        assert [entry.state for entry in found.timeline] == ["submitted", "sent", "acked"]
        assert (await plant.submit()).state == "sent"
        async with plant.agent("edge-2", "site-2", assets=("bess-2",)):
            pass
        assert len(elsewhere.frames) == 60
        plant.assert_unharmed()


async def test_a_dispatch_that_waited_too_long_is_not_sent(autojump_clock: Clock) -> None:
    """What is decided is decided with the time at which it can be written."""
    elsewhere = MemoryDisk()
    async with open_plant(elsewhere=elsewhere) as plant:
        async with plant.agent():
            pass
        taken = await plant.submit(deliver_within_s=20.0)
        elsewhere.away = True
        await trio.sleep(60.0)
        elsewhere.away = False
        async with plant.agent():
            await trio.sleep(5.0)
            found = await plant.headend.desk.dispatch(taken.dispatch_id)
        assert found is not None
        assert found.state == "expired"
        assert elsewhere.dispatches[taken.dispatch_id] == found


async def test_a_headend_waits_for_its_store_when_it_begins(autojump_clock: Clock) -> None:
    """Desk and fleet take up what was there once it can be read."""
    disk, elsewhere = MemoryDisk(), MemoryDisk()
    async with open_plant(disk, elsewhere=elsewhere) as plant, plant.agent():
        await plant.submit()
    elsewhere.away = True

    async def come_back() -> None:
        await trio.sleep(30.0)
        elsewhere.away = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_back)
        async with open_plant(disk, elsewhere=elsewhere) as plant:
            assert trio.current_time() >= 30.0
            assert plant.headend.operations.system().assets == 1
            plant.assert_unharmed()
