"""A device of a Sparkplug edge node, or the node itself: its points are metrics."""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
import trio

from adapters import DeviceError, Readings
from adapters._judging import reading_of, refused, stale
from adapters.mqtt._link import Link, Message, Publication, Sink, is_round
from adapters.mqtt._options import MetricMap, MetricSetpoint, SparkplugOptions
from adapters.mqtt._waiting import confirmed
from adapters.mqtt.sparkplug_host import EdgeNode, Held, NodeStatistics, Oddity, Standing
from adapters.mqtt.sparkplug_payload import DataType, Metric, Payload, encode
from adapters.mqtt.sparkplug_topics import Address, NodeId
from adapters.mqtt.sparkplug_values import WrongTypeError, metric_with
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading

__all__ = ["NodeWatch", "SettableSparkplugDevice", "SparkplugDevice", "open_sparkplug"]

SETPOINT: Final = "setpoint_mw"
_REBIRTH: Final = "Node Control/Rebirth"
_UNCERTAIN_FROM: Final = 64
_GOOD: Final = 192
_STALE: Final = 500

log = structlog.get_logger()


class NodeWatch(Sink):
    """Hears an edge node for all of its devices that are assets."""

    def __init__(self, topic_filter: str) -> None:
        super().__init__(topic_filter)
        self.node = EdgeNode()
        self._told: Mapping[Oddity, int] = {}

    def _receive(self, message: Message) -> Sequence[Publication]:
        address = Address.parse(message.topic)
        if address is None:
            return ()  # a command, our own or another host's
        now_s = trio.current_time()
        if message.is_retained:
            self.node.refuse_retained()
        else:
            self.node.receive(address.kind, address.device, message.payload, now_s)
        self._tell(message.topic)
        return self.requests(address.node)

    def requests(self, node: NodeId) -> Sequence[Publication]:
        """What the node must be asked now."""
        if not self.node.take_request(trio.current_time()):
            return ()
        rebirth = Metric(
            name=_REBIRTH, datatype=DataType.BOOLEAN, field="boolean_value", value=True
        )
        return (Publication(node.command_topic(None), encode(Payload(metrics=(rebirth,)))),)

    def _tell(self, topic: str) -> None:
        """Log what was odd about the last message."""
        if self.node.oddities != self._told:
            for oddity, count in self.node.oddities.items():
                if count != self._told.get(oddity) and is_round(count):
                    log.warning("sparkplug_oddity", topic=topic, what=oddity, count=count)
            self._told = dict(self.node.oddities)


class SparkplugDevice:
    """A device that is listened to, and takes no setpoint."""

    def __init__(
        self,
        asset: AssetSpec,
        options: SparkplugOptions,
        link: Link,
        watch: NodeWatch,
        clock_us: Callable[[], int],
    ) -> None:
        self._asset = asset
        self._options = options
        self._link = link
        self._watch = watch
        self._clock_us = clock_us
        self._node_id = NodeId(options.group, options.node)
        self._maps = {point.point: point for point in options.points}
        if options.setpoint is not None:
            self._maps.setdefault(SETPOINT, options.setpoint.state)

    async def read(self) -> Readings:
        """All points of the asset, in its order.

        They bear the time of the poll: a metric that is not mentioned is as it was.

        Raises:
            DeviceError: The broker is away.
        """
        await trio.lowlevel.checkpoint()
        self._link.check()
        for request in self._watch.requests(self._node_id):
            await self._link.publish(request)
        return Readings([self._reading(point) for point in self._asset.points])

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Refuse it.

        Raises:
            DeviceError: Always.
        """
        await trio.lowlevel.checkpoint()
        raise DeviceError(
            f"{self._asset.asset_id}: takes no setpoint (its options have no "
            "[assets.options.sparkplug.setpoint])"
        )

    def statistics(self) -> NodeStatistics:
        """How it went with the node."""
        return self._watch.node.statistics()

    def _held(self, name: str) -> Held | None:
        return self._watch.node.held(self._options.device, name)

    def _reading(self, point: PointSpec) -> Reading:
        place = self._maps.get(point.name)
        if place is None:
            return reading_of(point, None, self._asset)
        held = self._held(place.metric)
        node, device = self._watch.node, self._options.device
        match node.standing(device):
            case Standing.ALIVE if held is not None:
                return self._judged(point, place, held)
            case Standing.DEAD:
                lost = Reason.STALE | Reason.DEVICE_COMMS_LOST
                return Reading(point.name, None, Quality.BAD, lost)
            case _:
                return refused(point)

    def _is_current(self, held: Held) -> bool:
        """Whether nothing was missed since, and the device still speaks."""
        heard_at_s = self._watch.node.heard_at_s(self._options.device)
        silent_s = math.inf if heard_at_s is None else trio.current_time() - heard_at_s
        return not held.is_doubtful and silent_s <= self._options.stale_after_s

    def _judged(self, point: PointSpec, place: MetricMap, held: Held) -> Reading:
        if held.quality < _UNCERTAIN_FROM:
            return Reading(point.name, None, Quality.BAD)
        reading = reading_of(point, place.of(held.value), self._asset)
        if held.quality == _STALE or not self._is_current(held):
            return stale(reading)
        if held.quality < _GOOD and reading.quality is Quality.GOOD:
            return Reading(point.name, reading.value, Quality.UNCERTAIN)
        return reading


class SettableSparkplugDevice(SparkplugDevice):
    """A device with a metric that takes a setpoint, and says which one is in force."""

    def __init__(
        self,
        asset: AssetSpec,
        options: SparkplugOptions,
        link: Link,
        watch: NodeWatch,
        clock_us: Callable[[], int],
        setpoint: MetricSetpoint,
    ) -> None:
        super().__init__(asset, options, link, watch, clock_us)
        self._setpoint = setpoint
        self._state = setpoint.state

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Command a power and return what the device then says is in force.

        Raises:
            DeviceError: The device is not there, its metric cannot take this, or says nothing.
        """
        await self._wait_birth()
        before = self._alive()
        await self._link.publish(self._command(active_power_mw))

        def state_mw() -> float | None:
            held = self._alive()
            return None if held is before else self._state.of(held.value)

        found_mw = await confirmed(
            active_power_mw, state_mw, self._watch, self._link, self._setpoint.within_s, self._asset
        )
        if found_mw is None and self._is_current(held := self._alive()):
            # It reports by exception: what it has said before is what is in force.
            found_mw = self._state.of(held.value)
        if found_mw is None:
            within_s = self._setpoint.within_s
            raise DeviceError(f"{self._name}: no {self._state.metric} within {within_s:g} s")
        return found_mw

    async def _wait_birth(self) -> None:
        """A fallback is written right after opening, when nothing was heard yet: ask, and wait."""
        node, device = self._watch.node, self._options.device
        with trio.move_on_after(self._setpoint.within_s):
            for request in self._watch.requests(self._node_id):
                await self._link.publish(request)
            while node.standing(device) is Standing.UNKNOWN:
                self._link.check()
                await self._watch.wait_news()

    @property
    def _name(self) -> str:
        node, device = self._options.node, self._options.device
        return node if device is None else f"{node}/{device}"

    def _alive(self) -> Held:
        """What is held of the read-back.

        Raises:
            DeviceError: The device is not there, or lacks it.
        """
        standing = self._watch.node.standing(self._options.device)
        if standing is not Standing.ALIVE:
            raise DeviceError(f"{self._name}: the device is {standing}")
        held = self._held(self._state.metric)
        if held is None:
            raise DeviceError(f"{self._name}: was born without the metric {self._state.metric}")
        return held

    def _command(self, active_power_mw: float) -> Publication:
        held = self._held(self._setpoint.metric)
        if held is None:
            raise DeviceError(f"{self._name}: was born without the metric {self._setpoint.metric}")
        try:
            metric = metric_with(self._setpoint.number_for(active_power_mw), held.datatype)
        except WrongTypeError as error:
            raise DeviceError(f"{self._name}: {self._setpoint.metric}: {error}") from None
        now_ms = self._clock_us() // 1000
        # A metric that has an alias is called by it alone.
        metric = msgspec.structs.replace(
            metric,
            name=self._setpoint.metric if held.alias is None else "",
            alias=held.alias,
            timestamp_ms=now_ms,
        )
        return Publication(
            self._node_id.command_topic(self._options.device),
            encode(Payload(timestamp_ms=now_ms, metrics=(metric,))),
        )


@asynccontextmanager
async def open_sparkplug(
    asset: AssetSpec, options: SparkplugOptions, link: Link, clock_us: Callable[[], int]
) -> AsyncIterator[SparkplugDevice]:
    """Listen to the device's edge node.

    Raises:
        DeviceError: The broker does not allow it.
    """
    node_id = NodeId(options.group, options.node)
    async with link.attach(node_id.topic_filter, NodeWatch) as watch:
        if options.setpoint is None:
            yield SparkplugDevice(asset, options, link, watch, clock_us)
        else:
            yield SettableSparkplugDevice(asset, options, link, watch, clock_us, options.setpoint)
