"""Portfolios: who may be named together."""

import pytest

from dercp.model.portfolio import (
    Portfolio,
    PortfolioError,
    PortfolioLimits,
    check_members,
    check_portfolio,
    members_of,
)

LIMITS = PortfolioLimits(members_max=3)
SITE_OF = {"n1": "north", "n2": "north", "s1": "south"}


def portfolio(*, sites: tuple[str, ...] = (), assets: tuple[str, ...] = ()) -> Portfolio:
    """Some name, these members."""
    return Portfolio(portfolio_id="all", name="All of it", sites=sites, assets=assets)


def test_sites_and_assets_may_be_named_together() -> None:
    """As many as are allowed."""
    good = portfolio(sites=("north",), assets=("s1", "s2"))
    check_portfolio(good, LIMITS)
    assert members_of(good) == 3


@pytest.mark.parametrize(
    ("wrong", "reason", "pointer"),
    [
        (portfolio(), "no_members", "/sites"),
        (portfolio(sites=("a", "b"), assets=("c", "d")), "too_many_members", "/sites"),
        (portfolio(sites=("a", "a")), "duplicate_member", "/sites/1"),
        (portfolio(sites=("a",), assets=("b", "a")), "duplicate_member", "/assets/1"),
        (portfolio(assets=("a", "not an id")), "bad_id", "/assets/1"),
        (Portfolio(portfolio_id="?", name="", sites=("a",)), "bad_id", "/portfolio_id"),
        (Portfolio(portfolio_id="p", name="a\nb", sites=("a",)), "bad_name", "/name"),
        (Portfolio(portfolio_id="p", name="x" * 201, sites=("a",)), "bad_name", "/name"),
    ],
)
def test_what_cannot_be_a_portfolio_is_refused(wrong: Portfolio, reason: str, pointer: str) -> None:
    """With a word for programs and the place."""
    with pytest.raises(PortfolioError) as caught:
        check_portfolio(wrong, LIMITS)
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)


def test_members_that_stand_there_are_accepted() -> None:
    """A site whole, and an asset of another one."""
    check_members(portfolio(sites=("north",), assets=("s1",)), SITE_OF, {"north", "south"})


@pytest.mark.parametrize(
    ("wrong", "reason", "pointer"),
    [
        (portfolio(sites=("north", "east")), "unknown_site", "/sites/1"),
        (portfolio(assets=("n1", "e1")), "unknown_asset", "/assets/1"),
        (portfolio(sites=("north",), assets=("s1", "n2")), "asset_in_named_site", "/assets/1"),
    ],
)
def test_members_that_do_not_or_stand_there_twice_are_refused(
    wrong: Portfolio, reason: str, pointer: str
) -> None:
    """An asset would have two shares otherwise."""
    with pytest.raises(PortfolioError) as caught:
        check_members(wrong, SITE_OF, {"north", "south"})
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)
