"""What the site itself may use of its agent. None of it is there unless it is configured."""

from collections.abc import Mapping
from typing import NoReturn

import structlog

from actors import ChildSpec
from dercp.edge.asset.device import AssetMemory
from dercp.edge.asset.lease_keeper import Clocks
from dercp.edge.config.settings import Config, OpcUaConfig
from dercp.edge.desk import Desk
from dercp.edge.journal import Journal
from dercp.edge.local_desk import LocalDesk
from dercp.edge.site.keeper import SiteKeeper
from dercp.edge.status import OpcUaStatus

__all__ = ["Surfaces"]


class Surfaces:
    """The surfaces of one agent.

    Attributes:
        opcua: How the OPC UA server is; None when it does not listen.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        memories: Mapping[str, AssetMemory],
        site: SiteKeeper,
        clocks: Clocks,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.opcua: OpcUaStatus | None = None
        self._config = config
        self._journal = journal
        self._memories = memories
        self._site = site
        self._clocks = clocks
        self._log = log

    def specs(self, desk: Desk, version: str) -> list[ChildSpec[NoReturn]]:
        """Those that are configured; what they are asked for goes to the desk."""
        opcua = self._config.opcua
        return [] if opcua is None else [self._opcua_spec(opcua, desk, version)]

    def _opcua_spec(self, opcua: OpcUaConfig, desk: Desk, version: str) -> ChildSpec[NoReturn]:
        # asyncua is an extra.
        from dercp.edge.opcua.surface import Site, surface_spec

        site = Site(
            agent_id=self._config.agent_id,
            version=version,
            memories=self._memories,
            keeper=self._site,
            desk=LocalDesk(
                desk,
                self._journal,
                self._memories,
                self._site,
                site_id=self._config.site_id,
                clock=self._clocks.headend,
                log=self._log,
            ),
            clock=self._clocks.own,
        )
        return surface_spec(opcua, site, self._note_opcua, self._log)

    def _note_opcua(self, status: OpcUaStatus | None) -> None:
        self.opcua = status
