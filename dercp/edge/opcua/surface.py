"""The actor that speaks OPC UA with the site's SCADA."""

import asyncio  # noqa: TID251  # parts of it are the work of a bridge
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NoReturn

import msgspec
import structlog
import trio
from asyncua import ua

from actors import Actor, ChildSpec, Context, MailboxSpec, OnFull
from adapters._bridge import Bridge, open_bridge
from dercp.edge.asset.device import AssetMemory
from dercp.edge.config.settings import OpcUaConfig
from dercp.edge.local_desk import LocalDesk
from dercp.edge.opcua.nodes import AssetNodes, SiteNodes, build
from dercp.edge.opcua.server import BoundedServer, new_server, stop_server
from dercp.edge.opcua.showing import Showing, Update
from dercp.edge.opcua.writing import WritableNode, WriteService
from dercp.edge.site.keeper import SiteKeeper
from dercp.edge.status import OpcUaStatus
from dercp.model.dispatch import AssetTarget
from dercp.model.time import Clock

__all__ = ["OpcUaSurface", "Site", "surface_spec"]

# Polls are rarely more often than once a second, and an operator sees no difference.
LOOKS_EVERY_S: Final = 0.5
# asyncua puts in a value without ever giving way: 250 take 1 to 5 ms.
UPDATES_PER_TURN: Final = 250
STOPS_WITHIN_S: Final = 3.0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What the surface shows, and whom it asks."""

    agent_id: str
    version: str
    memories: Mapping[str, AssetMemory]
    keeper: SiteKeeper
    desk: LocalDesk
    clock: Clock


class OpcUaSurface(Actor[NoReturn]):
    """Listens, shows, and asks the desk for what is written.

    Characteristics:
        Updates: looked for twice a second, at most one per node, 250 at a time.
        Clients: bounded in number, and in what they may leave unread; see `server` and `guard`.
        A crash takes the clients' connections, and nothing of the leases or the devices.
    """

    def __init__(
        self,
        config: OpcUaConfig,
        site: Site,
        tell: Callable[[OpcUaStatus | None], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._site = site
        self._tell = tell
        self._log = log

    async def run(self, context: Context[NoReturn]) -> None:
        """Serve until told to end."""
        # It writes a traceback for each client that is turned away.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        async with open_bridge("opcua") as bridge:
            try:
                await self._serve(context, bridge)
            finally:
                self._tell(None)

    async def _serve(self, context: Context[NoReturn], bridge: Bridge) -> None:
        config, site = self._config, self._site
        server = await bridge.run(new_server, config, site.agent_id, site.version)
        specs = [memory.spec for memory in site.memories.values()]
        nodes = await bridge.run(build, server, specs)
        writes = WriteService(
            server.iserver.aspace,
            _writable(site, *nodes),
            site.desk,
            bridge.ask,
            lease_s=config.lease_s,
        )
        server.iserver.attribute_service = writes
        showing = Showing(site.memories, site.desk, site.keeper, nodes, site.clock)
        # What a client finds at first is true already.
        await bridge.run(_show, server, list(showing.updates()))
        await bridge.run(server.start)
        self._log.info("opcua_listens", host=config.host, port=server.port)
        cut = 0
        try:
            while not context.is_ending:
                updates = list(showing.updates())
                await bridge.run(_show, server, updates)
                cut += server.cut_slow_clients()
                self._tell(_status(server, writes, cut))
                with trio.move_on_after(LOOKS_EVERY_S):
                    await context.wait_ending()
        finally:
            await bridge.finish(partial(stop_server, server), within_s=STOPS_WITHIN_S)


def surface_spec(
    config: OpcUaConfig,
    site: Site,
    tell: Callable[[OpcUaStatus | None], None],
    log: structlog.typing.FilteringBoundLogger,
) -> ChildSpec[NoReturn]:
    """The surface as a child; `tell` hears how it is."""
    return ChildSpec(
        name="opcua",
        factory=lambda: OpcUaSurface(config, site, tell, log),
        # Nobody writes to it: it listens to its clients.
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        grace_s=STOPS_WITHIN_S + 1.0,
    )


def _status(server: BoundedServer, writes: WriteService, cut: int) -> OpcUaStatus:
    return OpcUaStatus(
        port=server.port,
        sessions=server.sessions,
        subscriptions=server.subscriptions,
        writes_taken=writes.counts["writes_taken"],
        writes_refused=writes.counts["writes_refused"],
        clients_cut=cut,
    )


def _writable(
    site: Site, site_nodes: SiteNodes, nodes: Mapping[str, AssetNodes]
) -> dict[ua.NodeId, WritableNode]:
    writable = {
        site_nodes.dispatch: WritableNode(site.desk.site, releases=False),
        site_nodes.release: WritableNode(site.desk.site, releases=True),
    }
    for asset_id, each in nodes.items():
        target = AssetTarget(asset_id)
        writable[each.setpoint] = WritableNode(target, releases=False)
        writable[each.release] = WritableNode(target, releases=True)
    return writable


async def _show(server: BoundedServer, updates: Sequence[Update]) -> None:
    """Put it into the address space; subscribers hear of it from there."""
    space = server.iserver.aspace
    for first in range(0, len(updates), UPDATES_PER_TURN):
        for node, value in updates[first : first + UPDATES_PER_TURN]:
            await space.write_attribute_value(node, ua.AttributeIds.Value, value)
        await asyncio.sleep(0)
