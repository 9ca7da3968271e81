"""A broker that dies and a node that garbles affect their own assets: an agent with a third one."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from statistics import median

import msgspec
import paho.mqtt.client as paho
import pytest
import trio
import trio.testing
from mqtt_broker import BrokerMissing, MqttBroker, run_broker
from paho.mqtt.enums import CallbackAPIVersion

from adapters import Device, Readings
from adapters.mqtt import MqttAdapter, MqttOptions
from adapters.mqtt.sparkplug_topics import NodeId
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.model.asset import AssetSpec, standard_point
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.points import Kind
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from sim.field.sparkplug import NodeFault, VirtualNode, metric_of, serve_sparkplug
from sim.options import SimulatedOptions

PERIOD_S = 0.1
NODE = NodeId("plant", "gateway-1")
UNKNOWN = Reading("active_power_mw", None, Quality.BAD)


class Watched(MqttAdapter):
    """The adapter, noting when its devices are polled and what they said."""

    def __init__(self) -> None:
        super().__init__()
        self.polled_s: list[float] = []
        self.qualities: set[Quality] = set()

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: MqttOptions) -> AsyncIterator[Device]:
        """Open the device, and put a watch on reading."""
        async with super().open(asset, options) as device:
            read = device.read

            async def watched_read() -> Readings:
                self.polled_s.append(trio.current_time())
                readings = await read()
                self.qualities.add(readings.values[0].quality)
                return readings

            device.read = watched_read  # type: ignore[method-assign]  # the watch
            yield device


def spec(asset_id: str) -> AssetSpec:
    """A battery that says its power only."""
    return AssetSpec(
        asset_id=asset_id,
        name=asset_id,
        kind=Kind.STORAGE,
        p_min_mw=-2.0,
        p_max_mw=2.0,
        sample_interval_s=PERIOD_S,
        points=(standard_point("active_power_mw"),),
    )


def config_of(
    asset_id: str, broker: MqttBroker, adapter: MqttAdapter, **way: object
) -> AssetConfig:
    """An asset behind that broker, by JSON unless it says otherwise."""
    topic = {"point": "active_power_mw", "topic": asset_id, "value": "mw"}
    way = way or {"json": {"points": [topic], "stale_after_s": 1.0}}
    nameplate = Bounds(-2.0, 2.0)
    return AssetConfig(
        spec=spec(asset_id),
        guardrails=Guardrails(nameplate, nameplate),
        adapter_name="mqtt",
        adapter=adapter,
        options=msgspec.convert(
            {"broker": {"host": "127.0.0.1", "port": broker.port}, **way}, MqttOptions
        ),
    )


async def speak(broker: MqttBroker, topic: str) -> None:
    """A device that publishes its power, whenever the broker is there."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    try:
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        while True:
            client.publish(topic, json.dumps({"mw": 1.0}))
            await trio.sleep(PERIOD_S / 2)
    finally:
        client.disconnect()
        client.loop_stop()


async def test_a_broker_that_dies_and_a_node_that_garbles_leave_the_neighbour_alone() -> None:
    """Theirs goes bad or uncertain, and comes back good; its values and its period stay."""
    try:
        with run_broker() as mortal, run_broker() as shared:
            await tell_the_story(mortal, shared)
    except BrokerMissing as error:
        pytest.skip(str(error))


async def tell_the_story(mortal: MqttBroker, shared: MqttBroker) -> None:
    """What the test says."""
    well = Watched()
    metric = {"point": "active_power_mw", "metric": metric_of("active_power_mw")}
    sparkplug = {
        "host_id": "edge-1",
        "group": NODE.group,
        "node": NODE.node,
        "device": "garbled",
        "points": [metric],
    }
    config = Config(
        agent_id="edge-1",
        data_dir=None,
        headend=Headend("127.0.0.1", 1, None),  # nobody there
        site_id="site-1",
        site_name="",
        assets=(
            config_of("killed", mortal, MqttAdapter()),
            config_of("garbled", shared, MqttAdapter(), sparkplug=sparkplug),
            config_of("well", shared, well),
        ),
    )
    node = VirtualNode(NODE, [spec("garbled")], SimulatedOptions(), lambda: time.time_ns() // 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak, mortal, "killed")
        nursery.start_soon(speak, shared, "well")
        await nursery.start(partial(serve_sparkplug, node, port=shared.port, interval_s=PERIOD_S))
        agent: Agent = await nursery.start(partial(run_agent, config, clock=lambda: 0, seed=1))

        async def until(asset_id: str, fits: Callable[[Reading], bool]) -> None:
            while not fits(  # noqa: ASYNC110  # readings ring no bell
                next(iter(agent._memories[asset_id].readings), UNKNOWN)
            ):
                await trio.sleep(PERIOD_S / 2)

        with trio.fail_after(15):
            for asset_id in ("killed", "garbled", "well"):
                await until(asset_id, lambda reading: reading.quality is Quality.GOOD)
            well.polled_s.clear()
            well.qualities.clear()
            await trio.to_thread.run_sync(mortal.kill)
            node.fault = NodeFault.GARBAGE
            await until("killed", lambda reading: reading.quality is Quality.BAD)
            await until("garbled", lambda reading: reading.quality is not Quality.GOOD)
            await trio.to_thread.run_sync(mortal.start)
            node.fault = NodeFault.NONE
            for asset_id in ("killed", "garbled"):
                await until(asset_id, lambda reading: reading.quality is Quality.GOOD)
        nursery.cancel_scope.cancel()
    assert well.qualities == {Quality.GOOD}
    gaps = [after - before for before, after in pairwise(well.polled_s)]
    assert median(gaps) == pytest.approx(PERIOD_S, rel=0.2)
    assert max(gaps) < 0.5
