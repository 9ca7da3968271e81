"""The `dercp` command.

Where to find what:
    plant    commands that run something: headend, edge, demo
    people   commands for people at a terminal: assets, agents, watch, dispatch
"""

import typer

from dercp.cli import people, plant

app = typer.Typer(
    name="dercp",
    help="A control plane for fleets of distributed energy resources.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(plant.demo)
app.command()(plant.headend)
app.command()(plant.edge)
app.command()(people.assets)
app.command()(people.agents)
app.command()(people.watch)
# A negative setpoint looks like an option to the parser, unless unknown options may pass.
app.command(context_settings={"ignore_unknown_options": True})(people.dispatch)


def main() -> None:
    """The entry point of the console script."""
    app()
