"""What the REST facade needs of a headend, by role.

The headend implements these; the tests use small fakes. Queries answer at once from
what is known (no await: they never wait for an actor); only what must reach the disk
or an actor is async.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from actors import Node
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

    def assets(self) -> Sequence[AssetView]: ...
    def asset(self, asset_id: str) -> AssetView | None: ...
    def telemetry(self, asset_id: str) -> TelemetryView | None: ...
    def sites(self) -> Sequence[SiteView]: ...
    def site(self, site_id: str) -> SiteView | None: ...
    def agents(self) -> Sequence[AgentView]: ...
    def agent(self, agent_id: str) -> AgentView | None: ...
    async def recent_sessions(self, agent_id: str, limit: int) -> Sequence[SessionView]: ...


class DispatchDesk(Protocol):
    """Where dispatches are handed in and looked up."""

    async def submit(self, request: DispatchRequest, *, key: str, fingerprint: str) -> Dispatch:
        """Take a dispatch, durably, before this returns.

        The same key and fingerprint return the dispatch they made.

        Raises:
            dercp.headend.errors.KeyReused: The key was used with another body.
            dercp.headend.errors.UnknownTarget: No such asset.
            dercp.model.dispatch.DispatchError: The request is outside what the asset allows (reason, pointer).
            dercp.headend.errors.DeskBusy: Too many dispatches wait; try again in `retry_after_s`.
        """
        ...

    async def dispatch(self, dispatch_id: str) -> Dispatch | None: ...


class Operations(Protocol):
    """What the operator of the headend itself looks at."""

    def system(self) -> SystemView: ...
    def tree(self) -> Node: ...
    def counters(self) -> Mapping[str, float]:
        """Monotonic totals by Prometheus name without the `dercp_` prefix and `_total`."""
        ...
