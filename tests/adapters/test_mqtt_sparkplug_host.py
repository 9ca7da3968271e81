"""What a host makes of an edge node's messages: playbooks, and messages at random."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt import sparkplug_host
from adapters.mqtt.sparkplug_host import (
    REBIRTH_EVERY_S,
    EdgeNode,
    Held,
    Kind,
    Oddity,
    Standing,
)
from adapters.mqtt.sparkplug_payload import DataType, Metric, Payload, Value, encode

DEVICE = "bess-1"


def double(
    value: float,
    name: str = "P",
    *,
    alias: int | None = None,
    historical: bool = False,
    quality: int | None = None,
) -> Metric:
    """A metric with a number."""
    return Metric(
        name=name,
        alias=alias,
        datatype=DataType.DOUBLE,
        field="double_value",
        value=value,
        is_historical=historical,
        quality=quality,
    )


def bd_seq(number: int) -> Metric:
    """Which connection of the node it is."""
    return Metric(name="bdSeq", datatype=DataType.UINT64, field="long_value", value=number)


class Play:
    """A node under way: says what it publishes, asks what the host makes of it."""

    def __init__(self) -> None:
        self.node = EdgeNode()
        self.now_s = 0.0
        self.sequence = -1

    def say(
        self, kind: Kind, *metrics: Metric, device: str | None = DEVICE, seq: int | None = None
    ) -> "Play":
        self.sequence = (self.sequence + 1) % 256 if seq is None else seq
        is_death = kind is Kind.NODE_DEATH
        payload = Payload(seq=None if is_death else self.sequence, metrics=metrics)
        of = None if kind in {Kind.NODE_BIRTH, Kind.NODE_DATA, Kind.NODE_DEATH} else device
        self.node.receive(kind, of, encode(payload), self.now_s)
        return self

    def born(self, number: int = 0) -> "Play":
        self.say(Kind.NODE_BIRTH, bd_seq(number), seq=0)
        return self.say(Kind.DEVICE_BIRTH, double(1.0), double(2.0, "Q", alias=7))

    def wait(self, seconds: float) -> "Play":
        self.now_s += seconds
        return self

    def asks(self) -> bool:
        return self.node.take_request(self.now_s)

    def value(self, name: str = "P") -> Value:
        held = self.held(name)
        return held.value

    def held(self, name: str = "P") -> Held:
        held = self.node.held(DEVICE, name)
        assert held is not None
        return held

    @property
    def standing(self) -> Standing:
        return self.node.standing(DEVICE)

    @property
    def oddities(self) -> Sequence[Oddity]:
        return list(self.node.statistics().oddities)


def test_a_birth_tells_everything() -> None:
    """Names, types, aliases, values; nothing has to be asked."""
    play = Play().born()
    assert (play.standing, play.value("P"), play.value("Q")) == (Standing.ALIVE, 1.0, 2.0)
    assert not play.asks()
    assert play.oddities == []


def test_data_comes_by_name_or_alias() -> None:
    """Types and names are those of the birth."""
    play = Play().born()
    play.say(Kind.DEVICE_DATA, double(5.0), Metric(alias=7, field="double_value", value=6.0))
    assert (play.value("P"), play.value("Q")) == (5.0, 6.0)
    assert play.oddities == []


def test_the_sequence_goes_round() -> None:
    """After 255 comes 0, and that is no gap."""
    play = Play().born()
    for number in range(600):
        play.say(Kind.DEVICE_DATA, double(number))
    assert play.value() == 599
    assert play.oddities == []


def test_a_gap_makes_doubtful_what_was_not_said_since_and_asks_for_a_birth() -> None:
    """The node reports by exception: the missed message may have changed anything."""
    play = Play().born()
    play.say(Kind.DEVICE_DATA, double(5.0), seq=play.sequence + 2)
    assert (play.held("P").is_doubtful, play.held("Q").is_doubtful) == (False, True)
    assert play.oddities == [Oddity.GAP]
    assert play.asks()
    play.born()
    assert not play.held("Q").is_doubtful
    assert not play.wait(1000).asks()


def test_requests_are_rate_limited_and_rarer_when_nobody_answers() -> None:
    """A node that gives birth all the time does nothing else."""
    play = Play().born()
    times = []
    for _ in range(1000):
        play.say(Kind.DEVICE_DATA, double(5.0), seq=9)
        if play.asks():
            times.append(play.now_s)
        play.wait(1)
    assert times == [0, 10, 30, 70, 150, 310, 470, 630, 790, 950]
    play.born()
    play.wait(REBIRTH_EVERY_S * 20).say(Kind.DEVICE_DATA, double(5.0), seq=9)
    assert play.asks()
    assert not play.wait(REBIRTH_EVERY_S - 1).asks()
    assert play.wait(1).asks()


def test_before_a_birth_nothing_is_believed() -> None:
    """The host came after the node: it asks."""
    play = Play().say(Kind.DEVICE_DATA, double(5.0))
    assert play.standing is Standing.UNKNOWN
    assert play.node.held(DEVICE, "P") is None
    assert play.asks()
    assert play.oddities == [Oddity.NOT_BORN]


def test_a_node_that_was_never_heard_of_is_asked() -> None:
    """Births are not retained by brokers."""
    assert Play().asks()


def test_a_death_of_the_node_is_one_of_its_devices() -> None:
    """What they said stays, for whoever wants to know; nobody is asked to come back."""
    play = Play().born(3).say(Kind.NODE_DEATH, bd_seq(3))
    assert (play.node.standing(None), play.standing) == (Standing.DEAD, Standing.DEAD)
    assert play.value() == 1.0
    assert not play.wait(1000).asks()
    assert play.born(4).standing is Standing.ALIVE


def test_the_late_death_of_an_earlier_connection_kills_nobody() -> None:
    """The broker may notice it after the node has come back."""
    play = Play().born(3).born(4).say(Kind.NODE_DEATH, bd_seq(3))
    assert play.standing is Standing.ALIVE
    assert play.oddities == [Oddity.OLD_DEATH]


def test_a_device_dies_and_is_born_on_its_own() -> None:
    """The node lives on."""
    play = Play().born().say(Kind.DEVICE_DEATH)
    assert (play.node.standing(None), play.standing) == (Standing.ALIVE, Standing.DEAD)
    play.say(Kind.DEVICE_DATA, double(5.0))
    assert (play.standing, play.asks()) == (Standing.DEAD, True)
    play.say(Kind.DEVICE_BIRTH, double(6.0))
    assert (play.standing, play.value()) == (Standing.ALIVE, 6.0)


def test_the_devices_of_a_node_wait_for_their_own_birth() -> None:
    """A node that is born anew may have lost its field bus."""
    play = Play().born().say(Kind.NODE_BIRTH, bd_seq(1), seq=0)
    assert play.standing is Standing.DEAD


def test_a_null_is_not_known_and_a_wrong_type_neither() -> None:
    """The second is counted."""
    play = Play().born()
    play.say(
        Kind.DEVICE_DATA,
        Metric(name="P", is_null=True),
        Metric(name="Q", field="string_value", value="12.5"),
    )
    assert (play.value("P"), play.value("Q")) == (None, None)
    assert play.oddities == [Oddity.WRONG_TYPE]


def test_history_is_not_the_present() -> None:
    """Buffered data comes late, and neither changes the latest nor says that it is fresh."""
    play = Play().born().wait(5).say(Kind.DEVICE_DATA, double(9.0, historical=True))
    assert (play.value(), play.node.heard_at_s(DEVICE)) == (1.0, 0.0)
    assert play.oddities == [Oddity.HISTORICAL]


def test_the_property_quality_is_kept() -> None:
    """192 good, 0 bad, 500 stale."""
    play = Play().born().say(Kind.DEVICE_DATA, double(9.0, quality=500))
    assert (play.held("P").quality, play.held("Q").quality) == (500, 192)


def test_a_metric_that_was_not_born_asks_for_a_birth() -> None:
    """The configuration behind the node has changed."""
    play = Play().born().say(Kind.DEVICE_DATA, double(1.0, "New"), Metric(alias=99))
    assert play.oddities == [Oddity.UNKNOWN_METRIC]
    assert play.asks()


def test_a_message_that_cannot_be_read_was_missed() -> None:
    """So everything is in doubt."""
    play = Play().born()
    play.node.receive(Kind.DEVICE_DATA, DEVICE, b"\xff\xff", 0.0)
    assert play.held().is_doubtful
    assert play.oddities == [Oddity.MALFORMED]
    assert play.asks()


def test_a_message_to_the_wrong_kind_of_topic_is_refused() -> None:
    """A device's data on a node's topic."""
    play = Play().born()
    play.node.receive(Kind.NODE_DATA, DEVICE, encode(Payload(seq=2)), 0.0)
    play.node.receive(Kind.DEVICE_DATA, None, encode(Payload(seq=2)), 0.0)
    assert play.oddities == [Oddity.MISADDRESSED]


def test_a_node_has_no_end_of_devices_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the bounds is refused and counted."""
    monkeypatch.setattr(sparkplug_host, "DEVICES_MAX", 2)
    monkeypatch.setattr(sparkplug_host, "METRICS_MAX", 5)
    play = Play().born()
    play.say(Kind.DEVICE_BIRTH, double(1.0), device="two")
    play.say(Kind.DEVICE_BIRTH, double(1.0), device="three")
    play.say(Kind.DEVICE_BIRTH, *(double(1.0, str(n)) for n in range(9)), device="two")
    assert play.node.standing("three") is Standing.UNKNOWN
    assert play.node.standing("two") is Standing.DEAD
    assert play.node.statistics().oddities == {Oddity.TOO_MANY: 2}


KINDS = st.sampled_from(list(Kind))
DEVICES = st.sampled_from([None, DEVICE, "other"])
METRICS = st.builds(
    Metric,
    name=st.sampled_from(["", "P", "Q", "bdSeq"]),
    alias=st.none() | st.integers(0, 9),
    datatype=st.none() | st.integers(0, 30),
    is_historical=st.booleans(),
    is_null=st.booleans(),
    quality=st.none() | st.sampled_from([0, 64, 192, 500]),
).flatmap(
    lambda metric: st.sampled_from(
        [
            ("", None),
            ("int_value", 2**32 - 1),
            ("long_value", 2**64 - 1),
            ("float_value", float("inf")),
            ("double_value", float("nan")),
            ("double_value", 1e300),
            ("double_value", 1.5),
            ("boolean_value", True),
            ("string_value", "x"),
        ]
    ).map(lambda value: _with_value(metric, *value))
)
PAYLOADS = st.builds(
    Payload, seq=st.none() | st.integers(0, 300), metrics=st.lists(METRICS, max_size=4).map(tuple)
).map(encode)
MESSAGES = st.lists(st.tuples(KINDS, DEVICES, PAYLOADS | st.binary(max_size=60)), max_size=30)


@settings(max_examples=200, deadline=None)
@given(MESSAGES, st.floats(0, 100))
def test_no_order_of_messages_breaks_the_host(
    messages: list[tuple[Kind, str | None, bytes]], step_s: float
) -> None:
    """Nor makes it ask more than it may, nor believe a node that was not born."""
    node = EdgeNode()
    now_s, asked = 0.0, []
    for kind, device, data in messages:
        now_s += step_s
        node.receive(kind, device, data, now_s)
        if node.take_request(now_s):
            asked.append(now_s)
        alive = [d for d in (DEVICE, "other") if node.standing(d) is Standing.ALIVE]
        assert not alive or node.standing(None) is Standing.ALIVE
    assert all(later - earlier >= REBIRTH_EVERY_S for earlier, later in pairwise(asked))
    assert node.statistics().messages == len(messages)


def _with_value(metric: Metric, field: str, value: Value) -> Metric:
    copy: Callable[..., Metric] = Metric
    return copy(
        name=metric.name,
        alias=metric.alias,
        datatype=metric.datatype,
        is_historical=metric.is_historical,
        is_null=metric.is_null,
        quality=metric.quality,
        field=field,
        value=value,
    )
