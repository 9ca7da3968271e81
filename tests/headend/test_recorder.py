"""The record of a dispatch: its parts, its assets, their samples, and what is missing."""

import trio
from headend_plant import open_plant

from dercp.model.dispatch import SiteTarget
from dercp.wire import v1

Clock = trio.abc.Clock


async def test_a_record_has_the_samples_of_the_lease(autojump_clock: Clock) -> None:
    """From its start to its end, of the points that settle it, with how complete they are."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample(0.1)
        await trio.sleep(1)
        taken = await plant.submit(1.5, lasts_s=60)
        await agent.expect_dispatch()
        await agent.update(taken.dispatch_id, "applied", readback_mw=1.5)
        for _ in range(3):
            await trio.sleep(1)
            await agent.sample(1.5)
        await trio.sleep(1)
        await agent.update(taken.dispatch_id, "completed")
        await agent.sample(0.2)
        await plant.settle()
        record = await plant.headend.desk.record(taken.dispatch_id)
        assert record is not None
        (asset,) = record.assets
        powers = [sample.readings[0].value for sample in asset.samples]
        assert powers == [1.5, 1.5, 1.5]
        assert [point.name for point in asset.points] == ["active_power_mw", "soc_pct"]
        assert asset.complete_until_us is not None
        assert asset.gaps == ()
        assert asset.samples_end_us is None


async def test_the_record_of_a_site_has_its_parts_and_assets(autojump_clock: Clock) -> None:
    """Those the headend made, and those the gateway told of."""
    async with (
        open_plant() as plant,
        plant.agent("edge-1", assets=("bess-1",)) as one,
        plant.agent("edge-2", assets=("bess-2",)) as two,
        plant.agent("edge-9", "site-9", assets=("bess-8", "bess-9")) as gateway,
    ):
        for agent in (one, two, gateway):
            await agent.sample()
        await plant.settle()
        group = await plant.submit(2.0, target=SiteTarget("site-1"))
        record = await plant.headend.desk.record(group.dispatch_id)
        assert record is not None
        assert [part.dispatch_id for part in record.parts] == list(group.children)
        assert [asset.asset_id for asset in record.assets] == ["bess-1", "bess-2"]
        shared = await plant.submit(1.0, target=SiteTarget("site-9"))
        await gateway.expect_dispatch()
        shares = [v1.Allocation(asset_id="bess-8", setpoint_mw=1.0)]
        await gateway.update(shared.dispatch_id, "acked", split=v1.Split(allocations=shares))
        await plant.settle()
        record = await plant.headend.desk.record(shared.dispatch_id)
        assert record is not None
        assert [asset.asset_id for asset in record.assets] == ["bess-8"]


async def test_nobody_has_a_record_of_what_never_was(autojump_clock: Clock) -> None:
    """None, as for the dispatch itself."""
    async with open_plant() as plant:
        assert await plant.headend.desk.record("d-nobody-knows") is None


async def test_an_asset_tells_who_holds_it(autojump_clock: Clock) -> None:
    """From applied to the end; of a gateway's dispatch its own share."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
        taken = await plant.submit(1.5)
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.control is None
        await agent.update(taken.dispatch_id, "applied", readback_mw=1.5)
        await plant.settle()
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.control is not None
        assert (asset.control.dispatch_id, asset.control.setpoint_mw) == (taken.dispatch_id, 1.5)
        await agent.update(taken.dispatch_id, "superseded")
        site = await plant.submit(3.0, target=SiteTarget("site-1"))
        applied = v1.AllocationState.APPLIED
        shares = [
            v1.Allocation(asset_id=each, setpoint_mw=1.25, state=applied)
            for each in ("bess-1", "bess-2")
        ]
        await agent.update(site.dispatch_id, "applied", split=v1.Split(allocations=shares))
        await plant.settle()
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert asset.control is not None
        assert (asset.control.dispatch_id, asset.control.setpoint_mw) == (site.dispatch_id, 1.25)
