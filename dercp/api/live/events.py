"""What goes over a stream: one event, encoded once for all who read it."""

from functools import cached_property

import msgspec

encoder = msgspec.json.Encoder()


class Event(msgspec.Struct, frozen=True, dict=True):
    """One event. Shared by all readers, as are its encoded forms."""

    kind: str
    # JSON without a line break.
    data: bytes
    # Where to resume after it; empty inside of what must be read whole (a snapshot).
    id: str = ""

    @cached_property
    def sse(self) -> bytes:
        """As Server-Sent Events has it."""
        head = (
            f"id: {self.id}\nevent: {self.kind}\ndata: "
            if self.id
            else f"event: {self.kind}\ndata: "
        )
        return head.encode() + self.data + b"\n\n"

    @cached_property
    def text(self) -> str:
        """Its members as they stand in a message of a WebSocket, without the braces."""
        place = encoder.encode(self.id or None).decode()
        return f'"event":"{self.kind}","event_id":{place},"data":{self.data.decode()}'


def encode_event(kind: str, data: object, place: str = "") -> Event:
    """An event of what is to be encoded."""
    return Event(kind, encoder.encode(data), place)


def items(parts: list[bytes], time: bytes) -> bytes:
    """The data of an event that tells several things at once, each encoded already."""
    return b'{"time":%b,"items":[%b]}' % (time, b",".join(parts))
