"""A broker that is not there: what is published goes to a function, what comes is handed in."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from adapters import DeviceError
from adapters.mqtt._link import Message, Publication, Sink, SinkT
from adapters.mqtt.sparkplug_topics import filter_of


class MemoryLink:
    """Stands for an open connection; `failure` ends it."""

    def __init__(self) -> None:
        self.published: list[Publication] = []
        self.answer: Callable[[Publication], Iterable[tuple[str, bytes]]] = lambda _: ()
        self._failure = ""
        self._sinks: dict[str, Sink] = {}

    @asynccontextmanager
    async def attach(self, topic_filter: str, kind: type[SinkT]) -> AsyncIterator[SinkT]:
        sink = kind(topic_filter)
        self._sinks[topic_filter] = sink
        yield sink
        del self._sinks[topic_filter]

    async def publish(self, publication: Publication) -> None:
        self.check()
        self.published.append(publication)
        for topic, payload in self.answer(publication):
            self.deliver(topic, payload)

    def check(self) -> None:
        if self._failure:
            raise DeviceError(self._failure)

    def deliver(self, topic: str, payload: bytes | str, *, retained: bool = False) -> None:
        """A message comes."""
        data = payload.encode() if isinstance(payload, str) else payload
        sink = self._sinks.get(filter_of(topic))
        if sink is not None:
            for publication in sink.take(Message(topic, data, retained)):
                self.published.append(publication)
                for other, answer in self.answer(publication):
                    self.deliver(other, answer)

    def cut(self) -> None:
        """The connection is gone."""
        self._failure = "broker:1883: the connection was lost"
        for sink in self._sinks.values():
            sink.wake()
