"""Commands for portfolios: sites and assets that are dispatched as one."""

from typing import TYPE_CHECKING, Annotated

import typer

from dercp.cli.exits import told
from dercp.cli.people import DEFAULT_URL, Json, Url

if TYPE_CHECKING:
    import msgspec

    from dercp.cli.client import ApiClient

Id = Annotated[str, typer.Argument(metavar="ID", help="The portfolio's id.")]
Revision = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Only if it is at this revision; else whatever it is."),
]


def list_(url: Url = DEFAULT_URL, *, json: Json = False) -> None:
    """List the portfolios and who belongs to them."""
    with told():
        from dercp.cli.client import ApiClient
        from dercp.cli.desk_tables import portfolios_table
        from dercp.cli.output import show as show_list
        from dercp.cli.shapes import Portfolio

        found = ApiClient(url).items("/portfolios")
        show_list(found, Portfolio, portfolios_table, nothing="no portfolios", json=json)


def show(portfolio: Id, url: Url = DEFAULT_URL, *, json: Json = False) -> None:
    """Show one portfolio."""
    with told():
        from dercp.cli.client import ApiClient

        _show(_found(ApiClient(url), portfolio), json=json)


def set_(
    portfolio: Id,
    site: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A site of it; as often as needed.")
    ] = None,
    asset: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A single asset; as often as needed.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Its name for people.")] = None,
    revision: Revision = None,
    url: Url = DEFAULT_URL,
    *,
    json: Json = False,
) -> None:
    """Make a portfolio, or say anew who belongs to it: all of them, not only who is new.

    Dispatches that run stay as they are.
    """
    with told():
        from dercp.cli.client import ApiClient, NotThere

        client = ApiClient(url)
        if revision is not None:
            headers = _if_match(revision)
        else:
            try:
                _found(client, portfolio)
                headers = {"If-Match": "*"}
            except NotThere:
                headers = {"If-None-Match": "*"}
        body = {"name": name, "sites": site or [], "assets": asset or []}
        _show(client.change("PUT", _path(portfolio), headers, body), json=json)


def remove(
    portfolio: Id, revision: Revision = None, url: Url = DEFAULT_URL, *, json: Json = False
) -> None:
    """Forget a portfolio; its sites and assets stay. Not while open dispatches name it."""
    with told():
        from dercp.cli.client import ApiClient

        answer = ApiClient(url).change("DELETE", _path(portfolio), _if_match(revision))
        _show(answer, json=json)


def _found(client: "ApiClient", portfolio: str) -> "msgspec.Raw":
    import msgspec

    return client.get(_path(portfolio), msgspec.Raw)


def _path(portfolio: str) -> str:
    from urllib.parse import quote

    return f"/portfolios/{quote(portfolio, safe='')}"


def _if_match(revision: int | None) -> dict[str, str]:
    return {"If-Match": "*" if revision is None else f'"{revision}"'}


def _show(answer: "msgspec.Raw", *, json: bool) -> None:
    from rich.console import Console

    from dercp.cli.client import read
    from dercp.cli.desk_tables import portfolios_table
    from dercp.cli.output import wants_json, write_json
    from dercp.cli.shapes import Portfolio

    console = Console(highlight=False)
    if wants_json(asked=json, console=console):
        write_json(answer)
    else:
        console.print(portfolios_table([read(answer, Portfolio)], width=console.width))
