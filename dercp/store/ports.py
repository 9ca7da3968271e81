"""What the headend needs of a store, by role.

Valid for every port:

- Durable means: on return it has reached the disk and survives the loss of power. A call
  that raised left nothing behind, with two exceptions: after `StoreFailed` the write may
  be found when the store is opened anew, after `StoreAway` when its server is back.
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
from dercp.model.portfolio import Portfolio
from dercp.store.records import (
    DEFAULT_TENANT,
    EVERY_DISPATCH,
    AgentRecord,
    Appended,
    DispatchFilter,
    DispatchPage,
    DrainMark,
    DrainStatistics,
    FramePage,
    FrameRecord,
    GapPage,
    GapRecord,
    HistoryStatistics,
    IdempotencyRecord,
    Pruned,
    Quarantined,
    RegistrationRecord,
    RegistryContents,
    SampleRow,
    SessionRecord,
    SiteRecord,
    SpoolSequences,
    StoreStatistics,
    Undrained,
)

SESSIONS_KEPT = 100
"""Sessions kept per agent; opening one more forgets the oldest."""

PAGE_MAX = 1_000
"""The longest page that may be asked for."""

COMMIT_ITEMS_MAX = 20_000
"""Dispatches or keys in one commit: an order to every asset of a large fleet."""

APPEND_FRAMES_MAX = 1_000
"""Frames or gaps in one call of the ingest log."""

PAGE_BYTES_MAX = 8 * 2**20
"""A page of frames ends when its payloads have reached this."""


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

    async def remember(self, registration: RegistrationRecord) -> None:
        """Keep a registration that is not in force, durably: a backlog was written under it.

        One that is known stands as it is.
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
        which: DispatchFilter = EVERY_DISPATCH,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        """Dispatches in the reverse order of their first commit, from `before` on.

        Pages stay put while dispatches are added: following `next_before` shows each that
        was there at the beginning once.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...


class Portfolios(Protocol):
    """The portfolios of each tenant. Whether a change is the next one is the caller's to see."""

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> tuple[Portfolio, ...]:
        """All of them, in the order of their ids; read once at start-up."""
        ...

    async def put(self, portfolio: Portfolio, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Keep it, durably, in place of the one with its id."""
        ...

    async def remove(self, portfolio_id: str, *, tenant_id: str = DEFAULT_TENANT) -> None:
        """Forget it, durably; nothing happens when there is none."""
        ...


class IngestLog(Protocol):
    """Takes telemetry in, so that it can be acknowledged to the edge that holds it.

    A batch is named by tenant, agent, spool and sequence. The first with a name stands;
    any later one is a duplicate, whatever is in it.
    """

    async def append(self, frames: Sequence[FrameRecord]) -> Appended:
        """Log frames: all of them, durably, or none.

        Raises:
            LogFull: No room for telemetry, in the log or on its disk.
            ValueError: More than APPEND_FRAMES_MAX, a sequence below 1, a time before its first.
        """
        ...

    async def declare(self, gaps: Sequence[GapRecord]) -> None:
        """Note, durably, batches that will never come: all of the gaps, or none.

        What touches an earlier gap of the same spool and reason becomes one with it, its
        samples added; a gap that contains an earlier one replaces it, one contained in an
        earlier one says nothing new.

        Raises:
            LogFull: As for frames.
            ValueError: More than APPEND_FRAMES_MAX, sequences from below 1 or backwards, times
                backwards.
        """
        ...

    def statistics(self) -> HistoryStatistics:
        """What is held and was done; it never waits."""
        ...


class Historian(Protocol):
    """Gives out what was logged, until it is aged out.

    Time ranges are half-open: what lies at `from_us` is in, what lies at `to_us` is not, and
    nothing is where they are the same.
    Pages stay put while frames are added and aged out: following `next_after` shows each
    that was there from beginning to end once. A page may be shorter than asked for, even
    empty, and others follow.
    """

    async def frames(
        self,
        tenant_id: str,
        agent_id: str,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> FramePage:
        """Frames of an agent with a source time in the range, in the order of the log.

        A frame that cannot be read is left out and counted; it keeps no other one back.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...

    async def gaps(
        self,
        tenant_id: str,
        agent_id: str | None,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> GapPage:
        """Gaps of an agent, or of all, that overlap the range, but those filled since.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...

    async def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        """Which batches were ever logged or declared, by spool, that seen first in front.

        Ageing out takes nothing away here. `dercp.model.completeness` reads it.
        """
        ...


class RowsOf(Protocol):
    """Reads wide rows out of a frame: a store keeps payloads without knowing their encoding."""

    def __call__(
        self, registration: RegistrationRecord, frame: FrameRecord, /
    ) -> Sequence[SampleRow] | None:
        """The rows of a frame written under that registration; None: it cannot be read."""
        ...


class History(IngestLog, Historian, Protocol):
    """The ingest log that is its own historian."""

    async def prune(self, now_us: int) -> Pruned:
        """Take away, oldest first, some of what is too old or too much, in a bounded step."""
        ...


class DrainableLog(Protocol):
    """A log that is emptied, in its order, into a store elsewhere.

    What is not marked as drained is never pruned, and what is, soon is. A batch may be read
    again after a crash: whoever takes it must know a frame by its name.
    """

    async def undrained(self, after: DrainMark, limit: int) -> Undrained:
        """What comes after the mark: at most `limit` frames and gaps each, PAGE_BYTES_MAX.

        A frame that cannot be read is passed over and counted.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        ...

    async def note_drained(self, mark: DrainMark, quarantined: Sequence[Quarantined] = ()) -> None:
        """Note, durably, that everything up to the mark is in the store, but the quarantined.

        Those are kept aside, for good. A mark that lies behind the one noted changes nothing.

        Raises:
            LogFull: The quarantine is full.
        """
        ...

    def drain_statistics(self) -> DrainStatistics:
        """How far it is drained; it never waits."""
        ...


class DrainableHistory(History, DrainableLog, Protocol):
    """The embedded history: a historian where no store is configured, else the way to it."""


class Store(Protocol):
    """One opened store with its roles."""

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

    @property
    def portfolios(self) -> Portfolios:
        """Sites and assets that are dispatched as one."""
        ...

    def statistics(self) -> StoreStatistics:
        """What was done since opening; it never waits."""
        ...


def check_frames(frames: Sequence[FrameRecord]) -> None:
    """Refuse what `IngestLog.append` does not take; for the implementations.

    Raises:
        ValueError: As there.
    """
    _check_count(frames)
    for frame in frames:
        _check_sequences(frame.sequence, frame.sequence)
        if frame.first_time_us > frame.last_time_us:
            raise ValueError(f"batch {frame.sequence} of {frame.agent_id} ends before it begins")


def check_gaps(gaps: Sequence[GapRecord]) -> None:
    """Refuse what `IngestLog.declare` does not take; for the implementations.

    Raises:
        ValueError: As there.
    """
    _check_count(gaps)
    for gap in gaps:
        _check_sequences(gap.first_sequence, gap.last_sequence)
        if gap.from_us > gap.to_us:
            raise ValueError(f"gap {gap.first_sequence} of {gap.agent_id} ends before it begins")


def check_limit(limit: int) -> None:
    """Refuse a page that is empty or too long; for the implementations.

    Raises:
        ValueError: Not within 1 to PAGE_MAX.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit: expected 1 to {PAGE_MAX}, got {limit}")


def _check_count(items: Sequence[object]) -> None:
    if len(items) > APPEND_FRAMES_MAX:
        raise ValueError(f"expected at most {APPEND_FRAMES_MAX} in one call, got {len(items)}")


def _check_sequences(first: int, last: int) -> None:
    if not 1 <= first <= last < 2**63:
        raise ValueError(f"sequences: expected from 1 to below 2**63, got {first} to {last}")
