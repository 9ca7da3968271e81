"""A device that publishes JSON: each point is a place in the newest message of a topic."""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import Final

import trio

from adapters import DeviceError, Readings
from adapters._judging import reading_of, refused, stale
from adapters.mqtt._documents import Pointer, document_of, quality_of, time_us_of
from adapters.mqtt._link import Link, Message, Publication, Sink
from adapters.mqtt._options import PLACE, JsonOptions, TopicMap, TopicSetpoint
from adapters.mqtt._waiting import confirmed
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.latest import plausible_time
from dercp.model.quality import Quality
from dercp.model.reading import Reading

__all__ = ["JsonDevice", "SettableJsonDevice", "Topic", "open_json"]

SETPOINT: Final = "setpoint_mw"


class _Heard:
    """One message; looked into when somebody asks, and then once."""

    def __init__(self, payload: bytes, at_s: float | None) -> None:
        self.at_s = at_s
        self._payload = payload

    @cached_property
    def document(self) -> object:
        return document_of(self._payload)


class Topic(Sink):
    """The newest message of a topic; `heard` is None before the first."""

    def __init__(self, topic_filter: str) -> None:
        super().__init__(topic_filter)
        self.heard: _Heard | None = None

    def _receive(self, message: Message) -> Sequence[Publication]:
        """A retained message is of unknown age, and takes no place from one that is not."""
        if not message.is_retained:
            self.heard = _Heard(message.payload, trio.current_time())
        elif self.heard is None or self.heard.at_s is None:
            self.heard = _Heard(message.payload, None)
        return ()


class _Place:
    """Where one point is read, and how good that is now."""

    def __init__(self, point: TopicMap, topic: Topic) -> None:
        self.point = point
        self.topic = topic
        self._value = Pointer.parse(point.value)
        self._timestamp = None if point.timestamp is None else Pointer.parse(point.timestamp)
        self._quality = None if point.quality is None else Pointer.parse(point.quality)

    @property
    def value(self) -> float | None:
        """The value in the point's unit, whatever it is worth."""
        heard = self.topic.heard
        return None if heard is None else self.point.of(self._value.look_up(heard.document))

    def time_us(self, now_us: int) -> int | None:
        """The time that the message carries, if a working clock could have written it."""
        heard = self.topic.heard
        if heard is None or self._timestamp is None:
            return None
        time_us = time_us_of(self._timestamp.look_up(heard.document))
        return None if time_us is None or plausible_time(time_us, now_us) else time_us

    def age_s(self, now_s: float, now_us: int) -> float:
        """How old the value is, at least; infinite where nobody knows."""
        heard, time_us = self.topic.heard, self.time_us(now_us)
        ages = [] if time_us is None else [(now_us - time_us) / 1e6]
        if heard is not None and heard.at_s is not None:
            ages.append(now_s - heard.at_s)
        return max(ages, default=math.inf)

    @property
    def quality(self) -> Quality:
        """What the device says of it."""
        heard = self.topic.heard
        if heard is None or self._quality is None:
            return Quality.GOOD
        return quality_of(self._quality.look_up(heard.document))


class JsonDevice:
    """A device that is listened to, and takes no setpoint."""

    def __init__(
        self,
        asset: AssetSpec,
        options: JsonOptions,
        link: Link,
        topics: Mapping[str, Topic],
        clock_us: Callable[[], int],
    ) -> None:
        self._asset = asset
        self._options = options
        self._link = link
        self._clock_us = clock_us
        self._places = {point.point: _Place(point, topics[point.topic]) for point in _maps(options)}

    async def read(self) -> Readings:
        """All points of the asset, in its order, as they were last heard.

        Raises:
            DeviceError: The broker is away.
        """
        await trio.lowlevel.checkpoint()
        self._link.check()
        now_s, now_us = trio.current_time(), self._clock_us()
        times = (place.time_us(now_us) for place in self._places.values())
        return Readings(
            [self._reading(point, now_s, now_us) for point in self._asset.points],
            max((time_us for time_us in times if time_us is not None), default=None),
        )

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Refuse it.

        Raises:
            DeviceError: Always.
        """
        await trio.lowlevel.checkpoint()
        raise DeviceError(
            f"{self._asset.asset_id}: takes no setpoint (its options have no "
            "[assets.options.json.setpoint])"
        )

    def _reading(self, point: PointSpec, now_s: float, now_us: int) -> Reading:
        place = self._places.get(point.name)
        if place is None:
            return reading_of(point, None, self._asset)
        if place.topic.heard is None:
            return refused(point)
        if place.quality is Quality.BAD:
            return Reading(point.name, None, Quality.BAD)
        reading = reading_of(point, place.value, self._asset)
        if place.quality is Quality.UNCERTAIN and reading.quality is Quality.GOOD:
            reading = Reading(point.name, reading.value, Quality.UNCERTAIN)
        is_old = place.age_s(now_s, now_us) > self._options.stale_after_s
        return stale(reading) if is_old else reading


class SettableJsonDevice(JsonDevice):
    """A device that takes a setpoint, and says which one is in force."""

    def __init__(
        self,
        asset: AssetSpec,
        options: JsonOptions,
        link: Link,
        topics: Mapping[str, Topic],
        clock_us: Callable[[], int],
        setpoint: TopicSetpoint,
    ) -> None:
        super().__init__(asset, options, link, topics, clock_us)
        self._setpoint = setpoint
        self._state = _Place(setpoint.state, topics[setpoint.state_topic])

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Publish a power and return what the device then says is in force.

        Raises:
            DeviceError: The broker did not take it, or the device says nothing.
        """
        setpoint, topic = self._setpoint, self._state.topic
        if not math.isfinite(active_power_mw):
            raise DeviceError(f"a setpoint is a number, not {active_power_mw}")
        before = topic.heard
        # Plus 0.0: there is no -0.
        number = round(setpoint.number_for(active_power_mw), setpoint.decimals) + 0.0
        command = setpoint.template.replace(PLACE, f"{number:.{setpoint.decimals}f}")
        await self._link.publish(Publication(setpoint.topic, command.encode()))

        def state_mw() -> float | None:
            return None if topic.heard is before else self._state.value

        found_mw = await confirmed(
            active_power_mw, state_mw, topic, self._link, setpoint.within_s, self._asset
        )
        if found_mw is None and self._is_fresh():
            found_mw = self._state.value  # said before, and nothing else since
        if found_mw is None:
            raise DeviceError(
                f"{setpoint.state_topic}: nothing of a setpoint within {setpoint.within_s:g} s"
            )
        return found_mw

    def _is_fresh(self) -> bool:
        age_s = self._state.age_s(trio.current_time(), self._clock_us())
        return age_s <= self._options.stale_after_s


@asynccontextmanager
async def open_json(
    asset: AssetSpec, options: JsonOptions, link: Link, clock_us: Callable[[], int]
) -> AsyncIterator[JsonDevice]:
    """Subscribe to what the device says.

    Raises:
        DeviceError: The broker does not allow it.
    """
    async with AsyncExitStack() as stack:
        names = {point.topic for point in _maps(options)}
        if options.setpoint is not None:
            names.add(options.setpoint.state_topic)
        topics = {name: await stack.enter_async_context(link.attach(name, Topic)) for name in names}
        if options.setpoint is None:
            yield JsonDevice(asset, options, link, topics, clock_us)
        else:
            yield SettableJsonDevice(asset, options, link, topics, clock_us, options.setpoint)


def _maps(options: JsonOptions) -> Sequence[TopicMap]:
    """The places of the points; what is in force is read where it is read back."""
    maps = list(options.points)
    mapped = {point.point for point in maps}
    if options.setpoint is not None and SETPOINT not in mapped:
        maps.append(options.setpoint.state)
    return maps
