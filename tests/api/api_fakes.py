"""A headend of fakes: three assets at two sites, one of them gone silent."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
from quart_trio import QuartTrio

from actors import MailboxStatistics, Node, State
from dercp.api import ApiSettings, LiveStream, create_app
from dercp.headend.dispatching.record_views import DispatchRecord
from dercp.headend.errors import (
    DeskBusy,
    DispatchEnded,
    FleetMoved,
    HistoryUnavailable,
    KeyReused,
    PortfolioChanged,
    PortfolioInUse,
    StoreAwaited,
    UnknownDispatch,
    UnknownTarget,
)
from dercp.headend.fleet.changes import (
    AgentChanged,
    AssetChanged,
    DispatchChanged,
    Fact,
    Layout,
    Look,
    News,
    Sample,
    Subject,
)
from dercp.headend.history.views import (
    BucketPage,
    GapView,
    GapViews,
    HistorySample,
    HistorySpan,
    NumberRange,
    SampleKey,
    SamplePage,
    SpoolAccount,
)
from dercp.headend.views import (
    AgentStatus,
    AgentView,
    AssetView,
    PointView,
    SessionView,
    SiteView,
    SpoolSums,
    SpoolView,
    SystemView,
    TelemetryView,
)
from dercp.model.aggregate import Aggregate
from dercp.model.asset import AssetSpec, standard_point
from dercp.model.capability import capacity_ahead
from dercp.model.dispatch import (
    AssetTarget,
    Cancelled,
    Dispatch,
    DispatchEvent,
    DispatchLimits,
    DispatchReason,
    DispatchRequest,
    DispatchState,
    GroupSpec,
    PortfolioTarget,
    SiteTarget,
    Source,
    Target,
    advance,
    check_request,
    group_spec,
    id_of,
    submit,
)
from dercp.model.plan import Plan, moved, planned_for
from dercp.model.points import Kind
from dercp.model.portfolio import Portfolio, PortfolioLimits, check_portfolio
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.model.resample import Resampler
from dercp.model.schedule import Schedule, check_schedule, requests_of
from dercp.model.split import Capacity, aggregate, split
from dercp.store.dispatch_row import conditions, dispatch_row
from dercp.store.records import DispatchFilter, DispatchPage

NOW_US = 1_795_442_400_000_000  # 2026-11-23T14:00:00Z


def asset(
    asset_id: str, *, site_id: str = "north", kind: Kind = Kind.STORAGE, stale: bool = False
) -> AssetView:
    """An asset of 2 MW either way."""
    spec = AssetSpec(
        asset_id=asset_id,
        name=f"Asset {asset_id}",
        kind=kind,
        p_min_mw=-2.0,
        p_max_mw=2.0,
        energy_capacity_mwh=4.0,
        points=(standard_point("active_power_mw"), standard_point("soc_pct")),
    )
    return AssetView(
        spec=spec,
        site_id=site_id,
        agent_id=f"{site_id}-edge",
        online=not stale,
        stale=stale,
        age_s=None if stale else 0.25,
    )


def telemetry(view: AssetView) -> TelemetryView:
    """A good power and a doubtful state of charge; nothing at all when stale."""
    points = (
        PointView(
            name="active_power_mw",
            value=1.25,
            unit="MW",
            quality=Quality.GOOD,
            reasons=Reason.NONE,
        ),
        PointView(
            name="soc_pct",
            value=None,
            unit="%",
            quality=Quality.BAD,
            reasons=Reason.STALE | Reason.OUT_OF_RANGE,
        ),
    )
    return TelemetryView(
        asset_id=view.spec.asset_id,
        site_id=view.site_id,
        source_time_us=None if view.stale else NOW_US - 250_000,
        ingest_time_us=None if view.stale else NOW_US - 200_000,
        age_s=view.age_s,
        stale=view.stale,
        points=() if view.stale else points,
    )


def session(number: int, *, ended: bool = False) -> SessionView:
    """A session of one agent."""
    return SessionView(
        session_id=f"s{number}",
        epoch=number,
        peer="192.0.2.7:40001",
        connected_us=NOW_US - 60_000_000,
        disconnected_us=NOW_US if ended else None,
        reason="link_lost" if ended else None,
        frames=60,
        samples=120,
        rejects=0,
    )


SPOOL = SpoolView(
    batches=12,
    bytes=3_400,
    bytes_max=1_000_000,
    oldest_us=NOW_US - 12_000_000,
    oldest_age_s=12.0004,
    dropped_samples=3,
    trouble="",
    reported_us=NOW_US - 1_000_000,
)


class FakeReader:
    """A fleet in memory."""

    def __init__(self, assets: Sequence[AssetView]) -> None:
        self.by_id = {view.spec.asset_id: view for view in assets}
        self.samples = {asset_id: telemetry(view) for asset_id, view in self.by_id.items()}
        self.history = [session(3), session(2, ended=True), session(1, ended=True)]

    def assets(self, ids: Iterable[str] | None = None) -> Sequence[AssetView]:
        """Sorted by id, or these."""
        wanted = sorted(self.by_id) if ids is None else ids
        return [self.by_id[asset_id] for asset_id in wanted]

    def asset(self, asset_id: str) -> AssetView | None:
        """One asset."""
        return self.by_id.get(asset_id)

    def telemetry(self, asset_id: str) -> TelemetryView | None:
        """Its sample."""
        return self.samples.get(asset_id)

    def asset_ids(self) -> Sequence[str]:
        """Sorted."""
        return sorted(self.by_id)

    def sample(self, asset_id: str) -> TelemetryView | None:
        """Its sample; one of the values is in doubt."""
        return self.telemetry(asset_id)

    def sites(self) -> Sequence[SiteView]:
        """Those that have assets."""
        ids = sorted({view.site_id for view in self.by_id.values()})
        return [site for site_id in ids if (site := self.site(site_id))]

    def site(self, site_id: str) -> SiteView | None:
        """A site whose sums are made up."""
        members = [view for view in self.assets() if view.site_id == site_id]
        if not members:
            return None
        total = Aggregate(
            active_power_mw=1.25,
            available_min_mw=None,
            available_max_mw=None,
            coverage_pct=50.0,
            available_coverage_pct=0.0,
            assets_total=len(members),
            assets_reporting=1,
            oldest_age_s=0.25,
            worst_quality=Quality.GOOD,
        )
        return SiteView(
            site_id=site_id,
            name=f"Site {site_id}",
            agent_ids=(f"{site_id}-edge",),
            asset_ids=tuple(view.spec.asset_id for view in members),
            aggregate=total,
        )

    def agents(self) -> Sequence[AgentView]:
        """One a site; the first is connected."""
        return [
            AgentView(
                agent_id=f"{site.site_id}-edge",
                site_id=site.site_id,
                site_name=site.name,
                status=status,
                software_version="0.1.0",
                asset_ids=site.asset_ids,
                session=self.history[0] if status is AgentStatus.CONNECTED else None,
                recent_sessions=tuple(self.history[1:2]),
                flaps=0,
                clock_offset_s=0.002 if status is AgentStatus.CONNECTED else None,
                spool=SPOOL if status is AgentStatus.CONNECTED else None,
            )
            for site, status in zip(self.sites(), AgentStatus, strict=False)
        ]

    def agent(self, agent_id: str) -> AgentView | None:
        """One of them."""
        return next((view for view in self.agents() if view.agent_id == agent_id), None)

    async def recent_sessions(self, agent_id: str, limit: int) -> Sequence[SessionView]:
        """The same for each agent."""
        return self.history[1 : 1 + limit]


def gap(number: int, *, agent_id: str = "north-edge", seconds_ago: int = 60) -> GapView:
    """A batch that was lost so long ago."""
    return GapView(
        agent_id=agent_id,
        spool_id="spool-1",
        first_sequence=number,
        last_sequence=number,
        from_us=NOW_US - seconds_ago * 1_000_000,
        to_us=NOW_US - seconds_ago * 1_000_000 + 999_999,
        samples=3,
        reason="spool_full",
        declared_us=NOW_US,
    )


class FakeFeed:
    """What a test says has changed."""

    def __init__(self, reader: FakeReader) -> None:
        self.reader = reader
        self.facts: list[Fact] = []
        self.lost = 0
        self.sampled: list[str] = []
        self.assets: list[AssetChanged] = []
        self.looks = 0
        self.read: list[str] = []
        self.wake: Callable[[], None] = lambda: None

    def tell(self, fact: Fact) -> None:
        """Something has happened."""
        self.facts.append(fact)
        self.wake()

    def follow(self, wake: Callable[[], None]) -> None:
        """As the port says."""
        self.wake = wake

    def take_news(self) -> News:
        """As the port says."""
        news = News(facts=tuple(self.facts), lost=self.lost)
        self.facts, self.lost = [], 0
        return news

    def look(self) -> Look:
        """As the port says."""
        self.looks += 1
        sampled = [self._subject(each) for each in self.sampled]
        look = Look(time_us=NOW_US, sampled=sampled, assets=self.assets)
        self.sampled, self.assets = [], []
        return look

    def _subject(self, asset_id: str) -> Subject:
        view = self.reader.by_id[asset_id]
        return Subject(asset_id, view.site_id, view.spec.kind)

    def subjects(self) -> Sequence[Subject]:
        """As the port says."""
        return [self._subject(each) for each in sorted(self.reader.by_id)]

    def sample(self, asset_id: str) -> Sample | None:
        """As the port says."""
        view = self.reader.samples.get(asset_id)
        if view is None:
            return None
        self.read.append(asset_id)
        points = view.points
        return Sample(
            asset_id=asset_id,
            source_time_us=view.source_time_us,
            age_s=view.age_s,
            stale=view.stale,
            layout=Layout(
                points=tuple(point.name for point in points),
                units=tuple(point.unit for point in points),
            ),
            values=[point.value for point in points],
            doubtful=tuple(
                Reading(point.name, point.value, point.quality, point.reasons)
                for point in points
                if point.quality is not Quality.GOOD
            ),
        )

    def agents(self) -> Sequence[AgentChanged]:
        """As the port says."""
        return [
            AgentChanged(
                agent_id=view.agent_id,
                site_id=view.site_id,
                site_name=view.site_name,
                status=view.status,
                software_version=view.software_version,
                session=view.session,
                subjects=tuple(map(self._subject, view.asset_ids)),
            )
            for view in self.reader.agents()
        ]

    def open_dispatches(self) -> Sequence[DispatchChanged]:
        """None is open."""
        return []


class FakeHistory:
    """A sample of every asset each second of the last two hours; each tenth is doubtful."""

    def __init__(self) -> None:
        self.declared = [gap(7), gap(9, agent_id="south-edge"), gap(8, seconds_ago=90)]
        self.failure = ""
        self.retained_from_us: int | None = None

    def _read(self) -> None:
        if self.failure:
            raise HistoryUnavailable(self.failure)

    def _samples(self, span: HistorySpan) -> list[HistorySample]:
        samples = []
        names = {point.name for point in span.points}
        for second in range(-7200, 0):
            time_us = NOW_US + second * 1_000_000
            if span.from_us <= time_us < span.to_us:
                readings = (
                    Reading("active_power_mw", -second / 1000),
                    Reading("soc_pct", 50.0)
                    if second % 10
                    else Reading("soc_pct", None, Quality.BAD, Reason.DEVICE_COMMS_LOST),
                )
                samples.append(
                    HistorySample(
                        key=SampleKey(time_us, time_us + 50_000, "spool-1", second + 7201, 0),
                        readings=tuple(each for each in readings if each.point in names),
                    )
                )
        return samples

    async def samples(
        self, span: HistorySpan, *, after: SampleKey | None, limit: int
    ) -> SamplePage:
        """As the port says."""
        self._read()
        found = [each for each in self._samples(span) if after is None or each.key > after]
        return SamplePage(
            samples=tuple(found[:limit]),
            next_after=found[limit - 1].key if len(found) > limit else None,
            bad_batches=1,
        )

    async def buckets(self, span: HistorySpan, *, resolution_us: int, limit: int) -> BucketPage:
        """As the port says."""
        self._read()
        resampler = Resampler(resolution_us)
        end_us = min(span.to_us, resampler.start_of(span.from_us) + limit * resolution_us)
        for sample in self._samples(msgspec.structs.replace(span, to_us=end_us)):
            resampler.add(sample.key.source_time_us, sample.readings)
        return BucketPage(
            buckets=tuple(resampler.buckets()),
            next_from_us=end_us if end_us < span.to_us else None,
            bad_batches=0,
        )

    async def spools(self, agent_id: str) -> Sequence[SpoolAccount]:
        """One, with a hole that was declared and one that was not."""
        self._read()
        return [
            SpoolAccount(
                spool_id="spool-1",
                stored=(NumberRange(1, 6), NumberRange(8, 12)),
                declared=(NumberRange(7, 7),),
                stored_batches=11,
                stored_samples=22,
                declared_samples=2,
            )
        ]

    async def complete_until(self, agent_id: str) -> int | None:
        """A second ago."""
        self._read()
        return NOW_US - 1_000_000

    def retained_from(self) -> int | None:
        """What was aged out."""
        return self.retained_from_us

    async def gaps(
        self, agent_id: str | None, from_us: int, to_us: int, *, after: int | None, limit: int
    ) -> GapViews:
        """As the port says."""
        self._read()
        found = [
            (position, each)
            for position, each in enumerate(self.declared, 1)
            if position > (after or 0)
            and agent_id in (None, each.agent_id)
            and each.from_us < to_us
            and each.to_us >= from_us
        ]
        return GapViews(
            gaps=tuple(each for _, each in found[:limit]),
            next_after=found[limit - 1][0] if len(found) > limit else None,
        )


class FakeDesk:
    """A desk that keeps what it took in memory, and says no as it is told to."""

    def __init__(self, reader: FakeReader, portfolios: "FakePortfolios") -> None:
        self.reader = reader
        self.portfolios = portfolios
        first = DispatchRequest(
            target=AssetTarget("pv-1"),
            setpoint_mw=0.5,
            start_us=NOW_US - 60_000_000,
            until_us=NOW_US,
            deliver_by_us=NOW_US - 30_000_000,
            schedule_id="s0",
        )
        self.dispatches = {"d0": submit("d0", "default", first, NOW_US - 60_000_000)}
        self.keys: dict[str, tuple[str, str]] = {}
        self.requests: list[DispatchRequest] = []
        self.busy_for_s: float | None = None
        self.store_away = False
        # What the plan of a token was made of, when it is not the fleet of now.
        self.offline: set[str] = set()
        self.now_us = NOW_US
        self.recorded: DispatchRecord | None = None

    async def submit(
        self, request: DispatchRequest, *, key: str, fingerprint: str, plan_token: str = ""
    ) -> Dispatch:
        """As the port says."""
        known = self._known(key, fingerprint)
        if known is not None:
            return known
        plan = self.preview(request)
        if plan_token and (differences := moved(plan, plan_token)):
            raise FleetMoved(differences)
        return self._take([request], key, fingerprint)

    async def submit_schedule(self, schedule: Schedule, *, key: str, fingerprint: str) -> Dispatch:
        """As the port says."""
        known = self._known(key, fingerprint)
        if known is not None:
            return known
        named = msgspec.structs.replace(schedule, schedule_id=f"s{len(self.requests) + 1}")
        check_schedule(named, self._spec(named.target), NOW_US, DispatchLimits())
        return self._take(list(requests_of(named)), key, fingerprint)

    def preview(self, request: DispatchRequest) -> Plan:
        """As the port says; of a portfolio's sites each is split in turn."""
        check_request(request, self._spec(request.target), NOW_US, DispatchLimits())
        sites: dict[str, list[Capacity]] = {}
        match request.target:
            case AssetTarget(asset_id):
                members = [self._capacity(asset_id)]
            case SiteTarget(site_id):
                members = self._of_site(site_id)
            case PortfolioTarget(portfolio_id):
                portfolio = self.portfolios.kept[portfolio_id]
                sites = {each: self._of_site(each) for each in portfolio.sites}
                members = [aggregate(each, found) for each, found in sites.items()]
                members += map(self._capacity, portfolio.assets)
        shared = split(request.setpoint_mw, members)
        parts = {
            share.id: split(share.setpoint_mw, sites[share.id])
            for share in shared.allocations
            if share.id in sites
        }
        return planned_for(request.target, shared, self.now_us, parts)

    async def cancel(self, dispatch_id: str, detail: str) -> Dispatch:
        """As the port says."""
        dispatch = await self.dispatch(dispatch_id)
        if dispatch is None:
            raise UnknownDispatch(f"there is no dispatch {dispatch_id}")
        if dispatch.is_final and dispatch.state is not DispatchState.CANCELLED:
            raise DispatchEnded(dispatch)
        word = Cancelled(source=Source.OPERATOR, reason="operator", detail=detail)
        return self.advance(dispatch_id, word)

    async def cancel_schedule(self, schedule_id: str, detail: str) -> Dispatch:
        """As the port says."""
        found = [
            each
            for each in self.dispatches.values()
            if each.request.schedule_id == schedule_id and not each.is_final
        ]
        if not found:
            raise UnknownDispatch(f"nothing is open of schedule {schedule_id}")
        ended = [await self.cancel(each.dispatch_id, detail) for each in found]
        return ended[0]

    async def dispatch(self, dispatch_id: str) -> Dispatch | None:
        """As the port says."""
        self._see_store()
        return self.dispatches.get(dispatch_id)

    async def page(
        self,
        before: int | None,
        limit: int,
        *,
        asset_id: str | None = None,
        site_id: str | None = None,
        portfolio_id: str | None = None,
        schedule_id: str | None = None,
        parent_id: str | None = None,
        state: Collection[DispatchState] | None = None,
    ) -> DispatchPage:
        """As the port says."""
        self._see_store()
        which = DispatchFilter(
            asset_id=asset_id,
            site_id=site_id,
            portfolio_id=portfolio_id,
            schedule_id=schedule_id,
            parent_id=parent_id,
            states=tuple(state or ()),
        )
        found = [
            (number, each)
            for number, each in enumerate(self.dispatches.values(), 1)
            if (before is None or number < before)
            and all(
                getattr(dispatch_row(each), name) in wanted
                for name, wanted in conditions(which).items()
            )
        ]
        page = found[: -limit - 1 : -1]
        return DispatchPage(
            dispatches=tuple(each for _, each in page),
            next_before=page[-1][0] if len(found) > limit else None,
        )

    async def record(self, dispatch_id: str) -> DispatchRecord | None:
        """As the port says."""
        dispatch = await self.dispatch(dispatch_id)
        if dispatch is None:
            return None
        return self.recorded or DispatchRecord(
            dispatch=dispatch,
            parts=(),
            from_us=dispatch.request.start_us,
            to_us=dispatch.request.until_us,
            assets=(),
        )

    def advance(self, dispatch_id: str, *events: DispatchEvent) -> Dispatch:
        """Let something happen to a dispatch, each a second after the one before."""
        for event in events:
            known = self.dispatches[dispatch_id]
            time_us = known.timeline[-1].time_us + 1_000_000
            self.dispatches[dispatch_id] = advance(known, event, time_us).dispatch
        return self.dispatches[dispatch_id]

    def _known(self, key: str, fingerprint: str) -> Dispatch | None:
        self._see_store()
        if self.busy_for_s is not None:
            raise DeskBusy(self.busy_for_s)
        if key not in self.keys:
            return None
        dispatch_id, first = self.keys[key]
        if first != fingerprint:
            raise KeyReused
        return self.dispatches[dispatch_id]

    def _take(self, requests: Sequence[DispatchRequest], key: str, fingerprint: str) -> Dispatch:
        taken = []
        for request in requests:
            self.requests.append(request)
            taken.append(submit(f"d{len(self.requests)}", "default", request, NOW_US))
        self.dispatches |= {each.dispatch_id: each for each in taken}
        self.keys[key] = taken[0].dispatch_id, fingerprint
        return taken[0]

    def _spec(self, target: Target) -> AssetSpec | GroupSpec:
        match target:
            case AssetTarget(asset_id):
                view = self.reader.asset(asset_id)
                if view is None:
                    raise UnknownTarget(f"no asset {asset_id} has been registered")
                return view.spec
            case SiteTarget(site_id):
                ids = [member.id for member in self._of_site(site_id)]
            case PortfolioTarget(portfolio_id):
                portfolio = self.portfolios.get(portfolio_id)
                if portfolio is None:
                    raise UnknownTarget(f"there is no portfolio {portfolio_id}")
                ids = [*portfolio.assets]
                for site_id in portfolio.sites:
                    ids += [member.id for member in self._of_site(site_id)]
        return group_spec(id_of(target), (self.reader.by_id[each].spec for each in ids))

    def _of_site(self, site_id: str) -> list[Capacity]:
        site = self.reader.site(site_id)
        if site is None:
            raise UnknownTarget(f"no site {site_id} has been registered")
        return list(map(self._capacity, site.asset_ids))

    def _capacity(self, asset_id: str) -> Capacity:
        view = self.reader.by_id[asset_id]
        gone = not view.online or asset_id in self.offline
        excluded = DispatchReason.OFFLINE if gone else ""
        return capacity_ahead(view.spec, excluded=excluded)

    def _see_store(self) -> None:
        if self.store_away:
            raise StoreAwaited(1.0, "the store takes nothing now")


class FakePortfolios:
    """Portfolios in memory."""

    def __init__(self) -> None:
        both = Portfolio(portfolio_id="both", name="Both sites", sites=("north", "south"))
        self.kept = {"both": both}
        self.used_by: tuple[str, ...] = ()
        # Somebody else changes it between the reading and the writing.
        self.overtaken = False

    def all(self) -> Sequence[Portfolio]:
        """As the port says."""
        return [self.kept[each] for each in sorted(self.kept)]

    def get(self, portfolio_id: str) -> Portfolio | None:
        """As the port says."""
        return self.kept.get(portfolio_id)

    async def put(self, portfolio: Portfolio, expected_revision: int) -> Portfolio:
        """As the port says."""
        check_portfolio(portfolio, PortfolioLimits())
        self._check(portfolio.portfolio_id, expected_revision)
        written = msgspec.structs.replace(portfolio, revision=expected_revision + 1)
        self.kept[portfolio.portfolio_id] = written
        return written

    async def remove(self, portfolio_id: str, expected_revision: int) -> None:
        """As the port says."""
        self._check(portfolio_id, expected_revision)
        if self.used_by:
            raise PortfolioInUse(portfolio_id, self.used_by)
        del self.kept[portfolio_id]

    def _check(self, portfolio_id: str, expected_revision: int) -> None:
        known = self.kept.get(portfolio_id)
        revision = (0 if known is None else known.revision) + self.overtaken
        if revision != expected_revision:
            raise PortfolioChanged(portfolio_id, revision)


class FakeOperations:
    """A headend that is ready until told otherwise."""

    def __init__(self) -> None:
        self.state = SystemView(
            not_ready_because="",
            assets=3,
            assets_online=2,
            agents_connected=1,
            spools=SpoolSums(
                batches=19, bytes=5_400, dropped_samples=3, in_trouble=1, oldest_age_s=12.5
            ),
        )

    def system(self) -> SystemView:
        """As it was last told."""
        return self.state

    def refuse(self, because: str) -> None:
        """Be not ready from now on."""
        self.state = msgspec.structs.replace(self.state, not_ready_because=because)

    def tree(self) -> Node:
        """A supervisor and its one actor."""
        seen = MailboxStatistics(
            waiting=1,
            blocked=0,
            accepted=10,
            handled=9,
            delayed=0,
            rejected=0,
            dropped=0,
            conflated=0,
            expired=0,
            dead_letters=0,
        )
        desk = Node(
            name="desk",
            path="/headend/desk",
            kind="actor",
            state=State.RUNNING,
            restarts=1,
            mailbox=seen,
            children=(),
        )
        return Node(
            name="headend",
            path="/headend",
            kind="supervisor",
            state=State.RUNNING,
            restarts=0,
            mailbox=None,
            children=(desk,),
        )

    def counters(self) -> Mapping[str, float]:
        """Two totals."""
        return {"samples": 1234.0, "frames_rejected": 1.0}


class FakeHeadend:
    """All ports, and the application over them."""

    def __init__(self, settings: ApiSettings | None = None) -> None:
        self.reader = FakeReader(
            [
                asset("bess-1"),
                asset("bess-2", stale=True),
                asset("pv-1", site_id="south", kind=Kind.PV),
            ]
        )
        self.history = FakeHistory()
        self.portfolios = FakePortfolios()
        self.desk = FakeDesk(self.reader, self.portfolios)
        self.operations = FakeOperations()
        self.feed = FakeFeed(self.reader)
        settings = settings or ApiSettings()
        self.live = LiveStream(self.feed, self.reader, lambda: NOW_US, settings)
        self.app: QuartTrio = create_app(
            self.reader,
            self.history,
            self.desk,
            self.portfolios,
            self.operations,
            self.live,
            lambda: NOW_US,
            settings,
        )
