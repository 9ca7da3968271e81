"""Frozen pictures of a running agent, for the command line and the status page."""

import msgspec

from dercp.edge.asset.connection import ConnectionStatistics
from dercp.edge.journal import JournalStatistics
from dercp.edge.spool.outbox import OutboxStatistics

__all__ = [
    "AgentStatus",
    "AssetStatus",
    "LeaseStatus",
    "OpcUaStatus",
    "SessionStatus",
    "UplinkStatus",
]


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is up."""

    session_id: str
    epoch: int
    live_for_s: float


class UplinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the talk with the headend goes."""

    session: SessionStatus | None
    calls: int
    refusals: int
    # Of the last session that ended: a stable word, and why. Empty before the first end.
    last_end: str
    last_end_detail: str


class LeaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds an asset, and for how long."""

    dispatch_id: str
    setpoint_mw: float
    ends_in_s: float


class AssetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One asset and its device."""

    asset_id: str
    # None before the first opening.
    connection: ConnectionStatistics | None
    samples: int
    missed_ticks: int
    lease: LeaseStatus | None
    scheduled: int
    # Why the people at the site have locked it; None = they have not.
    locked: str | None = None


class OpcUaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The server for the site's SCADA; it counts since it was started last."""

    port: int
    sessions: int
    subscriptions: int
    writes_taken: int
    writes_refused: int
    clients_cut: int


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one agent."""

    agent_id: str
    site_id: str
    uplink: UplinkStatus
    outbox: OutboxStatistics
    journal: JournalStatistics
    assets: tuple[AssetStatus, ...]
    # None: there is none, or it does not listen.
    opcua: OpcUaStatus | None = None
