"""The `dercp` command.

Where to find what:
    plant      commands that run something: demo, headend, edge
    people     commands for people at a terminal: assets, agents, watch
    desk       commands for the dispatch desk: dispatch, dispatches, schedule; desk_options
    portfolio  commands for portfolios
    site       commands at a site: spool, lock, unlock, locks (locking), discover (discovering)
    past       commands for what was: history, gaps, export
    parse      what they type; exits: how a command ends; tables, desk_tables, output: what they see
    client     the REST API, with shapes for its answers; patience: the same through its restarts
    watching   what a command does with it; following, history, exporting too
    ordering   what is typed of a dispatch; schedules: what stands in a file of one
    columns    history as columns; table_files, parquet: what takes them; destination: where
    span       of which time; completeness: what is missing in it
    sim        a fleet of virtual assets: sim_run, with sim_workers, sim_api, sim_watch,
               sim_storms, sim_view, sim_report
    serve      a headend with its API; demo, edge: what else runs; running, signals, logs: on what
"""

from typing import Annotated

import typer

from dercp.cli import desk, past, people, plant, portfolio, sim, site


def _examples(*lines: str) -> str:
    # \b keeps the lines as they are.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dercp {version('dercp')}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """A control plane for fleets of distributed energy resources.

    See it work with `dercp demo`. A real plant is one `dercp headend`, and at each site a
    `dercp edge`. `dercp COMMAND --help` has examples for each command.
    """


app = typer.Typer(
    name="dercp", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
app.callback()(_root)
app.command(
    short_help="Run a headend and some virtual sites here.",
    epilog=_examples(
        "dercp demo", "dercp demo --sites 5 --duration 10m", "dercp demo --data-dir demo-data"
    ),
)(plant.demo)
app.command(
    short_help="Run the headend: gRPC for agents, REST.",
    epilog=_examples(
        "dercp headend --no-auth",
        "dercp headend --data-dir /var/lib/dercp --grpc 0.0.0.0:50051 \\",
        "    --tls-cert headend.pem --tls-key headend.key --tls-client-ca agents-ca.pem",
    ),
)(plant.headend)
app.command(
    short_help="Put a fleet of virtual assets on a headend.",
    epilog=_examples(
        "dercp sim --sites 100 --assets-per-site 100 --duration 60s --report sim.json",
        "dercp sim --headend 10.1.2.3:50051 --api http://10.1.2.3:8080 --chaos flaky",
        "dercp sim --pre-encoded --sites 300 --assets-per-site 300 --duration 30s",
    ),
)(sim.sim)
edge = typer.Typer(
    short_help="Run the agent of one site.",
    epilog=_examples(
        "dercp edge --config site.toml --check",
        "dercp edge --config site.toml",
        "dercp edge spool --config site.toml",
    ),
)
edge.callback(invoke_without_command=True)(plant.edge)
edge.command(
    short_help="Tell what an agent's spool holds.",
    epilog=_examples("dercp edge spool --config site.toml", "dercp edge spool --json | jq .gaps"),
)(site.spool)
edge.command(
    short_help="Lock an asset against setpoints.",
    epilog=_examples('dercp edge lock bess-1 --reason "fan replaced" --config site.toml'),
)(site.lock)
edge.command(
    short_help="Take a lock away.",
    epilog=_examples("dercp edge unlock bess-1 --config site.toml"),
)(site.unlock)
edge.command(
    short_help="List the locks.",
    epilog=_examples("dercp edge locks --config site.toml", "dercp edge locks --json"),
)(site.locks)
edge.command(
    short_help="Ask a device who it is.",
    epilog=_examples("dercp edge discover 10.0.0.5", "dercp edge discover 10.0.0.5:1502 --unit 3"),
)(site.discover)
app.add_typer(edge, name="edge")
app.command(
    short_help="List the assets.",
    epilog=_examples(
        "dercp assets",
        "dercp assets --site demo-01 --kind storage",
        "dercp assets --json | jq -r '.[] | select(.stale) | .id'",
    ),
)(people.assets)
app.command(
    short_help="List the agents and their sessions.",
    epilog=_examples("dercp agents", "dercp agents --url http://10.1.2.3:8080"),
)(people.agents)
app.command(
    short_help="Follow the latest telemetry.",
    epilog=_examples(
        "dercp watch",
        "dercp watch demo-01-bess-1 demo-02-bess-1 --every 5s",
        "dercp watch --site demo-01 --json > samples.jsonl",
    ),
)(people.watch)
app.command(
    short_help="Set the power of an asset, a site or a portfolio.",
    epilog=_examples(
        "dercp dispatch demo-01-bess-1 -0.5 --for 10m",
        "dercp dispatch --site demo-01 1.5 --preview",
        "dercp dispatch --portfolio east 4 --until 2026-11-24T18:00:00Z --wait",
        "dercp dispatch --cancel 019312ab4c5d... --reason 'grid fault'",
    ),
    # A negative setpoint looks like an option to the parser, unless unknown options may pass.
    context_settings={"ignore_unknown_options": True},
)(desk.dispatch)
app.command(
    short_help="List dispatches and what became of them.",
    epilog=_examples(
        "dercp dispatches",
        "dercp dispatches --open --site demo-01",
        "dercp dispatches --asset demo-01-bess-1 --json | jq '.[0].outcome'",
    ),
)(desk.dispatches)
app.command(
    short_help="Hand over setpoints ahead, from a file.",
    epilog=_examples(
        "dercp schedule day-ahead.toml",
        "dercp schedule day-ahead.csv --site demo-01 --reason 'day ahead'",
        "dercp schedule --show 019312ab4c5d...",
        "dercp schedule --cancel 019312ab4c5d...",
    ),
)(desk.schedule)
portfolios = typer.Typer(
    no_args_is_help=True,
    help="Sites and assets that are dispatched as one.",
    short_help="Sites and assets that are dispatched as one.",
    epilog=_examples("dercp portfolio list", "dercp portfolio set east --site demo-01"),
)
portfolios.command(
    "list",
    short_help="List the portfolios.",
    epilog=_examples("dercp portfolio list", "dercp portfolio list --json | jq -r '.[].id'"),
)(portfolio.list_)
portfolios.command(
    "show", short_help="Show a portfolio.", epilog=_examples("dercp portfolio show east")
)(portfolio.show)
portfolios.command(
    "set",
    short_help="Make or change a portfolio.",
    epilog=_examples(
        "dercp portfolio set east --site demo-01 --asset demo-02-bess-1 --name 'The east'",
        "dercp portfolio set east --site demo-01 --revision 3",
    ),
)(portfolio.set_)
portfolios.command(
    "remove",
    short_help="Forget a portfolio.",
    epilog=_examples("dercp portfolio remove east"),
)(portfolio.remove)
app.add_typer(portfolios, name="portfolio")
app.command(
    short_help="Show the history of an asset.",
    epilog=_examples(
        "dercp history demo-01-bess-1",
        "dercp history demo-01-bess-1 --last 1d --resolution 15m --points active_power_mw",
        "dercp history demo-01-bess-1 --from 2026-11-23 --to 2026-11-24 --csv > monday.csv",
    ),
)(past.history)
app.command(
    short_help="List what was lost for ever.",
    epilog=_examples("dercp gaps", "dercp gaps --agent demo-01 --last 30d --json"),
)(past.gaps)
app.command(
    short_help="Write history into a Parquet or CSV file.",
    epilog=_examples(
        "dercp export --last 1h --output hour.parquet",
        "dercp export --from 2026-11-23 --to 2026-11-24 --site demo-01 --resolution 1m \\",
        "    --points active_power_mw,soc_pct --output monday.parquet",
        "dercp export --last 10m --asset demo-01-bess-1 --format csv | head",
    ),
)(past.export)


def main() -> None:
    """The entry point of the console script."""
    app()
