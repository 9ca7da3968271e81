"""A Sparkplug device as an asset, against the virtual node of `sim`, without a broker."""

import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt_link import MemoryLink

from adapters import DeviceError
from adapters.mqtt._link import Publication
from adapters.mqtt._options import SparkplugOptions
from adapters.mqtt._sparkplug_device import SparkplugDevice, open_sparkplug
from adapters.mqtt.sparkplug_host import Kind as Said
from adapters.mqtt.sparkplug_host import Oddity
from adapters.mqtt.sparkplug_topics import Address, NodeId
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from sim.field.sparkplug import SETPOINT, NodeFault, Sent, VirtualNode, metric_of
from sim.options import SimulatedOptions
from sim.specs import default_spec

NODE = NodeId("plant", "gateway-1")
ASSET = default_spec(Kind.STORAGE, "bess-1", "Battery")
OPTIONS = msgspec.convert(
    {
        "host_id": "mill-lane",
        "group": NODE.group,
        "node": NODE.node,
        "device": "bess-1",
        "stale_after_s": 20.0,
        "points": [
            {"point": point.name, "metric": metric_of(point.name)}
            for point in ASSET.points
            if point.name != "setpoint_mw"
        ],
        "setpoint": {"metric": SETPOINT},
    },
    SparkplugOptions,
)
LOST = Reason.STALE | Reason.DEVICE_COMMS_LOST


def clock_us() -> int:
    """Some time."""
    return 1_795_442_400_000_000


class Scene:
    """An open device, the node it belongs to, and what lies between."""

    def __init__(self, device: SparkplugDevice, node: VirtualNode, link: MemoryLink) -> None:
        self.device = device
        self.node = node
        self.link = link

    def hear(self, messages: Iterable[Sent]) -> None:
        for message in messages:
            self.link.deliver(message.topic, message.payload)

    async def live(self, seconds: int) -> None:
        """The node reports each second, and the edge polls."""
        for _ in range(seconds):
            await trio.sleep(1)
            self.hear(self.node.report())
            await self.device.read()

    async def reading(self, point: str) -> Reading:
        readings = await self.device.read()
        return next(reading for reading in readings.values if reading.point == point)

    async def qualities(self) -> set[Quality]:
        readings = await self.device.read()
        return {reading.quality for reading in readings.values if reading.point != "setpoint_mw"}

    @property
    def oddities(self) -> set[Oddity]:
        return set(self.device.statistics().oddities)


@asynccontextmanager
async def opened(options: SparkplugOptions = OPTIONS, *, born: bool = True) -> AsyncIterator[Scene]:
    """A battery behind its node, that has been born if it should."""
    node = VirtualNode(NODE, [ASSET], SimulatedOptions(), clock_us)
    node.will()
    link = MemoryLink()

    def answer(publication: Publication) -> Iterable[tuple[str, bytes]]:
        for sent in node.obey(publication.topic, publication.payload):
            yield (sent.topic, sent.payload)

    link.answer = answer
    async with open_sparkplug(ASSET, options, link, clock_us) as device:
        scene = Scene(device, node, link)
        if born:
            scene.hear(node.be_born())
        yield scene


async def test_a_setpoint_right_after_opening_waits_for_the_birth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The fallback of an agent that starts; a node that stays silent is told so in time."""
    async with opened(born=False) as scene:
        assert await scene.device.write_setpoint(0.5) == 0.5
    async with opened(born=False) as scene:
        scene.node.fault = NodeFault.SILENT
        with trio.fail_after(5), pytest.raises(DeviceError, match="unknown"):
            await scene.device.write_setpoint(0.5)


async def test_a_host_that_comes_late_asks_for_a_birth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With the first poll, and then everything is known."""
    async with opened(born=False) as scene:
        await scene.device.read()
        assert scene.node.births == 1
        assert await scene.qualities() == {Quality.GOOD}
        assert (await scene.reading("soc_pct")).value == 50.0
        assert (await scene.reading("setpoint_mw")).value is None


async def test_values_follow_the_node(autojump_clock: trio.testing.MockClock) -> None:
    """By alias, and only those that change are said."""
    async with opened() as scene:
        await scene.device.write_setpoint(-2.0)
        await scene.live(600)
        soc = await scene.reading("soc_pct")
        assert soc.value is not None
        assert soc.value > 55
        assert soc.quality is Quality.GOOD
        assert scene.oddities == set()


async def test_a_setpoint_goes_as_a_device_command_and_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """By the alias of the birth."""
    async with opened() as scene:
        assert await scene.device.write_setpoint(1.5) == 1.5
        assert [p.topic for p in scene.link.published] == ["spBv1.0/plant/DCMD/gateway-1/bess-1"]
        assert await scene.reading("setpoint_mw") == Reading("setpoint_mw", 1.5)


async def test_the_same_setpoint_again_is_confirmed_by_what_was_said(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing changes, so the node says nothing."""
    async with opened() as scene:
        await scene.device.write_setpoint(1.5)
        scene.link.answer = lambda _: ()
        assert await scene.device.write_setpoint(1.5) == 1.5


async def test_what_was_missed_confirms_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """After a gap the last word may not be the last."""
    async with opened() as scene:
        await scene.device.write_setpoint(1.5)
        scene.link.answer = lambda _: ()
        scene.link.deliver(Address(Said.DEVICE_DATA, NODE, "bess-1").topic, b"\xff")
        with pytest.raises(DeviceError, match="no Controls/SetpointMW within 3 s"):
            await scene.device.write_setpoint(1.5)


async def test_a_node_that_does_not_obey_is_told_of(autojump_clock: trio.testing.MockClock) -> None:
    """What it holds is returned; the edge judges it."""
    async with opened() as scene:
        await scene.device.write_setpoint(1.5)
        scene.link.answer = lambda _: ()
        assert await scene.device.write_setpoint(-1.0) == 1.5


async def test_a_dead_node_has_no_values_and_takes_no_setpoint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Until it is born again, of its own accord."""
    async with opened() as scene:
        node = VirtualNode(NODE, [ASSET], SimulatedOptions(), clock_us)
        scene.hear([node.will()])  # of the same connection
        assert await scene.reading("soc_pct") == Reading("soc_pct", None, Quality.BAD, LOST)
        with pytest.raises(DeviceError, match="gateway-1/bess-1: the device is dead"):
            await scene.device.write_setpoint(1.0)
        await trio.sleep(100)
        await scene.device.read()
        assert scene.node.births == 1
        scene.hear(scene.node.be_born())
        assert await scene.qualities() == {Quality.GOOD}


async def test_a_dead_device_of_a_living_node(autojump_clock: trio.testing.MockClock) -> None:
    """Its field bus is cut."""
    async with opened() as scene:
        scene.hear(scene.node.kill_device("bess-1"))
        assert await scene.qualities() == {Quality.BAD}


async def test_a_lost_message_makes_values_uncertain_for_a_moment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The gap is noticed by the next message, whose values are good; a birth mends the rest."""
    async with opened() as scene:
        scene.link.answer = lambda _: ()
        await trio.sleep(1)
        scene.node.report()  # nobody hears it
        await scene.live(2)
        assert await scene.qualities() == {Quality.GOOD, Quality.UNCERTAIN}
        assert scene.oddities == {Oddity.GAP}
        assert [p.topic for p in scene.link.published] == ["spBv1.0/plant/NCMD/gateway-1"]
        scene.hear(scene.node.obey(*_topic_and_payload(scene.link.published[0])))
        assert await scene.qualities() == {Quality.GOOD}


@pytest.mark.parametrize(
    ("fault", "quality", "oddity"),
    [
        (NodeFault.WRONG_TYPE, Quality.BAD, Oddity.WRONG_TYPE),
        (NodeFault.NULL, Quality.BAD, None),
        (NodeFault.GARBAGE, Quality.UNCERTAIN, Oddity.MALFORMED),
        (NodeFault.SILENT, Quality.UNCERTAIN, None),
    ],
)
async def test_a_faulty_node_loses_its_good_name_and_gets_it_back(
    fault: NodeFault,
    quality: Quality,
    oddity: Oddity | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Active power is said with each report, so it shows what the fault does."""
    async with opened() as scene:
        await scene.device.write_setpoint(1.0)
        scene.node.fault = fault
        await scene.live(25)
        assert (await scene.reading("frequency_hz")).quality is quality
        assert scene.oddities >= ({oddity} if oddity else set())
        scene.node.fault = NodeFault.NONE
        await scene.live(170)
        assert await scene.qualities() == {Quality.GOOD}


async def test_a_frozen_node_is_good_for_all_we_know(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It says that its values are the present ones; nothing in Sparkplug tells otherwise."""
    async with opened() as scene:
        scene.node.fault = NodeFault.FROZEN
        await scene.live(60)
        assert await scene.qualities() == {Quality.GOOD}


async def test_half_of_the_messages_lost_asks_seldom(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The node is not asked to do nothing but give birth."""
    async with opened() as scene:
        await scene.device.write_setpoint(1.0)
        scene.node.fault = NodeFault.SKIPPED
        await scene.live(120)
        assert Oddity.GAP in scene.oddities
        assert scene.node.births <= 13


async def test_a_retained_birth_is_not_believed(autojump_clock: trio.testing.MockClock) -> None:
    """It may be of any age."""
    async with opened(born=False) as scene:
        scene.link.answer = lambda _: ()
        for message in scene.node.be_born():
            scene.link.deliver(message.topic, message.payload, retained=True)
        assert await scene.qualities() == {Quality.BAD}
        assert scene.oddities == {Oddity.RETAINED}


async def test_commands_on_their_way_are_not_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The subscription brings our own back."""
    async with opened() as scene:
        scene.link.deliver("spBv1.0/plant/DCMD/gateway-1/bess-1", b"\xff")
        scene.link.deliver("spBv1.0/plant/NCMD/gateway-1", b"\xff")
        assert scene.oddities == set()


@pytest.mark.parametrize("power_mw", [math.nan, math.inf])
async def test_what_is_no_number_is_not_commanded(
    power_mw: float, autojump_clock: trio.testing.MockClock
) -> None:
    """No node hears of it."""
    async with opened() as scene:
        with pytest.raises(DeviceError, match=SETPOINT):
            await scene.device.write_setpoint(power_mw)
        assert scene.link.published == []


async def test_a_metric_that_the_node_lacks(autojump_clock: trio.testing.MockClock) -> None:
    """Its point is unknown; a setpoint says which metric is missing."""
    setpoint = msgspec.convert({"metric": "Other"}, type(OPTIONS.setpoint))
    async with opened(msgspec.structs.replace(OPTIONS, setpoint=setpoint)) as scene:
        lost = Reading("setpoint_mw", None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
        assert await scene.reading("setpoint_mw") == lost
        with pytest.raises(DeviceError, match="was born without the metric Other"):
            await scene.device.write_setpoint(1.0)


FLIPS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.lists(FLIPS, max_size=12), st.integers(0, 400))
def test_no_garbled_payload_makes_a_good_value_out_of_range(
    garbled: list[list[tuple[int, int]]], cut_at: int
) -> None:
    """Births and data with some bytes changed, or cut off: no crash, no good nonsense."""

    async def run() -> None:
        async with opened(born=False) as scene:
            messages = [*scene.node.be_born()]
            for _ in garbled:
                await trio.sleep(1)
                messages += scene.node.report()
            for message, flips in zip(messages, garbled, strict=False):
                data = bytearray(message.payload)
                for place, mask in flips:
                    data[place % len(data)] ^= mask
                scene.link.deliver(message.topic, bytes(data))
                scene.link.deliver(message.topic, message.payload[:cut_at])
                await _check_sense(scene)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


async def _check_sense(scene: Scene) -> None:
    readings = await scene.device.read()
    for point, reading in zip(ASSET.points, readings.values, strict=True):
        if reading.quality is Quality.GOOD:
            assert reading.value is not None
            assert point.low <= reading.value <= point.high
        assert reading.value is None or math.isfinite(reading.value)


def _topic_and_payload(publication: Publication) -> tuple[str, bytes]:
    return publication.topic, publication.payload
