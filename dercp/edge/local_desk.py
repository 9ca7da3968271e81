"""Takes the dispatches of those at the site: an operator at the SCADA, for instance.

They are leases like those of the headend, and run through the same desk, guardrails and
journal. They go before the headend's, and the headend is told of them.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog
import trio

from dercp.edge.asset.device import AssetMemory
from dercp.edge.asset.lease import Book, Lease, Report, leases_of
from dercp.edge.desk import Desk
from dercp.edge.journal import Journal
from dercp.edge.site.keeper import SiteKeeper
from dercp.edge.site.parts import parent_of
from dercp.model.dispatch import (
    Acked,
    AssetTarget,
    Authority,
    DispatchRequest,
    Rejected,
    SiteTarget,
    id_of,
)
from dercp.model.guardrail import OnLimit
from dercp.model.time import Clock, us_from_s
from dercp.wire.dispatch import EdgeWord, Order

__all__ = ["ANSWER_WITHIN_S", "LocalDesk", "LocalTarget", "Pending"]

# A device may be in a read (5 s) when it is asked.
ANSWER_WITHIN_S: Final = 8.0
# Of a lease, so that a SCADA that writes every second makes no dispatch every second.
RENEWED_AFTER: Final = 0.1

LocalTarget = AssetTarget | SiteTarget


class Pending:
    """What was asked, until the first word on it."""

    def __init__(self, word: EdgeWord | None = None) -> None:
        self._word = word
        self._heard = trio.Event()
        if word is not None:
            self._heard.set()

    def hear(self, word: EdgeWord) -> None:
        """The first word counts."""
        if self._word is None:
            self._word = word
            self._heard.set()

    async def answer(self) -> EdgeWord | None:
        """The first word; None if there was none in time, and then it will not be done."""
        with trio.move_on_after(ANSWER_WITHIN_S):
            await self._heard.wait()
        return self._word


class Result(msgspec.Struct, frozen=True):
    """The last word on what was asked for a target."""

    request: DispatchRequest
    word: EdgeWord


class LocalDesk:
    """Where those at the site hand in what they want.

    Characteristics:
        A lease lasts `lease_s`. The same wish of the same person renews it; within its first
            tenth that changes nothing.
        Bound: one that nobody has answered yet per call of `place`; callers bound themselves.

    Attributes:
        results: The last word by target, of the dispatches of this process.
    """

    def __init__(
        self,
        desk: Desk,
        journal: Journal,
        memories: Mapping[str, AssetMemory],
        site: SiteKeeper,
        *,
        site_id: str,
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
        new_id: Callable[[int], str] | None = None,
    ) -> None:
        self.site = SiteTarget(site_id)
        self.results: dict[LocalTarget, Result] = {}
        self._desk = desk
        self._journal = journal
        self._memories = memories
        self._site = site
        self._clock = clock
        self._log = log
        self._new_id = new_id or _new_id
        self._pending: dict[str, Pending] = {}
        journal.tell_of_locals(self._noted)

    def place(
        self, target: LocalTarget, setpoint_mw: float, *, requested_by: str, lease_s: float
    ) -> Pending:
        """Ask for a setpoint; the site's limits apply as to any other dispatch."""
        if self._stands(target, setpoint_mw, requested_by, lease_s):
            return Pending(Acked())
        now_us = self._clock()
        request = DispatchRequest(
            target=target,
            setpoint_mw=setpoint_mw,
            start_us=now_us,
            until_us=now_us + us_from_s(lease_s),
            # Whoever was told that nobody answered must be able to rely on it.
            deliver_by_us=now_us + us_from_s(min(lease_s, ANSWER_WITHIN_S)),
            requested_by=requested_by,
            on_limit=OnLimit.CLAMP,
            authority=Authority.LOCAL_OPERATOR,
        )
        dispatch_id = self._new_id(now_us)
        asset_id = target.asset_id if isinstance(target, AssetTarget) else None
        if not self._journal.enter(dispatch_id, asset_id, request):
            return Pending(Rejected(reason="busy", detail="too many dispatches have not ended"))
        pending = self._pending[dispatch_id] = Pending()
        self._log.info(
            "local_dispatch",
            dispatch_id=dispatch_id,
            target=id_of(target),
            setpoint_mw=setpoint_mw,
            requested_by=requested_by,
        )
        self._desk.hand_on(Order(dispatch_id=dispatch_id, revision=1, request=request))
        return pending

    def release(self, target: LocalTarget, *, requested_by: str) -> None:
        """End what those at the site have asked for; nothing happens where there is nothing."""
        for lease in leases_of(self._book(target)):
            if self._journal.local(lease.dispatch_id) is not None:
                self._desk.end(lease.dispatch_id, f"released by {requested_by}")

    def holder(self, target: LocalTarget) -> Lease | None:
        """The lease in force."""
        return self._book(target).in_force

    def holds_for(self, lease: Lease) -> str:
        """Who asked for a lease, as far as that is known here."""
        local = self._journal.local(parent_of(lease.dispatch_id) or lease.dispatch_id)
        return "" if local is None else local.requested_by

    def _book(self, target: LocalTarget) -> Book:
        if isinstance(target, SiteTarget):
            return self._site.book
        memory = self._memories.get(target.asset_id)
        return Book() if memory is None else memory.keeper.book

    def _stands(
        self, target: LocalTarget, setpoint_mw: float, requested_by: str, lease_s: float
    ) -> bool:
        """Whether this has just been asked, and holds."""
        lease = self.holder(target)
        if lease is None or lease.setpoint_mw != setpoint_mw:
            return False
        local = self._journal.local(lease.dispatch_id)
        renewed_at_s = lease.until_s - (1 - RENEWED_AFTER) * lease_s
        mine = local is not None and local.requested_by == requested_by
        return mine and trio.current_time() < renewed_at_s

    def _noted(self, report: Report) -> None:
        pending = self._pending.pop(report.dispatch_id, None)
        if pending is not None:
            pending.hear(report.word)
        if report.local is not None and isinstance(report.local.target, AssetTarget | SiteTarget):
            self.results[report.local.target] = Result(report.local, report.word)


def _new_id(now_us: int) -> str:
    """An id that sorts by time and cannot be guessed, as the headend's do."""
    return f"{now_us // 1000:012x}{secrets.token_hex(10)}"
