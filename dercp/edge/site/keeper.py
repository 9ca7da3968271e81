"""Carries out what is decided of the dispatches for a site as a whole.

The dispatches of a site are leases in a book, by the same rules as those of an asset; where
an asset's lease is written, a site's is divided among its assets (`site_sharing`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

import structlog
import trio
from msgspec.structs import replace

from actors import Ref
from dercp.edge.asset import lease as leases
from dercp.edge.asset.device import Cancel, DeviceMessage
from dercp.edge.asset.intake import admit
from dercp.edge.asset.lease import Book, FallBack, Lease, Report, Write
from dercp.edge.asset.lease_keeper import Clocks
from dercp.edge.journal import Journal
from dercp.edge.site import sharing as sharings
from dercp.edge.site.assets import SiteAssets
from dercp.edge.site.measuring import observed
from dercp.edge.site.parts import Hold, KeptShares, parent_of, share_id
from dercp.edge.site.room import members_again
from dercp.edge.site.state import DivideAgain, Give, Heard, Say, Sharing, Step, TakeBack
from dercp.edge.site.words import refusal
from dercp.edge.telling import told
from dercp.model.dispatch import (
    FINAL,
    Acked,
    AssetTarget,
    Cancelled,
    DispatchReason,
    DispatchRequest,
    DispatchState,
    Failed,
    Rejected,
    ShareState,
    Superseded,
    planned,
)
from dercp.model.split import Split, split
from dercp.model.time import us_from_s
from dercp.wire.dispatch import EdgeWord, Order

__all__ = ["KeptDispatch", "SiteKeeper"]

# So that each asset has its order when the block before ends, and begins to the second.
DIVIDES_AHEAD_S: Final = 1.0
# After a start of the agent the devices are opened and read first.
RESUMES_AFTER_S: Final = 5.0
LOOKS_EVERY_S: Final = 0.5

KeptDispatch = tuple[Lease, KeptShares | None]
"""A site's dispatch of the process before this one; None when it was not divided yet."""


class SiteKeeper:
    """The dispatches of a site. It outlives the site's actor, whose task alone calls it.

    Attributes:
        book: Which dispatch is in force, and which wait for their start.
        wake: Called when an asset has spoken of its part.
    """

    def __init__(
        self,
        assets: SiteAssets,
        devices: Mapping[str, Ref[DeviceMessage]],
        journal: Journal,
        clocks: Clocks,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.book = Book(owes_fallback=False)
        self.wake: Callable[[], None] = _asleep
        self._assets = assets
        self._devices = devices
        self._journal = journal
        self._clocks = clocks
        self._log = log
        # Those in force, those divided ahead, and those that wait for the last words.
        self._sharings: dict[str, Sharing] = {}
        # Orders that the process before this one had no time to give.
        self._to_give: list[tuple[str, Give]] = []
        self._gives_at_s = math.inf
        # The newest word of each state: what an asset repeats takes no more room.
        self._news: dict[tuple[str, DispatchState], Report] = {}

    # ------------------------------------------------------------------ looks

    @property
    def sharing(self) -> Sharing | None:
        """How the dispatch in force stands with the assets."""
        lease = self.book.in_force
        return None if lease is None else self._sharings.get(lease.dispatch_id)

    @property
    def next_tick_s(self) -> float:
        """When `tick` next matters."""
        if self._news:
            return -math.inf
        look_s = trio.current_time() + LOOKS_EVERY_S if self._sharings else math.inf
        return min(look_s, leases.next_deadline_s(self.book), self._divides_at_s())

    # ----------------------------------------------------------------- events

    def resume(self, kept: Sequence[KeptDispatch]) -> None:
        """Go on with the dispatches of the process before this one."""
        now_s = trio.current_time()
        going_on = []
        for lease, shares in kept:
            if shares is None:
                later_s = max(lease.start_s, now_s + RESUMES_AFTER_S)
                going_on.append(replace(lease, start_s=later_s))
            else:
                going_on.append(lease)
                self._sharings[lease.dispatch_id] = self._revived(lease, shares, now_s)
        self.book = leases.resumed(going_on, now_s)
        for lease in going_on:
            if lease not in leases.leases_of(self.book):
                # Its successor had begun when the process ended.
                by = None if self.book.in_force is None else self.book.in_force.dispatch_id
                sharing = self._sharings[lease.dispatch_id]
                ending = sharings.end(sharing, Superseded(by=by), now_s)
                self._sharings[lease.dispatch_id] = ending.sharing

    def noted(self, report: Report) -> None:
        """An asset speaks of its part; heard when the site's actor has its turn."""
        key = (report.dispatch_id, report.word.state)
        self._news.pop(key, None)
        self._news[key] = report
        self.wake()

    async def order(self, order: Order) -> None:
        """A dispatch for the site has come."""
        now_s = trio.current_time()
        admitted = admit(
            order,
            now_us=self._clocks.headend(),
            now_s=now_s,
            clock_off_s=self._clocks.off_s,
            clock_off_s_max=self._clocks.off_s_max,
        )
        if not isinstance(admitted, Lease):
            await self._conclude(Report(order.dispatch_id, order.revision, admitted))
            return
        answer = self._answer(admitted, now_s)
        if isinstance(answer, Rejected):
            await self._conclude(Report(order.dispatch_id, order.revision, answer))
        else:
            await self._carry_out(leases.accept(self.book, admitted, now_s, answer))

    async def cancel(self, dispatch_id: str, detail: str) -> None:
        """A dispatch shall end early."""
        await self._carry_out(leases.cancel(self.book, dispatch_id, detail))

    async def tick(self) -> None:
        """Time has passed, or assets have spoken."""
        now_s = trio.current_time()
        await self._hear(now_s)
        if leases.next_deadline_s(self.book) <= now_s:
            await self._carry_out(leases.tick(self.book, now_s))
        if self._divides_at_s() <= now_s:
            await self._divide_ahead(self.book.scheduled[0])
        if self._gives_at_s <= now_s:
            await self._give_late()
        for sharing in list(self._sharings.values()):
            if sharing.is_over and sharing.told is not None:
                self._say(sharing, sharing.told)  # a crash came before
            else:
                await self._look(sharing, now_s)

    async def abandon(self) -> None:
        """The agent stops; the assets have stopped already. What waits for its start stays."""
        await self._hear(trio.current_time())
        await self._carry_out(leases.abandon(self.book))
        waiting = {lease.dispatch_id for lease in self.book.scheduled}
        for dispatch_id in self._sharings.keys() - waiting:
            sharing, word = self._sharings[dispatch_id], Cancelled(reason=_STOPPED)
            await self._put_through(sharings.cut_short(sharing, word, trio.current_time()))

    # -------------------------------------------------------------- decisions

    def _answer(self, lease: Lease, now_s: float) -> Acked | Rejected:
        """What is known now for or against a dispatch; one for later is divided at its start."""
        if lease.start_s > now_s:
            ahead = split(lease.setpoint_mw, self._assets.capacities_ahead())
            return refusal(lease, ahead) or Acked()
        now = self._split(lease, now_s)
        return refusal(lease, now) or Acked(placement=planned(now))

    def _split(self, lease: Lease, now_s: float) -> Split:
        """Among all assets, as they are now."""
        capacities = self._assets.capacities(lease, now_s)
        before = self._sharings.get(lease.dispatch_id)
        if before is not None:
            capacities = members_again(before, capacities)
        return split(lease.setpoint_mw, capacities)

    def _divides_at_s(self) -> float:
        """When the next dispatch that waits must be divided."""
        if not self.book.scheduled or self.book.scheduled[0].dispatch_id in self._sharings:
            return math.inf
        begins_s, current = self.book.scheduled[0].start_s, self.book.in_force
        if current is not None and leases.in_force_until_s(self.book) == begins_s:
            # Each asset bridges the gap between two blocks, if it knows what comes next.
            begins_s = min(begins_s, current.until_s)
        return begins_s - DIVIDES_AHEAD_S

    # ----------------------------------------------------------- carrying out

    async def _carry_out(self, step: leases.Step) -> None:
        self._keep(step.book)
        for command in step.commands:
            match command:
                case Report():
                    await self._conclude(command)
                case FallBack(then):
                    # The assets go to their fallbacks at the end of their own leases.
                    if then is not None:
                        await self._conclude(then)
                case Write(lease):
                    await self._begin(lease)
                case _:
                    assert_never(command)

    def _keep(self, book: Book) -> None:
        """Take over a book, and have it remembered which dispatches are in it."""
        before = {lease.dispatch_id: lease for lease in leases.leases_of(self.book)}
        self.book = book
        for lease in leases.leases_of(book):
            if before.pop(lease.dispatch_id, None) is not lease:
                self._journal.hold(lease)
        for dispatch_id in before:
            self._journal.let_go(dispatch_id)

    async def _conclude(self, report: Report) -> None:
        """Say it; the end of what the assets share is said when they have left it."""
        sharing = self._sharings.get(report.dispatch_id)
        if sharing is None or report.word.state not in FINAL:
            self._journal.record(report)
        else:
            if report.revision > sharing.lease.revision:
                # A newer revision was turned down, and with it the dispatch.
                lease = replace(sharing.lease, revision=report.revision)
                sharing = replace(sharing, lease=lease)
            await self._put_through(sharings.end(sharing, report.word, trio.current_time()))

    async def _divide_ahead(self, lease: Lease) -> None:
        now = self._split(lease, trio.current_time())
        if refusal(lease, now) is None:
            word = Acked(placement=planned(now))
            self._journal.record(Report(lease.dispatch_id, lease.revision, word))
        await self._begin(lease)

    async def _begin(self, lease: Lease) -> None:
        """Divide a dispatch, if that was not done ahead of its start."""
        now_s = trio.current_time()
        before = self._sharings.get(lease.dispatch_id)
        if before is not None and before.lease.revision == lease.revision:
            return
        now = self._split(lease, now_s)
        refused = refusal(lease, now)
        if refused is not None:
            # It had been taken, for later.
            failed = Failed(
                reason=refused.reason, detail=refused.detail, placement=refused.placement
            )
            self._drop(lease.dispatch_id)
            await self._conclude(Report(lease.dispatch_id, lease.revision, failed))
        elif before is None:
            await self._put_through(sharings.share(lease, now, now_s))
        else:
            await self._put_through(sharings.revised(before, lease, now, now_s))

    async def _put_through(self, step: Step) -> None:
        """Make it durable before any order leaves, then do it."""
        sharing = step.sharing
        dispatch_id = sharing.lease.dispatch_id
        before = self._sharings.get(dispatch_id)
        self._sharings[dispatch_id] = sharing
        if before is None or before.parts is not sharing.parts:
            self._journal.keep_shares(dispatch_id, sharings.kept(sharing))
        gives = [command for command in step.commands if isinstance(command, Give)]
        is_kept = not gives or await self._journal.commit()
        refused: list[Heard] = []
        for command in step.commands:
            match command:
                case Give(asset_id, revision):
                    word = self._give(sharing.lease, command) if is_kept else _NOT_KEPT
                    if word is not None:
                        refused.append(Heard(asset_id, revision, word))
                case TakeBack(asset_id, detail):
                    told(self._devices[asset_id], Cancel(share_id(dispatch_id, asset_id), detail))
                case Say(said):
                    self._say(sharing, said)
                case DivideAgain():
                    now_s = trio.current_time()
                    again = self._split(sharing.lease, now_s)
                    self._log.info("shortfall_divided_again", dispatch_id=dispatch_id)
                    await self._put_through(sharings.divided_again(sharing, again, now_s))
                case _:
                    assert_never(command)
        if refused:
            await self._heard(dispatch_id, refused, trio.current_time())

    def _give(self, lease: Lease, give: Give) -> Rejected | None:
        """Order an asset to take its share, if it has room for the order."""
        part_id = share_id(lease.dispatch_id, give.asset_id)
        if not self._journal.admits(part_id, give.revision, give.asset_id):
            return None  # it has just ended, and its last word is on its way
        now_us, now_s = self._clocks.headend(), trio.current_time()
        until_us = now_us + us_from_s(lease.until_s - now_s)
        request = DispatchRequest(
            target=AssetTarget(give.asset_id),
            setpoint_mw=give.setpoint_mw,
            start_us=now_us + us_from_s(lease.start_s - now_s),
            until_us=until_us,
            deliver_by_us=until_us,
            priority=lease.priority,
            on_limit=lease.on_limit,
            schedule_id=lease.schedule_id,
            authority=lease.authority,
        )
        order = Order(dispatch_id=part_id, revision=give.revision, request=request)
        return None if told(self._devices[give.asset_id], order) else _BUSY

    def _say(self, sharing: Sharing, word: EdgeWord) -> None:
        lease = sharing.lease
        self._journal.record(Report(lease.dispatch_id, lease.revision, word))
        if sharing.is_over:
            del self._sharings[lease.dispatch_id]
            self._drop(lease.dispatch_id)

    def _drop(self, dispatch_id: str) -> None:
        """It has ended before its time."""
        self._keep(leases.cancel(self.book, dispatch_id, "").book)

    # ---------------------------------------------------------------- hearing

    async def _hear(self, now_s: float) -> None:
        """Take in what the assets have said, all of a dispatch at once."""
        words: dict[str, list[Heard]] = {}
        for report in self._news.values():
            parent_id = parent_of(report.dispatch_id) or ""
            asset_id = report.dispatch_id.removeprefix(share_id(parent_id, ""))
            heard = Heard(asset_id, report.revision, report.word)
            words.setdefault(parent_id, []).append(heard)
        self._news.clear()
        for parent_id, said in words.items():
            await self._heard(parent_id, said, now_s)

    async def _heard(self, dispatch_id: str, said: Sequence[Heard], now_s: float) -> None:
        sharing = self._sharings.get(dispatch_id)
        if sharing is not None:
            await self._put_through(sharings.heard(sharing, said, now_s))

    async def _look(self, sharing: Sharing, now_s: float) -> None:
        """See what the assets do, and what time it is."""
        dispatch_id = sharing.lease.dispatch_id
        applied = [
            each
            for each, part in sharing.parts.items()
            if part.share.state is ShareState.APPLIED and part.hold is not Hold.NONE
        ]
        if sharing.ending is None and applied:
            following = observed(sharing, self._assets.sum_of(applied, now_s), now_s)
            await self._put_through(sharings.measured(sharing, following, now_s))
            missing = self._assets.out_of_reach(applied, now_s)
            sharing = self._sharings[dispatch_id]
            await self._put_through(sharings.out_of_reach(sharing, missing, now_s))
        elif dispatch_id in self._sharings:
            await self._put_through(sharings.tick(sharing, now_s))

    def _revived(self, lease: Lease, shares: KeptShares, now_s: float) -> Sharing:
        """With what the assets last said. An order that never got to its asset is still to give."""
        sharing = sharings.revived(lease, shares, now_s)
        words: list[Heard] = []
        for asset_id, part in sharing.parts.items():
            if part.hold is Hold.NONE:
                continue
            known = self._journal.part(share_id(lease.dispatch_id, asset_id))
            if known is None or known.revision < part.revision:
                give = Give(asset_id, part.revision, part.given_mw)
                self._to_give.append((lease.dispatch_id, give))
                self._gives_at_s = now_s + RESUMES_AFTER_S
            elif known.last is not None:
                words.append(Heard(asset_id, known.revision, known.last.word))
        # Nobody can be given anything before the devices had their chance.
        return sharings.recall(sharing, words, now_s + RESUMES_AFTER_S)

    async def _give_late(self) -> None:
        """Nothing was written for these orders: the assets' journal does not know them."""
        self._gives_at_s = math.inf
        while self._to_give:
            dispatch_id, give = self._to_give.pop()
            sharing = self._sharings.get(dispatch_id)
            if sharing is not None and sharing.ending is None:
                await self._put_through(Step(sharing, (give,)))


def _asleep() -> None:
    """No actor is up yet; it looks when it is."""


_STOPPED: Final = DispatchReason.EDGE_STOPPED
_NOT_KEPT: Final = Rejected(
    reason="journal_failed",
    detail="the disk does not take the journal, without which it might be done twice",
)
_BUSY: Final = Rejected(reason="busy", detail="too many dispatches wait for this asset")
