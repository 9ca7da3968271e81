"""A call of an edge agent, with an eye on when its batches are acknowledged."""

from collections import OrderedDict
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

import trio
from google.protobuf.message import DecodeError

from dercp.edge.uplink.conversation import Line
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = ["Awaited", "WatchedLine", "Watcher"]

# Batches whose acknowledgement is awaited; the oldest are forgotten, and not timed.
AWAITED_MAX: Final = 1_000


Awaited: TypeAlias = OrderedDict[int, float]
"""When each batch of an agent was first sent, by its number, whatever the call."""


class Watcher(Protocol):
    """Who is told."""

    def welcomed(self) -> None:
        """A session is up."""

    def acknowledged(self, after_s: float) -> None:
        """A batch that was first sent so long ago is held."""


class WatchedLine:
    """Passes messages on as they are, and reads along."""

    def __init__(self, line: Line, watcher: Watcher, awaited: Awaited) -> None:
        self._line = line
        self._watcher = watcher
        self._sent_s = awaited

    async def send(self, message: bytes) -> None:
        """Send a message."""
        batch = upb.Uplink.FromString(message)
        if batch.HasField("telemetry"):
            self._sent_s.setdefault(batch.telemetry.sequence, trio.current_time())
            if len(self._sent_s) > AWAITED_MAX:
                self._sent_s.popitem(last=False)
        await self._line.send(message)

    async def receive(self) -> bytes | None:
        """The next message; None at the orderly end."""
        message = await self._line.receive()
        if message is not None:
            # What is no message is the agent's to complain of.
            with suppress(DecodeError):
                self._look(upb.Downlink.FromString(message))
        return message

    async def end(self) -> None:
        """Send no more."""
        await self._line.end()

    def _look(self, downlink: upb.Downlink) -> None:
        if downlink.HasField("welcome"):
            self._watcher.welcomed()
        now_s = trio.current_time()
        for held in downlink.telemetry_ack.ranges:
            for sequence in [each for each in self._sent_s if held.first <= each <= held.last]:
                self._watcher.acknowledged(now_s - self._sent_s.pop(sequence))
