"""Which parcel goes next, as plays, and as properties over all histories."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dercp.edge.spool.lanes import BURST_BYTES_MIN, LaneLimits, Lanes
from dercp.edge.spool.outbox import PARCEL_BYTES, Batch, Draft, Lane, Parcel, Sequences

KIB = 1024


def batch(number: int, size: int = KIB) -> Batch:
    """A batch that takes this much on the wire."""
    payload = bytes(size - PARCEL_BYTES)
    frame = Draft(registration_id=b"", payload=payload, from_us=0, to_us=0, samples=1)
    return Batch(number, frame)


class Play:
    """Lanes over a row of parcels, and the time."""

    def __init__(self, backlog: int, limits: LaneLimits | None = None, size: int = KIB) -> None:
        self.now_s = 0.0
        self.size = size
        self.lanes = Lanes(limits or LaneLimits())
        self.last = backlog
        self.gone: set[int] = set()
        self.lanes.open(backlog + 1)

    def at(self, now_s: float) -> "Play":
        """Let time pass."""
        self.now_s = now_s
        self.lanes.pass_time(now_s)
        return self

    def produce(self, count: int = 1) -> "Play":
        """Something live."""
        for _ in range(count):
            self.last += 1
            self.lanes.offer(batch(self.last, self.size))
        return self

    def read(self, most: int = 100) -> "Play":
        """Read backlog, as the spool does."""
        while (reading := self.lanes.reading()) is not None:
            numbers = (n for n in range(reading.start, reading.end) if 0 < n <= self.last)
            rows = [batch(n, self.size) for n in numbers if n not in self.gone][:most]
            self.lanes.take_in(reading, rows)
        return self

    def send(self, most: float = math.inf) -> str:
        """Send what may go: "L5 B1"."""
        said: list[str] = []
        while len(said) < most:
            self.read()
            outgoing = self.lanes.next(self.now_s)
            if outgoing is None:
                break
            letter = "L" if outgoing.lane is Lane.LIVE else "B"
            said.append(f"{letter}{outgoing.parcel.sequences.first}")
            self.lanes.sent(outgoing, self.now_s)
        return " ".join(said)

    def acknowledge(self, first: int, last: int) -> "Play":
        """The headend holds these."""
        self.gone.update(range(first, last + 1))
        self.lanes.acknowledged([Sequences(first, last)], self.now_s)
        return self


def test_live_goes_before_what_was_there() -> None:
    """Also when the backlog has begun."""
    play = Play(backlog=3)
    assert play.send(1) == "B1"
    assert play.produce().send() == "L4 B2 B3"


def test_a_burst_is_acknowledged_before_the_next_begins() -> None:
    """However much more there is."""
    play = Play(backlog=1000, size=16 * KIB)
    assert play.send() == "B1 B2 B3 B4"
    assert play.acknowledge(1, 3).send() == ""
    assert play.at(0.01).acknowledge(4, 4).send() == ""
    assert play.at(0.07).send().startswith("B5 B6")


def test_the_backlog_rests_as_its_share_says() -> None:
    """A burst that took the link for 0.3 s is followed by 0.7 s for others."""
    limits = LaneLimits(backlog_bytes_per_s=1e9, backlog_share=0.3)
    play = Play(backlog=1000, limits=limits, size=16 * KIB)
    play.produce().send(1)
    play.at(0.05).acknowledge(1001, 1001)  # the shortest way there and back
    play.send()
    play.at(0.4).acknowledge(1, 4)
    assert play.at(1.09).send() == ""
    assert play.at(1.11).send() != ""


def test_bursts_grow_while_they_take_no_time_and_shrink_when_they_do() -> None:
    """Never below their least size."""
    limits = LaneLimits(backlog_bytes_per_s=1e12, backlog_share=1.0)
    play = Play(backlog=10_000, limits=limits, size=16 * KIB)
    sizes = []
    first = 1
    for takes_s in (0.01, 0.01, 0.01, *([1.0] * 7)):
        sent = len(play.send().split())
        sizes.append(sent)
        play.at(play.now_s + takes_s).acknowledge(first, first + sent - 1)
        first += sent
    assert sizes == [4, 8, 16, 32, 16, 8, 4, 2, 1, 1]
    assert BURST_BYTES_MIN == 4 * KIB


def test_no_more_is_on_its_way_than_the_window_holds() -> None:
    """A headend that does not acknowledge stops even live parcels; one may always go."""
    play = Play(backlog=0, limits=LaneLimits(window_bytes=3 * KIB, live_bytes=100 * KIB))
    assert play.produce(5).send() == "L1 L2 L3"
    assert play.acknowledge(2, 2).send() == "L4"
    play = Play(backlog=0, limits=LaneLimits(window_bytes=10), size=KIB)
    assert play.produce(2).send() == "L1"


def test_live_parcels_that_find_no_room_come_back_as_backlog() -> None:
    """The newest is live: it must not wait behind a minute of others."""
    play = Play(backlog=0, limits=LaneLimits(window_bytes=2 * KIB, live_bytes=4 * KIB))
    assert play.produce(2).send() == "L1 L2"
    play.produce(6)
    assert play.acknowledge(1, 2).send() == "L8 B3"


def test_what_is_overdue_goes_again_as_backlog() -> None:
    """And so does nothing else."""
    play = Play(backlog=0)
    play.produce(3).send()
    play.acknowledge(2, 2)
    assert play.at(59.9).send() == ""
    assert play.at(60.0).send() == "B1 B3"


@given(sent_s=st.floats(0.0, 1e6))
def test_when_the_next_change_is_due_it_comes(sent_s: float) -> None:
    """Whatever floats round to: who waits until then must not find that nothing has changed."""
    play = Play(backlog=0).at(sent_s).produce()
    play.send()
    due_s = play.lanes.next_change_s(sent_s)
    assert play.at(due_s).lanes.flights == 0


def test_a_burst_whose_acknowledgements_are_lost_does_not_stop_the_backlog() -> None:
    """It rests, and goes on."""
    play = Play(backlog=100, size=16 * KIB)
    assert play.send() == "B1 B2 B3 B4"
    play.at(60.0)
    assert play.at(90.0).send() == "B1 B2"


def test_a_reading_that_something_overtook_counts_no_more() -> None:
    """What was read may have changed meanwhile."""
    play = Play(backlog=3)
    reading = play.lanes.reading()
    assert reading is not None
    play.lanes.read_again(2)
    play.lanes.take_in(reading, [batch(1)])
    assert play.lanes.next(0) is None
    assert play.send() == "B1 B2 B3"


moves = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), st.integers(1, 20)),
        st.tuples(st.just("send"), st.integers(1, 30)),
        st.tuples(st.just("acknowledge"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([1, 100, 10_000, 70_000])),
        st.tuples(st.just("reconnect"), st.just(0)),
        st.tuples(st.just("reread"), st.integers(1, 100)),
    ),
    max_size=80,
)
limits = st.builds(
    LaneLimits,
    backlog_bytes_per_s=st.sampled_from([1e4, 1e6]),
    backlog_share=st.sampled_from([0.05, 0.3, 1.0]),
    window_bytes=st.sampled_from([4 * KIB, 64 * KIB]),
    live_bytes=st.sampled_from([2 * KIB, 32 * KIB]),
)


class World(Play):
    """A play with a headend that may acknowledge anything that was sent, in any order."""

    def __init__(self, limits: LaneLimits) -> None:
        super().__init__(0, limits)
        self.limits = limits
        self.sent: list[int] = []
        self.backlog_sent: list[tuple[float, int]] = []

    def do(self, move: str, amount: int) -> None:
        """One move."""
        match move:
            case "produce":
                self.produce(amount)
            case "send":
                self.transmit(amount)
            case "acknowledge" if self.sent:
                number = self.sent.pop(amount % len(self.sent))
                self.acknowledge(number, number)
            case "wait":
                self.at(self.now_s + amount / 1000)
            case "reconnect":
                self.lanes.close()
                self.lanes.open(self.last + 1)
            case "reread":
                self.lanes.read_again(min(amount, self.last))
            case _:
                pass

    def transmit(self, most: float) -> None:
        """Send, and look at what is sent."""
        for word in self.send(most).split():
            number = int(word[1:])
            assert number not in self.gone
            self.sent.append(number)
            if word[0] == "B":
                self.backlog_sent.append((self.now_s, KIB))
        assert self.lanes.flight_bytes <= max(self.limits.window_bytes, KIB)

    def waits(self) -> Sequence[int]:
        """What is neither on its way nor acknowledged."""
        return [n for n in range(1, self.last + 1) if n not in self.gone]


@given(script=moves, limits=limits)
def test_everything_arrives_whatever_happens(
    script: list[tuple[str, int]], limits: LaneLimits
) -> None:
    """After any history, a headend that acknowledges gets all there is, in bounded time."""
    world = World(limits)
    for move, amount in script:
        world.do(move, amount)
    for _ in range(2000):
        if not world.waits():
            break
        world.transmit(math.inf)
        for number in world.sent:
            world.acknowledge(number, number)
        world.sent.clear()
        world.do("wait", 10_000)
    assert world.waits() == []


@given(script=moves, limits=limits)
def test_live_never_waits_for_the_backlog(
    script: list[tuple[str, int]], limits: LaneLimits
) -> None:
    """While something live fits the window, it is what goes next."""
    world = World(limits)
    for move, amount in script:
        world.do(move, amount)
        outgoing = world.lanes.next(world.now_s)
        if outgoing is not None and outgoing.lane is Lane.BACKLOG:
            assert not world.lanes.live_waiting or not _fits(world, outgoing.parcel)


def _fits(world: World, parcel: Parcel) -> bool:
    return world.lanes.flight_bytes + parcel.bytes <= world.limits.window_bytes


@given(script=moves, limits=limits)
def test_the_backlog_keeps_its_budget(script: list[tuple[str, int]], limits: LaneLimits) -> None:
    """Within a session: its bytes per second and two bursts, over any time since its first."""
    world = World(limits)
    for move, amount in script:
        if move == "reconnect":
            continue
        world.do(move, amount)
        sent = world.backlog_sent
        for index, (since_s, _) in enumerate(sent):
            size = sum(size for _, size in sent[index:])
            allowed = (world.now_s - since_s) * limits.backlog_bytes_per_s
            assert size <= allowed + 3 * 1024 * KIB
