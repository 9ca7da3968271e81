"""What the REST facade needs of a headend, by role.

The headend implements these; the tests use small fakes. Queries answer at once from
what is known (no await: they never wait for an actor); only what must reach the disk
or an actor is async.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from actors import Node
from dercp.headend.dispatching.record_views import DispatchRecord
from dercp.headend.fleet.changes import AgentChanged, DispatchChanged, Look, News, Sample, Subject
from dercp.headend.history.views import (
    BucketPage,
    GapViews,
    HistorySpan,
    SampleKey,
    SamplePage,
    SpoolAccount,
)
from dercp.headend.views import (
    AgentView,
    AssetView,
    GoodSampleView,
    SessionView,
    SiteView,
    SystemView,
    TelemetryView,
)
from dercp.model.dispatch import Dispatch, DispatchRequest, DispatchState
from dercp.model.plan import Plan
from dercp.model.portfolio import Portfolio
from dercp.model.schedule import Schedule
from dercp.store.records import DispatchPage


class FleetReader(Protocol):
    """The latest of everything. Sequences are sorted by id; unknown ids give None."""

    def assets(self, ids: Iterable[str] | None = None) -> Sequence[AssetView]:
        """All assets that are registered; or those with these ids, as far as there are any."""
        ...

    def asset(self, asset_id: str) -> AssetView | None:
        """One asset."""
        ...

    def telemetry(self, asset_id: str) -> TelemetryView | None:
        """The latest sample of one asset."""
        ...

    def asset_ids(self) -> Sequence[str]:
        """The ids of all assets."""
        ...

    def sample(self, asset_id: str) -> GoodSampleView | TelemetryView | None:
        """The same as `telemetry`, in short where each value is known and good."""
        ...

    def sites(self) -> Sequence[SiteView]:
        """All sites."""
        ...

    def site(self, site_id: str) -> SiteView | None:
        """One site."""
        ...

    def agents(self) -> Sequence[AgentView]:
        """All agents that were ever registered."""
        ...

    def agent(self, agent_id: str) -> AgentView | None:
        """One agent."""
        ...

    async def recent_sessions(self, agent_id: str, limit: int) -> Sequence[SessionView]:
        """The ended sessions of an agent, newest first."""
        ...


class ChangeFeed(Protocol):
    """What changes, for one follower who tells all others."""

    def follow(self, wake: Callable[[], None]) -> None:
        """Call `wake` at each fact from now on."""
        ...

    def take_news(self) -> News:
        """The facts since they were last taken."""
        ...

    def look(self) -> Look:
        """What differs from the last look; to the first one nothing does."""
        ...

    def subjects(self) -> Sequence[Subject]:
        """All assets as of the last look, sorted by id."""
        ...

    def sample(self, asset_id: str) -> Sample | None:
        """The latest sample of one asset."""
        ...

    def agents(self) -> Sequence[AgentChanged]:
        """All agents as they are now, sorted by id."""
        ...

    def open_dispatches(self) -> Sequence[DispatchChanged]:
        """All dispatches that have not ended, sorted by id."""
        ...


class HistoryReader(Protocol):
    """What was logged. Every call may raise `dercp.headend.errors.HistoryUnavailable`.

    A call may be cancelled while it reads.
    """

    async def samples(
        self, span: HistorySpan, *, after: SampleKey | None, limit: int
    ) -> SamplePage:
        """The first `limit` samples of the span in the order of their keys, after `after`."""
        ...

    async def buckets(self, span: HistorySpan, *, resolution_us: int, limit: int) -> BucketPage:
        """Those of the first `limit` buckets of the span that have samples."""
        ...

    async def complete_until(self, agent_id: str) -> int | None:
        """The time before which all that the agent took is logged or declared as a gap."""
        ...

    def retained_from(self) -> int | None:
        """History older than this has been aged out, at least in part; None: none has."""
        ...

    async def gaps(
        self, agent_id: str | None, from_us: int, to_us: int, *, after: int | None, limit: int
    ) -> GapViews:
        """Gaps of an agent, or of all, that overlap the range, in the order of declaration."""
        ...

    async def spools(self, agent_id: str) -> Sequence[SpoolAccount]:
        """What is held of each spool of an agent, that seen first in front; all of it is read."""
        ...


class DispatchDesk(Protocol):
    """Where dispatches are handed in, planned, ended early and looked up.

    What is async may be cancelled while it waits, when the caller leaves or time runs out;
    whether there is a dispatch then, the same key tells. All of it may raise
    `dercp.headend.errors.DeskBusy`, or its kind `StoreAwaited`: try again in `retry_after_s`.
    """

    async def submit(
        self, request: DispatchRequest, *, key: str, fingerprint: str, plan_token: str = ""
    ) -> Dispatch:
        """Take a dispatch, durably, before this returns.

        The same key and fingerprint return the dispatch they made.

        Raises:
            dercp.headend.errors.KeyReused: The key was used with another body.
            dercp.headend.errors.UnknownTarget: Nobody registered the target.
            dercp.model.dispatch.DispatchError: The target does not allow it (reason, pointer).
            dercp.model.plan.PlanError: The plan's token is none for this dispatch (reason).
            dercp.headend.errors.FleetMoved: The plan would be another one now (differences).
        """
        ...

    async def submit_schedule(self, schedule: Schedule, *, key: str, fingerprint: str) -> Dispatch:
        """Take all blocks of a schedule, durably; the first, which bears the schedule's id.

        Raises:
            dercp.headend.errors.KeyReused: The key was used with another body.
            dercp.headend.errors.UnknownTarget: Nobody registered the target.
            dercp.model.dispatch.DispatchError: A block is not allowed; the pointer says which.
        """
        ...

    def preview(self, request: DispatchRequest) -> Plan:
        """What a dispatch would come to now; nothing is done.

        Raises:
            dercp.headend.errors.UnknownTarget: Nobody registered the target.
            dercp.model.dispatch.DispatchError: The target does not allow it (reason, pointer).
        """
        ...

    async def cancel(self, dispatch_id: str, detail: str) -> Dispatch:
        """End a dispatch early; where an edge may have it, only that edge can end it.

        Raises:
            dercp.headend.errors.UnknownDispatch: There is none by this id.
            dercp.headend.errors.DispatchEnded: It has ended otherwise.
        """
        ...

    async def cancel_schedule(self, schedule_id: str, detail: str) -> Dispatch:
        """End all that is open of a schedule; its first open block.

        Raises:
            dercp.headend.errors.UnknownDispatch: Nothing of it is open.
        """
        ...

    async def dispatch(self, dispatch_id: str) -> Dispatch | None:
        """One dispatch, ended or not; None when there was never one by this id."""
        ...

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
        """Dispatches that pass all filters given, newest first, from `before` on.

        `asset_id`, `site_id` and `portfolio_id` are of exactly this target; `state` are those
        that are wanted. `limit` is 1 to 1,000.
        """
        ...

    async def record(self, dispatch_id: str) -> DispatchRecord | None:
        """All that is known of one dispatch; None when there was never one by this id.

        Raises:
            dercp.headend.errors.HistoryUnavailable: The samples cannot be read now.
        """
        ...


class Portfolios(Protocol):
    """Sites and assets that are dispatched as one, by names of their own."""

    def all(self) -> Sequence[Portfolio]:
        """Every portfolio, sorted by id."""
        ...

    def get(self, portfolio_id: str) -> Portfolio | None:
        """One portfolio."""
        ...

    async def put(self, portfolio: Portfolio, expected_revision: int) -> Portfolio:
        """Write a portfolio, durably, in place of this revision; 0: there must be none.

        Answers with what was written, its revision counted on.

        Raises:
            dercp.model.portfolio.PortfolioError: It cannot be right (reason, pointer).
            dercp.headend.errors.PortfolioChanged: It is at another revision.
            dercp.headend.errors.StoreAwaited: The store takes nothing now.
        """
        ...

    async def remove(self, portfolio_id: str, expected_revision: int) -> None:
        """Forget this revision of a portfolio, durably.

        Raises:
            dercp.headend.errors.PortfolioChanged: It is at another revision.
            dercp.headend.errors.PortfolioInUse: Open dispatches name it.
            dercp.headend.errors.StoreAwaited: The store takes nothing now.
        """
        ...


class Operations(Protocol):
    """What the operator of the headend itself looks at."""

    def system(self) -> SystemView:
        """How the headend is."""
        ...

    def tree(self) -> Node:
        """The actors that run."""
        ...

    def counters(self) -> Mapping[str, float]:
        """Monotonic totals by Prometheus name without the `dercp_` prefix and `_total`."""
        ...
