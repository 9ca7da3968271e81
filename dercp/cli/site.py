"""Commands for people at a site: what its agent keeps, which assets are locked, what stands there.

What they need is imported when they run, as in `plant`.
"""

from pathlib import Path
from typing import Annotated

import typer

from dercp.cli.exits import told

SiteFile = Annotated[
    Path,
    typer.Option(
        "--config", metavar="FILE", help="The site's one file; docs/edge.md explains every key."
    ),
]
AssetId = Annotated[str, typer.Argument(metavar="ASSET", help="The asset's id.")]


def spool(
    config: SiteFile = Path("site.toml"),
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON, on a terminal too.")] = False,
) -> None:
    """Tell what an agent keeps for the headend, and what it had to drop.

    Reads only, and may be run beside the agent.
    """
    with told():
        import msgspec
        from rich.console import Console

        from dercp.cli.output import wants_json, write_json
        from dercp.cli.spool import look_into_spool, spool_table

        summary, console = look_into_spool(config), Console(highlight=False)
        if wants_json(asked=json, console=console):
            write_json(msgspec.Raw(msgspec.json.encode(summary)))
        else:
            console.print(spool_table(summary))


def lock(
    asset: AssetId,
    config: SiteFile = Path("site.toml"),
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, for whoever wants to dispatch it.")
    ],
) -> None:
    """Lock an asset: its lease ends within a second, and no setpoint is written to it.

    The lock stays until `dercp edge unlock`, also while the agent is stopped.
    """
    with told():
        from dercp.cli.clock import utc_now_us
        from dercp.cli.locking import lock_asset

        lock_asset(config, asset, reason, utc_now_us())
        typer.echo(f"{asset} is locked")


def unlock(asset: AssetId, config: SiteFile = Path("site.toml")) -> None:
    """Unlock an asset: it goes to its fallback and takes dispatches again."""
    with told():
        from dercp.cli.locking import unlock_asset

        had = unlock_asset(config, asset)
        typer.echo(f"{asset} is unlocked" if had else f"{asset} was not locked")


def locks(
    config: SiteFile = Path("site.toml"),
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON, on a terminal too.")] = False,
) -> None:
    """List the assets that are locked."""
    with told():
        import msgspec
        from rich.console import Console

        from dercp.cli.locking import locks_of, locks_table
        from dercp.cli.output import wants_json, write_json

        lockouts, console = locks_of(config), Console(highlight=False)
        if wants_json(asked=json, console=console):
            write_json(msgspec.Raw(msgspec.json.encode(dict(lockouts.locks))))
        else:
            console.print(locks_table(lockouts))


def discover(
    address: Annotated[
        str, typer.Argument(metavar="HOST[:PORT]", help="Where the device listens; port 502.")
    ],
    *,
    unit: Annotated[int, typer.Option(metavar="N", min=0, max=255, help="Its unit id.")] = 1,
) -> None:
    """Ask a SunSpec device who it is, and print the section for it of a site.toml.

    Reads only. What its models do not tell is said beside the line to fill in.
    """
    with told():
        from dercp.cli.discovering import discover_device

        typer.echo(discover_device(address, unit), nl=False)
