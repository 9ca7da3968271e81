"""Who is who: sites, agents and assets as last registered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dercp.headend.fleet.twin import Link, Twin

if TYPE_CHECKING:
    from dercp.headend.agents.facts import SessionFacts
    from dercp.headend.agents.spool_report import SpoolReport
    from dercp.headend.messages import SiteRef
    from dercp.headend.views import SessionView
    from dercp.model.asset import AssetSpec, Registration


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
        self.asset_ids: tuple[str, ...] = ()
        self.link: Link | None = None
        self.facts: SessionFacts | None = None
        self.ended: deque[SessionView] = deque(maxlen=remembered_max)
        self._spool: SpoolReport | None = None

    def remember(self, session: SessionView) -> None:
        """Keep an ended session, unless the store has told of it already."""
        if all(each.session_id != session.session_id for each in self.ended):
            self.ended.appendleft(session)

    @property
    def spool(self) -> SpoolReport | None:
        """Its newest word on its spool, in the running session or in one before."""
        running = None if self.facts is None else self.facts.spool
        return running or self._spool

    def note_spool(self, report: SpoolReport | None) -> None:
        """Keep the last word of a session that has ended; they may end in any order."""
        known = self._spool
        if report and (known is None or report.reported_mono_s > known.reported_mono_s):
            self._spool = report

    def sessions_since(self, since_us: int) -> int:
        """How many sessions began at or after this time, of those remembered."""
        begun = [view.connected_us for view in self.ended]
        if self.facts is not None:
            begun.append(self.facts.connected_us)
        return sum(connected_us >= since_us for connected_us in begun)


class Roster:
    """Everything registered, by id. Readers look; only the fleet's actor writes.

    An asset belongs to the agent that registered it. It passes to another agent of the
    same site only while its owner is away (a replaced gateway).
    """

    def __init__(self, *, sessions_remembered_max: int) -> None:
        self._sessions_remembered_max = sessions_remembered_max
        self.sites: dict[str, SiteEntry] = {}
        self.agents: dict[str, AgentEntry] = {}
        self.twins: dict[str, Twin] = {}

    def clear(self) -> None:
        """Forget everything, before it is filled anew from the store."""
        self.sites.clear()
        self.agents.clear()
        self.twins.clear()

    def refusal(self, agent_id: str, registration: Registration) -> str | None:
        """Why these assets are not this agent's to speak for; None = they are."""
        site_id, agent = registration.site_id, self.agents.get(agent_id)
        if agent is not None and agent.site_id != site_id:
            return f"agent {agent_id} belongs to site {agent.site_id}, not {site_id}"
        for twin in self._of_others(agent_id, registration):
            asset_id, owner = twin.spec.asset_id, self.agents[twin.agent_id]
            if twin.site_id != site_id:
                return f"asset {asset_id} belongs to site {twin.site_id}, not {site_id}"
            if owner.link is not None:
                return f"asset {asset_id} is spoken for by agent {owner.agent_id}, connected now"
        return None

    def concerns(self, agent_id: str, registration: Registration) -> set[tuple[str, str]]:
        """Whatever else may not change while this registration is being judged and entered."""
        others = {twin.agent_id for twin in self._of_others(agent_id, registration)}
        claimed = (
            spec.asset_id
            for spec in registration.assets
            if (twin := self.twins.get(spec.asset_id)) is None or twin.agent_id != agent_id
        )
        agents = {("agent", each) for each in (agent_id, *others)}
        return agents | {("asset", asset_id) for asset_id in claimed}

    def enter(
        self, agent_id: str, registration: Registration
    ) -> tuple[AgentEntry, tuple[Twin, ...]]:
        """Write down what an agent has registered; the twins are those it names no longer."""
        site, agent = self.site(registration.site_id), self.agent(agent_id, registration.site_id)
        site.name = registration.site_name
        former_ids = set(agent.asset_ids)
        self.own(agent, registration.assets)
        retired_ids = sorted(former_ids.difference(agent.asset_ids))
        retired = tuple(self.twins.pop(asset_id) for asset_id in retired_ids)
        for twin in retired:
            del site.twins[twin.spec.asset_id]
        return agent, retired

    def own(self, agent: AgentEntry, specs: Sequence[AssetSpec]) -> None:
        """Let these be the agent's assets, whoever's they were."""
        site = self.sites[agent.site_id]
        agent.asset_ids = tuple(spec.asset_id for spec in specs)
        for spec in specs:
            twin = self.twins.get(spec.asset_id)
            if twin is None:
                twin = Twin(spec, site_id=agent.site_id, agent_id=agent.agent_id)
                self.twins[spec.asset_id] = site.twins[spec.asset_id] = twin
            elif twin.agent_id != agent.agent_id:
                former = self.agents[twin.agent_id]
                former.asset_ids = tuple(i for i in former.asset_ids if i != spec.asset_id)
            twin.spec, twin.agent_id = spec, agent.agent_id

    def site(self, site_id: str) -> SiteEntry:
        """The entry of a site, made when it is new."""
        if site_id not in self.sites:
            self.sites[site_id] = SiteEntry(site_id, "")
        return self.sites[site_id]

    def agent(self, agent_id: str, site_id: str) -> AgentEntry:
        """The entry of an agent, made when it is new."""
        if agent_id not in self.agents:
            self.agents[agent_id] = AgentEntry(
                agent_id, site_id, remembered_max=self._sessions_remembered_max
            )
        return self.agents[agent_id]

    def _of_others(self, agent_id: str, registration: Registration) -> list[Twin]:
        return [
            twin
            for spec in registration.assets
            if (twin := self.twins.get(spec.asset_id)) is not None and twin.agent_id != agent_id
        ]
