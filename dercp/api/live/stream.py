"""The live stream of a headend: the ticker, what happened lately, and who follows."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from dercp.api.live.events import encoder
from dercp.api.live.ring import Entry, Item, Ring
from dercp.api.live.round import ITEMS_PER_EVENT, Round
from dercp.api.live.selection import Topic
from dercp.api.live.shapes import agent_news, asset_news, dispatch_news
from dercp.api.ports import ChangeFeed, FleetReader
from dercp.api.resources import moment
from dercp.api.settings import ApiSettings
from dercp.headend.fleet.changes import AgentChanged, AssetChanged, DispatchChanged
from dercp.model.time import Clock

TICK_S_MIN = 0.2
# What happens is told at once, but what happens within this is told together.
TOGETHER_S = 0.1
COUNTED = ("opened", "refused", "resumed", "reset", "lagged", "cut")


class TooManyClients(Exception):
    """As many follow already as may."""


class LiveStream:
    """Looks at the fleet once a tick while somebody follows, and tells all who do.

    Characteristics:
        Clients: `streams_max`; each may have several followers.
        Memory: one look, encoded once, and the ring. A follower has its place in them, and
            no queue of its own.
        A slow follower: gets the newest of each asset at its own pace, and is told that
            something was left out.
        Cost: while nobody follows, a short memory of facts.

    Attributes:
        settings: How much it takes on.
        counts: Totals since the start, by name.
        ring: What happened lately.
    """

    def __init__(
        self, feed: ChangeFeed, reader: FleetReader, clock: Clock, settings: ApiSettings
    ) -> None:
        if settings.stream_tick_s < TICK_S_MIN:
            raise ValueError(f"stream_tick_s: {settings.stream_tick_s}, at least {TICK_S_MIN} s")
        self._feed = feed
        self._reader = reader
        self._clock = clock
        self.settings = settings
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self.ring = Ring(
            items_max=settings.stream_items_kept_max, bytes_max=settings.stream_bytes_kept_max
        )
        self._closed = trio.Event()
        # A place in the ring of another start must not be taken for one in this.
        self._epoch = secrets.token_hex(4)
        self._clients = 0
        self._followers = 0
        self._round: Round | None = None
        self._rounds = 0
        self._look_at_s = 0.0
        self._joined = trio.Event()
        self._happened = trio.Event()
        self._turned = trio.Event()
        feed.follow(self._note)

    # --- who follows

    @property
    def clients(self) -> int:
        """How many have a stream or a socket now."""
        return self._clients

    @property
    def has_room(self) -> bool:
        """Whether one more client may come."""
        return self._clients < self.settings.streams_max

    @contextmanager
    def client(self) -> Iterator[None]:
        """The place of one client, for as long as the block lasts.

        Raises:
            TooManyClients: There is none.
        """
        if not self.has_room:
            raise TooManyClients
        self._clients += 1
        self.counts["opened"] += 1
        try:
            yield
        finally:
            self._clients -= 1

    @contextmanager
    def followed(self) -> Iterator[None]:
        """The fleet is looked at, for as long as the block lasts."""
        self._followers += 1
        if self._round is None or trio.current_time() >= self._look_at_s:
            self._look()
        self._joined.set()
        try:
            yield
        finally:
            self._followers -= 1

    # --- where they are

    @property
    def round(self) -> Round:
        """The last look; there is one while somebody follows."""
        assert self._round is not None  # noqa: S101 - `followed` has looked
        return self._round

    def place(self, position: int) -> str:
        """The id of an event after which one resumes at this position."""
        return f"{self._epoch}.{position}"

    def position(self, place: str) -> int | None:
        """The position of a place, if everything since is known still."""
        epoch, _, number = place.partition(".")
        if epoch != self._epoch or not number.isascii() or not number.isdigit():
            return None
        # Longer numbers are nobody's, and take long to read.
        position = int(number[:18])
        return position if self.ring.floor <= position <= self.ring.position else None

    async def wait_turned(self) -> None:
        """Wait until there is something new, or the end."""
        await self._turned.wait()

    # --- what is told

    def close(self) -> None:
        """Have every follower say that this is the end, and leave."""
        self._closed.set()
        self._turn()

    @property
    def is_closed(self) -> bool:
        """Whether this is the end."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait for the end."""
        await self._closed.wait()

    async def run(self) -> None:
        """Tick while somebody follows; never returns."""
        while True:
            await self._joined.wait()
            while self._followers:
                with trio.move_on_at(self._look_at_s):
                    await self._happened.wait()
                    await trio.sleep(TOGETHER_S)
                if trio.current_time() >= self._look_at_s:
                    self._look()
                else:
                    self._publish(())
            self._joined = trio.Event()
            self._round = None

    def _note(self) -> None:
        if self._followers:
            self._happened.set()

    def _look(self) -> None:
        look = self._feed.look()
        self._look_at_s = trio.current_time() + self.settings.stream_tick_s
        self._rounds += 1
        self._round = Round(self._rounds, look, self._feed, self._reader)
        self._publish(look.assets)

    def _publish(self, assets: Sequence[AssetChanged]) -> None:
        self._happened = trio.Event()
        news = self._feed.take_news()
        if news.lost:
            self.ring.skip(news.lost)
        agents = [_agent_item(fact) for fact in news.facts if isinstance(fact, AgentChanged)]
        dispatches = {
            fact.dispatch.dispatch_id: fact
            for fact in news.facts
            if isinstance(fact, DispatchChanged)
        }
        self._keep(Topic.ASSET, list(map(_asset_item, assets)))
        self._keep(Topic.AGENT, agents)
        self._keep(Topic.DISPATCH, list(map(_dispatch_item, dispatches.values())))
        self._turn()

    def _keep(self, topic: Topic, happened: Sequence[Item]) -> None:
        time = encoder.encode(moment(self._clock()))
        for begin in range(0, len(happened), ITEMS_PER_EVENT):
            contents = happened[begin : begin + ITEMS_PER_EVENT]
            place = self.place(self.ring.position + 1)
            self.ring.add(Entry(topic, contents, time=time, place=place))

    def _turn(self) -> None:
        self._turned.set()
        self._turned = trio.Event()


@asynccontextmanager
async def open_live_stream(
    feed: ChangeFeed, reader: FleetReader, clock: Clock, settings: ApiSettings
) -> AsyncIterator[LiveStream]:
    """Run a live stream beside the block."""
    live = LiveStream(feed, reader, clock, settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.run)
        yield live
        live.close()
        nursery.cancel_scope.cancel("the block is over")


def _asset_item(change: AssetChanged) -> Item:
    subject = change.subject
    return Item(encoder.encode(asset_news(change)), subject.site_id, (subject,))


def _agent_item(change: AgentChanged) -> Item:
    return Item(encoder.encode(agent_news(change)), change.site_id, change.subjects)


def _dispatch_item(change: DispatchChanged) -> Item:
    return Item(encoder.encode(dispatch_news(change)), change.subject.site_id, (change.subject,))
