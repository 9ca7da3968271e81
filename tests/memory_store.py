"""A store and a history in memory which keep the contract: for tests that live on a virtual clock.

SQLite works in a thread of its own, and threads know nothing of a virtual clock.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from msgspec.structs import replace

from dercp.model.completeness import Stretch, Stretches
from dercp.model.dispatch import Dispatch
from dercp.model.portfolio import Portfolio
from dercp.store.dispatch_row import DispatchRow, conditions, dispatch_row
from dercp.store.errors import (
    DuplicateKey,
    DuplicateSession,
    LogFull,
    StoreAway,
    StoreClosed,
    StoreFailed,
    StoreFull,
)
from dercp.store.ports import (
    COMMIT_ITEMS_MAX,
    PAGE_MAX,
    SESSIONS_KEPT,
    check_frames,
    check_gaps,
    check_limit,
)
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
    HistoryLimits,
    HistoryStatistics,
    IdempotencyRecord,
    Pruned,
    Quarantined,
    RegistrationRecord,
    RegistryContents,
    SessionRecord,
    SiteRecord,
    SpoolSequences,
    StoreStatistics,
    Undrained,
)


class MemorySpool:
    """Which batches of a spool were ever logged or declared."""

    def __init__(self) -> None:
        self.stored = Stretches()
        self.declared = Stretches()


class MemoryDisk:
    """What survives a restart.

    Attributes:
        full: Every write fails as on a full disk.
        log_full: The log takes no telemetry; all else is written.
        broken: Everything fails as on a disk that is no more.
        away: Everything fails as with a server that does not answer.
        write_takes_s: How long a write takes, on Trio's clock.
        on_write: Called before a write takes effect. If it cuts the power, this one still
            does; if it raises, it does not.
        commits: Writes so far.
        ids: Names given out by tests that want them predictable.
    """

    def __init__(self) -> None:
        self.full = False
        self.log_full = False
        self.broken = False
        self.away = False
        self.write_takes_s = 0.0
        self.on_write: Callable[[], None] = lambda: None
        self.power_cuts = 0
        self.ids = 0
        self.commits = 0
        self.sites: dict[tuple[str, str], SiteRecord] = {}
        self.agents: dict[tuple[str, str], AgentRecord] = {}
        self.registrations: dict[bytes, RegistrationRecord] = {}
        self.owners: dict[tuple[str, str], str] = {}
        self.sessions: dict[str, SessionRecord] = {}
        self.dispatches: dict[str, Dispatch] = {}
        self.keys: dict[tuple[str, str], IdempotencyRecord] = {}
        self.portfolios: dict[tuple[str, str], Portfolio] = {}
        self.frames: dict[int, FrameRecord] = {}
        self.positions = 0
        self.gaps: dict[int, GapRecord] = {}
        self.spools: dict[tuple[str, str, str], MemorySpool] = {}
        self.frame_bytes = 0
        self.retained_from_us: int | None = None
        self.newest_us: int | None = None
        self.gap_changes: dict[int, int] = {}
        self.drained = DrainMark(position=0, gap_change=0)
        self.destination: str | None = None
        self.quarantine: dict[int, Quarantined] = {}

    def cut_power(self) -> None:
        """Whoever has it open can do no more; what was written is there for the next one."""
        self.power_cuts += 1


class MemoryStore:
    """All three roles on one disk."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._opened_at = disk.power_cuts
        self._closed = False

    @property
    def registry(self) -> "MemoryStore":
        return self

    @property
    def sessions(self) -> "MemoryStore":
        return self

    @property
    def dispatches(self) -> "MemoryStore":
        return self

    @property
    def portfolios(self) -> "MemoryPortfolios":
        return MemoryPortfolios(self)

    def statistics(self) -> StoreStatistics:
        commits = self._disk.commits
        return StoreStatistics(
            commits=commits,
            writes=commits,
            largest_group=1,
            waiting=0,
            waiting_max=1,
            failure=None,
        )

    def close(self) -> None:
        self._closed = True

    async def _reading(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed or self._opened_at != self._disk.power_cuts:
            raise StoreClosed("the store is closed")
        if self._disk.broken:
            raise StoreFailed("input/output error in memory")
        if self._disk.away:
            raise StoreAway("the server in memory does not answer")

    async def _writing(self) -> None:
        await self._reading()
        if self._disk.write_takes_s:
            await trio.sleep(self._disk.write_takes_s)
        if self._disk.full:
            raise StoreFull("no space left in memory")
        self._disk.on_write()
        self._disk.commits += 1

    # --- Registry

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> RegistryContents:
        await self._reading()
        disk = self._disk
        agents = tuple(
            record for (tenant, _), record in sorted(disk.agents.items()) if tenant == tenant_id
        )
        used = {agent.registration_id for agent in agents}
        return RegistryContents(
            sites=tuple(
                record for (tenant, _), record in sorted(disk.sites.items()) if tenant == tenant_id
            ),
            agents=agents,
            registrations=tuple(disk.registrations[each] for each in sorted(used)),
            owners={
                asset: agent
                for (tenant, asset), agent in sorted(disk.owners.items())
                if tenant == tenant_id
            },
        )

    async def register(
        self,
        agent: AgentRecord,
        site: SiteRecord,
        registration: RegistrationRecord,
        *,
        asset_ids: Sequence[str],
    ) -> int:
        if (agent.tenant_id, agent.site_id) != (site.tenant_id, site.site_id):
            raise ValueError("the agent names another site")
        if agent.registration_id != registration.registration_id:
            raise ValueError("the agent names another registration")
        await self._writing()
        disk, tenant, name = self._disk, agent.tenant_id, agent.agent_id
        former = disk.agents.get((tenant, name))
        epoch = 1 if former is None else former.epoch + 1
        first_us = agent.first_seen_us if former is None else former.first_seen_us
        disk.sites[tenant, site.site_id] = site
        disk.registrations.setdefault(registration.registration_id, registration)
        disk.agents[tenant, name] = replace(agent, epoch=epoch, first_seen_us=first_us)
        for owned in [key for key, owner in disk.owners.items() if owner == name]:
            if owned[0] == tenant:
                del disk.owners[owned]
        disk.owners |= {(tenant, asset_id): name for asset_id in asset_ids}
        return epoch

    async def remember(self, registration: RegistrationRecord) -> None:
        await self._writing()
        self._disk.registrations.setdefault(registration.registration_id, registration)

    async def find_registration(self, registration_id: bytes) -> RegistrationRecord | None:
        await self._reading()
        return self._disk.registrations.get(registration_id)

    # --- SessionLog

    async def opened(self, session: SessionRecord) -> None:
        await self._writing()
        sessions = self._disk.sessions
        if session.session_id in sessions:
            raise DuplicateSession(session.session_id)
        sessions[session.session_id] = session
        same = self._of_agent(session.agent_id, session.tenant_id)
        for forgotten in same[SESSIONS_KEPT:]:
            del sessions[forgotten.session_id]

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
        await self._writing()
        session = self._disk.sessions.get(session_id)
        if session is not None and session.disconnected_us is None:
            self._disk.sessions[session_id] = replace(
                session,
                disconnected_us=time_us,
                reason=reason,
                frames=frames,
                samples=samples,
                rejects=rejects,
            )

    async def close_open(self, time_us: int, reason: str) -> int:
        await self._writing()
        sessions = self._disk.sessions
        left = [each for each in sessions.values() if each.disconnected_us is None]
        for session in left:
            sessions[session.session_id] = replace(session, disconnected_us=time_us, reason=reason)
        return len(left)

    async def recent(
        self, agent_id: str, limit: int, *, tenant_id: str = DEFAULT_TENANT
    ) -> tuple[SessionRecord, ...]:
        check_limit(limit)
        await self._reading()
        return tuple(self._of_agent(agent_id, tenant_id)[:limit])

    def _of_agent(self, agent_id: str, tenant_id: str) -> list[SessionRecord]:
        return [
            each
            for each in reversed(self._disk.sessions.values())
            if (each.agent_id, each.tenant_id) == (agent_id, tenant_id)
        ]

    # --- DispatchLedger

    async def commit(
        self, dispatches: Sequence[Dispatch], keys: Sequence[IdempotencyRecord] = ()
    ) -> None:
        if max(len(dispatches), len(keys)) > COMMIT_ITEMS_MAX:
            raise ValueError(f"at most {COMMIT_ITEMS_MAX} in one commit")
        await self._writing()
        taken = dict(self._disk.keys)
        for record in keys:
            if (record.tenant_id, record.key) in taken:
                raise DuplicateKey(taken[record.tenant_id, record.key])
            taken[record.tenant_id, record.key] = record
        self._disk.dispatches |= {each.dispatch_id: each for each in dispatches}
        self._disk.keys |= {(each.tenant_id, each.key): each for each in keys}

    async def open(self) -> list[Dispatch]:
        await self._reading()
        return [each for each in self._disk.dispatches.values() if not each.is_final]

    async def get(self, dispatch_id: str) -> Dispatch | None:
        await self._reading()
        return self._disk.dispatches.get(dispatch_id)

    async def find_key(self, tenant_id: str, key: str) -> IdempotencyRecord | None:
        await self._reading()
        return self._disk.keys.get((tenant_id, key))

    async def page(
        self,
        before: int | None,
        limit: int,
        which: DispatchFilter = EVERY_DISPATCH,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> DispatchPage:
        check_limit(limit)
        await self._reading()
        found = [
            (number, each)
            for number, each in enumerate(self._disk.dispatches.values(), 1)
            if each.tenant_id == tenant_id
            and (before is None or number < before)
            and _is_asked(dispatch_row(each), which)
        ]
        page = found[: -limit - 1 : -1]
        more = len(found) > limit
        return DispatchPage(
            dispatches=tuple(each for _, each in page), next_before=page[-1][0] if more else None
        )


class MemoryPortfolios:
    """The portfolios of a memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def load(self, *, tenant_id: str = DEFAULT_TENANT) -> tuple[Portfolio, ...]:
        await self._store._reading()
        kept = sorted(self._store._disk.portfolios.items())
        return tuple(portfolio for (tenant, _), portfolio in kept if tenant == tenant_id)

    async def put(self, portfolio: Portfolio, *, tenant_id: str = DEFAULT_TENANT) -> None:
        await self._store._writing()
        self._store._disk.portfolios[tenant_id, portfolio.portfolio_id] = portfolio

    async def remove(self, portfolio_id: str, *, tenant_id: str = DEFAULT_TENANT) -> None:
        await self._store._writing()
        self._store._disk.portfolios.pop((tenant_id, portfolio_id), None)


def _is_asked(row: DispatchRow, which: DispatchFilter) -> bool:
    return all(getattr(row, column) in values for column, values in conditions(which).items())


@asynccontextmanager
async def open_memory(disk: MemoryDisk) -> AsyncIterator[MemoryStore]:
    """Open what is on the disk; the same disk gives the same contents."""
    store = MemoryStore(disk)
    try:
        yield store
    finally:
        store.close()


class MemoryHistory:
    """The ingest log and historian on a disk. A frame takes its payload and ROW_BYTES."""

    ROW_BYTES = 128
    QUARANTINED_MAX = 1_000

    def __init__(
        self, disk: MemoryDisk, limits: HistoryLimits, destination: str | None = None
    ) -> None:
        self._disk = disk
        self._limits = limits
        self._buffers = destination is not None
        if destination is not None and destination != disk.destination:
            disk.destination = destination
            disk.drained = DrainMark(position=min(disk.frames, default=1) - 1, gap_change=0)
        self._opened_at = disk.power_cuts
        self._closed = False
        self._writes = 0
        self._stored = 0
        self._duplicates = 0
        self._refused = 0

    def close(self) -> None:
        self._closed = True

    async def _reading(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed or self._opened_at != self._disk.power_cuts:
            raise StoreClosed("the history is closed")
        if self._disk.broken:
            raise StoreFailed("input/output error in memory")
        if self._disk.away:
            raise StoreAway("the server in memory does not answer")

    async def _writing(self, count: int) -> None:
        await self._reading()
        if self._disk.write_takes_s:
            await trio.sleep(self._disk.write_takes_s)
        if self._disk.full:
            self._refused += 1
            raise StoreFull("no space left in memory")
        if count and (self._disk.log_full or self._bytes() + count > self._limits.bytes_max):
            self._refused += 1
            raise LogFull("the log in memory is full")
        self._disk.on_write()
        self._disk.commits += 1
        self._writes += 1

    def _bytes(self) -> int:
        return self._disk.frame_bytes + len(self._disk.gaps) * self.ROW_BYTES

    async def append(self, frames: Sequence[FrameRecord]) -> Appended:
        check_frames(frames)
        await self._writing(sum(len(each.payload) + self.ROW_BYTES for each in frames))
        disk = self._disk
        stored = 0
        for frame in frames:
            spool = self._spool(frame)
            if frame.sequence in spool.stored:
                continue
            times = frame.first_time_us, frame.last_time_us
            spool.stored.add(Stretch(frame.sequence, frame.sequence, *times))
            disk.positions += 1
            disk.frames[disk.positions] = frame
            disk.frame_bytes += len(frame.payload) + self.ROW_BYTES
            time_us = min(frame.last_time_us, frame.ingest_time_us)
            disk.newest_us = max(time_us, disk.newest_us or time_us)
            stored += 1
        self._drop_filled()
        self._stored += stored
        self._duplicates += len(frames) - stored
        return Appended(stored=stored, duplicates=len(frames) - stored)

    async def declare(self, gaps: Sequence[GapRecord]) -> None:
        check_gaps(gaps)
        await self._writing(len(gaps) * self.ROW_BYTES)
        for gap in gaps:
            self._spool(gap).declared.add(
                Stretch(gap.first_sequence, gap.last_sequence, gap.from_us, gap.to_us)
            )
            self._declare(gap)
        self._drop_filled()

    def _declare(self, gap: GapRecord) -> None:
        gaps = self._disk.gaps
        touching = [
            (position, each)
            for position, each in gaps.items()
            if (each.tenant_id, each.agent_id, each.spool_id, each.reason)
            == (gap.tenant_id, gap.agent_id, gap.spool_id, gap.reason)
            and each.first_sequence <= gap.last_sequence + 1
            and each.last_sequence >= gap.first_sequence - 1
        ]
        for _, each in touching:
            if _within(gap, each):
                return
        added = [each for _, each in touching if not _within(each, gap)]
        position = min([*(position for position, _ in touching), max(gaps, default=0) + 1])
        for known, _ in touching:
            del gaps[known]
        self._disk.gap_changes[position] = self._last_gap_change() + 1
        merged = [gap, *added]
        gaps[position] = replace(
            gap,
            first_sequence=min(each.first_sequence for each in merged),
            last_sequence=max(each.last_sequence for each in merged),
            from_us=min(each.from_us for each in merged),
            to_us=max(each.to_us for each in merged),
            samples=sum(each.samples for each in merged),
        )

    def _drop_filled(self) -> None:
        for position, gap in list(self._disk.gaps.items()):
            missing = Stretches([Stretch(gap.first_sequence, gap.last_sequence, 0, 0)])
            if not missing.without(self._spool(gap).stored):
                del self._disk.gaps[position]

    def _spool(self, record: FrameRecord | GapRecord) -> MemorySpool:
        name = (record.tenant_id, record.agent_id, record.spool_id)
        return self._disk.spools.setdefault(name, MemorySpool())

    async def frames(
        self,
        tenant_id: str,
        agent_id: str,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> FramePage:
        check_limit(limit)
        await self._reading()
        found = [
            (position, each)
            for position, each in self._disk.frames.items()
            if (each.tenant_id, each.agent_id) == (tenant_id, agent_id)
            and from_us < to_us
            and each.first_time_us < to_us
            and each.last_time_us >= from_us
            and position > (after_position or 0)
        ]
        return FramePage(
            frames=tuple(each for _, each in found[:limit]),
            next_after=found[limit - 1][0] if len(found) > limit else None,
            corrupt=0,
        )

    async def gaps(
        self,
        tenant_id: str,
        agent_id: str | None,
        from_us: int,
        to_us: int,
        after_position: int | None = None,
        limit: int = PAGE_MAX,
    ) -> GapPage:
        check_limit(limit)
        await self._reading()
        found = [
            (position, each)
            for position, each in sorted(self._disk.gaps.items())
            if each.tenant_id == tenant_id
            and agent_id in (None, each.agent_id)
            and from_us < to_us
            and each.from_us < to_us
            and each.to_us >= from_us
            and position > (after_position or 0)
        ]
        return GapPage(
            gaps=tuple(each for _, each in found[:limit]),
            next_after=found[limit - 1][0] if len(found) > limit else None,
        )

    async def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        await self._reading()
        return tuple(
            SpoolSequences(
                spool_id=spool_id,
                stored=tuple(spool.stored),
                declared=spool.declared.without(spool.stored),
            )
            for (tenant, agent, spool_id), spool in self._disk.spools.items()
            if (tenant, agent) == (tenant_id, agent_id)
        )

    async def prune(self, now_us: int) -> Pruned:
        await self._writing(0)
        disk, limits = self._disk, self._limits
        seconds, size = limits.retained_s, limits.retained_bytes
        position_max, change_max = disk.positions, self._last_gap_change()
        if self._buffers:
            seconds, size = limits.tail_s, limits.tail_bytes
            position_max, change_max = disk.drained.position, disk.drained.gap_change
        oldest_us = now_us - round(seconds * 1_000_000)
        frames = 0
        for position, frame in list(disk.frames.items()):
            if position > position_max:
                break
            if frame.ingest_time_us >= oldest_us and self._bytes() <= size:
                break
            del disk.frames[position]
            disk.frame_bytes -= len(frame.payload) + self.ROW_BYTES
            time_us = min(frame.last_time_us, frame.ingest_time_us)
            disk.retained_from_us = max(time_us, disk.retained_from_us or time_us)
            frames += 1
        ended_us = max(oldest_us, disk.retained_from_us or oldest_us)
        aged = [
            position
            for position, gap in disk.gaps.items()
            if gap.to_us < ended_us and disk.gap_changes[position] <= change_max
        ]
        for position in aged:
            del disk.gaps[position]
        return Pruned(frames=frames, gaps=len(aged), more=False)

    # --- DrainableLog

    async def undrained(self, after: DrainMark, limit: int) -> Undrained:
        check_limit(limit)
        await self._reading()
        disk = self._disk
        frames = [each for each in disk.frames.items() if each[0] > after.position][:limit]
        changed = sorted(
            (disk.gap_changes[position], gap)
            for position, gap in disk.gaps.items()
            if disk.gap_changes[position] > after.gap_change
        )[:limit]
        return Undrained(
            frames=tuple(frame for _, frame in frames),
            positions=tuple(position for position, _ in frames),
            gaps=tuple(gap for _, gap in changed),
            corrupt=0,
            mark=DrainMark(
                position=frames[-1][0] if frames else after.position,
                gap_change=changed[-1][0] if changed else after.gap_change,
            ),
        )

    async def note_drained(self, mark: DrainMark, quarantined: Sequence[Quarantined] = ()) -> None:
        disk = self._disk
        if len(disk.quarantine) + len(quarantined) > self.QUARANTINED_MAX:
            raise LogFull("the quarantine in memory is full")
        await self._writing(0)
        disk.quarantine |= {each.position: each for each in quarantined}
        disk.drained = DrainMark(
            position=max(mark.position, disk.drained.position),
            gap_change=max(mark.gap_change, disk.drained.gap_change),
        )

    def drain_statistics(self) -> DrainStatistics:
        return DrainStatistics(
            drained=self._disk.drained,
            end=DrainMark(position=self._disk.positions, gap_change=self._last_gap_change()),
            quarantined=len(self._disk.quarantine),
            quarantined_max=self.QUARANTINED_MAX,
        )

    def _last_gap_change(self) -> int:
        return max(self._disk.gap_changes.values(), default=0)

    def statistics(self) -> HistoryStatistics:
        return HistoryStatistics(
            frames=len(self._disk.frames),
            bytes=self._bytes(),
            bytes_max=self._limits.bytes_max,
            retained_from_us=self._disk.retained_from_us,
            newest_us=self._disk.newest_us,
            commits=self._writes,
            writes=self._writes,
            largest_group=1,
            waiting=0,
            waiting_max=1,
            stored=self._stored,
            duplicates=self._duplicates,
            refused=self._refused,
            corrupt=0,
            set_aside=(),
            failure=None,
        )


def _within(inner: GapRecord, outer: GapRecord) -> bool:
    return (
        outer.first_sequence <= inner.first_sequence and inner.last_sequence <= outer.last_sequence
    )


@asynccontextmanager
async def open_memory_history(
    disk: MemoryDisk, limits: HistoryLimits | None = None, *, destination: str | None = None
) -> AsyncIterator[MemoryHistory]:
    """Open the history on the disk; the same disk gives the same contents."""
    history = MemoryHistory(disk, limits or HistoryLimits(), destination)
    try:
        yield history
    finally:
        history.close()
