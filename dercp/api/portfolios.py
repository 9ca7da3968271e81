"""Portfolios: sites and assets under one name, to be dispatched as one."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from dercp.api.fleet import found
from dercp.api.preconditions import changed, check_preconditions, tag_of
from dercp.api.problems import PORTFOLIO_IN_USE, PORTFOLIO_REFUSED, Fault, Refusal
from dercp.api.queries import PageQuery, Query, cut_page
from dercp.api.refusals import awaited
from dercp.api.resources import Page, Resource
from dercp.api.routes import BodyCall, Call, Reply
from dercp.headend.errors import PortfolioChanged, PortfolioInUse
from dercp.model.portfolio import Portfolio, PortfolioError

# So many of the dispatches that keep a portfolio are named.
NAMED_MAX = 10


class PortfolioQuery(PageQuery, frozen=True, kw_only=True):
    """Which portfolios are wanted."""


class PortfolioBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who belongs to a portfolio; all of it, not what is to change. A null counts as left out."""

    name: Annotated[str, Meta(description="For people; the id when left out")] | None = None
    sites: (
        Annotated[tuple[str, ...], Meta(description="Each with all assets it has by then")] | None
    ) = None
    assets: Annotated[tuple[str, ...], Meta(description="Single ones, of no named site")] | None = (
        None
    )


class PortfolioResource(Resource, frozen=True, kw_only=True):
    """Sites and assets that are dispatched as one."""

    id: str
    name: str
    sites: tuple[str, ...]
    assets: tuple[str, ...]
    revision: Annotated[int, Meta(description="Counts its changes from 1; its ETag")]


async def list_portfolios(call: Call[PortfolioQuery]) -> Page[PortfolioResource]:
    """All portfolios, sorted by id."""
    page, after = cut_page(
        call.services.portfolios.all(),
        call.query,
        id_of=lambda portfolio: portfolio.portfolio_id,
        takes=lambda _: True,
    )
    return Page(items=list(map(portfolio_resource, page)), next=after)


async def get_portfolio(call: Call[Query]) -> Reply[PortfolioResource]:
    """One portfolio; its ETag is wanted back by whoever changes it."""
    return _reply(found(call.services.portfolios.get(call.id), "portfolio", call.id))


async def put_portfolio(call: BodyCall[PortfolioBody]) -> Reply[PortfolioResource]:
    """Make a portfolio, or put another in its place. Dispatches that run stay as they are.

    Its sites and assets must be registered. To change what is there, If-Match must name it.
    """
    portfolios, body = call.services.portfolios, call.body
    present = portfolios.get(call.id)
    revision = 0 if present is None else present.revision
    check_preconditions(call.headers, revision)
    wanted = Portfolio(
        portfolio_id=call.id,
        name=call.id if body.name is None else body.name,
        sites=body.sites or (),
        assets=body.assets or (),
    )
    try:
        with awaited():
            written = await portfolios.put(wanted, revision)
    except PortfolioError as error:
        raise _refusal(error) from error
    except PortfolioChanged as error:
        raise changed(error.revision) from error
    return _reply(written, status=None if revision else 201)


async def delete_portfolio(call: Call[Query]) -> Reply[PortfolioResource]:
    """Forget a portfolio; the answer is what it was. Not while open dispatches name it."""
    portfolio = found(call.services.portfolios.get(call.id), "portfolio", call.id)
    check_preconditions(call.headers, portfolio.revision)
    try:
        with awaited():
            await call.services.portfolios.remove(call.id, portfolio.revision)
    except PortfolioChanged as error:
        raise changed(error.revision) from error
    except PortfolioInUse as error:
        named = ", ".join(error.dispatch_ids[:NAMED_MAX])
        more = len(error.dispatch_ids) - NAMED_MAX
        detail = f"{error}: {named}" + (f" and {more} more" if more > 0 else "")
        raise Refusal(PORTFOLIO_IN_USE, detail) from error
    return _reply(portfolio)


def portfolio_resource(portfolio: Portfolio) -> PortfolioResource:
    """A portfolio."""
    return PortfolioResource(
        id=portfolio.portfolio_id,
        name=portfolio.name,
        sites=portfolio.sites,
        assets=portfolio.assets,
        revision=portfolio.revision,
    )


def _reply(portfolio: Portfolio, *, status: int | None = None) -> Reply[PortfolioResource]:
    return Reply(
        content=msgspec.json.encode(portfolio_resource(portfolio)),
        headers={"ETag": tag_of(portfolio.revision)},
        status=status,
    )


def _refusal(error: PortfolioError) -> Refusal:
    """Its id stands in the path, all else in the body."""
    in_path = error.pointer == "/portfolio_id"
    fault = Fault(
        pointer=UNSET if in_path else f"#{error.pointer}",
        parameter="id" if in_path else UNSET,
        detail=error.detail,
        reason=error.reason,
    )
    return Refusal(PORTFOLIO_REFUSED, error.detail, faults=[fault])
