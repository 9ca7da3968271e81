"""One connection to a broker, kept in asyncio's world by aiomqtt."""

import asyncio  # noqa: TID251  # what is done inside of the bridge
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import aiomqtt
import msgspec
import trio

from adapters import DeviceError
from adapters._bridge import Bridge, open_bridge
from adapters.mqtt._documents import Pointer, document_of
from adapters.mqtt._link import Message, Publication, Sink, SinkT
from adapters.mqtt._options import BrokerOptions, TlsOptions
from adapters.mqtt.sparkplug_topics import filter_of, state_topic

__all__ = ["Session"]

# What comes faster than it is looked at pushes out the oldest.
INCOMING_MAX: Final = 5_000
OUTGOING_MAX: Final = 1_000
PUBLISH_WITHIN_S: Final = 1.0
GOODBYE_WITHIN_S: Final = 1.0
# Births must not be lost on the way to us.
SUBSCRIBE_QOS: Final = 1

# Each failure is told by an error of ours. Without a handler they would go to stderr.
_LOGGER: Final = logging.getLogger("adapters.mqtt.aiomqtt")
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False

T = TypeVar("T")


class _Seat:
    """A sink, and how many devices look at it."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.users = 0


class _Line(msgspec.Struct, frozen=True):
    """What an open connection consists of."""

    bridge: Bridge
    client: aiomqtt.Client


class Session:
    """One connection, from `run` to its end; a lost one is not taken up again.

    Characteristics:
        Session: always a clean one. What a broker kept for a client that was away would come
            as if it were said now.
        Bound: `INCOMING_MAX` messages not looked at, the oldest give way; Sparkplug notices by
            its sequence numbers.
        Presence: with a `host_id` it says by STATE that a Sparkplug host is there, and leaves
            word with the broker that says the opposite should it vanish.

    Attributes:
        settled: Set when it stands, or has failed.
        ended: Set at its end.
    """

    def __init__(
        self, broker: BrokerOptions, host_id: str | None, clock_us: Callable[[], int]
    ) -> None:
        self.settled = trio.Event()
        self.ended = trio.Event()
        self._broker = broker
        self._host_id = host_id
        self._clock_us = clock_us
        self._failure = f"{broker}: the connection is not open"
        self._line: _Line | None = None
        self._seats: dict[str, _Seat] = {}
        self._turn = trio.Lock()

    async def run(self) -> None:
        """Connect, and hand on what comes, until cancelled or cut off. It raises nothing."""
        try:
            async with open_bridge(f"mqtt {self._broker}") as bridge:
                await bridge.run(self._converse, bridge)
        except Exception as error:  # noqa: BLE001 - told to all who use it
            self._failure = self._sentence(error)
        finally:
            self._line = None
            self.settled.set()
            self.ended.set()
            for seat in self._seats.values():
                seat.sink.wake()

    # ------------------------------------------------------------ for devices

    def check(self) -> None:
        """See that the connection stands.

        Raises:
            DeviceError: It does not.
        """
        self._standing_line()

    @asynccontextmanager
    async def attach(self, topic_filter: str, kind: type[SinkT]) -> AsyncIterator[SinkT]:
        """Subscribe for the length of the block; all who do so get the same sink.

        Raises:
            DeviceError: From entering, when the broker does not allow it.
        """
        async with self._turn:
            seat = self._seats.get(topic_filter)
            if seat is None:
                seat = _Seat(kind(topic_filter))
                with ExitStack() as undo:
                    self._seats[topic_filter] = seat
                    undo.callback(self._seats.pop, topic_filter)
                    await self._do(_subscribe, topic_filter)
                    undo.pop_all()
            seat.users += 1
        try:
            if not isinstance(seat.sink, kind):
                raise DeviceError(f"{self._broker}: {topic_filter} is read in another way already")
            yield seat.sink
        finally:
            seat.users -= 1
            if not seat.users:
                del self._seats[topic_filter]
                if (line := self._line) is not None:
                    await line.bridge.finish(
                        _unsubscribe, line.client, topic_filter, within_s=GOODBYE_WITHIN_S
                    )

    async def publish(self, publication: Publication) -> None:
        """Hand it to the broker.

        Raises:
            DeviceError: The broker did not take it.
        """
        await self._do(_publish, publication)

    def _standing_line(self) -> "_Line":
        if self._line is None:
            raise DeviceError(self._failure)
        return self._line

    async def _do(
        self, work: Callable[[aiomqtt.Client, T], Coroutine[Any, Any, None]], argument: T
    ) -> None:
        line = self._standing_line()
        try:
            await line.bridge.run(work, line.client, argument)
        except aiomqtt.MqttError as error:
            raise DeviceError(self._sentence(error)) from None

    def _sentence(self, error: Exception) -> str:
        """What happened, for somebody who does not know aiomqtt."""
        match str(error):
            case text if isinstance(error, DeviceError):
                return text
            case "Operation timed out":
                # A certificate that is refused is a silence, too.
                nor = "" if self._broker.tls is None else ", or does not take our certificate"
                return f"{self._broker}: the broker does not answer{nor}"
            case "Disconnected during message iteration":
                cause = error.__cause__ or "the broker closed it"
                return f"{self._broker}: the connection was lost ({cause})"
            case text:
                return f"{self._broker}: {text}"

    # ------------------------------------------------- from here on asyncio's world

    async def _converse(self, bridge: Bridge) -> None:
        presence = None if self._host_id is None else _Presence(self._host_id, self._clock_us())
        async with _closing(self._new_client(presence)) as client:
            try:
                if presence is not None:
                    self._seats[presence.topic_filter] = _Seat(presence)
                    await _subscribe(client, presence.topic_filter)
                    await _publish(client, presence.online)
                self._line = _Line(bridge, client)
                self._failure = f"{self._broker}: the connection was closed"
                self.settled.set()
                async for message in client.messages:
                    await self._hand_on(client, message)
            finally:
                if presence is not None:
                    # Leaving in order takes the last word away from the broker.
                    with suppress(aiomqtt.MqttError):
                        await _publish(client, presence.offline)

    def _new_client(self, presence: "_Presence | None") -> aiomqtt.Client:
        broker = self._broker
        return aiomqtt.Client(
            broker.host,
            broker.port_number,
            username=broker.user,
            password=broker.password(),
            identifier=broker.client_id,
            logger=_LOGGER,
            queue_type=_Newest,
            clean_session=True,
            timeout=broker.timeout_s,
            keepalive=broker.keepalive_s,
            max_queued_incoming_messages=INCOMING_MAX,
            max_queued_outgoing_messages=OUTGOING_MAX,
            tls_context=None if broker.tls is None else _tls_context(broker.tls),
            will=None if presence is None else presence.will,
        )

    async def _hand_on(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        seat = self._seats.get(filter_of(topic))
        if seat is not None:  # its last device may have left
            for publication in seat.sink.take(Message(topic, message.payload, message.retain)):
                await _publish(client, publication)


@asynccontextmanager
async def _closing(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """Connects; at the end nothing is open, even if the broker said no."""
    try:
        async with client:
            yield client
    finally:
        # aiomqtt 2.5 leaves the socket of a connection that did not come about to the collector.
        client._client._sock_close()  # noqa: SLF001  # there is no public way


async def _subscribe(client: aiomqtt.Client, topic_filter: str) -> None:
    for code in await client.subscribe(topic_filter, qos=SUBSCRIBE_QOS):
        if getattr(code, "is_failure", False):
            raise aiomqtt.MqttError(f"may not subscribe to {topic_filter} ({code})")


async def _unsubscribe(client: aiomqtt.Client, topic_filter: str) -> None:
    await client.unsubscribe(topic_filter)


async def _publish(client: aiomqtt.Client, publication: Publication) -> None:
    await client.publish(
        publication.topic,
        publication.payload,
        qos=publication.qos,
        retain=publication.is_retained,
        timeout=PUBLISH_WITHIN_S,
    )


class _Presence(Sink):
    """Says by STATE that this Sparkplug host application is there (Sparkplug 3.0, section 5.8)."""

    def __init__(self, host_id: str, now_us: int) -> None:
        super().__init__(state_topic(host_id))
        self._timestamp_ms = now_us // 1000
        self.online = self._state(is_online=True)
        self.offline = self._state(is_online=False)
        self.will = aiomqtt.Will(self.offline.topic, self.offline.payload, qos=1, retain=True)

    def _state(self, *, is_online: bool) -> Publication:
        state = {"online": is_online, "timestamp": self._timestamp_ms}
        return Publication(self.topic_filter, msgspec.json.encode(state), qos=1, is_retained=True)

    def _receive(self, message: Message) -> tuple[Publication, ...]:
        """Contradict the last word of an earlier connection, which may come after our first.

        Not another host of the same name: the two would never come to an end.
        """
        is_online = Pointer(("online",)).look_up(document_of(message.payload))
        return (self.online,) if is_online is False else ()


class _Newest(asyncio.Queue[aiomqtt.Message]):
    """When it is full, the oldest gives way."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.full():
            self.get_nowait()
        super().put_nowait(item)


class _TidySocket(ssl.SSLSocket):
    """paho-mqtt 2.2 leaves a socket whose handshake failed to the collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  # as inherited
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(tls: TlsOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.sslsocket_class = _TidySocket
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:  # also ssl.SSLError
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise DeviceError(f"the files for TLS ({files}) cannot be used: {error}") from None
    return context
