"""What the REST facade needs of a headend, by role.

The headend implements these; the tests use small fakes. Queries answer at once from
what is known (no await: they never wait for an actor); only what must reach the disk
or an actor is async.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from actors import Node
from dercp.headend.changes import AgentChanged, DispatchChanged, Look, News, Sample, Subject
from dercp.headend.history_views import BucketPage, GapViews, HistorySpan, SampleKey, SamplePage
from dercp.headend.views import (
    AgentView,
    AssetView,
    SessionView,
    SiteView,
    SystemView,
    TelemetryView,
)
from dercp.model.dispatch import Dispatch, DispatchRequest


class FleetReader(Protocol):
    """The latest of everything. Sequences are sorted by id; unknown ids give None."""

    def assets(self) -> Sequence[AssetView]:
        """All assets that are registered."""
        ...

    def asset(self, asset_id: str) -> AssetView | None:
        """One asset."""
        ...

    def telemetry(self, asset_id: str) -> TelemetryView | None:
        """The latest sample of one asset."""
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


class DispatchDesk(Protocol):
    """Where dispatches are handed in and looked up."""

    async def submit(self, request: DispatchRequest, *, key: str, fingerprint: str) -> Dispatch:
        """Take a dispatch, durably, before this returns.

        The same key and fingerprint return the dispatch they made. May be cancelled while
        it waits, when the caller leaves or time runs out; whether there is a dispatch then,
        the same key tells.

        Raises:
            dercp.headend.errors.KeyReused: The key was used with another body.
            dercp.headend.errors.UnknownTarget: No such asset.
            dercp.model.dispatch.DispatchError: The asset does not allow it (reason, pointer).
            dercp.headend.errors.DeskBusy: Too many dispatches wait; try again in `retry_after_s`.
        """
        ...

    async def dispatch(self, dispatch_id: str) -> Dispatch | None:
        """One dispatch, ended or not; None when there was never one by this id."""
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
