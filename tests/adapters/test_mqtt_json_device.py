"""A device that publishes JSON: values, ages, qualities, and setpoints with their read-back."""

import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from mqtt_link import MemoryLink

from adapters import DeviceError
from adapters.mqtt._json_device import JsonDevice, Topic, open_json
from adapters.mqtt._link import Message, Publication
from adapters.mqtt._options import JsonOptions
from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from sim.specs import default_spec

NOW_US = 1_795_442_400_000_000
ASSET = default_spec(Kind.STORAGE, "bess-1", "Battery")
OPTIONS = msgspec.convert(
    {
        "stale_after_s": 10.0,
        "points": [
            {
                "point": "active_power_mw",
                "topic": "bess/power",
                "value": "/meter/kw",
                "unit": "kW",
                "sign": -1,
                "timestamp": "t",
            },
            {"point": "soc_pct", "topic": "bess/soc"},
            {"point": "operating_state", "topic": "bess/state", "words": {"RUNNING": 3.0}},
        ],
        "setpoint": {
            "topic": "bess/command",
            "template": '{"kw": $value}',
            "decimals": 1,
            "state_topic": "bess/setpoint",
            "state_value": "kw",
            "unit": "kW",
            "sign": -1,
        },
    },
    JsonOptions,
)


class Scene:
    """An open device, and the broker it is behind."""

    def __init__(self, device: JsonDevice, link: MemoryLink) -> None:
        self.device = device
        self.link = link
        self.now_us = NOW_US

    async def reading(self, point: str) -> Reading:
        readings = await self.device.read()
        return next(reading for reading in readings.values if reading.point == point)


@asynccontextmanager
async def opened(options: JsonOptions = OPTIONS, asset: AssetSpec = ASSET) -> AsyncIterator[Scene]:
    """The device of these options; its wall clock goes with the virtual one."""
    link = MemoryLink()
    began_s = trio.current_time()

    def clock_us() -> int:
        return NOW_US + round((trio.current_time() - began_s) * 1e6)

    async with open_json(asset, options, link, clock_us) as device:
        yield Scene(device, link)


async def test_a_value_is_found_scaled_and_turned(autojump_clock: trio.testing.MockClock) -> None:
    """-250 kW by the device's sign and unit."""
    async with opened() as scene:
        scene.link.deliver("bess/power", '{"meter": {"kw": -250}}')
        assert await scene.reading("active_power_mw") == Reading("active_power_mw", 0.25)


async def test_what_was_never_heard_is_unknown(autojump_clock: trio.testing.MockClock) -> None:
    """And so is what no option maps."""
    async with opened() as scene:
        lost = Reading("soc_pct", None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
        assert await scene.reading("soc_pct") == lost
        assert await scene.reading("voltage_v") == Reading("voltage_v", None, Quality.BAD)


async def test_words_are_numbers_where_the_options_say_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Others are unknown."""
    async with opened() as scene:
        scene.link.deliver("bess/state", "RUNNING")
        assert (await scene.reading("operating_state")).value == 3.0
        scene.link.deliver("bess/state", "LAUNDERING")
        assert await scene.reading("operating_state") == Reading(
            "operating_state", None, Quality.BAD
        )


async def test_an_old_value_is_stale(autojump_clock: trio.testing.MockClock) -> None:
    """It is kept, and uncertain; others of the asset are not touched."""
    async with opened() as scene:
        scene.link.deliver("bess/soc", "55")
        await trio.sleep(8)
        scene.link.deliver("bess/power", '{"meter": {"kw": 0}}')
        await trio.sleep(4)
        assert await scene.reading("soc_pct") == Reading(
            "soc_pct", 55.0, Quality.UNCERTAIN, Reason.STALE
        )
        assert (await scene.reading("active_power_mw")).quality is Quality.GOOD


async def test_a_retained_value_without_a_time_is_of_unknown_age(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So it is stale from the first moment, until the device speaks."""
    async with opened() as scene:
        scene.link.deliver("bess/soc", "55", retained=True)
        assert (await scene.reading("soc_pct")).reasons is Reason.STALE
        scene.link.deliver("bess/soc", "56")
        scene.link.deliver("bess/soc", "55", retained=True)
        assert await scene.reading("soc_pct") == Reading("soc_pct", 56.0)


@pytest.mark.parametrize(
    ("age_s", "quality"), [(2, Quality.GOOD), (11, Quality.UNCERTAIN), (-3, Quality.GOOD)]
)
async def test_a_retained_value_with_a_time_is_as_old_as_it_says(
    age_s: int, quality: Quality, autojump_clock: trio.testing.MockClock
) -> None:
    """And its time is the sample's."""
    async with opened() as scene:
        time_us = NOW_US - age_s * 1_000_000
        message = f'{{"meter": {{"kw": -250}}, "t": {time_us}}}'
        scene.link.deliver("bess/power", message, retained=True)
        assert (await scene.reading("active_power_mw")).quality is quality
        assert (await scene.device.read()).source_time_us == time_us


async def test_a_clock_that_runs_ahead_keeps_no_value_fresh(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A value ages by its arrival, too."""
    async with opened() as scene:
        message = f'{{"meter": {{"kw": -250}}, "t": {NOW_US + 300_000_000}}}'
        scene.link.deliver("bess/power", message)
        await trio.sleep(11)
        assert (await scene.reading("active_power_mw")).reasons is Reason.STALE


@pytest.mark.parametrize("time", ["0", '"yesterday"', "null", "99999999999"])
async def test_a_time_that_no_clock_has_is_none(
    time: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The moment of arrival stands in."""
    async with opened() as scene:
        scene.link.deliver("bess/power", f'{{"meter": {{"kw": 1}}, "t": {time}}}')
        assert (await scene.reading("active_power_mw")).quality is Quality.GOOD
        assert (await scene.device.read()).source_time_us is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("true", Reading("active_power_mw", 0.25)),
        ("64", Reading("active_power_mw", 0.25, Quality.UNCERTAIN)),
        ("null", Reading("active_power_mw", 0.25, Quality.UNCERTAIN)),
        ('"bad"', Reading("active_power_mw", None, Quality.BAD)),
    ],
)
async def test_the_device_may_say_how_good_its_value_is(
    said: str, expected: Reading, autojump_clock: trio.testing.MockClock
) -> None:
    """A bad one is not shown."""
    power, *others = OPTIONS.points
    points = (msgspec.structs.replace(power, quality="q"), *others)
    async with opened(msgspec.structs.replace(OPTIONS, points=points)) as scene:
        scene.link.deliver("bess/power", f'{{"meter": {{"kw": -250}}, "q": {said}}}')
        assert await scene.reading("active_power_mw") == expected


async def test_a_message_that_is_too_large_is_counted_and_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was known stays."""
    topic = Topic("bess/soc")
    topic.take(Message("bess/soc", b"55"))
    topic.take(Message("bess/soc", b" " * 1_000_000))
    assert (topic.oversized, topic.heard and topic.heard.document) == (1, 55)


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode) | st.from_type(float).map(
    lambda number: f'{{"meter": {{"kw": {number}}}}}'.encode()
))  # fmt: skip
def test_no_message_makes_a_good_value_out_of_range(payload: bytes) -> None:
    """Whatever comes, it neither raises nor becomes good-quality nonsense."""

    async def read() -> None:
        async with opened() as scene:
            for topic in ("bess/power", "bess/soc", "bess/state", "bess/setpoint"):
                scene.link.deliver(topic, payload)
            readings = await scene.device.read()
            for point, reading in zip(ASSET.points, readings.values, strict=True):
                if reading.quality is Quality.GOOD:
                    assert reading.value is not None
                    assert point.low <= reading.value <= point.high
                if reading.value is not None:
                    assert math.isfinite(reading.value)

    trio.run(read)


# ------------------------------------------------------------------ setpoints


def confirming(scene: Scene, *, repeats: int = 0) -> None:
    """The device puts in force what it is told, after some words of before."""

    def answer(publication: Publication) -> Iterable[tuple[str, bytes]]:
        assert publication.topic == "bess/command"
        yield from [("bess/setpoint", b'{"kw": 0}')] * repeats
        yield ("bess/setpoint", publication.payload)

    scene.link.answer = answer


async def test_a_setpoint_is_published_and_read_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """1.5 MW discharging, as the device counts; it is the point setpoint_mw, too."""
    async with opened() as scene:
        confirming(scene, repeats=2)
        assert await scene.device.write_setpoint(1.5) == 1.5
        command = Publication("bess/command", b'{"kw": -1500.0}')
        assert scene.link.published == [command]
        assert await scene.reading("setpoint_mw") == Reading("setpoint_mw", 1.5)


async def test_zero_has_no_sign(autojump_clock: trio.testing.MockClock) -> None:
    """A device may not know -0."""
    async with opened() as scene:
        confirming(scene)
        assert await scene.device.write_setpoint(0.0) == 0.0
        assert scene.link.published[0].payload == b'{"kw": 0.0}'


async def test_a_device_that_keeps_another_setpoint_is_told_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After the time for it, what it says is in force; the edge judges it."""
    async with opened() as scene:
        scene.link.answer = lambda _: [("bess/setpoint", b'{"kw": -700}')]
        began_s = trio.current_time()
        assert await scene.device.write_setpoint(1.5) == pytest.approx(0.7)
        assert trio.current_time() - began_s == 3.0


async def test_a_device_that_says_nothing_has_not_obeyed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nor has one whose last word is a retained message."""
    async with opened() as scene:
        scene.link.deliver("bess/setpoint", '{"kw": -1500}', retained=True)
        with pytest.raises(DeviceError, match=r"bess/setpoint: nothing of a setpoint within 3 s"):
            await scene.device.write_setpoint(1.5)


async def test_a_device_that_speaks_on_change_only_is_believed_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It has said a moment ago what it is told to do."""
    async with opened() as scene:
        scene.link.deliver("bess/setpoint", '{"kw": -1500}')
        assert await scene.device.write_setpoint(1.5) == 1.5


async def test_the_end_of_the_connection_ends_the_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """At once, and reads fail from then on."""
    async with opened() as scene, trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(DeviceError, match="the connection was lost"):
                await scene.device.write_setpoint(1.5)

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        scene.link.cut()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(DeviceError, match="the connection was lost"):
            await scene.device.read()


@pytest.mark.parametrize("power_mw", [math.nan, math.inf])
async def test_what_is_no_number_is_not_published(
    power_mw: float, autojump_clock: trio.testing.MockClock
) -> None:
    """No device hears of it."""
    async with opened() as scene:
        with pytest.raises(DeviceError, match="a setpoint is a number"):
            await scene.device.write_setpoint(power_mw)
        assert scene.link.published == []


async def test_a_device_without_a_command_topic_takes_no_setpoint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And says what is missing."""
    async with opened(msgspec.structs.replace(OPTIONS, setpoint=None)) as scene:
        with pytest.raises(DeviceError, match=r"no \[assets.options.json.setpoint\]"):
            await scene.device.write_setpoint(1.0)
