"""Commands that run something: the headend, an edge agent, the demo.

What they need is imported when they run, so that `dercp --help` is instant and
`dercp edge` works without the packages of the headend.
"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dercp.cli.exits import CommandError, Exit, told
from dercp.cli.parse import Address, Duration, parse_address, parse_duration
from dercp.cli.site import SiteFile

if TYPE_CHECKING:
    import ssl

Http = Annotated[
    Address,
    typer.Option(
        parser=parse_address, metavar="HOST:PORT", help="Where the REST API listens; port 0: any."
    ),
]
Grpc = Annotated[
    Address,
    typer.Option(parser=parse_address, metavar="HOST:PORT", help="Where agents call; port 0: any."),
]
NoAuth = Annotated[
    bool,
    typer.Option(
        "--no-auth",
        help="Say that you know: nobody has to log in. This release has no other way, "
        "and listens on loopback only.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="DERCP_STORE_URL",
        help="Keep registry, dispatches and history in Postgres: "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Everybody on the machine sees what "
        "stands in a command, so give it by the variable if it holds a password.",
    ),
]
DataDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Where everything is kept; with --store-url the ingest log alone.",
    ),
]
Development = Annotated[
    bool,
    typer.Option(
        "--development",
        help="Make the store one for development, which RESET_DB=1 may wipe; "
        "refused if it is there already and is not.",
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate chain (PEM) of the gRPC listener."),
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CA (PEM): agents must show a certificate that it signed."),
]

Sites = Annotated[int, typer.Option(metavar="N", min=1, max=99, help="Sites, 1 to 99.")]
AssetsPerSite = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        max=200,
        help="Assets of each, 1 to 200: battery, PV, wind, EV and so on.",
    ),
]
DemoDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep the data here; else it goes with the demo."),
]
Lasts = Annotated[
    Duration | None,
    typer.Option(parser=parse_duration, metavar="DURATION", help="End after so long: 90s, 1h."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same weather.")]
OpcUa = Annotated[
    Address | None,
    typer.Option(
        parser=parse_address,
        metavar="HOST:PORT",
        help="Serve the first site's assets by OPC UA, on loopback; with --no-auth for "
        "anonymous clients, also to write, else for trusted certificates, to read.",
    ),
]
Field = Annotated[
    bool,
    typer.Option(
        "--field",
        help="Let the devices speak SunSpec, Modbus, OPC UA and, where mosquitto is "
        "installed, Sparkplug B, each on a port of its own.",
    ),
]

DEFAULT_HTTP = Address("127.0.0.1", 8080)
DEFAULT_GRPC = Address("127.0.0.1", 50051)


def demo(
    sites: Sites = 2,
    assets_per_site: AssetsPerSite = 4,
    http: Http = DEFAULT_HTTP,
    grpc: Grpc = DEFAULT_GRPC,
    data_dir: DemoDir = None,
    store_url: StoreUrl = None,
    duration: Lasts = None,
    seed: Seed = 1,
    opcua: OpcUa = None,
    *,
    field: Field = False,
    no_auth: NoAuth = False,
    verbose: Verbose = False,
) -> None:
    """Run a headend and some virtual sites on this machine, talking gRPC over loopback.

    The PV and wind follow a real summer week, the batteries and chargers obey dispatches.
    Ctrl-C ends it within ten seconds, a second Ctrl-C at once.

    RESET_DB=1 in the environment wipes what an earlier demo has left.
    """
    _only_loopback(http, "--http", "a demo has no authentication")
    _only_loopback(grpc, "--grpc", "a demo has no encryption")
    _two_ports(http, grpc)
    if opcua is not None:
        _only_loopback(opcua, "--opcua", "a demo has no users")
        _has_port(opcua, "--opcua")
    with told():
        from dercp.cli.running import require_headend, run

        require_headend()
        from rich.console import Console

        from dercp.cli.demo import Demo, run_demo
        from dercp.cli.demo_fleet import (
            Devices,
            OpcUaOrder,
            Surface,
            check_size,
            require_packages,
        )
        from dercp.cli.logs import configure_logs
        from dercp.cli.stores import reset_demand

        devices = Devices.FIELD if field else Devices.SIMULATED
        surface = None
        if opcua is not None:
            surface = OpcUaOrder(opcua, Surface.OPEN if no_auth else Surface.SECURED)
        check_size(devices, sites=sites, assets_per_site=assets_per_site)
        require_packages(devices, surface)
        # On a terminal the greeting is what matters, not who opened which device.
        quiet = logging.WARNING if sys.stderr.isatty() else logging.INFO
        configure_logs(logging.DEBUG if verbose else quiet)
        asked = Demo(
            sites=sites,
            assets_per_site=assets_per_site,
            http=http,
            grpc=grpc,
            data_dir=data_dir,
            store_url=store_url,
            demands=reset_demand(os.environ),
            duration=duration,
            seed=seed,
            devices=devices,
            opcua=surface,
        )
        run(lambda: run_demo(asked, Console()))


def headend(
    data_dir: DataDir = Path("dercp-data"),
    store_url: StoreUrl = None,
    http: Http = DEFAULT_HTTP,
    grpc: Grpc = DEFAULT_GRPC,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    *,
    development: Development = False,
    no_auth: NoAuth = False,
    verbose: Verbose = False,
) -> None:
    """Run the headend: agents call it, the REST API serves what it knows.

    Without --tls-cert and --tls-key the gRPC listener is plain, on loopback only. The REST
    API has no authentication yet and listens on loopback only; reach it through a proxy
    that authenticates.

    SIGTERM or Ctrl-C: /readyz says no, agents are told to come back later, what was taken
    is written down; the end comes within ten seconds, with a second signal at once.

    With --store-url a Postgres that is away is waited for, a minute at the start, and for as
    long as it takes later: telemetry is acknowledged and kept in --data-dir meanwhile.

    RESET_DB=1 in the environment wipes the store and begins anew; it is refused unless the
    store was made with --development.
    """
    _only_loopback(http, "--http", "the API has no authentication yet")
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("they go together", param_hint="'--tls-cert' / '--tls-key'")
    if tls_client_ca is not None and tls_cert is None:
        raise typer.BadParameter(
            "it needs --tls-cert and --tls-key", param_hint="'--tls-client-ca'"
        )
    if tls_cert is None:
        _only_loopback(grpc, "--grpc", "without --tls-cert and --tls-key nothing is encrypted")
    _two_ports(http, grpc)
    with told():
        from dercp.cli.running import require_headend, run

        require_headend()
        import structlog

        from dercp.cli.logs import configure_logs
        from dercp.cli.serve import Serving, serve_until_stopped
        from dercp.cli.stores import Demand, StorePlan, reset_demand
        from dercp.headend.settings import HeadendSettings
        from dercp.store.records import Purpose

        configure_logs(logging.DEBUG if verbose else logging.INFO)
        if not no_auth:
            structlog.get_logger().warning(
                "api_without_authentication",
                mend="only loopback can reach it; --no-auth says you know",
            )
        stores = StorePlan(
            data_dir=data_dir,
            url=store_url,
            purpose=Purpose.DEVELOPMENT if development else Purpose.PRODUCTION,
            demands=reset_demand(os.environ)
            | (frozenset({Demand.DEVELOPMENT}) if development else frozenset()),
        )
        grpc_tls = None
        if tls_cert is not None and tls_key is not None:
            grpc_tls = _server_tls(tls_cert, tls_key, tls_client_ca)
        serving = Serving(http=http, grpc=grpc, stores=stores, grpc_tls=grpc_tls)
        run(lambda: serve_until_stopped(serving, HeadendSettings()))


def edge(
    context: typer.Context,
    config: SiteFile = Path("site.toml"),
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong with the file, and end.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run the edge agent of one site, until SIGTERM or Ctrl-C.

    The agent works on without a headend: it keeps trying, ends every lease in time, and
    the assets go to their fallback.
    """
    if context.invoked_subcommand is not None:
        return
    with told():
        from dercp.cli.edge import load_config, run_until_stopped
        from dercp.cli.logs import configure_logs
        from dercp.cli.output import counted
        from dercp.cli.running import run

        loaded = load_config(config)
        if check:
            typer.echo(
                f"{config}: agent {loaded.agent_id}, site {loaded.site_id}, "
                f"{counted(len(loaded.assets), 'asset')}; no faults found"
            )
            return
        configure_logs(logging.DEBUG if verbose else logging.INFO)
        run(lambda: run_until_stopped(loaded))


def _server_tls(cert: Path, key: Path, client_ca: Path | None) -> "ssl.SSLContext":
    from dercp.link import TlsFileError, server_tls

    try:
        return server_tls(cert, key, client_ca)
    except TlsFileError as error:
        raise CommandError(str(error), code=Exit.CONFIG) from None


def _two_ports(http: Address, grpc: Address) -> None:
    if http == grpc and http.port:
        raise typer.BadParameter(f"both say {http}", param_hint="'--http' / '--grpc'")


def _has_port(address: Address, option: str) -> None:
    if not address.port:
        raise typer.BadParameter("clients need a port to call", param_hint=f"'{option}'")


def _only_loopback(address: Address, option: str, because: str) -> None:
    if not address.is_loopback:
        raise typer.BadParameter(
            f"{address}: {because}, so only loopback is allowed", param_hint=f"'{option}'"
        )
