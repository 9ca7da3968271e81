"""The portfolios: sites and assets that are dispatched as one, by names of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from dercp.headend.dispatching.submissions import RETRY_S
from dercp.headend.errors import PortfolioChanged, PortfolioInUse, StoreAwaited
from dercp.headend.patience import PASSING
from dercp.model.dispatch import PortfolioTarget
from dercp.model.portfolio import (
    PortfolioError,
    PortfolioLimits,
    check_members,
    check_portfolio,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.fleet.roster import Roster
    from dercp.headend.settings import HeadendSettings
    from dercp.model.portfolio import Portfolio
    from dercp.store import ports

LIMITS = PortfolioLimits()


class Portfolios:
    """All portfolios, in memory and in the store; a change is durable before it is seen.

    Characteristics:
        Bound: `portfolios_max`, each of at most `PortfolioLimits.members_max` members.
        Changes: one at a time, each naming the revision that it replaces.

    Attributes:
        known: By id; written here alone.
    """

    def __init__(
        self,
        store: ports.Portfolios,
        roster: Roster,
        book: DispatchBook,
        settings: HeadendSettings,
    ) -> None:
        self.known: dict[str, Portfolio] = {}
        self._store = store
        self._roster = roster
        self._book = book
        self._settings = settings
        self._changing = trio.Lock()

    async def load(self) -> None:
        """Read all from the store, at start-up."""
        kept = await self._store.load(tenant_id=self._settings.tenant_id)
        self.known.update({each.portfolio_id: each for each in kept})

    def all(self) -> Sequence[Portfolio]:
        """Every portfolio, sorted by id."""
        return [self.known[each] for each in sorted(self.known)]

    def get(self, portfolio_id: str) -> Portfolio | None:
        """One portfolio."""
        return self.known.get(portfolio_id)

    async def put(self, portfolio: Portfolio, expected_revision: int) -> Portfolio:
        """Write a portfolio, durably, in place of this revision; 0: there must be none.

        Raises:
            PortfolioError: It cannot be right (reason, pointer).
            PortfolioChanged: It is at another revision.
            StoreAwaited: The store takes nothing now.
        """
        check_portfolio(portfolio, LIMITS)
        site_of = {twin.spec.asset_id: twin.site_id for twin in self._roster.twins.values()}
        check_members(portfolio, site_of, self._roster.sites)
        portfolio_id = portfolio.portfolio_id
        async with self._changing:
            self._check_revision(portfolio_id, expected_revision)
            if not expected_revision and len(self.known) >= self._settings.portfolios_max:
                raise PortfolioError(
                    "too_many_portfolios",
                    "/portfolio_id",
                    f"there are {len(self.known)} portfolios already; remove one first",
                )
            written = replace(portfolio, revision=expected_revision + 1)
            try:
                await self._store.put(written, tenant_id=self._settings.tenant_id)
            except PASSING as error:
                raise StoreAwaited(RETRY_S, "the store takes nothing now") from error
            self.known[portfolio_id] = written
        return written

    async def remove(self, portfolio_id: str, expected_revision: int) -> None:
        """Forget this revision of a portfolio, durably.

        Raises:
            PortfolioChanged: It is at another revision.
            PortfolioInUse: Open dispatches name it.
            StoreAwaited: The store takes nothing now.
        """
        async with self._changing:
            self._check_revision(portfolio_id, expected_revision)
            open_ids = [
                each.dispatch_id for each in self._book.open_of(PortfolioTarget(portfolio_id))
            ]
            if open_ids:
                raise PortfolioInUse(portfolio_id, tuple(open_ids))
            try:
                await self._store.remove(portfolio_id, tenant_id=self._settings.tenant_id)
            except PASSING as error:
                raise StoreAwaited(RETRY_S, "the store takes nothing now") from error
            del self.known[portfolio_id]

    def _check_revision(self, portfolio_id: str, expected: int) -> None:
        known = self.known.get(portfolio_id)
        revision = known.revision if known is not None else 0
        if revision != expected:
            raise PortfolioChanged(portfolio_id, revision)
