"""`dercp edge`: one site's agent in one process."""

from functools import partial

import structlog
import trio

from dercp.cli.clock import utc_now_us
from dercp.cli.signals import wait_stop_signal
from dercp.edge.agent import run_agent
from dercp.edge.config import Config

log = structlog.get_logger()


async def run_until_stopped(config: Config) -> None:
    """Run the agent, and stop it in order at the first signal."""
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_agent, config, clock=utc_now_us))
        log.info(
            "edge_running",
            agent_id=config.agent_id,
            site_id=config.site_id,
            assets=len(config.assets),
            headend=f"{config.headend.host}:{config.headend.port}",
        )
        name = await wait_stop_signal()
        log.info("edge_stopping", signal=name)
        nursery.cancel_scope.cancel("told to stop")
    log.info("edge_stopped")
