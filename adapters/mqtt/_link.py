"""A broker as devices see it: sinks for what comes, publications for what goes."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar

import msgspec
import structlog
import trio

__all__ = ["Link", "Message", "Publication", "Sink", "is_round"]

PAYLOAD_BYTES_MAX: Final = 512 * 1024


log = structlog.get_logger()


def is_round(count: int) -> bool:
    """Whether to log what happened so often: 1, 10, 100 times, ..."""
    return str(count).rstrip("0") == "1"


class Message(msgspec.Struct, frozen=True):
    """What came. A retained one is of any age: the broker keeps it for whoever subscribes."""

    topic: str
    payload: bytes
    is_retained: bool = False


class Publication(msgspec.Struct, frozen=True):
    """What goes out."""

    topic: str
    payload: bytes
    qos: int = 0
    is_retained: bool = False


class Sink:
    """Takes the messages of one subscription; devices wait at it for news.

    Attributes:
        topic_filter: The subscription.
        oversized: How many messages were too large to look at.
    """

    def __init__(self, topic_filter: str) -> None:
        self.topic_filter = topic_filter
        self.oversized = 0
        self._waiting = trio.lowlevel.ParkingLot()

    def take(self, message: Message) -> Sequence[Publication]:
        """Look at a message, and tell who waits; what must be published because of it.

        It is called in the midst of asyncio's world, so it never waits.
        """
        size = len(message.payload)
        if size > PAYLOAD_BYTES_MAX:
            self.oversized += 1
            if is_round(self.oversized):
                log.warning(
                    "mqtt_message_too_large", topic=message.topic, bytes=size, count=self.oversized
                )
            return ()
        answer = self._receive(message)
        self.wake()
        return answer

    def wake(self) -> None:
        """There is news: a message, or the end of the connection."""
        self._waiting.unpark_all()

    async def wait_news(self) -> None:
        """Wait for it."""
        await self._waiting.park()

    def _receive(self, message: Message) -> Sequence[Publication]:
        raise NotImplementedError


SinkT = TypeVar("SinkT", bound=Sink)


class Link(Protocol):
    """An open connection to a broker, which others use as well."""

    def attach(self, topic_filter: str, kind: type[SinkT]) -> AbstractAsyncContextManager[SinkT]:
        """Subscribe for the length of the block; all who do so get the same sink.

        Raises:
            DeviceError: From entering, when the broker does not allow it.
        """
        ...

    async def publish(self, publication: Publication) -> None:
        """Hand it to the broker.

        Raises:
            DeviceError: The broker did not take it.
        """
        ...

    def check(self) -> None:
        """See that the connection stands.

        Raises:
            DeviceError: It does not.
        """
        ...
