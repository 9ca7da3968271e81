"""What the headend lets others see: frozen pictures of sites, assets, agents and sessions.

A view is made when somebody asks and never changes afterwards. Times are Unix
microseconds (UTC); ages are seconds counted by the monotonic clock.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from dercp.model.aggregate import Aggregate
from dercp.model.asset import AssetSpec, Fallback, PointSpec
from dercp.model.authority import Authority
from dercp.model.dispatch import DispatchState
from dercp.model.quality import Quality, Reason

# So far behind, a drain that works is no longer said to be well.
LAG_S_MAX = 60.0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all views: keyword-only and frozen."""


class ControlView(View, frozen=True):
    """The dispatch that holds an asset, and what comes after it."""

    dispatch_id: str
    # What the limits left of it, once that is known.
    setpoint_mw: float
    until_us: int
    # Where the asset goes then; None: the site has not said.
    fallback: Fallback | None
    authority: Authority
    state: DispatchState


class AssetView(View, frozen=True):
    """An asset as registered, and whether it can be believed now."""

    spec: AssetSpec
    site_id: str
    agent_id: str
    # Its agent's session is up and has registered it.
    online: bool
    # No sample for three expected intervals, or the session is lost.
    stale: bool
    # Age of the latest sample by source time as seen at ingest; None before the first.
    age_s: float | None
    # None: no dispatch of this headend holds it.
    control: ControlView | None = None


class PointView(View, frozen=True):
    """One value of the latest sample, judged."""

    name: str
    value: float | None
    unit: str
    quality: Quality
    reasons: Reason


class TelemetryView(View, frozen=True):
    """The latest known sample of an asset. Times are None before the first sample."""

    asset_id: str
    site_id: str
    source_time_us: int | None
    ingest_time_us: int | None
    age_s: float | None
    stale: bool
    points: tuple[PointView, ...]


class GoodSampleView(msgspec.Struct, frozen=True, gc=False):
    """The latest known sample of an asset of which each value is known and good.

    Short for a `TelemetryView` of it; made without an object for each value, for whoever reads
    whole fleets. The values stand in the order of the points, which assets share.
    """

    asset_id: str
    site_id: str
    source_time_us: int
    ingest_time_us: int
    age_s: float | None
    stale: bool
    points: Sequence[PointSpec]
    values: Sequence[float]


class SiteView(View, frozen=True):
    """A site and the sum over its assets."""

    site_id: str
    name: str
    agent_ids: tuple[str, ...]
    asset_ids: tuple[str, ...]
    aggregate: Aggregate


class AgentStatus(StrEnum):
    """Whether the agent's session is up."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


class SessionView(View, frozen=True):
    """One session of an agent, running or ended."""

    session_id: str
    epoch: int
    peer: str
    connected_us: int
    disconnected_us: int | None
    # A stable word: link_lost, superseded, heartbeat_missed, agent_closed, drained, ...
    reason: str | None
    frames: int
    samples: int
    rejects: int


class SpoolView(View, frozen=True):
    """What an agent holds that was not acknowledged, by its last word."""

    batches: int
    bytes: int
    bytes_max: int
    # The oldest source time in it, by the agent's clock; None when nothing waits.
    oldest_us: int | None
    # Its age now, had nothing been acknowledged since.
    oldest_age_s: float | None
    # Dropped and declared since the spool began.
    dropped_samples: int
    # A stable word (disk_full, ...); "" when it is well.
    trouble: str
    reported_us: int


class AgentView(View, frozen=True):
    """An edge agent, its session, and the sessions before it (newest first)."""

    agent_id: str
    site_id: str
    site_name: str
    status: AgentStatus
    software_version: str
    asset_ids: tuple[str, ...]
    session: SessionView | None
    recent_sessions: tuple[SessionView, ...]
    # Sessions begun within the last five minutes beyond the first.
    flaps: int
    # The agent's clock minus the headend's, at its last heartbeat.
    clock_offset_s: float | None
    # None when it never told since the headend was started.
    spool: SpoolView | None = None


class SpoolSums(View, frozen=True):
    """The spools of all agents by their last words, also of those that are away."""

    batches: int = 0
    bytes: int = 0
    dropped_samples: int = 0
    in_trouble: int = 0
    # The oldest of all; 0 when nothing waits anywhere.
    oldest_age_s: float = 0.0


class DrainState(StrEnum):
    """What the drain is doing."""

    DRAINED = "drained"
    """Everything in the log is in the store."""
    DRAINING = "draining"
    WAITING = "waiting"
    """The store takes nothing now; it is tried again."""


class DrainView(View, frozen=True):
    """How the drain stands."""

    state: DrainState
    # The last position of the log that the store has.
    position: int
    lag_frames: int
    # What they take in the log's file, roughly.
    lag_bytes: int
    # The age of the oldest of them, by its arrival.
    lag_s: float
    # Since when the store takes nothing; None while it does.
    waiting_since_us: int | None
    # What the store said last when it did not take something; empty if it always did.
    last_error: str
    # Frames that the store refused for good, kept in the log's file.
    quarantined: int

    def degraded_because(self, now_us: int) -> str:
        """What an operator should know, in a sentence; empty while all is well."""
        if self.waiting_since_us is not None:
            waits_s = max(0, now_us - self.waiting_since_us) / 1_000_000
            return (
                f"the store has taken no telemetry for {waits_s:.0f} s ({self.last_error}); "
                f"{self.lag_frames:,} batches wait in the log"
            )
        if self.lag_s > LAG_S_MAX:
            return f"the store lags {self.lag_s:.0f} s behind the log"
        return ""


class SystemView(View, frozen=True):
    """Totals for readiness and metrics."""

    # Why it is not ready, in a sentence; empty when it is.
    not_ready_because: str
    assets: int
    assets_online: int
    agents_connected: int
    spools: SpoolSums = SpoolSums()
    # What is wrong although it serves, in a sentence; empty when nothing is.
    degraded_because: str = ""
    # Where telemetry is drained into a store: how that stands.
    drain: DrainView | None = None

    @property
    def ready(self) -> bool:
        """Whether the headend takes sessions and dispatches."""
        return not self.not_ready_because
