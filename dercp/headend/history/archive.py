"""Where history is read: the log, or the store that it is drained into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from dercp.headend.history.draining import Drain
    from dercp.store.ports import Historian, History
    from dercp.store.records import FramePage, GapPage, SpoolSequences


class Archive:
    """All history there is. Without a store the log has it.

    With one, the frames still on their way to it are read in the log, so that no seconds are
    missing at the end. Gaps, and what is complete, are the store's word alone: both may lag
    behind the frames, never run ahead of them.
    """

    def __init__(self, log: History, drain: Drain | None = None) -> None:
        self._log = log
        self._drain = drain

    def frames(self, tenant_id: str, agent_id: str) -> FrameScan:
        """An agent's frames, to be read page by page."""
        return FrameScan(self._log, self._drain, tenant_id, agent_id)

    async def gaps(
        self,
        tenant_id: str,
        agent_id: str | None,
        from_us: int,
        to_us: int,
        after_position: int | None,
        limit: int,
    ) -> GapPage:
        """Gaps as `Historian.gaps` gives them."""
        return await self._kept().gaps(tenant_id, agent_id, from_us, to_us, after_position, limit)

    async def sequences(self, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
        """What is accounted for, as `Historian.sequences` says it."""
        return await self._kept().sequences(tenant_id, agent_id)

    def retained_from(self) -> int | None:
        """History older than this has been aged out, at least in part; None: none has."""
        return self._kept().statistics().retained_from_us

    def _kept(self) -> History:
        return self._log if self._drain is None else self._drain.destination


class FrameScan:
    """Reads each frame of an agent once, those still in the log first.

    What is drained while this goes on is found in both places, and shown the first time
    only; read the other way round, it could be missed in both.

    Characteristics:
        Memory: the names of the frames found in the log.
    """

    def __init__(self, log: Historian, drain: Drain | None, tenant_id: str, agent_id: str) -> None:
        self._agent = (tenant_id, agent_id)
        # What is read next, from where on, and what after it.
        self._source: Historian | None = log
        self._after = None if drain is None else drain.log.drain_statistics().drained.position
        self._later = None if drain is None else drain.destination
        self._seen: set[tuple[str, int]] = set()

    async def next_page(self, from_us: int, to_us: int, limit: int) -> FramePage | None:
        """The next frames of the range, perhaps none; None when there are no more."""
        if self._source is None:
            return None
        page = await self._source.frames(*self._agent, from_us, to_us, self._after, limit)
        frames = [
            frame for frame in page.frames if (frame.spool_id, frame.sequence) not in self._seen
        ]
        self._after = page.next_after
        if self._later is not None:
            self._seen.update((frame.spool_id, frame.sequence) for frame in frames)
        if self._after is None:
            self._source, self._later = self._later, None
        return replace(page, frames=tuple(frames))
