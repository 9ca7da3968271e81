"""Commands for what was: history of an asset, gaps in it, export of many assets to a file."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dercp.cli.exits import CommandError, Exit, tell, told
from dercp.cli.parse import Duration, Form, Moment, parse_duration, parse_moment, parse_resolution
from dercp.cli.people import DEFAULT_URL, Json, Url

if TYPE_CHECKING:
    from dercp.cli.client import ApiClient
    from dercp.cli.span import Span

NOW = Moment("now", None)
HOUR = Duration(3_600)
DAY = Duration(86_400)

From = Annotated[
    Moment | None,
    typer.Option(
        "--from",
        parser=parse_moment,
        metavar="TIME",
        help="Begin, itself included: 2026-11-23T14:00:00Z, 2026-11-23 (UTC), or -2h.",
    ),
]
To = Annotated[
    Moment, typer.Option(parser=parse_moment, metavar="TIME", help="End, itself excluded.")
]
Last = Annotated[
    Duration | None,
    typer.Option(
        parser=parse_duration, metavar="DURATION", help="So long before the end, instead of --from."
    ),
]
Points = Annotated[str | None, typer.Option(metavar="A,B", help="Only these points.")]
Resolution = Annotated[
    Duration | None,
    typer.Option(
        parser=parse_resolution,
        metavar="DURATION",
        help="Minimum, mean and maximum of each 1m, 15m, 1h; samples as they came if left out.",
    ),
]


def history(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="The asset's id.")],
    from_: From = None,
    to: To = NOW,
    last: Last = None,
    points: Points = None,
    resolution: Resolution = None,
    url: Url = DEFAULT_URL,
    *,
    json: Annotated[
        bool, typer.Option("--json", help="A line of JSON a row; off a terminal it always is.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show what an asset was and did: the last hour, or any other time.

    On a terminal a table; a number with a question mark is of doubtful quality. Elsewhere
    lines of JSON or CSV as the API gives them, of any length. What is missing in this time
    is told on standard error.
    """
    with told(), _cut_short("what was shown is a part"):
        from rich.console import Console

        from dercp.cli.history import History, Question

        if json and csv:
            raise CommandError("give either --json or --csv", code=Exit.USAGE)
        console = Console(highlight=False, soft_wrap=True)
        question = Question(
            asset=asset,
            span=_span(from_, to, last, HOUR),
            points=points,
            resolution_s=_seconds(resolution),
        )
        asking = History(_client(url), question)
        if csv:
            asking.stream("text/csv")
        elif json or not console.is_terminal:
            asking.stream("application/x-ndjson")
        else:
            asking.table(console)
        _warn(asking.missing.sentences())


def gaps(
    agent: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of this agent.")
    ] = None,
    from_: From = None,
    to: To = NOW,
    last: Last = None,
    url: Url = DEFAULT_URL,
    *,
    json: Json = False,
) -> None:
    """List what agents declared as lost for ever, in the last day or another time.

    A gap is never filled later. Its samples are of all assets of the agent.
    """
    with told():
        from dercp.cli.output import show
        from dercp.cli.shapes import Gap
        from dercp.cli.tables import gaps_table

        span = _span(from_, to, last, DAY)
        found = _client(url).items("/gaps", agent_id=agent, **span.query)
        show(found, Gap, gaps_table, nothing="no gaps declared in this time", json=json)


def export(
    from_: From = None,
    to: To = NOW,
    last: Last = None,
    asset: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this asset; may be given several times."),
    ] = None,
    site: Annotated[str | None, typer.Option(metavar="ID", help="Only this site.")] = None,
    points: Points = None,
    resolution: Resolution = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format", metavar="FORMAT", help="parquet or csv; else as --output ends, else csv."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else standard output.")
    ] = None,
    url: Url = DEFAULT_URL,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Write the history of many assets into one file, Parquet or CSV, of any length.

    A row for each sample (or, with --resolution, bucket) of each asset; asset after asset,
    each in the order of time. The file gets its name when it is whole. What is missing in
    this time is told at the end, on standard error, where progress is shown too.
    """
    with told():
        from dercp.cli.clock import Pause
        from dercp.cli.destination import Destination, form_of
        from dercp.cli.export_progress import progress
        from dercp.cli.exporting import Order, find_assets, write_out
        from dercp.cli.patience import PatientClient

        if asset and site:
            raise CommandError("give either --asset or --site", code=Exit.USAGE)
        destination = Destination(output, form or form_of(output))
        order = Order(
            span=_span(from_, to, last, None),
            assets=tuple(asset or ()),
            site=site,
            points=tuple(points.split(",")) if points else (),
            resolution_s=_seconds(resolution),
        )
        pause = Pause()
        with _cut_short(destination.unfinished):
            assets = find_assets(_client(url), order)
            with progress(pause, quiet=quiet) as shown:
                client = PatientClient(url, pause)
                missing = write_out(client, order, assets, destination=destination, shown=shown)
        _warn(missing.sentences())


def _client(url: str) -> "ApiClient":
    from dercp.cli.client import ApiClient

    return ApiClient(url)


def _span(
    from_: Moment | None, to: Moment, last: Duration | None, default: Duration | None
) -> "Span":
    """From when to when; `default` before the end if neither begin nor length was given."""
    from dercp.cli.clock import utc_now_us
    from dercp.cli.span import read_span

    return read_span(from_, to, last or (None if from_ else default), now_us=utc_now_us())


def _seconds(resolution: Duration | None) -> int | None:
    return None if resolution is None else int(resolution.seconds)


@contextmanager
def _cut_short(what_is_left: str) -> Iterator[None]:
    """Ctrl-C before the end is told as what it leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(f"cut short; {what_is_left}", code=Exit.INTERRUPTED) from None


def _warn(sentences: Iterable[str]) -> None:
    if told := tuple(sentences):
        tell("not complete", *told)
