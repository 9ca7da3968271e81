"""`dercp sim`: thousands of virtual assets on a headend, and a count of what it made of them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dercp.cli.exits import CommandError, Exit, told
from dercp.cli.parse import Address, Duration, parse_address, parse_duration, parse_url
from dercp.cli.people import DEFAULT_URL
from dercp.cli.plant import DEFAULT_GRPC, Verbose

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Console

    from dercp.cli.sim_run import Simulation
    from sim.load.plan import Target
    from sim.load.scenario import Scenario

# A site's registration is within the limits of a headend's session.
ASSETS_PER_SITE_MAX = 5_000
RATE_HZ_MIN, RATE_HZ_MAX = 1 / 3600, 50.0

Headend = Annotated[
    Address,
    typer.Option(parser=parse_address, metavar="HOST:PORT", help="Where the headend listens."),
]
Api = Annotated[
    str,
    typer.Option(
        parser=parse_url,
        metavar="URL",
        envvar="DERCP_URL",
        help="Where its API is: it tells what it holds, what it costs, how fresh it is.",
    ),
]
Sites = Annotated[int, typer.Option(metavar="N", min=1, max=99_999, help="Sites.")]
AssetsPerSite = Annotated[
    int, typer.Option(metavar="N", min=1, max=ASSETS_PER_SITE_MAX, help="Assets of each.")
]
Rate = Annotated[
    float,
    typer.Option(
        metavar="HZ", min=RATE_HZ_MIN, max=RATE_HZ_MAX, help="Samples a second of each asset."
    ),
]
MeasuredFor = Annotated[
    Duration | None,
    typer.Option(parser=parse_duration, metavar="DURATION", help="Measure for so long: 90s, 1h."),
]
ScenarioFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What befalls the fleet (TOML): see docs/simulator.md."),
]
Chaos = Annotated[
    str | None, typer.Option(metavar="PROFILE", help="Bad links: calm, flaky or rough.")
]
Spool = Annotated[
    str, typer.Option(metavar="KIND", help="Where agents keep what waits: memory or disk.")
]
Seed = Annotated[
    int, typer.Option(metavar="N", help="The same seed gives the same weather and faults.")
]
Processes = Annotated[
    int, typer.Option(metavar="N", min=1, max=64, help="Processes that make the load.")
]
ReportFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the figures here, as JSON.")
]
TlsCa = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CA of the headend's certificate (PEM).")
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The certificate that all agents show (PEM).")
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")]
SingleAssetAgents = Annotated[
    bool, typer.Option("--single-asset-agents", help="An agent for each asset.")
]
PreEncoded = Annotated[
    bool,
    typer.Option(
        "--pre-encoded",
        help="No edge agents: batteries whose frames were prepared ahead, so that the headend is "
        "what is measured.",
    ),
]


def sim(
    headend: Headend = DEFAULT_GRPC,
    api: Api = DEFAULT_URL,
    sites: Sites = 10,
    assets_per_site: AssetsPerSite = 10,
    rate: Rate = 1.0,
    duration: MeasuredFor = None,
    scenario: ScenarioFile = None,
    chaos: Chaos = None,
    spool: Spool = "memory",
    seed: Seed = 1,
    processes: Processes = 1,
    report: ReportFile = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    *,
    single_asset_agents: SingleAssetAgents = False,
    pre_encoded: PreEncoded = False,
    verbose: Verbose = False,
) -> None:
    """Put a fleet of virtual assets on a headend, and see that nothing is lost.

    Real edge agents with virtual devices, many in a process. Everything they produced must
    be stored once or declared as a gap; if not, the sentences say what is missing where, and
    the exit code is 1. Without --duration, Ctrl-C ends it; it is audited all the same.
    """
    with told():
        from dercp.cli.sim_run import Simulation
        from dercp.cli.sim_workers import QUIET, TALKATIVE
        from sim.load.plan import Fleet, Plan
        from sim.load.scenario import Mix

        given = _scenario(scenario)
        fleet = Fleet(
            first_site=1,
            sites=sites,
            assets_per_site=assets_per_site,
            rate_hz=rate,
            single_asset_agents=single_asset_agents,
            seed=seed,
            mix=Mix(pv=0, wind=0, ev=0) if pre_encoded else given.fleet,
            start_hour=given.weather.start_hour,
            devices=given.devices,
        )
        duration_s = math.inf if duration is None else duration.seconds
        plan = Plan(
            target=_target(headend, tls_ca, tls_cert, tls_key),
            fleet=fleet,
            starts_per_s=fleet.starts_per_s,
            pre_encoded=pre_encoded,
            spool="disk" if _spool(spool) == "disk" else "memory",
            chaos=_chaos(chaos),
            lasts_s=min(duration_s, 86_400.0),
            outages=tuple(given.link_outages),
        )
        asked = Simulation(
            plan=plan,
            api=api,
            processes=processes,
            duration_s=duration_s,
            storms=tuple(given.dispatch_storms),
            log_level=TALKATIVE if verbose else QUIET,
        )
        _run(asked, report)


def _run(asked: "Simulation", report: Path | None) -> None:
    """Show it, tell what it came to, and fail if something was lost."""
    from rich.console import Console

    from dercp.cli.running import run
    from dercp.cli.sim_report import Report, lines, write_report
    from dercp.cli.sim_run import simulate
    from dercp.cli.sim_view import viewing

    console, done = Console(), list[Report]()

    async def main() -> None:
        with viewing(console) as view:
            done.append(await simulate(asked, view))

    plan = asked.plan
    _say(console, f"seed {plan.fleet.seed}" + (f", links {plan.chaos}" if plan.chaos else ""))
    run(main)
    for line in lines(done[0]):
        _say(console, line)
    if report is not None:
        write_report(done[0], report)
    if not done[0].is_well:
        raise typer.Exit(Exit.FAILED)


def _say(console: "Console", line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _chaos(profile: str | None) -> str:
    from sim.load.outages import CHAOS

    return _one_of("--chaos", profile, CHAOS) if profile else ""


def _spool(kind: str) -> str:
    from sim.load.plan import SPOOLS

    return _one_of("--spool", kind, SPOOLS)


def _one_of(option: str, word: str, words: "Collection[str]") -> str:
    if word in words:
        return word
    raise CommandError(f'{option}: "{word}" is none of {", ".join(words)}', code=Exit.USAGE)


def _scenario(path: Path | None) -> "Scenario":
    from dercp.edge.config.toml_reader import ConfigError
    from sim.load.scenario import Scenario, read_scenario

    if path is None:
        return Scenario()
    try:
        return read_scenario(path)
    except ConfigError as error:
        raise CommandError(*str(error).splitlines(), code=Exit.CONFIG) from None


def _target(headend: Address, ca: Path | None, cert: Path | None, key: Path | None) -> "Target":
    from sim.load.plan import Target

    if ca is None and (cert or key):
        raise CommandError("--tls-cert and --tls-key go with --tls-ca", code=Exit.USAGE)
    return Target(
        host=headend.host,
        port=headend.port,
        ca_file=_text(ca),
        cert_file=_text(cert),
        key_file=_text(key),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
