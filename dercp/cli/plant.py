"""Commands that run something: the headend, an edge agent, the demo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import structlog
import trio
import typer
from rich.console import Console

from dercp.cli.exits import Exit, fail
from dercp.cli.logs import configure_logs
from dercp.cli.parse import is_loopback, parse_address, parse_duration_s

Http = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the REST API listens.")]
Grpc = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where agents call.")]
NoAuth = Annotated[
    bool,
    typer.Option(
        "--no-auth",
        help="Serve without authentication, on loopback only. This release has no other way.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")]

DEFAULT_HTTP = "127.0.0.1:8080"
DEFAULT_GRPC = "127.0.0.1:50051"


def headend(
    data_dir: Annotated[
        Path, typer.Option(help="Where registry, sessions and dispatches are kept.")
    ] = Path("dercp-data"),
    http: Http = DEFAULT_HTTP,
    grpc: Grpc = DEFAULT_GRPC,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain (PEM) of the gRPC listener.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(help="CA (PEM): agents must show a certificate that it signed."),
    ] = None,
    *,
    no_auth: NoAuth = False,
    verbose: Verbose = False,
) -> None:
    """Run the headend: agents call it, the REST API serves what it knows.

    Without --tls-cert and --tls-key the gRPC listener is plain, on loopback only. The REST
    API has no authentication yet and listens on loopback only; reach it through a proxy
    that authenticates. SIGTERM or Ctrl-C drains and stops within ten seconds.
    """
    from dercp.cli.serve import Serving, serve_until_stopped
    from dercp.headend.settings import HeadendSettings
    from dercp.link import TlsFileError, server_tls

    _only_loopback(http, "--http", "the API has no authentication yet")
    if (tls_cert is None) != (tls_key is None):
        fail("--tls-cert and --tls-key go together", Exit.USAGE)
    if tls_client_ca is not None and tls_cert is None:
        fail("--tls-client-ca needs --tls-cert and --tls-key", Exit.USAGE)
    if tls_cert is None:
        _only_loopback(grpc, "--grpc", "without --tls-cert and --tls-key nothing is encrypted")
    configure_logs(verbose=verbose)
    _warn_of_no_auth(no_auth=no_auth)
    try:
        tls = (
            server_tls(tls_cert, tls_key, tls_client_ca)
            if tls_cert is not None and tls_key is not None
            else None
        )
    except TlsFileError as error:
        fail(str(error), Exit.CONFIG)
    data_dir.mkdir(parents=True, exist_ok=True)
    serving = Serving(
        http=parse_address(http), grpc=parse_address(grpc), data_dir=data_dir, grpc_tls=tls
    )
    _run(lambda: serve_until_stopped(serving, HeadendSettings()))


def edge(
    config: Annotated[
        Path, typer.Option(help="The site's one file; docs/edge.md explains every key.")
    ] = Path("site.toml"),
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
    from dercp.cli.edge import run_until_stopped
    from dercp.edge.config_loader import installed_adapters, load
    from dercp.edge.toml_reader import ConfigError
    from dercp.link import TlsFileError

    try:
        loaded = load(config, installed_adapters())
    except ConfigError as error:
        fail("\n       ".join(error.sentences), Exit.CONFIG)
    if check:
        typer.echo(
            f"{config}: agent {loaded.agent_id}, site {loaded.site_id}, "
            f"{len(loaded.assets)} assets; no faults found"
        )
        return
    configure_logs(verbose=verbose)
    try:
        _run(lambda: run_until_stopped(loaded))
    except TlsFileError as error:
        fail(str(error), Exit.CONFIG)


def demo(
    sites: Annotated[int, typer.Option(min=1, max=99)] = 2,
    assets_per_site: Annotated[int, typer.Option(min=1, max=200)] = 4,
    http: Http = DEFAULT_HTTP,
    grpc: Grpc = DEFAULT_GRPC,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the store here; else it goes with the demo.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="End by itself after so long.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weather.")] = 1,
    *,
    no_auth: NoAuth = False,
    verbose: Verbose = False,
) -> None:
    """Run a headend and some virtual sites on this machine, talking gRPC over loopback.

    The PV and wind follow a real summer week, the batteries and chargers obey dispatches.
    """
    from dercp.cli.demo import DemoSettings, data_directory, run_demo
    from dercp.cli.serve import Serving

    _only_loopback(http, "--http", "a demo has no authentication")
    _only_loopback(grpc, "--grpc", "a demo has no encryption")
    configure_logs(verbose=verbose)
    _warn_of_no_auth(no_auth=no_auth)
    duration_s = parse_duration_s(duration) if duration is not None else None
    with data_directory(data_dir) as directory:
        settings = DemoSettings(
            sites=sites,
            assets_per_site=assets_per_site,
            serving=Serving(http=parse_address(http), grpc=parse_address(grpc), data_dir=directory),
            duration_s=duration_s,
            seed=seed,
        )
        _run(lambda: run_demo(settings, Console()))


def _warn_of_no_auth(*, no_auth: bool) -> None:
    """Whoever has not said that he knows is told."""
    if not no_auth:
        structlog.get_logger().warning(
            "api_without_authentication", mend="only loopback can reach it; --no-auth says you know"
        )


def _only_loopback(address: str, option: str, because: str) -> None:
    host, _ = parse_address(address)
    if not is_loopback(host):
        fail(f"{option} {address}: {because}, so only loopback is allowed", Exit.USAGE)


def _run(main: Callable[[], Awaitable[None]]) -> None:
    """Run on Trio; what a user can mend ends in a sentence."""
    from actors import RestartsExceeded
    from dercp.store.errors import StoreError

    try:
        trio.run(main)
    except* StoreError as errors:
        fail(str(errors.exceptions[0]), Exit.UNAVAILABLE)
    except* OSError as errors:
        fail(str(errors.exceptions[0]), Exit.UNAVAILABLE)
    except* RestartsExceeded as errors:
        fail(f"gave up: {errors.exceptions[0]}", Exit.FAILED)
    except* KeyboardInterrupt:
        raise typer.Exit(130) from None
