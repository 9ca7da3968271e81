"""One reader's place in the live stream."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

import trio

from dercp.api.live.events import Event, encode_event
from dercp.api.live.selection import StreamQuery, Topic
from dercp.api.live.stream import LiveStream


class Mark(StrEnum):
    """Events that tell of the stream itself."""

    SNAPSHOT = "snapshot"
    """Everything follows, up to LIVE."""
    RESUME = "resume"
    """What happened since follows, and the newest of each asset, up to LIVE."""
    RESET = "reset"
    """What was told before is void: everything follows, up to LIVE."""
    LAGGED = "lagged"
    """Something was left out; the newest of each asset follows, up to LIVE."""
    LIVE = "live"
    """From here on, what is new as it comes."""
    BYE = "bye"
    """The server ends the stream."""


class Follower:
    """Gives one reader its events, one by one and as fast as it asks for them.

    Characteristics:
        Order: what happened is told in its order and in full, as long as the ring has it.
        Coalescing: telemetry is state. Of looks that a reader was too slow for, it gets
            the newest of each asset, read out part by part as it takes them.
        Bound: the event in its hands, which it shares with the others.
    """

    def __init__(self, live: LiveStream, query: StreamQuery, place: str) -> None:
        self._live = live
        self._scope = query.scope
        self._topics = query.topics
        self._marks: deque[Event] = deque()
        # Topics of which everything is still to be told; the first from this id on.
        self._sweep: deque[Topic] = deque()
        self._sweeping = False
        self._after = ""
        # How many events the look told last has, and how many were told.
        self._look, self._pages, self._told = live.round.number, 0, 0
        self._position = live.ring.position
        self._handed_at_s: float | None = None
        self._begin(place)

    async def next(self) -> Event | None:
        """The next event; None when none came for as long as a heartbeat takes.

        Waits only when there is nothing: whoever reads must give way while it sends.
        """
        # A write that was broken off returns like any other.
        self.leave()
        give_up_at_s = trio.current_time() + self._live.settings.stream_heartbeat_s
        while (found := self._next()) is None:
            with trio.move_on_at(give_up_at_s) as waiting:
                await self._live.wait_turned()
            if waiting.cancelled_caught:
                break
        self._handed_at_s = trio.current_time()
        return found

    def leave(self) -> None:
        """The reader takes no more.

        One that did not take its last event in time was cut by the server, which breaks off
        any write that takes longer.
        """
        if self._handed_at_s is None:
            return
        if trio.current_time() - self._handed_at_s >= self._live.settings.write_within_s:
            self._live.counts["cut"] += 1
        self._handed_at_s = None

    # --- beginning

    def _begin(self, place: str) -> None:
        position = self._live.position(place)
        if position is not None:
            self._position = position
            self._live.counts["resumed"] += 1
            self._start(Mark.RESUME, {}, (Topic.TELEMETRY,))
        elif place:
            self._reset("what has happened since is not known any more")
        else:
            self._start(Mark.SNAPSHOT, {"tick_s": self._live.settings.stream_tick_s}, tuple(Topic))

    def _reset(self, reason: str) -> None:
        self._live.counts["reset"] += 1
        self._position = self._live.ring.position
        self._start(Mark.RESET, {"reason": reason}, tuple(Topic))

    def _start(self, mark: Mark, data: object, topics: Sequence[Topic]) -> None:
        """Have everything of these topics told."""
        self._marks.append(encode_event(mark, data))
        self._sweep = deque(topic for topic in topics if topic in self._topics)
        self._sweeping, self._after = True, ""
        self._look, self._pages, self._told = self._live.round.number, 0, 0

    # --- the next event, without waiting

    def _next(self) -> Event | None:
        if self._live.is_closed:
            return encode_event(Mark.BYE, {"reason": "the headend ends its streams"})
        if self._position < self._live.ring.floor:
            self._lag(events=self._live.ring.floor - self._position)
            self._reset("more has happened than is kept")
        if self._marks:
            return self._marks.popleft()
        # Who knows everybody can be told what happens to them.
        if not self._sweep or self._sweep[0] is Topic.TELEMETRY:
            happened = self._next_happened()
            if happened is not None:
                return happened
        return self._next_of_sweep() if self._sweeping else self._next_sampled()

    def _next_happened(self) -> Event | None:
        ring = self._live.ring
        while self._position < ring.position:
            entry = ring.after(self._position)
            self._position += 1
            event = entry.event(self._scope) if entry.topic in self._topics else None
            if event is not None:
                return event
        return None

    def _next_of_sweep(self) -> Event:
        while self._sweep:
            part = self._live.round.part(self._sweep[0], self._scope, self._after)
            if part.after is None:
                self._sweep.popleft()
            self._after = part.after or ""
            if part.event is not None:
                return part.event
        self._sweeping = False
        return encode_event(Mark.LIVE, {}, self._live.place(self._position))

    def _next_sampled(self) -> Event | None:
        if Topic.TELEMETRY not in self._topics:
            return None
        now, all_told = self._live.round, self._told == self._pages
        if now.number == self._look + 1 and all_told:
            self._look, self._pages, self._told = now.number, now.changes_count(self._scope), 0
        elif now.number != self._look:
            self._lag(ticks=now.number - self._look - all_told)
            return self._marks.popleft()
        if self._told == self._pages:
            return None
        self._told += 1
        return now.changes(self._scope, self._told - 1, self._live.place(self._position))

    def _lag(self, *, ticks: int = 0, events: int = 0) -> None:
        self._live.counts["lagged"] += 1
        self._start(Mark.LAGGED, {"ticks": ticks, "events": events}, (Topic.TELEMETRY,))


@contextmanager
def following(live: LiveStream, query: StreamQuery, place: str) -> Iterator[Follower]:
    """A reader's place for as long as the block lasts; `place` is the id it has read up to."""
    with live.followed():
        follower = Follower(live, query, place)
        try:
            yield follower
        finally:
            follower.leave()
