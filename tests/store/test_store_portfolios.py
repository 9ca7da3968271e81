"""Portfolios are kept, replaced and forgotten; each tenant has its own."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from dercp.model.portfolio import Portfolio
from dercp.store import Store

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]

NORTH = Portfolio(portfolio_id="north", name="North", sites=("site-1",))
SOUTH = Portfolio(portfolio_id="south", name="South", assets=("bess-1",))


async def test_portfolios_survive_a_restart(open_store: OpenStore) -> None:
    """In the order of their ids."""
    async with open_store() as store:
        await store.portfolios.put(SOUTH)
        await store.portfolios.put(NORTH)
    async with open_store() as store:
        assert await store.portfolios.load() == (NORTH, SOUTH)


async def test_a_portfolio_is_replaced_and_forgotten(open_store: OpenStore) -> None:
    """The newest stands; forgetting twice is the same as once."""
    changed = Portfolio(portfolio_id="north", name="North", sites=("site-2",), revision=2)
    async with open_store() as store:
        await store.portfolios.put(NORTH)
        await store.portfolios.put(changed)
        assert await store.portfolios.load() == (changed,)
        await store.portfolios.remove("north")
        await store.portfolios.remove("north")
        assert await store.portfolios.load() == ()


async def test_tenants_do_not_see_each_others_portfolios(open_store: OpenStore) -> None:
    """Nor forget them."""
    async with open_store() as store:
        await store.portfolios.put(NORTH, tenant_id="other")
        await store.portfolios.remove("north")
        assert await store.portfolios.load() == ()
        assert await store.portfolios.load(tenant_id="other") == (NORTH,)
