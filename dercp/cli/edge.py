"""`dercp edge`: one site's agent in one process."""

from functools import partial
from pathlib import Path

import structlog
import trio

from dercp.cli.clock import utc_now_us
from dercp.cli.collector import calm_the_collector
from dercp.cli.exits import CommandError, Exit
from dercp.cli.signals import stop_requests
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.loader import installed_adapters, load
from dercp.edge.config.settings import Config, TlsFiles
from dercp.edge.config.toml_reader import ConfigError
from dercp.edge.spool.opening import SpoolUnusable
from dercp.link import TlsFileError, client_tls

log = structlog.get_logger()


def load_config(file: Path) -> Config:
    """Read the agent's file, and try the certificates that it names.

    Raises:
        CommandError: With a sentence for each thing that is wrong.
    """
    try:
        config = load(file, installed_adapters())
    except ConfigError as error:
        raise CommandError(*error.sentences, code=Exit.CONFIG) from None
    if config.headend.tls is not None:
        _try_certificates(file, config.headend.tls)
    return config


def _try_certificates(file: Path, tls: TlsFiles) -> None:
    try:
        client_tls(tls.ca_file, tls.cert_file, tls.key_file)
    except TlsFileError as error:
        raise CommandError(f"{file.name}: headend.tls: {error}", code=Exit.CONFIG) from None


async def _run_agent(
    config: Config, *, task_status: trio.TaskStatus[Agent] = trio.TASK_STATUS_IGNORED
) -> None:
    try:
        await run_agent(config, clock=utc_now_us, task_status=task_status)
    except SpoolUnusable as error:
        raise CommandError(str(error), code=Exit.CONFIG) from None


async def run_until_stopped(config: Config) -> None:
    """Run the agent, and stop it in order at the first signal.

    Raises:
        CommandError: Its data directory cannot be used, or another agent uses it.
    """
    async with stop_requests() as stop:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(_run_agent, config))
            calm_the_collector()
            log.info(
                "edge_running",
                agent_id=config.agent_id,
                site_id=config.site_id,
                assets=len(config.assets),
                headend=f"{config.headend.host}:{config.headend.port}",
            )
            log.info("edge_stopping", signal=await stop.wait())
            nursery.cancel_scope.cancel("told to stop")
        log.info("edge_stopped")
