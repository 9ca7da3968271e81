"""Which parcel goes next: live ones at once, the backlog behind them and held back. Pure.

A session sees the outbox as one row of parcels in the order of their numbers. At its right
end stand the live ones, in memory; left of them, as far as they are not on their way, the
backlog, of which a little at a time is read from the disk. Times are monotonic seconds.

The backlog goes in bursts. A burst is sent, then all of it must be acknowledged before the
next one, and before that the link is left alone for so long that the backlog has had no
more than its share of the time, nor more bytes than its rate. How long the link was taken
is how long the burst's last acknowledgement took, less the shortest time that any has
taken. Bursts grow and shrink so that each takes the link for a twentieth of a second at most:
no live sample waits for longer behind one. With a tenth, and twice that before they shrank,
the p95 of the age of live samples was three times its usual value (benchmarks/backlog.py).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from dercp.edge.spool.outbox import Lane, Outgoing, Parcel, Sequences

__all__ = ["LaneLimits", "Lanes", "Reading"]

BURST_BYTES_MIN: Final = 4 * 1024
BURST_BYTES_FIRST: Final = 64 * 1024
BURST_BYTES_MAX: Final = 1024 * 1024
BURST_TAKES_S: Final = 0.05
# However slow the link: the backlog gets its turn again.
REST_S_MAX: Final = 30.0


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be on its way, and how fast the backlog may go."""

    backlog_bytes_per_s: float = 1_000_000.0
    # Of the link's time.
    backlog_share: float = 0.3
    # Sent and not acknowledged. A single parcel may always go.
    window_bytes: int = 4 * 1024 * 1024
    # Live parcels that wait for the window; with more, the newest becomes the only live one.
    live_bytes: int = 1024 * 1024
    # No acknowledgement for so long: it is sent again, as backlog.
    acknowledged_within_s: float = 60.0


class Reading(msgspec.Struct, frozen=True):
    """What to read of the backlog: parcels from `start` on that begin before `end`."""

    start: int
    end: int
    turn: int


class _Flight(msgspec.Struct):
    outgoing: Outgoing
    sent_s: float


class _Burst(msgspec.Struct):
    began_s: float
    bytes: int = 0


class Lanes:
    """The parcels of one session that are in memory, and whose turn it is.

    Characteristics:
        Bound: `window_bytes` on their way, `live_bytes` of live parcels waiting, and of the
            backlog what was read at once.
        When full: live parcels that find no room are read again later, as backlog.
        Order: each lane by number, but for what is sent again.
        Starves: the backlog, while live parcels take the whole link; never live ones.
    """

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._turn = 0
        self._read_from: float
        self.close()

    # ------------------------------------------------------------ the session

    def open(self, next_sequence: int) -> None:
        """A session begins: everything before this number is backlog."""
        self.close()
        self._is_open = True
        self._read_from = 0.0
        self._live_end = next_sequence

    def close(self) -> None:
        """No session: nothing is on its way, and nothing is live."""
        self._is_open = False
        self._turn += 1
        self._live: deque[Parcel] = deque()
        self._live_bytes = 0
        self._live_end = 0
        self._backlog: deque[Parcel] = deque()
        self._read_from = math.inf
        self._flights: dict[int, _Flight] = {}
        self._flight_bytes = 0
        self._burst: _Burst | None = None
        self._burst_bytes = BURST_BYTES_FIRST
        self._backlog_flights = 0
        self._backlog_opens_s = -math.inf
        self._shortest_s = math.inf

    # -------------------------------------------------------------- coming in

    def offer(self, parcel: Parcel) -> None:
        """A parcel was just produced."""
        if not self._is_open:
            return
        if self._live_bytes > self._limits.live_bytes:
            self._spill()
        self._live_end = parcel.sequences.last + 1
        self._live.append(parcel)
        self._live_bytes += parcel.bytes

    def skip(self, sequence: int) -> None:
        """What was just produced under this number is on the disk only."""
        if self._is_open:
            self._live_end = max(self._live_end, sequence + 1)

    def reading(self) -> Reading | None:
        """What of the backlog is to be read now; None while there is no need."""
        if self._backlog or not self._read_from < self._backlog_end:
            return None
        return Reading(int(self._read_from), self._backlog_end, self._turn)

    def take_in(self, reading: Reading, parcels: Sequence[Parcel]) -> None:
        """What was read; none means that there is no more up to the reading's end."""
        if reading.turn != self._turn:
            return
        self._read_from = parcels[-1].sequences.last + 1 if parcels else reading.end
        self._backlog.extend(one for one in parcels if one.sequences.first not in self._flights)

    def read_again(self, first: int) -> None:
        """Something at this number has changed on the disk, or must go out again."""
        if self._is_open and first < self._backlog_end:
            self._turn += 1
            if self._backlog:
                self._read_from = min(self._read_from, self._backlog[0].sequences.first)
                self._backlog.clear()
            self._read_from = min(self._read_from, first)

    # -------------------------------------------------------------- going out

    def next(self, now_s: float) -> Outgoing | None:
        """Whose turn it is; the same again until it was sent or something else came."""
        if self._live and self._fits(self._live[0]):
            return Outgoing(self._live[0], Lane.LIVE)
        if self._backlog and self._backlog_may_go(now_s) and self._fits(self._backlog[0]):
            return Outgoing(self._backlog[0], Lane.BACKLOG)
        return None

    def sent(self, outgoing: Outgoing, now_s: float) -> None:
        """It has left; nothing, if it was acknowledged or dropped meanwhile."""
        parcel = outgoing.parcel
        lane = self._live if outgoing.lane is Lane.LIVE else self._backlog
        if not lane or lane[0] is not parcel:
            return
        lane.popleft()
        first = parcel.sequences.first
        if outgoing.lane is Lane.LIVE:
            self._live_bytes -= parcel.bytes
            if self._read_from == first:
                self._read_from = parcel.sequences.last + 1
        else:
            self._backlog_flights += 1
            if self._burst is None:
                self._burst = _Burst(now_s)
            self._burst.bytes += parcel.bytes
        self._flights[first] = _Flight(outgoing, now_s)
        self._flight_bytes += parcel.bytes

    def acknowledged(self, ranges: Iterable[Sequences], now_s: float) -> None:
        """The headend holds these."""
        for held in ranges:
            self._land(held, now_s)
            # Sent in a session before this one, and held after all.
            self._live = _without(self._live, held)
            self._backlog = _without(self._backlog, held)
        self._live_bytes = sum(parcel.bytes for parcel in self._live)

    def withdraw(self, unwanted: Callable[[Parcel], bool], now_s: float) -> list[Parcel]:
        """Take these out: they shall not go, or not go again."""
        flying = [flight.outgoing.parcel for flight in self._flights.values()]
        taken = [one for one in (*flying, *self._live, *self._backlog) if unwanted(one)]
        for parcel in taken:
            if parcel.sequences.first in self._flights:
                self._forget_flight(parcel.sequences.first)
        self._live = deque(one for one in self._live if not unwanted(one))
        self._live_bytes = sum(parcel.bytes for parcel in self._live)
        self._backlog = deque(one for one in self._backlog if not unwanted(one))
        self._close_burst(now_s)
        return taken

    def pass_time(self, now_s: float) -> None:
        """Time has passed: what was not acknowledged in time goes out again."""
        overdue = []
        for first, flight in self._flights.items():  # in the order they were sent
            # Added as in `next_change_s`: rounded otherwise, that moment would come for ever.
            if flight.sent_s + self._limits.acknowledged_within_s > now_s:
                break
            overdue.append(first)
        for first in overdue:
            self._forget_flight(first)
        self._close_burst(now_s)
        if overdue:
            self.read_again(min(overdue))

    # ------------------------------------------------------------------ facts

    @property
    def in_hand(self) -> frozenset[int]:
        """The first numbers of what is on its way or about to be: it may not be changed."""
        waiting = (
            parcel.sequences.first for lane in (self._live, self._backlog) for parcel in lane
        )
        return frozenset((*self._flights, *waiting))

    def in_flight(self, first: int) -> Parcel | None:
        """The parcel of this first number, if it is on its way."""
        flight = self._flights.get(first)
        return None if flight is None else flight.outgoing.parcel

    @property
    def flights(self) -> int:
        """How many are on their way."""
        return len(self._flights)

    @property
    def flight_bytes(self) -> int:
        """How much is on its way."""
        return self._flight_bytes

    @property
    def live_waiting(self) -> int:
        """How many live parcels wait."""
        return len(self._live)

    @property
    def backlog_waiting(self) -> int:
        """How many parcels of the backlog wait in memory."""
        return len(self._backlog)

    def next_change_s(self, now_s: float) -> float:
        """When time alone changes something; infinite when nothing is awaited."""
        overdue_s = opens_s = math.inf
        for flight in self._flights.values():
            overdue_s = flight.sent_s + self._limits.acknowledged_within_s
            break
        if self._backlog and self._burst is None and self._backlog_opens_s > now_s:
            opens_s = self._backlog_opens_s
        return min(overdue_s, opens_s)

    # ---------------------------------------------------------------- details

    @property
    def _backlog_end(self) -> int:
        return self._live[0].sequences.first if self._live else self._live_end

    def _spill(self) -> None:
        """The link is slower than what is produced: the newest must not wait behind the rest."""
        first = self._live[0].sequences.first
        self._live.clear()
        self._live_bytes = 0
        self.read_again(first)

    def _fits(self, parcel: Parcel) -> bool:
        return not self._flights or self._flight_bytes + parcel.bytes <= self._limits.window_bytes

    def _backlog_may_go(self, now_s: float) -> bool:
        if self._burst is None:
            return now_s >= self._backlog_opens_s
        return self._burst.bytes < self._burst_bytes

    def _land(self, held: Sequences, now_s: float) -> None:
        """Take in an acknowledgement; it may name many more numbers than are on their way."""
        if held.last - held.first < len(self._flights):
            numbers: Iterable[int] = range(held.first, held.last + 1)
        else:
            numbers = tuple(self._flights)
        for first in numbers:
            flight = self._flights.get(first)
            if flight is not None and _within(flight.outgoing.parcel, held):
                self._shortest_s = min(self._shortest_s, now_s - flight.sent_s)
                self._forget_flight(first)
        self._close_burst(now_s)

    def _forget_flight(self, first: int) -> None:
        flight = self._flights.pop(first)
        self._flight_bytes -= flight.outgoing.parcel.bytes
        self._backlog_flights -= flight.outgoing.lane is Lane.BACKLOG

    def _close_burst(self, now_s: float) -> None:
        """All of a burst has arrived: rest, and learn from it how large the next may be."""
        burst = self._burst
        if burst is None or self._backlog_flights:
            return
        self._burst = None
        shortest_s = self._shortest_s if math.isfinite(self._shortest_s) else 0.0
        taken_s = max(0.0, now_s - burst.began_s - shortest_s)
        if taken_s > BURST_TAKES_S:
            self._burst_bytes = max(self._burst_bytes // 2, BURST_BYTES_MIN)
        elif taken_s < BURST_TAKES_S / 2 and burst.bytes >= self._burst_bytes:
            self._burst_bytes = min(self._burst_bytes * 2, BURST_BYTES_MAX)
        rest_s = min(taken_s * (1 / self._limits.backlog_share - 1), REST_S_MAX)
        by_rate_s = burst.began_s + burst.bytes / self._limits.backlog_bytes_per_s
        self._backlog_opens_s = max(now_s + rest_s, by_rate_s)


def _without(lane: deque[Parcel], held: Sequences) -> deque[Parcel]:
    if not lane or held.last < lane[0].sequences.first or lane[-1].sequences.last < held.first:
        return lane
    return deque(parcel for parcel in lane if not _within(parcel, held))


def _within(parcel: Parcel, held: Sequences) -> bool:
    return held.first <= parcel.sequences.first and parcel.sequences.last <= held.last
