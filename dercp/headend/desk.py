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

from actors import Actor, ActorStopped, Context, Envelope, MailboxFull
from dercp.headend.errors import DeskBusy, KeyReused, StoreAwaited, UnknownTarget
from dercp.headend.messages import (
    AssetsReachable,
    AssetsUnreachable,
    Deliver,
    DeliveryFailed,
    DeskMessage,
    EdgeSaid,
    Submit,
)
from dercp.headend.patience import PASSING, until_it_answers
from dercp.headend.round import Round
from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchError,
    DispatchLimits,
    DispatchReason,
    DispatchState,
    Sent,
    Tick,
    TimelineEntry,
    Undelivered,
    check_request,
    submit,
)
from dercp.model.errors import ModelError
from dercp.store.ports import COMMIT_ITEMS_MAX
from dercp.store.records import IdempotencyRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dercp.headend.book import DispatchBook
    from dercp.headend.feed import ChangeFeed
    from dercp.headend.roster import Roster
    from dercp.headend.settings import HeadendSettings
    from dercp.headend.twin import Twin
    from dercp.model.time import Clock
    from dercp.store.ports import DispatchLedger

log = structlog.get_logger()

# How often a dispatch whose session had no room, or a full store, is tried again.
RETRY_S = 1.0
# The wall clock may be set while the desk sleeps, so it looks at least so often.
NAP_S_MAX = 5.0


class DeskActor(Actor[DeskMessage]):
    """The one writer of the ledger and of the book."""

    def __init__(
        self,
        book: DispatchBook,
        roster: Roster,
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
        self._ledger = ledger
        self._counts = counts
        self._feed = feed
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        # Deliveries to be taken back in the next round.
        self._failed: list[DeliveryFailed] = []
        # When what was taken back goes out again (trio.current_time()).
        self._retry_at = math.inf

    async def on_start(self, context: Context[DeskMessage]) -> None:
        """Take up what was open when the headend, or this desk, went down."""
        self._book.clear()
        reopened = await until_it_answers(self._ledger.open, context.random)
        for dispatch in reopened:
            self._book.put(dispatch)
        self._failed = [
            DeliveryFailed(
                dispatch_id=dispatch.dispatch_id, reason=DispatchReason.HEADEND_RESTARTED
            )
            for dispatch in reopened
            if dispatch.state is DispatchState.SENT
        ]
        # When only the desk was restarted, the links are there still.
        self._retry_at = trio.current_time() + RETRY_S
        if reopened:
            log.info("dispatches_reopened", open=len(reopened), undelivered=len(self._failed))

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
        nap_s = min(NAP_S_MAX, self._retry_at - trio.current_time())
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
                for dispatches, keys in this.commits(COMMIT_ITEMS_MAX):
                    await self._ledger.commit(dispatches, keys)
            except PASSING as error:
                self._book.stuck_because = str(error)
                log.error("dispatches_not_written", error=str(error))
                batch = _without_submits(batch)
                await trio.sleep(RETRY_S)
            else:
                self._book.stuck_because = ""
                self._act(this)
                return

    async def _fetch(self, batch: Sequence[Envelope[DeskMessage]], this: Round) -> None:
        """Read what this round needs and the book does not have."""
        for envelope in batch:
            match envelope.body:
                case Submit(key=key):
                    known = await self._ledger.find_key(self._settings.tenant_id, key)
                    if known is not None:
                        this.known_keys[key] = known
                        await self._fetch_dispatch(known.dispatch_id, this)
                case EdgeSaid(dispatch_id=dispatch_id):
                    await self._fetch_dispatch(dispatch_id, this)
                case _:
                    pass

    async def _fetch_dispatch(self, dispatch_id: str, this: Round) -> None:
        if this.get(dispatch_id) is None:
            fetched = await self._ledger.get(dispatch_id)
            if fetched is not None:
                this.fetched[dispatch_id] = fetched

    # --- deciding: nothing here awaits, and nothing is seen outside of the round

    def _decide(self, envelope: Envelope[DeskMessage], this: Round) -> None:
        match envelope.body:
            case Submit() as asked:
                try:
                    this.answers.append((envelope, self._take(asked, this)))
                except (ModelError, KeyReused, UnknownTarget, DeskBusy) as error:
                    envelope.refuse(error)
            case AssetsReachable(asset_ids=asset_ids):
                for dispatch in self._open_of(asset_ids, this):
                    self._send(dispatch, this)
            case AssetsUnreachable(asset_ids=asset_ids, reason=reason):
                for dispatch in self._open_of(asset_ids, this):
                    self._take_back(dispatch, reason, this)
            case DeliveryFailed(dispatch_id=dispatch_id, reason=reason):
                failed = this.get(dispatch_id)
                if failed is not None:
                    self._take_back(failed, reason, this)
            case EdgeSaid() as said:
                self._hear(said, this)
            case _:
                assert_never(envelope.body)

    def _take(self, asked: Submit, this: Round) -> Dispatch:
        known = this.known_keys.get(asked.key)
        if known is not None:
            if known.fingerprint != asked.fingerprint:
                raise KeyReused
            repeated = this.get(known.dispatch_id)
            assert repeated is not None  # noqa: S101 - a key lives as long as its dispatch
            return repeated
        target = asked.request.target
        if not isinstance(target, AssetTarget):
            raise DispatchError(
                "target_not_supported", "/site_id", "a dispatch must name one asset_id for now"
            )
        twin = self._roster.twins.get(target.asset_id)
        if twin is None:
            raise UnknownTarget(f"no asset {target.asset_id} has been registered")
        check_request(asked.request, twin.spec, this.now_us, DispatchLimits())
        if self._book.open_count() + this.added_count() >= self._settings.dispatches_open_max:
            this.counts["dispatches_turned_away"] += 1
            raise DeskBusy(RETRY_S, "too many dispatches have not ended yet")
        dispatch_id = self._new_id(this.now_us)
        dispatch = submit(dispatch_id, self._settings.tenant_id, asked.request, this.now_us)
        this.add(
            dispatch,
            IdempotencyRecord(
                tenant_id=self._settings.tenant_id,
                key=asked.key,
                fingerprint=asked.fingerprint,
                dispatch_id=dispatch_id,
                created_us=this.now_us,
            ),
        )
        return self._send(dispatch, this)

    def _send(self, dispatch: Dispatch, this: Round) -> Dispatch:
        """Mark it as sent, to be put on its way once that is durable, if there is a link."""
        twin = self._twin(dispatch)
        if twin is None or twin.link is None or dispatch.state is not DispatchState.SUBMITTED:
            return dispatch
        sent = this.advance(dispatch, Sent())
        if sent.state is DispatchState.SENT:
            this.deliveries[sent.dispatch_id] = (twin, sent)
        return sent

    def _take_back(self, dispatch: Dispatch, reason: str, this: Round) -> None:
        """It did not get through. The asset may be back, or on a newer session, in a moment."""
        this.advance(dispatch, Undelivered(reason))
        this.retry_at = min(this.retry_at, trio.current_time() + RETRY_S)

    def _hear(self, said: EdgeSaid, this: Round) -> None:
        dispatch = this.get(said.dispatch_id)
        twin = self._twin(dispatch) if dispatch is not None else None
        if (
            dispatch is None
            or twin is None
            or twin.agent_id != said.agent_id
            or dispatch.revision != said.revision
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

    def _open_of(self, asset_ids: Sequence[str], this: Round) -> list[Dispatch]:
        return [
            this.get(dispatch.dispatch_id) or dispatch
            for asset_id in asset_ids
            for dispatch in self._book.open_of(asset_id)
        ]

    def _twin(self, dispatch: Dispatch) -> Twin | None:
        target = dispatch.request.target
        return self._roster.twins.get(target.asset_id) if isinstance(target, AssetTarget) else None

    # --- acting: all of it is durable

    def _act(self, this: Round) -> None:
        self._retry_at = this.retry_at
        self._counts.update(this.counts)
        for dispatch in this.written():
            self._book.put(dispatch)
            self._feed.tell_dispatch(dispatch)
        for dispatch, entry in this.entries:
            self._note(dispatch, entry)
        for envelope, dispatch in this.answers:
            # The newest word of this very round.
            envelope.reply(this.get(dispatch.dispatch_id))
        for twin, dispatch in this.deliveries.values():
            self._put_on_its_way(twin, dispatch)

    def _put_on_its_way(self, twin: Twin, dispatch: Dispatch) -> None:
        try:
            if twin.ref is None:
                raise ActorStopped(f"{twin.spec.asset_id}: has no actor yet")
            twin.ref.tell_nowait(Deliver(dispatch=dispatch))
        except (MailboxFull, ActorStopped):
            self._failed.append(
                DeliveryFailed(
                    dispatch_id=dispatch.dispatch_id, reason=DispatchReason.ASSET_OVERLOADED
                )
            )

    def _note(self, dispatch: Dispatch, entry: TimelineEntry) -> None:
        self._counts[f"dispatches_{entry.state}"] += 1
        log.info(
            "dispatch_changed",
            dispatch_id=dispatch.dispatch_id,
            state=entry.state.value,
            reason=entry.reason or None,
            source=entry.source.value,
        )


def _without_submits(
    batch: Sequence[Envelope[DeskMessage]],
) -> Sequence[Envelope[DeskMessage]]:
    """What must be worked on; who hands in a dispatch is asked to come again."""
    for envelope in batch:
        if isinstance(envelope.body, Submit):
            envelope.refuse(StoreAwaited(RETRY_S, "the store takes nothing now"))
    return [each for each in batch if not isinstance(each.body, Submit)]
