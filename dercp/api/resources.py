"""The JSON shapes of what is read, and how a view becomes one.

Members are named as the rest of the product names them, units last. Absent knowledge is
null; a member is left out only where this says so (`UNSET`). Times are RFC 3339 in UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dercp.headend.views import (
    AgentStatus,
    AgentView,
    PointView,
    SessionView,
    SiteView,
    SpoolView,
    TelemetryView,
)
from dercp.model.quality import Quality, Reason

R = TypeVar("R")

QualityWord = Literal["good", "uncertain", "bad"]
Megawatts = Annotated[float, Meta(description="MW; positive from the asset into the grid")]
Seconds = Annotated[float, Meta(description="s")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_QUALITY_WORDS: dict[Quality, QualityWord] = {
    Quality.GOOD: "good",
    Quality.UNCERTAIN: "uncertain",
    Quality.BAD: "bad",
}


def moment(time_us: int) -> datetime:
    """An instant as msgspec writes it: "2026-11-23T14:00:00.123456Z", whole seconds bare."""
    return _EPOCH + time_us * _MICROSECOND


def moment_or_none(time_us: int | None) -> datetime | None:
    """An instant that may not be known, or that no calendar has: an edge may claim anything."""
    try:
        return None if time_us is None else moment(time_us)
    except OverflowError:
        return None


def micros(instant: datetime) -> int:
    """The inverse of `moment`."""
    return (instant - _EPOCH) // _MICROSECOND


def rounded(seconds: float | None) -> float | None:
    """Milliseconds are as fine as an age is worth telling."""
    return None if seconds is None else round(seconds, 3)


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all JSON shapes."""


class Page(Resource, Generic[R], frozen=True, kw_only=True):
    """A part of a list. `next` is the cursor of the part after it, null at the end."""

    items: list[R]
    next: str | None


class PointName(Resource, frozen=True, kw_only=True):
    """A point that an asset reports."""

    name: str
    unit: str


class PointResource(msgspec.Struct, frozen=True, gc=False):
    """A value with its unit and its worth. `reasons` is left out when the quality is good."""

    value: float | None
    unit: str
    quality: QualityWord
    reasons: tuple[str, ...] | UnsetType = UNSET


class TelemetryResource(Resource, frozen=True, kw_only=True):
    """The latest known sample of an asset; times are null before the first."""

    asset_id: str
    site_id: str
    source_time: datetime | None
    ingest_time: datetime | None
    age_s: float | None
    stale: bool
    points: dict[str, PointResource]


class AggregateResource(Resource, frozen=True, kw_only=True):
    """Sums over the assets of a site, and what they stand on. Stale values are not in them."""

    active_power_mw: Megawatts | None
    available_min_mw: Megawatts | None
    available_max_mw: Megawatts | None
    coverage_pct: Annotated[float, Meta(description="Share of the nameplate that reports, %")]
    available_coverage_pct: Annotated[
        float, Meta(description="Share of the nameplate that states what is available, %")
    ]
    assets_total: int
    assets_reporting: int
    oldest_age_s: float | None
    worst_quality: QualityWord


class SiteResource(Resource, frozen=True, kw_only=True):
    """A site, its agents and assets, and the sums over them."""

    id: str
    name: str
    agents: tuple[str, ...]
    assets: tuple[str, ...]
    aggregate: AggregateResource


class SessionResource(Resource, frozen=True, kw_only=True):
    """One session of an agent, running (`disconnected_time` null) or ended."""

    id: str
    epoch: int
    peer: str
    connected_time: datetime
    disconnected_time: datetime | None
    reason: Annotated[str, Meta(description="Why it ended, a stable word")] | None
    frames: int
    samples: int
    rejects: int


class SpoolResource(Resource, frozen=True, kw_only=True):
    """What an agent holds that was not acknowledged, by its last word."""

    batches: int
    bytes: int
    bytes_max: int
    oldest: (
        Annotated[datetime, Meta(description="Oldest source time in it; null when nothing waits")]
        | None
    )
    oldest_age_s: (
        Annotated[
            float,
            Meta(description="Its age, s; of an agent that is away, if it still waits there"),
        ]
        | None
    )
    dropped_samples: Annotated[int, Meta(description="Declared as gaps since the spool began")]
    trouble: Annotated[str, Meta(description="disk_full, ...; null when it is well")] | None
    reported_at: Annotated[datetime, Meta(description="When the agent said so, by our clock")]


class AgentResource(Resource, frozen=True, kw_only=True):
    """An edge agent, its session, and those before it (newest first)."""

    id: str
    site_id: str
    site_name: str
    status: AgentStatus
    peer: Annotated[str, Meta(description="Address of its present session")] | None
    session: SessionResource | None
    recent_sessions: tuple[SessionResource, ...]
    assets: tuple[str, ...]
    flaps: Annotated[int, Meta(description="Sessions in the last 5 minutes beyond the first")]
    clock_offset_s: Annotated[float, Meta(description="Its clock minus ours, s")] | None
    spool: (
        Annotated[SpoolResource, Meta(description="Null: not told since the headend was started")]
        | None
    )
    software_version: str


def quality_word(quality: Quality) -> QualityWord:
    """The quality as a word."""
    return _QUALITY_WORDS[quality]


def _doubtful(view: PointView) -> PointResource:
    """A value that is not good, and why."""
    quality = _QUALITY_WORDS[view.quality]
    return PointResource(view.value, view.unit, quality, reason_words(view.reasons))


# Of a few reasons there are few sets, and an hour of history may tell one a thousand times.
@lru_cache(maxsize=256)
def reason_words(reasons: Reason) -> tuple[str, ...]:
    """The set as words: OUT_OF_RANGE | STALE gives ("stale", "out_of_range")."""
    return tuple(str(reason.name).lower() for reason in reasons)


def telemetry_resource(view: TelemetryView) -> TelemetryResource:
    """The latest sample of an asset."""
    return TelemetryResource(
        asset_id=view.asset_id,
        site_id=view.site_id,
        source_time=moment_or_none(view.source_time_us),
        ingest_time=moment_or_none(view.ingest_time_us),
        age_s=rounded(view.age_s),
        stale=view.stale,
        points={
            # By position and in place: an answer may hold 100,000 of them.
            point.name: PointResource(point.value, point.unit, "good")
            if point.quality is Quality.GOOD
            else _doubtful(point)
            for point in view.points
        },
    )


def session_resource(view: SessionView) -> SessionResource:
    """A session."""
    return SessionResource(
        id=view.session_id,
        epoch=view.epoch,
        peer=view.peer,
        connected_time=moment(view.connected_us),
        disconnected_time=moment_or_none(view.disconnected_us),
        reason=view.reason,
        frames=view.frames,
        samples=view.samples,
        rejects=view.rejects,
    )


def spool_resource(view: SpoolView) -> SpoolResource:
    """What an agent holds."""
    return SpoolResource(
        batches=view.batches,
        bytes=view.bytes,
        bytes_max=view.bytes_max,
        oldest=moment_or_none(view.oldest_us),
        oldest_age_s=rounded(view.oldest_age_s),
        dropped_samples=view.dropped_samples,
        trouble=view.trouble or None,
        reported_at=moment(view.reported_us),
    )


def agent_resource(view: AgentView, sessions: Sequence[SessionView]) -> AgentResource:
    """An agent with the sessions that are to be told."""
    return AgentResource(
        id=view.agent_id,
        site_id=view.site_id,
        site_name=view.site_name,
        status=view.status,
        peer=None if view.session is None else view.session.peer,
        session=None if view.session is None else session_resource(view.session),
        recent_sessions=tuple(map(session_resource, sessions)),
        assets=view.asset_ids,
        flaps=view.flaps,
        clock_offset_s=view.clock_offset_s,
        spool=None if view.spool is None else spool_resource(view.spool),
        software_version=view.software_version,
    )


def site_resource(view: SiteView) -> SiteResource:
    """A site with its sums."""
    total = view.aggregate
    return SiteResource(
        id=view.site_id,
        name=view.name,
        agents=view.agent_ids,
        assets=view.asset_ids,
        aggregate=AggregateResource(
            active_power_mw=total.active_power_mw,
            available_min_mw=total.available_min_mw,
            available_max_mw=total.available_max_mw,
            coverage_pct=total.coverage_pct,
            available_coverage_pct=total.available_coverage_pct,
            assets_total=total.assets_total,
            assets_reporting=total.assets_reporting,
            oldest_age_s=rounded(total.oldest_age_s),
            worst_quality=_QUALITY_WORDS[total.worst_quality],
        ),
    )
