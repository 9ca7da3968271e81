"""What a store keeps, as frozen records.

Times are Unix microseconds (UTC). Every record of a tenant names it; a registration is
named by its content alone and belongs to nobody.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from dercp.model.completeness import Stretch
from dercp.model.dispatch import Dispatch, DispatchState

DEFAULT_TENANT = "default"
"""The only tenant there is today."""


class Purpose(StrEnum):
    """What a store was made for; it is said when it is made, and kept in it."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"
    """It may be wiped."""


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


class DispatchFilter(Record, frozen=True, kw_only=True):
    """Which dispatches: those that have all of what is given here."""

    asset_id: str | None = None
    site_id: str | None = None
    portfolio_id: str | None = None
    schedule_id: str | None = None
    parent_id: str | None = None
    # One of these; empty: any.
    states: tuple[DispatchState, ...] = ()


EVERY_DISPATCH = DispatchFilter()


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


class FrameRecord(Record, frozen=True, kw_only=True, gc=False):
    """A batch of telemetry as it came. Tenant, agent, spool and sequence name it."""

    tenant_id: str
    agent_id: str
    spool_id: str
    # Counts the batches of the spool, from 1.
    sequence: int
    registration_id: bytes
    ingest_time_us: int
    # The oldest and the newest source time in it.
    first_time_us: int
    last_time_us: int
    samples: int
    # The serialized TelemetryPayload.
    payload: bytes


class SampleRow(Record, frozen=True, kw_only=True, gc=False):
    """What a frame says of one asset at one time, for a store that keeps wide rows too."""

    site_id: str | None
    asset_id: str
    source_time_us: int
    # By the name of the point; one that is not known is not in it.
    values: Mapping[str, float]
    # By the name of the point, of those that are not good: "uncertain" or "bad".
    qualities: Mapping[str, str]


class GapRecord(Record, frozen=True, kw_only=True):
    """Batches that the edge declared it will never send, both sequences included."""

    tenant_id: str
    agent_id: str
    spool_id: str
    first_sequence: int
    last_sequence: int
    from_us: int
    to_us: int
    samples: int
    # A stable word (spool_full, too_old, corrupt, ...).
    reason: str
    declared_us: int


class Appended(Record, frozen=True, kw_only=True):
    """What became of the frames of a call: each is in the log now."""

    stored: int
    # Those which were in the log before, or twice in the call.
    duplicates: int


class FramePage(Record, frozen=True, kw_only=True):
    """Some frames, in the order in which they were logged."""

    frames: tuple[FrameRecord, ...]
    # Give this as `after_position` for the page after; None: there is none.
    next_after: int | None
    # Frames that belong here and could not be read, or were not what was written.
    corrupt: int


class GapPage(Record, frozen=True, kw_only=True):
    """Some gaps, in the order in which they were declared."""

    gaps: tuple[GapRecord, ...]
    # Give this as `after_position` for the page after; None: there is none.
    next_after: int | None


class SpoolSequences(Record, frozen=True, kw_only=True):
    """What is known of a spool's batches: those in neither are still to come.

    Each is in order, its stretches apart from each other. A batch that was logged is not
    declared, whichever came first.
    """

    spool_id: str
    stored: tuple[Stretch, ...]
    declared: tuple[Stretch, ...]


class HistoryLimits(Record, frozen=True, kw_only=True):
    """How much history is kept, and when the log takes in no more."""

    # The database may hold this much; then the log is full.
    bytes_max: int = 64 * 2**30
    # What the file system keeps free for dispatches and audit: the log does not touch it.
    disk_reserve_bytes: int = 512 * 2**20
    # Pruning takes away what is beyond the one or older than the other.
    retained_bytes: int = 56 * 2**30
    retained_s: float = 366 * 86_400.0
    # Of a log that is drained into a store, what stays here of the frames which are there too:
    # no more than either. What is not there yet is never taken away.
    tail_bytes: int = 1 * 2**30
    tail_s: float = 3_600.0


class Pruned(Record, frozen=True, kw_only=True):
    """What one step of pruning took away."""

    frames: int
    gaps: int
    # Prune again at once; otherwise there is nothing to do for now.
    more: bool


class HistoryStatistics(Record, frozen=True, kw_only=True):
    """What the history holds, and what the log has done since it was opened."""

    frames: int
    # Room taken in the file, and its bound.
    bytes: int
    bytes_max: int
    # History older than this has been aged out, at least in part; None: none has.
    retained_from_us: int | None
    # The newest data; a clock ahead of ours counts as the time of arrival.
    newest_us: int | None
    commits: int
    # Calls they carried.
    writes: int
    largest_group: int
    waiting: int
    waiting_max: int
    stored: int
    duplicates: int
    # Calls refused because the log or the disk was full.
    refused: int
    # Frames found unreadable or not as written, each counted once.
    corrupt: int
    # Files too damaged to go on with, by name; what they hold is not in this history.
    set_aside: tuple[str, ...]
    # Why the log refuses work; None while it is well.
    failure: str | None


class DrainMark(Record, frozen=True, kw_only=True, gc=False):
    """How far a log is drained: which position, and which change of a gap, came last."""

    position: int
    gap_change: int


class Undrained(Record, frozen=True, kw_only=True):
    """What comes next in the log, in its order."""

    frames: tuple[FrameRecord, ...]
    # Where each of the frames is.
    positions: tuple[int, ...]
    gaps: tuple[GapRecord, ...]
    # Frames on the way that could not be read, or were not what was written.
    corrupt: int
    # Reached once all of this is elsewhere.
    mark: DrainMark


class Quarantined(Record, frozen=True, kw_only=True):
    """A frame that the store will never take, and why, in the store's words."""

    position: int
    why: str


class DrainStatistics(Record, frozen=True, kw_only=True):
    """How far a log is drained, and what is kept of what could not be."""

    drained: DrainMark
    # The end of the log; all is drained where both are the same.
    end: DrainMark
    # Frames kept aside because the store did not take them, and how many may be.
    quarantined: int
    quarantined_max: int


class PostgresStatistics(Record, frozen=True, kw_only=True):
    """How it goes with the server, and what was made of the frames beside keeping them."""

    # What it is called in messages: no user, no password.
    place: str
    # Connections made since opening.
    connects: int
    # Why it does not answer; None while it does.
    away: str | None
    # Written to `samples`, and frames that have none there for they could not be read.
    rows: int
    unreadable: int
