"""Commands for people at a terminal: look at the fleet, follow it."""

from enum import StrEnum
from typing import Annotated

import typer

from dercp.cli.exits import CommandError, Exit, told
from dercp.cli.parse import Duration, parse_duration, parse_url

Url = Annotated[
    str,
    typer.Option(
        parser=parse_url, metavar="URL", envvar="DERCP_URL", help="Where the headend's API is."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="JSON on a terminal too; elsewhere it always is.")
]

DEFAULT_URL = "http://127.0.0.1:8080"


class KindOption(StrEnum):
    """The kinds of assets, as the model has them."""

    STORAGE = "storage"
    PV = "pv"
    WIND = "wind"
    EV = "ev"


Site = Annotated[str | None, typer.Option(metavar="ID", help="Only the assets of this site.")]
Kind = Annotated[
    KindOption | None,
    typer.Option(metavar="KIND", help="Only this kind: storage, pv, wind or ev."),
]


def assets(
    site: Site = None, kind: Kind = None, url: Url = DEFAULT_URL, *, json: Json = False
) -> None:
    """List the assets: what they are, and whether they can be believed now.

    The state is live, stale (too old to be taken for now), offline (its agent has no
    session) or no data (none yet).
    """
    with told():
        from dercp.cli.client import ApiClient
        from dercp.cli.output import show
        from dercp.cli.shapes import Asset
        from dercp.cli.tables import assets_table

        found = ApiClient(url).items("/assets", site_id=site, kind=kind)
        show(found, Asset, assets_table, nothing="no assets", json=json)


def agents(url: Url = DEFAULT_URL, *, json: Json = False) -> None:
    """List the agents: their sessions, peers, and why the last one ended.

    Times are in UTC. Flaps are the sessions of the last minutes beyond the first.
    """
    with told():
        from dercp.cli.client import ApiClient
        from dercp.cli.output import show
        from dercp.cli.shapes import Agent
        from dercp.cli.tables import agents_table

        found = ApiClient(url).items("/agents")
        show(found, Agent, agents_table, nothing="no agent has called yet", json=json)


def watch(
    asset: Annotated[
        list[str] | None, typer.Argument(metavar="[ASSET]...", help="Ids; none means all assets.")
    ] = None,
    site: Site = None,
    kind: Kind = None,
    every: Annotated[
        Duration,
        typer.Option(
            parser=parse_duration, metavar="DURATION", help="How often to draw the table anew."
        ),
    ] = Duration(1),  # noqa: B008 - frozen
    count: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="End after so many tables, or updates in JSON."),
    ] = None,
    url: Url = DEFAULT_URL,
    *,
    json: Json = False,
) -> None:
    """Follow the latest telemetry until Ctrl-C; off a terminal one line of JSON a sample.

    Power is positive from the asset into the grid. "from" and "to" are what the asset can
    do now. A number with a question mark is not to be taken for the present one.
    """
    with told():
        from dercp.cli.running import require_client, run

        require_client()
        from rich.console import Console

        from dercp.cli.output import wants_json
        from dercp.cli.watching import Selection, watch_headend

        selection = Selection(assets=tuple(asset or ()), site=site, kind=kind)
        if selection.assets and (site or kind):
            raise CommandError("name assets, or filter all of them, not both", code=Exit.USAGE)
        console = Console(highlight=False)
        on = None if wants_json(asked=json, console=console) else console
        try:
            run(lambda: watch_headend(url, selection, on, every=every, count=count))
        except CommandError as error:
            if error.code is Exit.INTERRUPTED:
                raise typer.Exit(Exit.OK) from None
            raise
