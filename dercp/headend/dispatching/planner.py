"""What a dispatch would come to: plans, from what the headend knows at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from dercp.headend.errors import UnknownTarget
from dercp.headend.fleet.reader import freshness, readings_of
from dercp.model.capability import capacity_ahead, capacity_of, live_of
from dercp.model.dispatch import (
    AssetTarget,
    GroupSpec,
    PortfolioTarget,
    SiteTarget,
    Target,
    group_spec,
)
from dercp.model.plan import Plan, planned_for
from dercp.model.reasons import DispatchReason
from dercp.model.split import Capacity, Split, aggregate, excluding, split
from dercp.model.time import us_from_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dercp.headend.fleet.roster import Roster
    from dercp.headend.fleet.twin import Twin
    from dercp.model.asset import AssetSpec
    from dercp.model.dispatch import DispatchRequest
    from dercp.model.portfolio import Portfolio

# What starts sooner is planned with what is available now.
PRESENT_S: Final = 60.0


class Planner:
    """Splits setpoints among what is registered, with the capacities of this moment.

    A portfolio is split in two stages with the same function: among its sites and single
    assets, then the share of each site among the site's assets.
    """

    def __init__(self, roster: Roster, portfolios: Mapping[str, Portfolio]) -> None:
        self._roster = roster
        self._portfolios = portfolios

    def spec_of(self, target: Target) -> AssetSpec | GroupSpec:
        """What the target was built for.

        Raises:
            UnknownTarget: Nobody registered it.
        """
        match target:
            case AssetTarget(asset_id):
                return self._twin(asset_id).spec
            case SiteTarget(site_id):
                return group_spec(site_id, (twin.spec for twin in self._site(site_id)))
            case PortfolioTarget(portfolio_id):
                twins = self._members_twins(self._portfolio(portfolio_id))
                return group_spec(portfolio_id, (twin.spec for twin in twins))
            case _:
                assert_never(target)

    def plan(
        self,
        request: DispatchRequest,
        now_us: int,
        *,
        without: Mapping[str, str] | None = None,
    ) -> Plan:
        """How the setpoint of a request would be shared; `without` leaves members out.

        A dispatch that starts later is shared by all that each may ever do: what the sun
        gives now says nothing of tomorrow.

        Raises:
            UnknownTarget: Nobody registered the target, or one of its members any more.
        """
        target = request.target
        at_present = request.start_us - now_us <= us_from_s(PRESENT_S)
        match target:
            case AssetTarget(asset_id):
                members: Sequence[Capacity] = (
                    capacity(self._twin(asset_id), at_present=at_present),
                )
                sites: Mapping[str, Sequence[Capacity]] = {}
            case SiteTarget(site_id):
                members, sites = self._site_capacities(site_id, at_present=at_present), {}
            case PortfolioTarget(portfolio_id):
                portfolio = self._portfolio(portfolio_id)
                sites = {
                    each: self._site_capacities(each, at_present=at_present)
                    for each in portfolio.sites
                }
                members = [aggregate(each, capacities) for each, capacities in sites.items()]
                members += [
                    capacity(self._twin(each), at_present=at_present) for each in portfolio.assets
                ]
            case _:
                assert_never(target)
        shared = split(request.setpoint_mw, excluding(members, without or {}))
        return planned_for(target, shared, now_us, _parts(shared, sites))

    def _site_capacities(self, site_id: str, *, at_present: bool) -> list[Capacity]:
        return [capacity(twin, at_present=at_present) for twin in self._site(site_id)]

    def _members_twins(self, portfolio: Portfolio) -> Iterable[Twin]:
        for site_id in portfolio.sites:
            yield from self._site(site_id)
        yield from map(self._twin, portfolio.assets)

    def _twin(self, asset_id: str) -> Twin:
        twin = self._roster.twins.get(asset_id)
        if twin is None:
            raise UnknownTarget(f"no asset {asset_id} has been registered")
        return twin

    def _site(self, site_id: str) -> Iterable[Twin]:
        entry = self._roster.sites.get(site_id)
        if entry is None or not entry.twins:
            raise UnknownTarget(f"no site {site_id} has been registered with assets")
        return entry.twins.values()

    def _portfolio(self, portfolio_id: str) -> Portfolio:
        portfolio = self._portfolios.get(portfolio_id)
        if portfolio is None:
            raise UnknownTarget(f"there is no portfolio {portfolio_id}")
        return portfolio


def capacity(twin: Twin, *, at_present: bool) -> Capacity:
    """What an asset can do; without a link it takes no part."""
    excluded = "" if twin.link is not None else DispatchReason.OFFLINE
    if not at_present:
        return capacity_ahead(twin.spec, excluded=excluded)
    latest, _, stale = freshness(twin)
    return capacity_of(twin.spec, live_of(readings_of(latest), stale=stale), excluded=excluded)


def _parts(shared: Split, sites: Mapping[str, Sequence[Capacity]]) -> dict[str, Split]:
    return {
        share.id: split(share.setpoint_mw, sites[share.id])
        for share in shared.allocations
        if share.id in sites
    }
