"""The dispatch desk: every dispatch is taken, delivered and followed up here.

One rule holds the desk together: decide, write, then act. Whatever a batch of messages
changes is decided first, made durable by one write, and only then shown, answered and
sent. A crash at any point therefore forgets nothing that anybody was told.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, assert_never

import structlog
import trio

from actors import Actor, Context, Envelope
from dercp.headend.dispatching.groups import Groups
from dercp.headend.dispatching.round import Round
from dercp.headend.dispatching.routes import may_speak, route_of
from dercp.headend.dispatching.submissions import RETRY_S, Submissions, check_headends
from dercp.headend.errors import (
    DeskBusy,
    DispatchEnded,
    FleetMoved,
    KeyReused,
    StoreAwaited,
    UnknownDispatch,
    UnknownTarget,
)
from dercp.headend.messages import (
    AssetsReachable,
    AssetsUnreachable,
    Cancel,
    CancelSchedule,
    DeliveryFailed,
    DeskMessage,
    EdgeSaid,
    Submit,
    SubmitSchedule,
)
from dercp.headend.patience import PASSING, until_it_answers
from dercp.model.dispatch import (
    AssetTarget,
    Cancelled,
    Dispatch,
    DispatchReason,
    DispatchState,
    Sent,
    SiteTarget,
    Source,
    Target,
    Tick,
    TimelineEntry,
    Undelivered,
    cancel_due,
)
from dercp.model.errors import ModelError
from dercp.store.ports import COMMIT_ITEMS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dercp.headend.dispatching.book import DispatchBook
    from dercp.headend.dispatching.planner import Planner
    from dercp.headend.fleet.feed import ChangeFeed
    from dercp.headend.fleet.roster import Roster
    from dercp.headend.settings import HeadendSettings
    from dercp.model.time import Clock
    from dercp.store.ports import DispatchLedger

log = structlog.get_logger()

# What somebody waits for at the desk, and why he may not get it.
ASKED = (Submit, SubmitSchedule, Cancel, CancelSchedule)
REFUSALS = (
    ModelError,
    KeyReused,
    UnknownTarget,
    UnknownDispatch,
    DispatchEnded,
    FleetMoved,
    DeskBusy,
)
# The wall clock may be set while the desk sleeps, so it looks at least so often.
NAP_S_MAX = 5.0
# Looking at all parts of a group, and writing the group, takes 2 to 3 µs a part. So a group of
# more than a few follows what its parts come to only so often: for each part, and at most.
FEW_PARTS = 16
FOLLOW_EVERY_S_A_PART = 0.000_5
FOLLOW_EVERY_S_MAX = 0.2


class DeskActor(Actor[DeskMessage]):
    """The one writer of the ledger and of the book."""

    def __init__(
        self,
        book: DispatchBook,
        roster: Roster,
        planner: Planner,
        ledger: DispatchLedger,
        counts: Counter[str],
        feed: ChangeFeed,
        *,
        settings: HeadendSettings,
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._book = book
        self._roster = roster
        self._groups = Groups(planner, roster, new_id)
        self._submissions = Submissions(
            book, planner, self._groups, settings=settings, new_id=new_id
        )
        self._ledger = ledger
        self._counts = counts
        self._feed = feed
        self._settings = settings
        self._clock = clock
        # Deliveries to be taken back in the next round.
        self._failed: list[DeliveryFailed] = []
        # Groups to be looked at, and when (trio.current_time()).
        self._unsettled: dict[str, float] = {}
        # When open groups of more than a few parts may be looked at again.
        self._settle_from: dict[str, float] = {}
        # When what was taken back goes out again (trio.current_time()).
        self._retry_at = math.inf

    async def on_start(self, context: Context[DeskMessage]) -> None:
        """Take up what was open when the headend, or this desk, went down."""
        self._book.clear()
        reopened = await until_it_answers(self._reopen, context.random)
        for dispatch in reopened:
            self._book.put(dispatch)
        self._failed = [
            DeliveryFailed(
                dispatch_id=dispatch.dispatch_id, reason=DispatchReason.HEADEND_RESTARTED
            )
            for dispatch in reopened
            if dispatch.state is DispatchState.SENT
        ]
        self._unsettled = {each.dispatch_id: -math.inf for each in reopened if each.is_group}
        self._settle_from.clear()
        # When only the desk was restarted, the links are there still.
        self._retry_at = trio.current_time() + RETRY_S
        if reopened:
            log.info("dispatches_reopened", open=len(reopened), undelivered=len(self._failed))

    async def _reopen(self) -> list[Dispatch]:
        """All that is open, then the ended parts of what is open."""
        reopened = await self._ledger.open()
        open_ids = {dispatch.dispatch_id for dispatch in reopened}
        for dispatch in tuple(reopened):
            for part_id in dispatch.children:
                if part_id not in open_ids and (part := await self._ledger.get(part_id)):
                    reopened.append(part)
        return reopened

    async def run(self, context: Context[DeskMessage]) -> None:
        """Round after round: what has come, and what time has brought."""
        while True:
            batch: Sequence[Envelope[DeskMessage]] = ()
            with trio.move_on_after(self._nap_s()):
                batch = await context.receive_batch(self._settings.desk_batch_max)
                if not batch:
                    return
            failed, self._failed = self._failed, []
            await self._work((*(Envelope[DeskMessage](each) for each in failed), *batch))

    def _nap_s(self) -> float:
        if self._failed:
            return 0.0
        wake_at = min(self._retry_at, min(self._unsettled.values(), default=math.inf))
        nap_s = min(NAP_S_MAX, wake_at - trio.current_time())
        deadline_us = self._book.next_deadline_us()
        if deadline_us is not None:
            nap_s = min(nap_s, (deadline_us - self._clock()) / 1_000_000)
        return max(0.0, nap_s)

    async def _work(self, batch: Sequence[Envelope[DeskMessage]]) -> None:
        """One round, repeated for as long as the store cannot take it."""
        while True:
            this = Round(self._book, self._clock(), self._retry_at)
            try:
                await self._fetch(batch, this)
                self._send_waiting(this)
                for envelope in batch:
                    self._decide(envelope, this)
                self._let_time_pass(this)
                self._settle_groups(this)
                for dispatches, keys in this.commits(COMMIT_ITEMS_MAX):
                    await self._ledger.commit(dispatches, keys)
            except PASSING as error:
                self._book.stuck_because = str(error)
                log.error("dispatches_not_written", error=str(error))
                batch = _without_asked(batch)
                await trio.sleep(RETRY_S)
            else:
                self._book.stuck_because = ""
                self._act(this)
                return

    async def _fetch(self, batch: Sequence[Envelope[DeskMessage]], this: Round) -> None:
        """Read what this round needs and the book does not have."""
        for envelope in batch:
            match envelope.body:
                case Submit(key=key) | SubmitSchedule(key=key):
                    known = await self._ledger.find_key(self._settings.tenant_id, key)
                    if known is not None:
                        this.known_keys[key] = known
                        await self._fetch_dispatch(known.dispatch_id, this)
                case Cancel(dispatch_id=dispatch_id):
                    await self._fetch_dispatch(dispatch_id, this)
                case EdgeSaid(dispatch_id=dispatch_id):
                    await self._fetch_family(dispatch_id, this)
                case _:
                    pass

    async def _fetch_family(self, dispatch_id: str, this: Round) -> None:
        """A dispatch with all that its state may change, up to the one that was handed in.

        The book has all parts of what is open, so only those of what has ended are looked for:
        looking through 10,000 parts for each word about one of them took 23 s in all.
        """
        dispatch = await self._fetch_dispatch(dispatch_id, this)
        while dispatch is not None and (group_id := dispatch.parent_id) is not None:
            dispatch = await self._fetch_dispatch(group_id, this)
            if dispatch is not None and dispatch.is_final and group_id not in this.families:
                this.families.add(group_id)
                for part_id in dispatch.children:
                    await self._fetch_dispatch(part_id, this)

    async def _fetch_dispatch(self, dispatch_id: str, this: Round) -> Dispatch | None:
        known = this.get(dispatch_id)
        if known is None:
            known = await self._ledger.get(dispatch_id)
            if known is not None:
                this.fetched[dispatch_id] = known
        return known

    # --- deciding: nothing here awaits, and nothing is seen outside of the round

    def _decide(self, envelope: Envelope[DeskMessage], this: Round) -> None:
        match envelope.body:
            case Submit() | SubmitSchedule() | Cancel() | CancelSchedule():
                self._answer(envelope, this)
            case AssetsReachable(site_id=site_id, asset_ids=asset_ids):
                for dispatch in self._open_of(site_id, asset_ids, this):
                    self._send(dispatch, this)
            case AssetsUnreachable(site_id=site_id, asset_ids=asset_ids, reason=reason):
                for dispatch in self._open_of(site_id, asset_ids, this):
                    self._take_back(dispatch, reason, this)
            case DeliveryFailed(dispatch_id=dispatch_id, reason=reason):
                failed = this.get(dispatch_id)
                if failed is not None:
                    self._take_back(failed, reason, this)
            case EdgeSaid() as said:
                self._hear(said, this)
            case _:
                assert_never(envelope.body)

    def _answer(self, envelope: Envelope[DeskMessage], this: Round) -> None:
        """Take in what somebody waits for, or refuse it; he is answered when it is durable."""
        try:
            dispatch, to_send = self._take(envelope.body, this)
        except REFUSALS as error:
            envelope.refuse(error)
            return
        for each in to_send:
            self._send(each, this)
        this.answers.append((envelope, dispatch))

    def _take(self, asked: DeskMessage, this: Round) -> tuple[Dispatch, tuple[Dispatch, ...]]:
        """What was asked for, and all that is to be sent on account of it."""
        match asked:
            case Submit():
                return self._submissions.take(asked, this)
            case SubmitSchedule():
                return self._submissions.take_schedule(asked, this)
            case Cancel():
                dispatch = this.get(asked.dispatch_id)
                if dispatch is None:
                    raise UnknownDispatch(f"there is no dispatch {asked.dispatch_id}")
                if dispatch.is_final and dispatch.state is not DispatchState.CANCELLED:
                    raise DispatchEnded(dispatch)
                check_headends(dispatch)
                return dispatch, self._withdraw(dispatch, asked.detail, this)
            case CancelSchedule():
                blocks = [
                    this.get(each.dispatch_id) or each
                    for each in self._book.open_dispatches()
                    if each.request.schedule_id == asked.schedule_id and each.parent_id is None
                ]
                if not blocks:
                    raise UnknownDispatch(f"nothing is open of schedule {asked.schedule_id}")
                told = [each for b in blocks for each in self._withdraw(b, asked.detail, this)]
                return blocks[0], tuple(told)
            case _:
                raise AssertionError(f"nobody waits for an answer to {asked}")

    def _withdraw(self, dispatch: Dispatch, detail: str, this: Round) -> tuple[Dispatch, ...]:
        """Let a dispatch and its parts end early; those that an edge is to be told of."""
        word = Cancelled(source=Source.OPERATOR, reason=DispatchReason.OPERATOR, detail=detail)
        withdrawn = this.advance(dispatch, word)
        to_tell = [withdrawn]
        for part_id in dispatch.children:
            part = this.get(part_id)
            if part is not None:
                to_tell += self._withdraw(part, detail, this)
        return tuple(to_tell)

    def _send(self, dispatch: Dispatch, this: Round) -> None:
        """Mark it as sent, to be put on its way once that is durable, if there is a link."""
        route = route_of(dispatch.request.target, self._roster)
        if route is None or not route.is_up:
            return
        if cancel_due(dispatch):
            this.deliveries[dispatch.dispatch_id] = (route, dispatch)
        elif dispatch.state is DispatchState.SUBMITTED:
            sent = this.advance(dispatch, Sent())
            if sent.state is DispatchState.SENT:
                this.deliveries[sent.dispatch_id] = (route, sent)

    def _take_back(self, dispatch: Dispatch, reason: str, this: Round) -> None:
        """It did not get through. The asset may be back, or on a newer session, in a moment."""
        this.advance(dispatch, Undelivered(reason))
        this.retry_at = min(this.retry_at, trio.current_time() + RETRY_S)

    def _hear(self, said: EdgeSaid, this: Round) -> None:
        dispatch = this.get(said.dispatch_id)
        local = said.local
        if dispatch is None and local and may_speak(said.agent_id, local.target, self._roster):
            dispatch = self._submissions.take_local(said.dispatch_id, local, this)
        if (
            dispatch is None
            or dispatch.revision != said.revision
            or not may_speak(said.agent_id, dispatch.request.target, self._roster)
        ):
            this.counts["dispatch_updates_refused"] += 1
            return
        this.advance(dispatch, said.event)

    def _send_waiting(self, this: Round) -> None:
        if trio.current_time() >= self._retry_at:
            this.retry_at = math.inf
            for waiting in self._book.open_dispatches():
                self._send(waiting, this)

    def _let_time_pass(self, this: Round) -> None:
        for dispatch_id in self._book.due(this.now_us):
            due = this.get(dispatch_id)
            if due is not None:
                this.advance(due, Tick(self._settings.dispatch_grace_s))

    def _settle_groups(self, this: Round) -> None:
        """Let each group follow what has changed of its parts; it may be divided anew.

        One that was looked at a moment ago waits. What its parts came to is durable and shown;
        how it stands itself follows from them, after a crash too.
        """
        now = trio.current_time()
        for group_id, due in self._unsettled.items():
            if due <= now:
                this.touch(group_id)
        for group_id in this.touched_groups():
            due = self._settle_from.get(group_id, -math.inf)
            if due > now:
                this.postponed[group_id] = due
                continue
            this.settled.add(group_id)
            group = this.get(group_id)
            if group is not None:
                for part in self._groups.settle(group, this):
                    self._send(part, this)

    def _remember_settled(self, this: Round) -> None:
        now = trio.current_time()
        for group_id in this.settled:
            self._unsettled.pop(group_id, None)
            group = this.get(group_id)
            if group is None or group.is_final or len(group.children) <= FEW_PARTS:
                self._settle_from.pop(group_id, None)
            else:
                pause_s = min(FOLLOW_EVERY_S_MAX, len(group.children) * FOLLOW_EVERY_S_A_PART)
                self._settle_from[group_id] = now + pause_s
        self._unsettled |= this.postponed

    def _open_of(
        self, site_id: str | None, asset_ids: Sequence[str], this: Round
    ) -> list[Dispatch]:
        targets: list[Target] = [AssetTarget(asset_id) for asset_id in asset_ids]
        if site_id is not None:
            targets.append(SiteTarget(site_id))
        return [
            this.get(dispatch.dispatch_id) or dispatch
            for target in targets
            for dispatch in self._book.open_of(target)
        ]

    # --- acting: all of it is durable

    def _act(self, this: Round) -> None:
        self._retry_at = this.retry_at
        self._remember_settled(this)
        self._counts.update(this.counts)
        for dispatch in this.written():
            self._book.put(dispatch)
            self._feed.tell_dispatch(dispatch)
        self._note(this.entries)
        for envelope, dispatch in this.answers:
            # The newest word of this very round.
            envelope.reply(this.get(dispatch.dispatch_id))
        for route, dispatch in this.deliveries.values():
            if not route.deliver_nowait(dispatch):
                reason = DispatchReason.ASSET_OVERLOADED
                failed = DeliveryFailed(dispatch_id=dispatch.dispatch_id, reason=reason)
                self._failed.append(failed)

    def _note(self, entries: Sequence[tuple[Dispatch, TimelineEntry]]) -> None:
        """Count and log; parts that go the way of all are one line for their group."""
        usual: Counter[tuple[str, DispatchState]] = Counter()
        for dispatch, entry in entries:
            self._counts[f"dispatches_{entry.state}"] += 1
            if dispatch.parent_id is not None and not entry.reason:
                usual[dispatch.parent_id, entry.state] += 1
                continue
            log.info(
                "dispatch_changed",
                dispatch_id=dispatch.dispatch_id,
                state=entry.state.value,
                reason=entry.reason or None,
                source=entry.source.value,
            )
        for (group_id, state), count in usual.items():
            log.info("dispatch_parts_changed", dispatch_id=group_id, state=state.value, parts=count)


def _without_asked(
    batch: Sequence[Envelope[DeskMessage]],
) -> Sequence[Envelope[DeskMessage]]:
    """What must be worked on; who waits for an answer is asked to come again."""
    for envelope in batch:
        if isinstance(envelope.body, ASKED):
            envelope.refuse(StoreAwaited(RETRY_S, "the store takes nothing now"))
    return [each for each in batch if not isinstance(each.body, ASKED)]
