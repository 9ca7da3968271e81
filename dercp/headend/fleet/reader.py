"""Answers "what is the latest" from the roster, at once and without asking any actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio
from msgspec.structs import replace

from dercp.headend.dispatching.control import control_of
from dercp.headend.views import (
    AgentStatus,
    AgentView,
    AssetView,
    GoodSampleView,
    PointView,
    SiteView,
    TelemetryView,
)
from dercp.model.aggregate import Member, aggregate
from dercp.model.latest import age_at_ingest_s, is_stale, plausible_time, stamped
from dercp.model.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.fleet.roster import AgentEntry, Roster, SiteEntry
    from dercp.headend.fleet.twin import Latest, Twin
    from dercp.headend.settings import HeadendSettings
    from dercp.headend.views import SessionView
    from dercp.model.reading import Reading
    from dercp.model.time import Clock

T = TypeVar("T")


class RosterReader:
    """Frozen pictures of the roster. Sequences are sorted by id; unknown ids give None."""

    def __init__(
        self, roster: Roster, book: DispatchBook, *, settings: HeadendSettings, clock: Clock
    ) -> None:
        self._roster = roster
        self._book = book
        self._settings = settings
        self._clock = clock

    # --- assets

    def assets(self, ids: Iterable[str] | None = None) -> Sequence[AssetView]:
        """Every asset; or those with these ids, in their order, as far as there are any."""
        twins = self._roster.twins
        wanted = sorted(twins) if ids is None else filter(twins.__contains__, ids)
        return [asset_view(twins[each]) for each in wanted]

    def asset(self, asset_id: str) -> AssetView | None:
        """One asset, with who holds it."""
        twin = self._roster.twins.get(asset_id)
        if twin is None:
            return None
        return replace(asset_view(twin), control=control_of(twin, self._book))

    def telemetry(self, asset_id: str) -> TelemetryView | None:
        """The latest sample of one asset, its values decoded and judged now."""
        twin = self._roster.twins.get(asset_id)
        return _telemetry_view(twin) if twin is not None else None

    def asset_ids(self) -> Sequence[str]:
        """The ids of all assets."""
        return sorted(self._roster.twins)

    def sample(self, asset_id: str) -> GoodSampleView | TelemetryView | None:
        """The latest sample of one asset, in short where there is nothing to doubt."""
        twin = self._roster.twins.get(asset_id)
        return None if twin is None else _good_sample(twin) or _telemetry_view(twin)

    # --- sites

    def sites(self) -> Sequence[SiteView]:
        """Every site with its sums."""
        return [self._site_view(entry) for entry in _by_id(self._roster.sites)]

    def site(self, site_id: str) -> SiteView | None:
        """One site with its sums."""
        entry = self._roster.sites.get(site_id)
        return self._site_view(entry) if entry is not None else None

    def _site_view(self, entry: SiteEntry) -> SiteView:
        twins = list(_by_id(entry.twins))
        return SiteView(
            site_id=entry.site_id,
            name=entry.name,
            agent_ids=tuple(sorted({twin.agent_id for twin in twins})),
            asset_ids=tuple(twin.spec.asset_id for twin in twins),
            aggregate=aggregate(map(_member, twins)),
        )

    # --- agents

    def agents(self) -> Sequence[AgentView]:
        """Every agent with its sessions."""
        return [self._agent_view(entry) for entry in _by_id(self._roster.agents)]

    def agent(self, agent_id: str) -> AgentView | None:
        """One agent with its sessions."""
        entry = self._roster.agents.get(agent_id)
        return self._agent_view(entry) if entry is not None else None

    async def recent_sessions(self, agent_id: str, limit: int) -> Sequence[SessionView]:
        """The ended sessions remembered, newest first."""
        entry = self._roster.agents.get(agent_id)
        await trio.lowlevel.checkpoint()
        return tuple(entry.ended)[:limit] if entry is not None else ()

    def _agent_view(self, entry: AgentEntry) -> AgentView:
        site = self._roster.sites[entry.site_id]
        since_us = self._clock() - round(self._settings.flap_window_s * 1_000_000)
        facts = entry.facts
        return AgentView(
            agent_id=entry.agent_id,
            site_id=entry.site_id,
            site_name=site.name,
            status=AgentStatus.DISCONNECTED if facts is None else AgentStatus.CONNECTED,
            software_version=entry.software_version,
            asset_ids=entry.asset_ids,
            session=facts.view() if facts is not None else None,
            recent_sessions=tuple(entry.ended),
            flaps=max(0, entry.sessions_since(since_us) - 1),
            clock_offset_s=facts.clock_offset_us / 1_000_000 if facts is not None else None,
            spool=entry.spool.view() if entry.spool is not None else None,
        )


def _by_id(entries: dict[str, T]) -> Iterator[T]:
    return (entries[each] for each in sorted(entries))


def freshness(twin: Twin) -> tuple[Latest | None, float | None, bool]:
    """The latest row, its age, and whether it must not be taken for the present."""
    latest = twin.look()
    age_s = None
    if latest is not None:
        arrival = latest.arrival
        age_s = age_at_ingest_s(
            latest.order_us, arrival.ingest_time_us, arrival.clock_offset_us
        ) + (trio.current_time() - arrival.ingest_mono_s)
    stale = is_stale(age_s, twin.spec.sample_interval_s, online=twin.link is not None)
    return latest, age_s, stale


def asset_view(twin: Twin) -> AssetView:
    """The asset, and whether it can be believed now."""
    _, age_s, stale = freshness(twin)
    return AssetView(
        spec=twin.spec,
        site_id=twin.site_id,
        agent_id=twin.agent_id,
        online=twin.link is not None,
        stale=stale,
        age_s=age_s,
    )


def readings_of(latest: Latest | None) -> tuple[Reading, ...]:
    """The values of a row, each no better than the clock that stamped it."""
    if latest is None:
        return ()
    readings = latest.arrival.schema.readings(latest.row)
    return stamped(readings, latest.row.source_time_us, latest.arrival.ingest_time_us)


def values_of(latest: Latest | None) -> tuple[Sequence[float | None], tuple[Reading, ...]]:
    """The values of a row, and the readings of those that are not good. Mostly there are none."""
    if latest is None:
        return (), ()
    arrival, row = latest.arrival, latest.row
    values = arrival.schema.good_values(row)
    if values is not None and not plausible_time(row.source_time_us, arrival.ingest_time_us):
        return values, ()
    readings = readings_of(latest)
    return (
        [reading.value for reading in readings],
        tuple(reading for reading in readings if reading.quality is not Quality.GOOD),
    )


def _good_sample(twin: Twin) -> GoodSampleView | None:
    latest, age_s, stale = freshness(twin)
    if latest is None:
        return None
    arrival, row = latest.arrival, latest.row
    values = arrival.schema.good_values(row)
    if values is None or plausible_time(row.source_time_us, arrival.ingest_time_us):
        return None
    return GoodSampleView(
        twin.spec.asset_id,
        twin.site_id,
        row.source_time_us,
        arrival.ingest_time_us,
        age_s,
        stale,
        arrival.schema.points(row),
        values,
    )


def _telemetry_view(twin: Twin) -> TelemetryView:
    latest, age_s, stale = freshness(twin)
    units = {point.name: point.unit for point in twin.spec.points}
    return TelemetryView(
        asset_id=twin.spec.asset_id,
        site_id=twin.site_id,
        source_time_us=latest.row.source_time_us if latest is not None else None,
        ingest_time_us=latest.arrival.ingest_time_us if latest is not None else None,
        age_s=age_s,
        stale=stale,
        points=tuple(
            PointView(
                name=reading.point,
                value=reading.value,
                unit=units.get(reading.point, ""),
                quality=reading.quality,
                reasons=reading.reasons,
            )
            for reading in readings_of(latest)
        ),
    )


def _member(twin: Twin) -> Member:
    latest, age_s, stale = freshness(twin)
    readings = {reading.point: reading for reading in readings_of(latest)}

    def value(point: str) -> float | None:
        return readings[point].value if point in readings else None

    power = readings.get("active_power_mw")
    return Member(
        nameplate_mw=twin.spec.nameplate_mw,
        active_power_mw=value("active_power_mw"),
        available_min_mw=value("available_min_mw"),
        available_max_mw=value("available_max_mw"),
        quality=power.quality if power is not None else Quality.BAD,
        stale=stale,
        age_s=age_s,
    )
