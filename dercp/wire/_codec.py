"""Bytes to v1 messages and back, strictly: google.protobuf (upb) reads and writes.

The classes of v1 are what everybody handles. Their own parser (betterproto2 0.10) is not
used on bytes from outside: it takes a message cut short for a whole one, leaves bytes in an
int field when the wire type is another, and copies unknown fields in quadratic time. It also
needs 9 to 18 µs for an envelope, this 2 to 4 (benchmarks/codec.py).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast

import betterproto2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from dercp.wire import v1
from dercp.wire.errors import WireError
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = ["YEAR_10000_US", "Codec", "parse"]

YEAR_10000_US: Final = 253_402_300_800_000_000
"""RFC 3339 has no words for this instant (UTC) and those after it."""

UpbT = TypeVar("UpbT", bound=Message)
V1T = TypeVar("V1T", bound=betterproto2.Message)

# A field's value on its way from one library to the other. What a field may hold is known
# to the descriptor, not to the type checker.
Read = Callable[[Any], Any]
Write = Callable[[Any], Any]


def parse(message_class: type[UpbT], content: bytes, code: v1.RejectCode) -> UpbT:
    """Read one message.

    Raises:
        WireError: With this code, when the bytes are no such message.
    """
    try:
        return message_class.FromString(content)
    except DecodeError as error:
        name = message_class.DESCRIPTOR.name
        raise WireError(code, f"{len(content)} bytes are no {name}: {error}") from error


class Codec(Generic[V1T]):
    """Reads and writes one class of v1 by way of its twin in google.protobuf."""

    def __init__(self, v1_class: type[V1T]) -> None:
        self._upb_class: type[Message] = getattr(upb, v1_class.__name__)
        self._shape = _shape_of(cast("Descriptor", self._upb_class.DESCRIPTOR))

    def decode(self, content: bytes) -> V1T:
        """The message in these bytes, fields of later versions left out.

        Its instants lie within the years 1970 to 9999; enum values of later versions are
        members without a name.

        Raises:
            WireError: MALFORMED.
        """
        message: V1T = self._shape.read(parse(self._upb_class, content, v1.RejectCode.MALFORMED))
        return message

    def encode(self, message: V1T) -> bytes:
        """The bytes of this message.

        Raises:
            ValueError: A number does not fit its field.
        """
        return self._upb_class(**self._shape.write(message)).SerializeToString()


class _Shape:
    """How the fields of one message class go over, worked out once from its descriptor."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._v1_class = getattr(v1, descriptor.name)
        self._reads = tuple(_reader(field) for field in descriptor.fields)
        self._writes = tuple((field.name, _writer(field)) for field in descriptor.fields)

    def read(self, message: Any) -> Any:
        # By position: both libraries keep the order of the .proto file.
        return self._v1_class(*[read(message) for read in self._reads])

    def write(self, message: Any) -> dict[str, Any]:
        return {
            name: write(value)
            for name, write in self._writes
            if (value := getattr(message, name)) is not None
        }


class _Choice:
    """How a message goes over that is one of several kinds: the others are not looked at."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._v1_class = getattr(v1, descriptor.name)
        self._oneof = descriptor.oneofs[0].name
        self._kinds = {
            field.name: (attrgetter(field.name), _shape_of(cast("Descriptor", field.message_type)))
            for field in descriptor.fields
        }

    def read(self, message: Any) -> Any:
        name = message.WhichOneof(self._oneof)
        if name is None:
            return self._v1_class()
        get, shape = self._kinds[name]
        return self._v1_class(**{name: shape.read(get(message))})

    def write(self, message: Any) -> dict[str, Any]:
        return {
            name: shape.write(value)
            for name, (get, shape) in self._kinds.items()
            if (value := get(message)) is not None
        }


def _shape_of(descriptor: Descriptor) -> _Shape | _Choice:
    """A choice where each field is a message of one and the same oneof."""
    oneofs = descriptor.oneofs
    if len(oneofs) == 1 and all(
        field.containing_oneof is oneofs[0] and field.message_type is not None
        for field in descriptor.fields
    ):
        return _Choice(descriptor)
    return _Shape(descriptor)


def _reader(field: FieldDescriptor) -> Read:
    name, get = field.name, attrgetter(field.name)
    convert: Read = _unchanged
    if field.message_type is not None:
        convert = _shape_of(field.message_type).read
    elif field.enum_type is not None:
        convert = getattr(v1, field.enum_type.name)
    elif field.type == FieldDescriptor.TYPE_STRING:
        convert = _checked_text
    elif field.name.endswith("_us"):
        convert = _checked_instant
    if field.is_repeated:
        return lambda message: [convert(value) for value in get(message)]
    if field.has_presence:
        return lambda message: convert(get(message)) if message.HasField(name) else None
    return get if convert is _unchanged else lambda message: convert(get(message))


def _writer(field: FieldDescriptor) -> Write:
    if field.message_type is None:
        return _unchanged
    write = _shape_of(field.message_type).write
    if field.is_repeated:
        return lambda values: [write(value) for value in values]
    return write


def _unchanged(value: Any) -> Any:
    return value


def _checked_text(text: str) -> str:
    if "\0" in text:
        # Postgres keeps no such text: refused here, not when it is stored.
        raise WireError(v1.RejectCode.MALFORMED, f"a text with a NUL character: {text[:80]!r}")
    return text


def _checked_instant(time_us: int) -> int:
    if not 0 <= time_us < YEAR_10000_US:
        raise WireError(
            v1.RejectCode.MALFORMED,
            f"{time_us} µs of Unix time lie outside the years 1970 to 9999",
        )
    return time_us
