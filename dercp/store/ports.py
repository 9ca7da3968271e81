"""What the headend needs of a store, by role.

Valid for every port:

- Durable means: on return it has reached the disk and survives the loss of power. A call
  that raised left nothing behind, with one exception: after `StoreFailed` the write may
  be found when the store is opened anew.
- A cancelled write is done wholly or not at all, and its caller does not learn which;
  nobody else's write is touched.
- Writes wait for their turn (backpressure); none is refused for want of a place. They take
  as long as the disk takes: one that hangs holds its writers, deadline or not.
- Every call may raise `StoreFailed`, `StoreDamaged` or `StoreClosed`, every write
  `StoreFull` and `StoreBusy` too.
"""

from collections.abc import Sequence
from typing import Protocol

from dercp.model.dispatch import Dispatch
from dercp.store.records import (
    DEFAULT_TENANT,
    AgentRecord,
    DispatchPage,
    IdempotencyRecord,
    RegistrationRecord,
    RegistryContents,
    SessionRecord,
    SiteRecord,
    StoreStatistics,
)

SESSIONS_KEPT = 100
"""Sessions kept per agent; opening one more forgets the oldest."""

PAGE_MAX = 1_000
"""The longest page that may be asked for."""

COMMIT_ITEMS_MAX = 20_000
"""Dispatches or keys in one commit: an order to every asset of a large fleet."""


class Registry(Protocol):
    """Who the agents are, what stands at their sites, and which assets are whose."""

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> RegistryContents:
        """All that is in force, in the order of the ids; read once at start-up."""
        ...

    async def register(
        self,
        agent: AgentRecord,
        site: SiteRecord,
        registration: RegistrationRecord,
        *,
        asset_ids: Sequence[str],
    ) -> int:
        """Take an agent's handshake, durably, and return its epoch: the previous plus one.

        The agent owns exactly `asset_ids` afterwards: those it no longer names are free,
        those another agent owned have moved (whether they may is the caller's to decide).
        Of `agent` the epoch is not read, and `first_seen_us` only the first time.

        Raises:
            ValueError: The agent names another site or registration than the ones given.
        """
        ...

    async def find_registration(self, registration_id: bytes) -> RegistrationRecord | None:
        """A registration, even one no longer in force: a backlog may be written under it."""
        ...


class SessionLog(Protocol):
    """The sessions of each agent, the newest `SESSIONS_KEPT` of them."""

    async def opened(self, session: SessionRecord) -> None:
        """Note a new session, durably, and forget what is older than the bound.

        Raises:
            DuplicateSession: Its id is in the log.
        """
        ...

    async def closed(
        self,
        session_id: str,
        time_us: int,
        reason: str,
        frames: int,
        samples: int,
        *,
        rejects: int = 0,
    ) -> None:
        """Note the end of a session, durably.

        The first word on an end stands; that of a session forgotten meanwhile is dropped.
        """
        ...

    async def close_open(self, time_us: int, reason: str) -> int:
        """End, durably, what a killed headend left open, and return how many those were."""
        ...

    async def recent(
        self, agent_id: str, limit: int, *, tenant_id: str = DEFAULT_TENANT
    ) -> tuple[SessionRecord, ...]:
        """The sessions of an agent, newest first, at most `limit`.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...


class DispatchLedger(Protocol):
    """Every dispatch in its newest state, and the idempotency keys that made them.

    It keeps what it is given: whether a state may follow another is the model's to say.
    """

    async def commit(
        self, dispatches: Sequence[Dispatch], keys: Sequence[IdempotencyRecord] = ()
    ) -> None:
        """Write new and changed dispatches and new keys: all of it, durably, or nothing.

        Raises:
            DuplicateKey: One of the keys is taken.
            ValueError: More than COMMIT_ITEMS_MAX dispatches or keys.
        """
        ...

    async def open(self) -> list[Dispatch]:
        """The dispatches of every tenant that are not final, oldest first; for start-up."""
        ...

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """A dispatch in its newest state."""
        ...

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        """What a tenant's idempotency key was used for."""
        ...

    async def page(
        self,
        before: int | None,
        limit: int,
        asset_id: str | None = None,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        """Dispatches in the reverse order of their first commit, from `before` on.

        Pages stay put while dispatches are added: following `next_before` shows each that
        was there at the beginning once. With `asset_id` only those which target that asset.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...


class Store(Protocol):
    """One opened store with its three roles."""

    @property
    def registry(self) -> Registry:
        """Agents, sites, registrations, owners."""
        ...

    @property
    def sessions(self) -> SessionLog:
        """Who was connected when, and why no longer."""
        ...

    @property
    def dispatches(self) -> DispatchLedger:
        """Dispatches and idempotency keys."""
        ...

    def statistics(self) -> StoreStatistics:
        """What was done since opening; it never waits."""
        ...


def check_limit(limit: int) -> None:
    """Refuse a page that is empty or too long; for the implementations.

    Raises:
        ValueError: Not within 1 to PAGE_MAX.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit: expected 1 to {PAGE_MAX}, got {limit}")
