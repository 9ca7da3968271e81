"""What a store keeps, as frozen records.

Times are Unix microseconds (UTC). Every record of a tenant names it; a registration is
named by its content alone and belongs to nobody.
"""

from collections.abc import Mapping

import msgspec

from dercp.model.dispatch import Dispatch

DEFAULT_TENANT = "default"
"""The only tenant there is today."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as the store keeps it."""


class SiteRecord(Record, frozen=True, kw_only=True):
    """A site that some agent has named."""

    tenant_id: str
    site_id: str
    name: str


class AgentRecord(Record, frozen=True, kw_only=True):
    """An edge agent as its newest handshake described it."""

    tenant_id: str
    agent_id: str
    site_id: str
    # Counts the agent's handshakes, from 1; the newest session wins.
    epoch: int
    registration_id: bytes
    software_version: str
    spool_id: str
    first_seen_us: int
    # The newest handshake, not the newest frame.
    last_seen_us: int


class RegistrationRecord(Record, frozen=True, kw_only=True):
    """The schema of an agent's batches, byte for byte as the agent sent it."""

    registration_id: bytes
    content: bytes
    first_seen_us: int


class RegistryContents(Record, frozen=True, kw_only=True):
    """All the registry knows of a tenant that is in force."""

    sites: tuple[SiteRecord, ...]
    agents: tuple[AgentRecord, ...]
    # Those which an agent of `agents` names; older ones are found by their id.
    registrations: tuple[RegistrationRecord, ...]
    # asset_id -> agent_id
    owners: Mapping[str, str]


class SessionRecord(Record, frozen=True, kw_only=True):
    """One session of an agent; still open while `disconnected_us` is None."""

    tenant_id: str
    session_id: str
    agent_id: str
    epoch: int
    peer: str
    connected_us: int
    disconnected_us: int | None = None
    # A stable word (link_lost, superseded, drained, ...); None while open.
    reason: str | None = None
    frames: int = 0
    samples: int = 0
    rejects: int = 0


class IdempotencyRecord(Record, frozen=True, kw_only=True):
    """An Idempotency-Key and the dispatch it made. It lives as long as the dispatch."""

    tenant_id: str
    key: str
    # Of the request's body: the same key with another fingerprint is a mistake.
    fingerprint: str
    dispatch_id: str
    created_us: int


class DispatchPage(Record, frozen=True, kw_only=True):
    """Some dispatches, newest first."""

    dispatches: tuple[Dispatch, ...]
    # Give this as `before` for the page after; None: there is none.
    next_before: int | None


class StoreStatistics(Record, frozen=True, kw_only=True):
    """What a store has done since it was opened, and how it is."""

    # Transactions made durable, one fsync each.
    commits: int
    # Calls they carried; `writes / commits` is what sharing the fsync saves.
    writes: int
    largest_group: int
    # Writes whose commit is still to come, and how many may be before callers are held back.
    waiting: int
    waiting_max: int
    # Why the store refuses work; None while it is well.
    failure: str | None
