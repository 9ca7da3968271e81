"""A portfolio: sites and single assets, named together so that they can be dispatched as one."""

from collections.abc import Collection, Mapping

import msgspec

from dercp.model.errors import ModelError
from dercp.model.ids import IdError, check_id

__all__ = [
    "Portfolio",
    "PortfolioError",
    "PortfolioLimits",
    "check_members",
    "check_portfolio",
    "members_of",
]


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Who belongs to it; `revision` counts its changes from 1.

    A site stands for all assets that are registered there at the time of a dispatch. No two
    members have one id, not even a site and an asset: a plan names its shares by it.
    """

    portfolio_id: str
    name: str
    sites: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    revision: int = 1


class PortfolioLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one portfolio may name."""

    members_max: int = 1_000
    name_chars_max: int = 200


class PortfolioError(ModelError):
    """A portfolio that cannot be right; `pointer` leads to the place in its JSON, as `/sites/3`."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.pointer = pointer


def members_of(portfolio: Portfolio) -> int:
    """How many it names."""
    return len(portfolio.sites) + len(portfolio.assets)


def check_portfolio(portfolio: Portfolio, limits: PortfolioLimits) -> None:
    """Refuse what can be seen to be wrong without knowing the fleet, at its first fault.

    Raises:
        PortfolioError: `bad_id`, `bad_name`, `no_members`, `too_many_members`,
            `duplicate_member`.
    """
    _check_id(portfolio.portfolio_id, "portfolio_id", "/portfolio_id")
    most = limits.name_chars_max
    if not portfolio.name.isprintable() or len(portfolio.name) > most:
        raise PortfolioError(
            "bad_name", "/name", f"name: expected at most {most} printable characters"
        )
    count = members_of(portfolio)
    if not count:
        raise PortfolioError("no_members", "/sites", "a portfolio must name a site or an asset")
    if count > limits.members_max:
        raise PortfolioError(
            "too_many_members",
            "/sites",
            f"expected at most {limits.members_max} sites and assets, got {count}",
        )
    seen: set[str] = set()
    for member, ids in (("sites", portfolio.sites), ("assets", portfolio.assets)):
        for index, each in enumerate(ids):
            pointer = f"/{member}/{index}"
            _check_id(each, f"{member}[{index}]", pointer)
            if each in seen:
                raise PortfolioError("duplicate_member", pointer, f"{each} is named twice")
            seen.add(each)


def check_members(portfolio: Portfolio, site_of: Mapping[str, str], sites: Collection[str]) -> None:
    """Refuse members that the fleet does not have, and assets that a named site has already.

    `site_of` gives the site of each registered asset, `sites` are all that are registered.

    Raises:
        PortfolioError: `unknown_site`, `unknown_asset`, `asset_in_named_site`.
    """
    for index, site_id in enumerate(portfolio.sites):
        if site_id not in sites:
            raise PortfolioError(
                "unknown_site", f"/sites/{index}", f"no site {site_id} has been registered"
            )
    named = set(portfolio.sites)
    for index, asset_id in enumerate(portfolio.assets):
        pointer, home = f"/assets/{index}", site_of.get(asset_id)
        if home is None:
            raise PortfolioError(
                "unknown_asset", pointer, f"no asset {asset_id} has been registered"
            )
        if home in named:
            raise PortfolioError(
                "asset_in_named_site",
                pointer,
                f"{asset_id} stands at {home}, which the portfolio names already",
            )


def _check_id(text: str, what: str, pointer: str) -> None:
    try:
        check_id(text, what)
    except IdError as error:
        raise PortfolioError(error.reason, pointer, error.detail) from None
