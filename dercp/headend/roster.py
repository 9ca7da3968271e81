"""Who is who: sites, agents and assets as last registered. Written by the fleet alone."""

from collections import deque

from dercp.headend.facts import SessionFacts
from dercp.headend.messages import SessionRef, SiteRef
from dercp.headend.twin import Twin
from dercp.headend.views import SessionView


class SiteEntry:
    """A site, the assets that stand there, and the actor that answers for it."""

    def __init__(self, site_id: str, name: str) -> None:
        self.site_id = site_id
        self.name = name
        self.twins: dict[str, Twin] = {}
        self.ref: SiteRef | None = None


class AgentEntry:
    """An agent, its running session if there is one, and the ended ones (newest first)."""

    def __init__(self, agent_id: str, site_id: str, *, remembered_max: int) -> None:
        self.agent_id = agent_id
        self.site_id = site_id
        self.software_version = ""
        self.registration_id = b""
        self.epoch = 0
        self.asset_ids: tuple[str, ...] = ()
        self.session: SessionRef | None = None
        self.facts: SessionFacts | None = None
        self.ended: deque[SessionView] = deque(maxlen=remembered_max)

    def sessions_since(self, since_us: int) -> int:
        """How many sessions began at or after this time, of those remembered."""
        begun = [view.connected_us for view in self.ended]
        if self.facts is not None:
            begun.append(self.facts.connected_us)
        return sum(connected_us >= since_us for connected_us in begun)


class Roster:
    """Everything registered, by id. Readers look; only the fleet's actor writes."""

    def __init__(self) -> None:
        self.sites: dict[str, SiteEntry] = {}
        self.agents: dict[str, AgentEntry] = {}
        self.twins: dict[str, Twin] = {}

    def clear(self) -> None:
        """Forget everything, before it is read anew from the store."""
        self.sites.clear()
        self.agents.clear()
        self.twins.clear()
