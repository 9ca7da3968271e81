"""What the API answers, as far as a terminal shows it. Members not named here are ignored."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


class Page(msgspec.Struct, Generic[R], frozen=True):
    """A part of a list; `next` is the cursor of the part after it."""

    items: list[R]
    next: str | None = None


class Asset(msgspec.Struct, frozen=True):
    """An asset, and whether it can be believed now."""

    id: str
    site_id: str
    kind: str
    name: str
    p_min_mw: float
    p_max_mw: float
    online: bool
    stale: bool
    age_s: float | None


class Session(msgspec.Struct, frozen=True):
    """One session of an agent, running or ended."""

    connected_time: datetime
    disconnected_time: datetime | None
    reason: str | None


class Spool(msgspec.Struct, frozen=True):
    """What waits at an agent, by its last word."""

    batches: int
    oldest_age_s: float | None
    trouble: str | None


class Agent(msgspec.Struct, frozen=True):
    """An edge agent, its session, and those before it (newest first)."""

    id: str
    site_id: str
    site_name: str
    status: str
    peer: str | None
    session: Session | None
    recent_sessions: tuple[Session, ...]
    assets: tuple[str, ...]
    flaps: int
    clock_offset_s: float | None
    # A headend of before the first release tells none.
    spool: Spool | None = None


class Point(msgspec.Struct, frozen=True):
    """A value and its worth."""

    value: float | None
    quality: str
    reasons: tuple[str, ...] = ()


class Telemetry(msgspec.Struct, frozen=True):
    """The latest known sample of an asset."""

    asset_id: str
    source_time: datetime | None
    age_s: float | None
    stale: bool
    points: dict[str, Point]


class TimelineEntry(msgspec.Struct, frozen=True):
    """A state that a dispatch reached."""

    state: str
    time: datetime
    source: str
    reason: str = ""
    detail: str = ""


class Target(msgspec.Struct, frozen=True):
    """What a dispatch is for: one of the three."""

    asset_id: str = ""
    site_id: str = ""
    portfolio_id: str = ""

    @property
    def name(self) -> str:
        """As people say it."""
        if self.asset_id:
            return self.asset_id
        return f"site {self.site_id}" if self.site_id else f"portfolio {self.portfolio_id}"


class Share(msgspec.Struct, frozen=True):
    """The part of an asset, or of a site, in a setpoint that is shared."""

    id: str
    state: str
    setpoint_mw: float
    limit: str = ""
    reason: str = ""
    detail: str = ""


class Placement(msgspec.Struct, frozen=True):
    """What the shares of a setpoint come to. Lists have no shares."""

    placed_mw: float
    pending_mw: float
    failed_mw: float
    unplaced_mw: float
    shares: tuple[Share, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """What a lease came to, as measured."""

    energy_asked_mwh: float
    energy_delivered_mwh: float | None
    known_pct: float


class Dispatch(msgspec.Struct, frozen=True):
    """A dispatch and all that happened to it. Lists have no timeline, but `last`."""

    id: str
    state: str
    target: Target
    setpoint_mw: float
    until: datetime
    start: datetime | None = None
    readback_mw: float | None = None
    parent_id: str | None = None
    placement: Placement | None = None
    outcome: Outcome | None = None
    last: TimelineEntry | None = None
    timeline: tuple[TimelineEntry, ...] = ()


class Schedule(msgspec.Struct, frozen=True):
    """A schedule, and how its blocks stand."""

    id: str
    target: Target
    blocks: tuple[Dispatch, ...]


class Allocation(msgspec.Struct, frozen=True):
    """A share of a plan."""

    id: str
    setpoint_mw: float
    limit: str = ""


class Excluded(msgspec.Struct, frozen=True):
    """Who takes no part in a plan."""

    id: str
    reason: str


class Split(msgspec.Struct, frozen=True):
    """How a setpoint would be shared."""

    setpoint_mw: float
    placed_mw: float
    unplaced_mw: float
    allocations: tuple[Allocation, ...]
    excluded: tuple[Excluded, ...]


class Plan(Split, frozen=True, kw_only=True):
    """What a dispatch would come to; `sites` are those that are split in turn."""

    target: Target
    sites: dict[str, Split]
    expires: datetime
    token: str


class Portfolio(msgspec.Struct, frozen=True):
    """Sites and assets that are dispatched as one."""

    id: str
    name: str
    sites: tuple[str, ...]
    assets: tuple[str, ...]
    revision: int


class Moved(msgspec.Struct, frozen=True):
    """A share of a plan that is another one now; `id` None is what nobody has room for."""

    id: str | None
    planned_mw: float
    now_mw: float
    reason: str = ""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request."""

    detail: str


class Problem(msgspec.Struct, frozen=True):
    """How the API says no (RFC 9457)."""

    title: str
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    moved: tuple[Moved, ...] = ()


class PointName(msgspec.Struct, frozen=True):
    """A point that an asset reports."""

    name: str
    unit: str


class AssetPoints(msgspec.Struct, frozen=True):
    """An asset as far as its history is concerned."""

    id: str
    site_id: str
    agent_id: str
    points: tuple[PointName, ...]


class Doubt(msgspec.Struct, frozen=True):
    """Why a value is not good."""

    quality: str
    reasons: tuple[str, ...] = ()


# Times of rows stay the text they are: millions of them are only handed on.
class Sample(msgspec.Struct, frozen=True, gc=False):
    """The values of an asset at one instant."""

    source_time: str
    ingest_time: str | None
    values: dict[str, float | None]
    doubts: dict[str, Doubt] | None = None


class Summary(msgspec.Struct, frozen=True, gc=False):
    """The known values of a point within a bucket."""

    min: float | None
    mean: float | None
    max: float | None
    count: int
    good: int


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """The samples of an asset from `start` to the start of the next bucket."""

    start: str
    samples: int
    points: dict[str, Summary]


class HistoryPart(msgspec.Struct, frozen=True):
    """Samples or buckets of an asset; `next` is the cursor of the part after it."""

    points: tuple[PointName, ...]
    complete_until: datetime | None
    bad_batches: int
    next: str | None
    retained_from: datetime | None = None
    samples: tuple[Sample, ...] = ()
    buckets: tuple[Bucket, ...] = ()


class Gap(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What an agent declared as lost for ever."""

    agent_id: str
    first_sequence: int
    last_sequence: int
    from_: datetime | None
    to: datetime | None
    samples: int
    reason: str
    declared_time: datetime | None
