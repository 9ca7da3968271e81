"""Which way a dispatch goes: by one agent, or divided among several."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from actors import ActorStopped, MailboxFull
from dercp.headend.messages import Deliver, SendDispatch
from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchReason,
    PortfolioTarget,
    SiteTarget,
    Target,
)

if TYPE_CHECKING:
    from dercp.headend.fleet.roster import Roster, SiteEntry
    from dercp.headend.fleet.twin import Link
    from dercp.headend.messages import AssetRef, SiteRef


class Route(NamedTuple):
    """The actor that hands a dispatch on, and the one agent that may speak of it."""

    ref: AssetRef | SiteRef | None
    agent_id: str
    is_up: bool

    def deliver_nowait(self, dispatch: Dispatch) -> bool:
        """Give it to the actor; False when that has no room, or is not there."""
        if self.ref is None:
            return False
        try:
            self.ref.tell_nowait(Deliver(dispatch=dispatch))
        except (MailboxFull, ActorStopped):
            return False
        return True


def route_of(target: Target, roster: Roster) -> Route | None:
    """The way to an asset, or to the gateway of a site; None where no one agent answers for it."""
    match target:
        case AssetTarget(asset_id):
            twin = roster.twins.get(asset_id)
            if twin is None:
                return None
            return Route(twin.ref, twin.agent_id, twin.link is not None)
        case SiteTarget(site_id):
            entry = roster.sites.get(site_id)
            agent_id = gateway_of(entry) if entry is not None else None
            if entry is None or agent_id is None:
                return None
            return Route(entry.ref, agent_id, roster.agents[agent_id].link is not None)
        case PortfolioTarget():
            return None
        case _:
            assert_never(target)


def may_speak(agent_id: str, target: Target, roster: Roster) -> bool:
    """Whether an agent may say how a dispatch for this target stands."""
    match target:
        case AssetTarget(asset_id):
            twin = roster.twins.get(asset_id)
            return twin is not None and twin.agent_id == agent_id
        case SiteTarget(site_id):
            entry = roster.sites.get(site_id)
            return entry is not None and any(
                twin.agent_id == agent_id for twin in entry.twins.values()
            )
        case PortfolioTarget():
            return False
        case _:
            assert_never(target)


def gateway_of(entry: SiteEntry) -> str | None:
    """The agent that speaks for all assets of a site; None when there are several, or none."""
    agent_ids = {twin.agent_id for twin in entry.twins.values()}
    return agent_ids.pop() if len(agent_ids) == 1 else None


def hand_over(link: Link | None, dispatch: Dispatch) -> DispatchReason | None:
    """Give a dispatch to a session; the answer says why that failed."""
    if link is None:
        return DispatchReason.OFFLINE
    try:
        link.session.tell_nowait(SendDispatch(dispatch=dispatch))
    except MailboxFull:
        return DispatchReason.SESSION_OVERLOADED
    except ActorStopped:
        return DispatchReason.LINK_LOST
    return None
