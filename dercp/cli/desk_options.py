"""What the commands of the dispatch desk can be told, by name."""

from pathlib import Path
from typing import Annotated

import typer

from dercp.cli.parse import Duration, Moment, parse_ahead, parse_duration

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ASSET] MW",
        help="The asset's id, unless --site or --portfolio is given; and the active power, "
        "positive into the grid, negative into the asset.",
    ),
]
AssetId = Annotated[str | None, typer.Option("--asset", metavar="ID", help="The asset it is for.")]
SiteId = Annotated[
    str | None, typer.Option("--site", metavar="ID", help="A site as a whole, not an asset.")
]
PortfolioId = Annotated[
    str | None, typer.Option("--portfolio", metavar="ID", help="A portfolio, not an asset.")
]
For = Annotated[
    Duration | None,
    typer.Option(
        "--for",
        parser=parse_duration,
        metavar="DURATION",
        help="How long it holds: 90s, 10m; 15m if neither this nor --until is given.",
    ),
]
Until = Annotated[
    Moment | None,
    typer.Option(parser=parse_ahead, metavar="TIME", help="Its end: a time, or +1h."),
]
Start = Annotated[
    Moment | None,
    typer.Option(parser=parse_ahead, metavar="TIME", help="When it begins; now if left out."),
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with it.")]
Key = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Idempotency key: the same never dispatches twice."),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="What --preview --json wrote: only if it would be that now.",
    ),
]
Within = Annotated[
    Duration | None,
    typer.Option(
        parser=parse_duration,
        metavar="DURATION",
        help="How long to follow it; 10s if left out, with --wait until it has ended.",
    ),
]
CancelDispatch = Annotated[
    str | None,
    typer.Option("--cancel", metavar="ID", help="End this dispatch early, and do no other."),
]
RejectIfLimited = Annotated[
    bool,
    typer.Option(
        "--reject-if-limited", help="All or nothing; else a limit narrows it, and says so."
    ),
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Show who would get what, and do nothing.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it until its end.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not follow it.")]

OfAsset = Annotated[str | None, typer.Option(metavar="ID", help="Only those for this asset.")]
OfSite = Annotated[
    str | None, typer.Option(metavar="ID", help="Only those for this site as a whole.")
]
OfPortfolio = Annotated[
    str | None, typer.Option(metavar="ID", help="Only those for this portfolio.")
]
OfSchedule = Annotated[
    str | None, typer.Option(metavar="ID", help="Only the blocks of this schedule.")
]
PartOf = Annotated[str | None, typer.Option(metavar="ID", help="Only the parts of this dispatch.")]
Count = Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="So many, the newest.")]
OnlyOpen = Annotated[bool, typer.Option("--open", help="Only those that have not ended.")]

ScheduleFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="The schedule: plan.toml or plan.csv.")
]
ShowSchedule = Annotated[
    str | None, typer.Option("--show", metavar="ID", help="Tell how this schedule stands.")
]
CancelSchedule = Annotated[
    str | None, typer.Option("--cancel", metavar="ID", help="End what is open of this schedule.")
]
