"""A virtual Sparkplug B edge node: the physics of `sim` behind births, data and deaths.

`VirtualNode` is the node without a network: what it would publish, and what it does with what
it is told. `serve_sparkplug` puts it behind a broker.
"""

import asyncio  # noqa: TID251  # what is done inside of the bridge
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Final

import aiomqtt
import msgspec
import trio

from adapters._bridge import open_bridge
from adapters.mqtt.sparkplug_host import Kind
from adapters.mqtt.sparkplug_payload import DataType, Metric, Payload, PayloadError, decode, encode
from adapters.mqtt.sparkplug_topics import Address, NodeId
from dercp.model.asset import AssetSpec
from sim.field.machine import machine_for
from sim.options import SimulatedOptions

__all__ = ["SETPOINT", "NodeFault", "Sent", "VirtualNode", "metric_of", "serve_sparkplug"]

SETPOINT: Final = "Controls/SetpointMW"
_REBIRTH: Final = "Node Control/Rebirth"
_BD_SEQ: Final = "bdSeq"
_SEQUENCES: Final = 256
_SETPOINT_POINT: Final = "setpoint_mw"


class NodeFault(StrEnum):
    """What can be wrong with a node."""

    NONE = "none"
    SKIPPED = "skipped"  # every other message is lost on the way
    WRONG_TYPE = "wrong_type"
    NULL = "null"
    FROZEN = "frozen"  # it goes on saying what it said
    GARBAGE = "garbage"  # the ends of its messages are missing
    SILENT = "silent"  # it says nothing more, and nobody tells that it died


class Sent(msgspec.Struct, frozen=True):
    """A message that the node publishes."""

    topic: str
    payload: bytes
    qos: int = 0


def metric_of(point: str) -> str:
    """The name of the metric that is a point."""
    return SETPOINT if point == _SETPOINT_POINT else f"Measurements/{point}"


class VirtualNode:
    """An edge node with a device for each asset; it reports by exception.

    Characteristics:
        Values: doubles in the units of the points, null where there is none. The setpoint is a
            metric, too.
        Aliases: after its birth a metric is called by its alias alone.

    Attributes:
        fault: What is wrong with it now; a test, or a demo, sets it.
        births: How often it was born.
    """

    def __init__(
        self,
        node_id: NodeId,
        assets: Iterable[AssetSpec],
        options: SimulatedOptions,
        clock_us: Callable[[], int],
    ) -> None:
        self.fault = NodeFault.NONE
        self.births = 0
        self.node_id = node_id
        self._clock_us = clock_us
        self._devices = {asset.asset_id: _Device(asset, options) for asset in assets}
        self._bd_seq = -1
        self._sequence = 0
        self._lost = 0
        self._reported_under = NodeFault.NONE

    def will(self) -> Sent:
        """What the broker shall say when the node is gone; each connection has its own."""
        self._bd_seq += 1
        death = Payload(timestamp_ms=self._now_ms, metrics=(self._bd_seq_metric(),))
        return Sent(Address(Kind.NODE_DEATH, self.node_id, None).topic, encode(death), qos=1)

    def be_born(self) -> Sequence[Sent]:
        """The births of the node and its devices."""
        self.births += 1
        self._sequence = -1
        rebirth = Metric(
            name=_REBIRTH, datatype=DataType.BOOLEAN, field="boolean_value", value=False
        )
        births = [self._sent(Kind.NODE_BIRTH, None, (self._bd_seq_metric(), rebirth))]
        births += [
            self._sent(Kind.DEVICE_BIRTH, name, device.all_metrics())
            for name, device in self._devices.items()
        ]
        return self._through(births)

    def report(self) -> Sequence[Sent]:
        """What has changed, a message for each device."""
        if self.fault is NodeFault.SILENT:
            return ()
        if self.fault is not self._reported_under:
            # What was said wrongly is said again, as what was said rightly.
            for device in self._devices.values():
                device.forget()
            self._reported_under = self.fault
        data = []
        for name, device in self._devices.items():
            metrics = device.changed_metrics(is_frozen=self.fault is NodeFault.FROZEN)
            if metrics:
                garbled = tuple(map(self._garbled, metrics))
                data.append(self._sent(Kind.DEVICE_DATA, name, garbled))
        return self._through(data)

    def obey(self, topic: str, payload: bytes) -> Sequence[Sent]:
        """Do what a command says, and answer."""
        if self.fault is NodeFault.SILENT:
            return ()
        try:
            metrics = decode(payload).metrics
        except PayloadError:
            return ()
        if topic == self.node_id.command_topic(None):
            return self.be_born() if any(m.name == _REBIRTH and m.value for m in metrics) else ()
        for name, device in self._devices.items():
            if topic == self.node_id.command_topic(name):
                for metric in metrics:
                    device.obey(metric)
                return self.report()
        return ()

    def kill_device(self, name: str) -> Sequence[Sent]:
        """Say that a device is gone."""
        return [self._sent(Kind.DEVICE_DEATH, name, ())]

    # ------------------------------------------------------------------ messages

    @property
    def _now_ms(self) -> int:
        return self._clock_us() // 1000

    def _bd_seq_metric(self) -> Metric:
        return Metric(
            name=_BD_SEQ,
            datatype=DataType.INT64,
            field="long_value",
            value=self._bd_seq % _SEQUENCES,
        )

    def _sent(self, kind: Kind, device: str | None, metrics: Sequence[Metric]) -> Sent:
        self._sequence = (self._sequence + 1) % _SEQUENCES
        now_ms = self._now_ms
        stamped = tuple(msgspec.structs.replace(m, timestamp_ms=now_ms) for m in metrics)
        payload = encode(Payload(timestamp_ms=now_ms, seq=self._sequence, metrics=stamped))
        return Sent(Address(kind, self.node_id, device).topic, payload)

    def _garbled(self, metric: Metric) -> Metric:
        match self.fault:
            case NodeFault.WRONG_TYPE:
                return msgspec.structs.replace(metric, field="string_value", value="12.5")
            case NodeFault.NULL:
                return msgspec.structs.replace(metric, field="", value=None, is_null=True)
        return metric

    def _through(self, messages: Sequence[Sent]) -> Sequence[Sent]:
        """What of it reaches the broker, and how."""
        match self.fault:
            case NodeFault.GARBAGE:
                return [Sent(m.topic, m.payload[:-3], m.qos) for m in messages]
            case NodeFault.SKIPPED:
                self._lost += len(messages)
                return [m for n, m in enumerate(messages, self._lost) if n % 2]
        return messages


class _Device:
    """One machine behind the node, and what was said of it last."""

    def __init__(self, asset: AssetSpec, options: SimulatedOptions) -> None:
        self._points = tuple(point.name for point in asset.points)
        self._aliases = dict(enumerate(self._points, 1))
        self._said: Mapping[str, float | None] = {}
        self._began_s = trio.current_time()
        self._plant = machine_for(asset, options)

    def all_metrics(self) -> Sequence[Metric]:
        """Every metric, with name, alias and type."""
        self._said = self._values()
        return [
            msgspec.structs.replace(
                _double(self._said[name]), name=metric_of(name), alias=alias, datatype=_DOUBLE
            )
            for alias, name in self._aliases.items()
        ]

    def changed_metrics(self, *, is_frozen: bool) -> Sequence[Metric]:
        """Those that have changed since; all that were said last, of a frozen one."""
        before, now = self._said, self._values()
        if is_frozen and before:
            now = before
        self._said = now
        return [
            msgspec.structs.replace(_double(now[name]), alias=alias)
            for alias, name in self._aliases.items()
            if is_frozen or name not in before or now[name] != before[name]
        ]

    def forget(self) -> None:
        """Nothing was said yet."""
        self._said = {}

    def obey(self, metric: Metric) -> None:
        """Take a setpoint; other metrics are not commanded."""
        name = metric.name or metric_of(self._aliases.get(metric.alias or 0, ""))
        if name != SETPOINT:
            return
        if isinstance(metric.value, float) and math.isfinite(metric.value):
            self._plant.set(metric.value, self._now_s())
        elif metric.is_null:
            self._plant.release(self._now_s())

    def _now_s(self) -> float:
        return trio.current_time() - self._began_s

    def _values(self) -> Mapping[str, float | None]:
        self._plant.advance(self._now_s())
        values = self._plant.values()
        return {name: values.get(name) for name in self._points}


_DOUBLE: Final = int(DataType.DOUBLE)


def _double(value: float | None) -> Metric:
    if value is None:
        return Metric(is_null=True)
    return Metric(field="double_value", value=float(value))


async def serve_sparkplug(
    node: VirtualNode,
    *,
    host: str = "127.0.0.1",
    port: int = 1883,
    interval_s: float = 1.0,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Put the node behind a broker, until cancelled or cut off; it has started when it is born.

    When it is cancelled it says its death itself.

    Raises:
        OSError: The broker is not there, or went away.
    """
    async with open_bridge(f"sparkplug node {node.node_id.node}") as bridge:
        try:
            await bridge.run(_converse, node, host, port, interval_s, task_status.started)
        except aiomqtt.MqttError as error:
            raise ConnectionError(str(error)) from error


async def _converse(
    node: VirtualNode, host: str, port: int, interval_s: float, started: Callable[[], None]
) -> None:
    will = node.will()
    async with aiomqtt.Client(
        host, port, will=aiomqtt.Will(will.topic, will.payload, qos=will.qos)
    ) as client:
        # Messages go out in the order of their numbers.
        turn = asyncio.Lock()

        async def publish(say: Callable[[], Iterable[Sent]]) -> None:
            async with turn:
                for message in say():
                    await client.publish(message.topic, message.payload, qos=message.qos)

        async def report() -> None:
            while True:
                await asyncio.sleep(interval_s)
                await publish(node.report)

        for topic in (node.node_id.command_topic(None), node.node_id.command_topic("+")):
            await client.subscribe(topic, qos=1)
        await publish(node.be_born)
        started()
        reporting = asyncio.create_task(report())
        try:
            async for message in client.messages:
                await publish(partial(node.obey, str(message.topic), message.payload))
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await reporting
            with suppress(aiomqtt.MqttError):
                await publish(lambda: [will])
