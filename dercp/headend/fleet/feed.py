"""What changes at the headend, for whoever follows it live.

Facts (a dispatch changed, a session came or went) are told by those who make them true.
What is state (the latest samples, whether an asset can be believed) is found out by
looking: a sample that nobody follows costs nothing, and one that somebody follows wakes
nobody.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import trio

from dercp.headend.fleet.changes import (
    AgentChanged,
    AssetChange,
    AssetChanged,
    DispatchChanged,
    Fact,
    Layout,
    Look,
    News,
    Sample,
    Subject,
)
from dercp.headend.fleet.reader import asset_view, readings_of, values_of
from dercp.headend.views import AgentStatus
from dercp.model.dispatch import AssetTarget, SiteTarget
from dercp.model.latest import STALE_INTERVALS, age_at_ingest_s, is_stale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dercp.headend.agents.facts import SessionFacts
    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.fleet.roster import AgentEntry, Roster
    from dercp.headend.fleet.twin import Latest, Twin
    from dercp.model.asset import AssetSpec
    from dercp.model.dispatch import Dispatch
    from dercp.model.time import Clock
    from dercp.wire.payload import PayloadSchema

# Facts that wait for a follower; beyond, all of them are left out, and it is told so.
FACTS_WAITING_MAX = 10_000
# Beyond, they are shared anew: samples that look alike may stand in two tables for a while.
LAYOUTS_SHARED_MAX = 1_000


class ChangeFeed:
    """The changes since the last look, and the facts since they were last taken.

    Characteristics:
        Followers: one, who shares with all others (the API's live stream).
        Bound: `FACTS_WAITING_MAX` facts; what is state is kept once an asset.
        Wakes: the follower, at a fact. At a sample nobody.
    """

    def __init__(self, roster: Roster, book: DispatchBook, clock: Clock) -> None:
        self._roster = roster
        self._book = book
        self._clock = clock
        self._facts: deque[Fact] = deque()
        self._lost = 0
        self._seen: dict[str, _Seen] | None = None
        self._looked_at_s = 0.0
        self._layouts: dict[Layout, Layout] = {}
        self._wake: Callable[[], None] = _nobody

    # --- told by those who make it true

    def tell_dispatch(self, dispatch: Dispatch) -> None:
        """A dispatch is in a new state, which is durable."""
        self._tell(DispatchChanged(dispatch=dispatch, subject=self._subject_of(dispatch)))

    def tell_agent(self, agent: AgentEntry, facts: SessionFacts) -> None:
        """A session of the agent has begun, or is over."""
        self._tell(self._agent_changed(agent, facts))

    def _tell(self, fact: Fact) -> None:
        if len(self._facts) >= FACTS_WAITING_MAX:
            self._lost += len(self._facts)
            self._facts.clear()
        self._facts.append(fact)
        self._wake()

    # --- read by the follower

    def follow(self, wake: Callable[[], None]) -> None:
        """Call `wake` at each fact from now on; it must not block or raise."""
        self._wake = wake

    def take_news(self) -> News:
        """The facts since they were last taken."""
        news = News(facts=tuple(self._facts), lost=self._lost)
        self._facts.clear()
        self._lost = 0
        return news

    def look(self) -> Look:
        """What differs from the last look; to the first one nothing does."""
        self._looked_at_s = now_s = trio.current_time()
        sampled: list[Subject] = []
        changed: list[AssetChanged] = []
        former, self._seen = self._seen, {}
        for asset_id, twin in self._roster.twins.items():
            seen = former.pop(asset_id, None) if former else None
            if seen is None or seen.twin is not twin:
                seen = _Seen(twin)
                seen.update(now_s)
                sampled.append(seen.subject)
                if former is not None:
                    changed.append(_asset_changed(twin, AssetChange.REGISTERED))
            elif seen.differs(now_s):
                self._compare(seen, now_s, sampled, changed)
            self._seen[asset_id] = seen
        gone = (former or {}).values()
        changed += [_asset_changed(seen.twin, AssetChange.REMOVED) for seen in gone]
        return Look(time_us=self._clock(), sampled=sampled, assets=changed)

    def _compare(
        self,
        seen: _Seen,
        now_s: float,
        sampled: list[Subject],
        changed: list[AssetChanged],
    ) -> None:
        latest, spec, online, stale = seen.latest, seen.spec, seen.online, seen.stale
        seen.update(now_s)
        if seen.latest is not latest or seen.stale is not stale:
            sampled.append(seen.subject)
        changes = []
        if seen.spec != spec:
            changes.append(AssetChange.REGISTERED)
        if seen.online is not online:
            changes.append(AssetChange.ONLINE if seen.online else AssetChange.OFFLINE)
        if seen.stale is not stale:
            changes.append(AssetChange.STALE if seen.stale else AssetChange.FRESH)
        if changes:
            changed.append(_asset_changed(seen.twin, *changes))

    def subjects(self) -> Sequence[Subject]:
        """All assets as of the last look, sorted by id."""
        seen = self._seen or {}
        return [seen[asset_id].subject for asset_id in sorted(seen)]

    def sample(self, asset_id: str) -> Sample | None:
        """The latest sample of an asset as of the last look; None when it saw no such asset."""
        seen = (self._seen or {}).get(asset_id)
        if seen is None:
            return None
        latest = seen.latest
        values, doubtful = values_of(latest)
        return Sample(
            asset_id=asset_id,
            source_time_us=None if latest is None else latest.row.source_time_us,
            age_s=None if latest is None else self._looked_at_s - seen.born_s,
            stale=seen.stale,
            layout=self._layout(seen),
            values=values,
            doubtful=doubtful,
        )

    def agents(self) -> Sequence[AgentChanged]:
        """All agents as they are now, sorted by id."""
        agents = self._roster.agents
        return [self._agent_changed(agents[each], agents[each].facts) for each in sorted(agents)]

    def open_dispatches(self) -> Sequence[DispatchChanged]:
        """All dispatches that have not ended, sorted by id."""
        dispatches = sorted(self._book.open_dispatches(), key=lambda each: each.dispatch_id)
        return [DispatchChanged(dispatch=d, subject=self._subject_of(d)) for d in dispatches]

    # --- looking things up

    def _subject_of(self, dispatch: Dispatch) -> Subject:
        target = dispatch.request.target
        if isinstance(target, SiteTarget):
            return Subject("", target.site_id, None)
        if not isinstance(target, AssetTarget):
            return Subject("", "", None)
        twin = self._roster.twins.get(target.asset_id)
        return Subject(target.asset_id, "", None) if twin is None else _subject(twin)

    def _agent_changed(self, agent: AgentEntry, facts: SessionFacts | None) -> AgentChanged:
        twins = (self._roster.twins.get(asset_id) for asset_id in agent.asset_ids)
        return AgentChanged(
            agent_id=agent.agent_id,
            site_id=agent.site_id,
            site_name=self._roster.sites[agent.site_id].name,
            status=AgentStatus.DISCONNECTED if agent.facts is None else AgentStatus.CONNECTED,
            software_version=agent.software_version,
            session=facts.view() if facts is not None else None,
            subjects=tuple(_subject(twin) for twin in twins if twin is not None),
        )

    def _layout(self, seen: _Seen) -> Layout:
        """Worked out once for each asset and registration, and shared by all that are alike."""
        schema = None if seen.latest is None else seen.latest.arrival.schema
        if seen.layout_of != (schema, seen.spec):
            units = {point.name: point.unit for point in seen.spec.points}
            points = tuple(reading.point for reading in readings_of(seen.latest))
            layout = Layout(points=points, units=tuple(units.get(each, "") for each in points))
            if len(self._layouts) >= LAYOUTS_SHARED_MAX:
                self._layouts.clear()
            seen.layout = self._layouts.setdefault(layout, layout)
            seen.layout_of = (schema, seen.spec)
        return seen.layout


class _Seen:
    """What was last seen of one asset."""

    __slots__ = (
        "accepted",
        "born_s",
        "latest",
        "layout",
        "layout_of",
        "online",
        "spec",
        "stale",
        "stale_at_s",
        "subject",
        "twin",
    )

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.subject = _subject(twin)
        self.latest: Latest | None = None
        # Which of the samples that the twin took it is.
        self.accepted = 0
        self.spec: AssetSpec = twin.spec
        self.online = False
        self.stale = True
        # When the latest sample was of age 0, and when it becomes too old; Trio's clock.
        self.born_s = -math.inf
        self.stale_at_s = math.inf
        self.layout = Layout(points=(), units=())
        self.layout_of: tuple[PayloadSchema | None, AssetSpec] | None = None

    def differs(self, now_s: float) -> bool:
        """Whether a closer look is worth it. Asked of every asset at every look."""
        twin = self.twin
        return (
            twin.latest.accepted != self.accepted
            or (twin.link is not None) is not self.online
            or twin.spec is not self.spec
            or now_s >= self.stale_at_s
        )

    def update(self, now_s: float) -> None:
        """See it as it is now."""
        twin = self.twin
        self.online = twin.link is not None
        if twin.spec is not self.spec:
            self.spec, self.subject = twin.spec, _subject(twin)
        if twin.latest.accepted != self.accepted:
            self.accepted, self.latest = twin.latest.accepted, twin.look()
        latest = self.latest
        if latest is not None:
            arrival = latest.arrival
            self.born_s = arrival.ingest_mono_s - age_at_ingest_s(
                latest.order_us, arrival.ingest_time_us, arrival.clock_offset_us
            )
        age_s = None if latest is None else now_s - self.born_s
        interval_s = self.spec.sample_interval_s
        self.stale = is_stale(age_s, interval_s, online=self.online)
        self.stale_at_s = math.inf if self.stale else self.born_s + STALE_INTERVALS * interval_s


def _subject(twin: Twin) -> Subject:
    return Subject(twin.spec.asset_id, twin.site_id, twin.spec.kind)


def _asset_changed(twin: Twin, *changes: AssetChange) -> AssetChanged:
    return AssetChanged(asset=asset_view(twin), changes=changes)


def _nobody() -> None:
    """Nobody follows yet."""
