"""The mqtt adapter through a real broker, with paho-mqtt and the virtual node on its other side.

Real time: each wait is for an event, with a deadline.
"""

import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any, Self

import msgspec
import paho.mqtt.client as paho
import pytest
import trio
import trustme
from mqtt_broker import BrokerMissing, Lock, MqttBroker, run_broker
from paho.mqtt.enums import CallbackAPIVersion

from adapters import Device, DeviceError
from adapters.mqtt import MqttAdapter, MqttOptions, _sharing
from adapters.mqtt._link import Message
from adapters.mqtt._session import _Presence
from adapters.mqtt.sparkplug_payload import DataType, Metric, Payload, encode
from adapters.mqtt.sparkplug_topics import NodeId
from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from sim.field.sparkplug import SETPOINT, NodeFault, VirtualNode, metric_of, serve_sparkplug
from sim.options import SimulatedOptions
from sim.specs import default_spec

WITHIN_S = 8.0
NODE = NodeId("plant", "gateway-1")
HOST_ID = "mill-lane"
STATE_TOPIC = f"spBv1.0/STATE/{HOST_ID}"


@pytest.fixture(scope="module")
def broker() -> Iterator[MqttBroker]:
    """A broker for anybody; these tests leave it running and empty."""
    try:
        with run_broker() as server:
            yield server
    except BrokerMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def own_broker() -> Iterator[MqttBroker]:
    """A broker that the test may kill."""
    try:
        with run_broker() as server:
            yield server
    except BrokerMissing as error:
        pytest.skip(str(error))


class Peer:
    """Another MQTT client, with a library's thread of its own."""

    def __init__(self, port: int, *topics: str, will: str = "", will_payload: bytes = b"") -> None:
        self.heard: Queue[paho.MQTTMessage] = Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.answer: Callable[[paho.MQTTMessage], tuple[str, bytes] | None] = lambda _: None
        self.client.on_message = self._hear
        if will:
            self.client.will_set(will, will_payload, qos=1)
        subscribed: Queue[None] = Queue()
        self.client.on_subscribe = lambda *_: subscribed.put(None)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        for topic in topics:
            self.client.subscribe(topic, qos=1)
            subscribed.get(timeout=WITHIN_S)

    def say(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WITHIN_S)

    async def next(self) -> paho.MQTTMessage:
        return await trio.to_thread.run_sync(partial(self.heard.get, timeout=WITHIN_S))

    async def until(self, payload: Mapping[str, object]) -> None:
        """Wait for a JSON message that says this."""
        while not payload.items() <= json.loads((await self.next()).payload).items():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self) -> None:
        """Break the connection off without a word."""
        sock = self.client.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)

    def _hear(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.heard.put(message)
        if answer := self.answer(message):
            self.client.publish(*answer)


def asset(asset_id: str = "bess-1") -> AssetSpec:
    """A battery of 2 MW."""
    return default_spec(Kind.STORAGE, asset_id, asset_id)


def json_options(broker: MqttBroker, prefix: str, **more: object) -> MqttOptions:
    """A device that says its power in kW below a prefix."""
    return msgspec.convert(
        {
            "broker": {"host": "127.0.0.1", "port": broker.port, "timeout_s": 2.0, **more},
            "json": {
                "points": [
                    {
                        "point": "active_power_mw",
                        "topic": f"{prefix}/state",
                        "value": "kw",
                        "unit": "kW",
                    }
                ],
                "setpoint": {
                    "topic": f"{prefix}/command",
                    "template": '{"set": $value}',
                    "unit": "kW",
                    "state_topic": f"{prefix}/state",
                    "state_value": "set",
                },
            },
        },
        MqttOptions,
    )


def sparkplug_options(broker: MqttBroker) -> MqttOptions:
    """The battery behind the virtual node."""
    points = [point.name for point in asset().points if point.name != "setpoint_mw"]
    return msgspec.convert(
        {
            "broker": {"host": "127.0.0.1", "port": broker.port},
            "sparkplug": {
                "host_id": HOST_ID,
                "group": NODE.group,
                "node": NODE.node,
                "device": "bess-1",
                "points": [{"point": name, "metric": metric_of(name)} for name in points],
                "setpoint": {"metric": SETPOINT},
            },
        },
        MqttOptions,
    )


async def reading(
    device: Device, point: str, fits: Callable[[Reading], bool] = lambda _: True
) -> Reading:
    """The reading of a point, polled until it fits."""
    with trio.fail_after(WITHIN_S):
        while True:
            found = next(r for r in (await device.read()).values if r.point == point)
            if fits(found):
                return found
            await trio.sleep(0.02)


def is_good(found: Reading) -> bool:
    """Whether a reading is as it should be."""
    return found.quality is Quality.GOOD


def opened(options: MqttOptions, asset_id: str = "bess-1") -> Any:
    """The device of these options, by an adapter of its own, as the edge does it."""
    return MqttAdapter().open(asset(asset_id), options)


@asynccontextmanager
async def node_behind(broker: MqttBroker) -> AsyncIterator[VirtualNode]:
    """The virtual node, at work."""
    node = VirtualNode(NODE, [asset()], SimulatedOptions(), lambda: time.time_ns() // 1000)
    async with trio.open_nursery() as nursery:
        serve = partial(serve_sparkplug, node, port=broker.port, interval_s=0.05)
        await nursery.start(serve)
        yield node
        nursery.cancel_scope.cancel()


# ----------------------------------------------------------------------- JSON


async def test_values_and_setpoints_through_a_broker(broker: MqttBroker) -> None:
    """What paho publishes is read; what is written reaches it, and its answer is returned."""
    with Peer(broker.port, "one/command") as peer:
        async with opened(json_options(broker, "one")) as device:
            peer.say("one/state", '{"kw": 500, "set": 0}')
            assert (await reading(device, "active_power_mw", is_good)).value == 0.5
            peer.answer = lambda message: ("one/state", bytes(message.payload))
            assert await device.write_setpoint(-1.5) == -1.5
            command = await peer.next()
            assert json.loads(command.payload) == {"set": -1500}
            assert not command.retain


async def test_mosquittos_own_programs_on_the_other_side(broker: MqttBroker) -> None:
    """mosquitto_pub is read, mosquitto_sub hears the command."""
    if not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")):
        pytest.skip("mosquitto_pub and mosquitto_sub are not installed (apt: mosquitto-clients)")
    at = ["-h", "127.0.0.1", "-p", str(broker.port)]
    state = ["mosquitto_pub", *at, "-t", "shell/state", "-m", '{"kw": 250, "set": 0}']
    listen = ["mosquitto_sub", *at, "-t", "shell/command", "-C", "1", "-W", "8"]
    heard: list[bytes] = []

    async def hear() -> None:
        done = await trio.run_process(listen, capture_stdout=True)
        heard.append(done.stdout)

    async with opened(json_options(broker, "shell")) as device:
        await trio.run_process(state)
        assert (await reading(device, "active_power_mw", is_good)).value == 0.25
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            while not heard:  # until it has subscribed
                with trio.move_on_after(0.1):
                    await device.write_setpoint(1.0)
    assert json.loads(heard[0]) == {"set": 1000}


async def test_what_a_broker_kept_is_stale(broker: MqttBroker) -> None:
    """Nobody knows how long."""
    with Peer(broker.port) as peer:
        peer.say("two/state", '{"kw": 500}', retain=True)
        async with opened(json_options(broker, "two")) as device:
            found = await reading(device, "active_power_mw", lambda r: r.value is not None)
            assert found == Reading("active_power_mw", 0.5, Quality.UNCERTAIN, Reason.STALE)
        peer.say("two/state", "", retain=True)


async def test_devices_at_one_broker_share_a_connection(own_broker: MqttBroker) -> None:
    """And their topics, and each may leave when it likes."""
    with Peer(own_broker.port) as peer:
        async with AsyncExitStack() as stack:
            devices = []
            for number in range(20):
                options = json_options(own_broker, f"many/{number % 10}")
                devices.append(await stack.enter_async_context(opened(options, f"bess-{number}")))
            async with opened(json_options(own_broker, "many/0"), "first-to-leave"):
                pass
            for number in range(10):
                peer.say(f"many/{number}/state", f'{{"kw": {number}}}')
            for number, device in enumerate(devices):
                found = await reading(device, "active_power_mw", is_good)
                assert found.value == pytest.approx(number % 10 / 1000)
    if own_broker.name == "mosquitto":
        assert own_broker.log().count("New client connected") == 2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Tries a broker that was away again so soon."""
    monkeypatch.setattr(_sharing, "RETRY_AFTER_S", 0.05)
    return 0.05


async def test_a_killed_broker_is_noticed_and_found_again(
    own_broker: MqttBroker, impatient: float
) -> None:
    """Reads and writes fail at once, openings with a sentence, until it is back."""
    options = json_options(own_broker, "three")
    async with opened(options) as device:
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                with pytest.raises(DeviceError, match=r"connection was (lost|closed)"):
                    await device.write_setpoint(1.0)

            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked(0.05)
            own_broker.kill()
        with pytest.raises(DeviceError, match="connection was lost"):
            await device.read()
    for _ in range(2):
        await trio.sleep(impatient)
        with pytest.raises(DeviceError, match="refused"):
            async with opened(options):
                pass
    own_broker.start()
    await trio.sleep(impatient)
    with Peer(own_broker.port) as peer:
        async with opened(options) as device:
            peer.say("three/state", '{"kw": 1}')
            assert is_good(await reading(device, "active_power_mw", is_good))


async def test_a_broker_that_hangs_is_noticed(own_broker: MqttBroker) -> None:
    """By values that grow old, long before the keep-alive tells; no write hangs."""
    options = json_options(own_broker, "hung")
    assert options.json is not None
    brief = msgspec.structs.replace(options.json, stale_after_s=0.3)
    with Peer(own_broker.port) as peer:
        async with opened(msgspec.structs.replace(options, json=brief)) as device:
            peer.say("hung/state", '{"kw": 500}')
            await reading(device, "active_power_mw", is_good)
            own_broker.freeze()
            await reading(device, "active_power_mw", lambda r: r.reasons is Reason.STALE)
            own_broker.thaw()
            peer.say("hung/state", '{"kw": 500}')
            await reading(device, "active_power_mw", is_good)


async def test_a_listener_that_is_no_broker_is_given_up(impatient: float) -> None:
    """It takes the connection and says nothing; leaving while it is awaited is at once, too."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    options = msgspec.convert(
        {
            "broker": {"host": "127.0.0.1", "port": port, "timeout_s": 0.2},
            "json": {"points": [{"point": "soc_pct", "topic": "x"}]},
        },
        MqttOptions,
    )
    with pytest.raises(DeviceError, match="the broker does not answer"):
        async with opened(options):
            pass
    await trio.sleep(impatient)
    with trio.move_on_after(0.05) as scope:
        async with opened(options):
            pass
    assert scope.cancelled_caught
    await listeners[0].aclose()


# ------------------------------------------------------------------- security


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """Who signs for the broker and for us."""
    return trustme.CA()


async def test_tls_and_a_password_open_a_locked_broker(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right files and password do; others are refused, and no error shows the password."""
    served = ca.issue_cert("127.0.0.1")
    served.private_key_pem.write_to_path(tmp_path / "broker.key")
    served.cert_chain_pems[0].write_to_path(tmp_path / "broker.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other-ca.pem")
    ours = ca.issue_cert("edge.example")
    ours.private_key_pem.write_to_path(tmp_path / "edge.key")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "edge.pem")
    lock = Lock(
        tmp_path / "ca.pem", tmp_path / "broker.pem", tmp_path / "broker.key", "edge", "s3cret"
    )
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    monkeypatch.setenv("WRONG_PASSWORD", "guessed")
    tls = {
        "ca_file": str(tmp_path / "ca.pem"),
        "cert_file": str(tmp_path / "edge.pem"),
        "key_file": str(tmp_path / "edge.key"),
    }
    login = {"user": "edge", "password_env": "BROKER_PASSWORD"}
    refused: list[tuple[dict[str, object], str]] = [
        ({"tls": tls, "user": "edge", "password_env": "WRONG_PASSWORD"}, "(?i)not authori|user"),
        ({"tls": {**tls, "ca_file": str(tmp_path / "other-ca.pem")}, **login}, "(?i)certificate"),
        ({"tls": {**tls, "ca_file": str(tmp_path / "none.pem")}, **login}, "cannot be used"),
    ]
    try:
        with run_broker(lock) as server:
            if server.name == "mosquitto":  # amqtt does without our certificate
                refused.append(({"tls": {"ca_file": tls["ca_file"]}, **login}, "certificate"))
            for options, says in refused:
                with pytest.raises(DeviceError, match=says) as caught:
                    async with opened(json_options(server, "four", **options)):
                        pass
                assert "guessed" not in str(caught.value)
                assert "s3cret" not in str(caught.value)
            async with opened(json_options(server, "four", tls=tls, **login)) as device:
                await device.read()
    except BrokerMissing as error:
        pytest.skip(str(error))


# ------------------------------------------------------------------ Sparkplug


async def test_a_virtual_node_through_a_broker(broker: MqttBroker) -> None:
    """Birth on request, data, a setpoint, its echo, its death, its return."""
    async with opened(sparkplug_options(broker)) as device:
        assert (await reading(device, "soc_pct")).quality is Quality.BAD
        async with node_behind(broker):
            soc = await reading(device, "soc_pct", is_good)
            assert soc.value == pytest.approx(50.0, abs=0.01)
            with trio.fail_after(WITHIN_S):
                assert await device.write_setpoint(1.5) == 1.5
            await reading(device, "active_power_mw", lambda r: r.value == 1.5)
        lost = await reading(device, "soc_pct", lambda r: r.quality is Quality.BAD)
        assert lost.reasons == Reason.STALE | Reason.DEVICE_COMMS_LOST
        async with node_behind(broker):
            await reading(device, "soc_pct", is_good)


async def test_a_host_that_comes_late_asks_for_the_birth(broker: MqttBroker) -> None:
    """Births are not kept by the broker."""
    async with node_behind(broker) as node, opened(sparkplug_options(broker)) as device:
        assert is_good(await reading(device, "soc_pct", is_good))
        assert node.births == 2


async def test_a_garbling_node_is_doubted_and_asked(broker: MqttBroker) -> None:
    """And believed again after its next birth."""
    async with opened(sparkplug_options(broker)) as device, node_behind(broker) as node:
        await reading(device, "soc_pct", is_good)
        node.fault = NodeFault.GARBAGE
        await reading(device, "frequency_hz", lambda r: Reason.STALE in r.reasons)
        node.fault = NodeFault.NONE
        births = node.births
        await reading(device, "frequency_hz", is_good)
        assert node.births in {births, births + 1}


async def test_the_will_of_a_node_that_vanishes_is_its_death(broker: MqttBroker) -> None:
    """Its connection breaks without a word; the broker has its last one."""
    bd_seq = Metric(name="bdSeq", datatype=DataType.UINT64, field="long_value", value=3)
    soc = Metric(
        name=metric_of("soc_pct"), datatype=DataType.DOUBLE, field="double_value", value=77.0
    )
    death = encode(Payload(metrics=(bd_seq,)))
    topic = f"spBv1.0/{NODE.group}/{{}}/{NODE.node}"
    async with opened(sparkplug_options(broker)) as device:
        with Peer(broker.port, will=topic.format("NDEATH"), will_payload=death) as node:
            node.say(topic.format("NBIRTH"), encode(Payload(seq=0, metrics=(bd_seq,))))
            node.say(topic.format("DBIRTH") + "/bess-1", encode(Payload(seq=1, metrics=(soc,))))
            assert (await reading(device, "soc_pct", is_good)).value == 77.0
            node.vanish()
            await reading(device, "soc_pct", lambda r: r.quality is Quality.BAD)


async def test_the_host_says_that_it_is_there_and_that_it_goes(broker: MqttBroker) -> None:
    """STATE, kept by the broker; a late last word of an earlier connection is set right."""
    with Peer(broker.port, STATE_TOPIC) as peer:
        async with opened(sparkplug_options(broker)):
            await peer.until({"online": True})
            peer.say(STATE_TOPIC, '{"online": false, "timestamp": 1}', retain=True)
            await peer.until({"online": False, "timestamp": 1})
            await peer.until({"online": True})
        await peer.until({"online": False})
        peer.say(STATE_TOPIC, "", retain=True)


def test_two_hosts_of_one_name_do_not_argue() -> None:
    """Only the word that nobody is there is contradicted."""
    presence = _Presence(HOST_ID, 5_000)
    assert presence.take(Message(STATE_TOPIC, b'{"online":false,"timestamp":5}')) == (
        presence.online,
    )
    for other in (b'{"online":true,"timestamp":9}', b"", b"OFFLINE", b"\xff"):
        assert presence.take(Message(STATE_TOPIC, other)) == ()
