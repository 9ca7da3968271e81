"""Portfolios: written with the revision they replace, kept, refused when they cannot be right."""

import pytest
import trio
from headend_plant import open_plant

from dercp.headend.errors import PortfolioChanged, PortfolioInUse, StoreAwaited
from dercp.model.dispatch import PortfolioTarget
from dercp.model.portfolio import Portfolio, PortfolioError

Clock = trio.abc.Clock
NORTH = Portfolio(portfolio_id="north", name="North", sites=("site-1",))


async def test_a_portfolio_is_written_changed_and_removed(autojump_clock: Clock) -> None:
    """Each change names the revision that it replaces; the headend restarted knows the last."""
    async with open_plant() as plant, plant.agent():
        portfolios = plant.headend.portfolios
        assert (await portfolios.put(NORTH, 0)).revision == 1
        with pytest.raises(PortfolioChanged, match="is at revision 1"):
            await portfolios.put(NORTH, 0)
        assert (await portfolios.put(NORTH, 1)).revision == 2
        disk = plant.disk
    async with open_plant(disk) as plant:
        portfolios = plant.headend.portfolios
        assert [each.revision for each in portfolios.all()] == [2]
        await portfolios.remove("north", 2)
        assert portfolios.get("north") is None
        with pytest.raises(PortfolioChanged, match="does not exist"):
            await portfolios.remove("north", 2)


async def test_a_portfolio_of_nobody_is_refused(autojump_clock: Clock) -> None:
    """With a pointer to the member."""
    async with open_plant() as plant:
        with pytest.raises(PortfolioError) as refused:
            await plant.headend.portfolios.put(NORTH, 0)
        assert (refused.value.reason, refused.value.pointer) == ("unknown_site", "/sites/0")
        assert plant.disk.portfolios == {}


async def test_portfolios_are_bounded(autojump_clock: Clock) -> None:
    """One beyond is refused; changing one goes on."""
    async with open_plant(portfolios_max=1) as plant, plant.agent():
        portfolios = plant.headend.portfolios
        await portfolios.put(NORTH, 0)
        other = Portfolio(portfolio_id="other", name="", sites=("site-1",))
        with pytest.raises(PortfolioError, match="remove one first"):
            await portfolios.put(other, 0)
        assert (await portfolios.put(NORTH, 1)).revision == 2


async def test_a_portfolio_is_not_removed_from_under_a_dispatch(autojump_clock: Clock) -> None:
    """It says which."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample()
        await plant.settle()
        await plant.headend.portfolios.put(NORTH, 0)
        taken = await plant.submit(target=PortfolioTarget("north"))
        with pytest.raises(PortfolioInUse) as refused:
            await plant.headend.portfolios.remove("north", 1)
        assert refused.value.dispatch_ids == (taken.dispatch_id,)


async def test_a_store_that_is_away_takes_no_portfolio(autojump_clock: Clock) -> None:
    """Nothing is seen that is not durable."""
    async with open_plant() as plant, plant.agent():
        plant.disk.away = True
        with pytest.raises(StoreAwaited):
            await plant.headend.portfolios.put(NORTH, 0)
        assert plant.headend.portfolios.all() == []
        plant.disk.away = False
