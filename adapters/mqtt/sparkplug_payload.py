"""The payloads of Sparkplug B: protobuf bytes from and to typed metrics.

google.protobuf (upb) parses them, by a description of the fields that we look at; all others
are skipped. The description is Sparkplug's own syntax, proto2, so that a field which is absent
differs from one that is 0. Field numbers: Sparkplug 3.0, section 6.4.
"""

from enum import IntEnum
from typing import Any, Final, TypeAlias

import msgspec
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

__all__ = ["DataType", "Metric", "Payload", "PayloadError", "Value", "decode", "encode"]

# The birth of a node with 5,000 metrics takes about 200 kB. Parsed, a payload of nothing but
# empty metrics takes a hundred times its bytes.
PAYLOAD_BYTES_MAX: Final = 512 * 1024
METRICS_MAX: Final = 20_000

Value: TypeAlias = bool | int | float | str | None


class DataType(IntEnum):
    """The data types of metrics that hold one value (Sparkplug 3.0, section 6.4.16)."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15


class PayloadError(ValueError):
    """Bytes that are no payload, or one that is too large."""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric, as far as it was sent.

    Attributes:
        name: "" where only the alias was sent.
        datatype: As its number, of which there are more than `DataType` has; None = not sent.
        field: The field that the value came in; "" = none.
        value: What stands there, integers without a sign; None if there is none, or nothing
            that is a single value.
        quality: The property "Quality" (192 good, 0 bad, 500 stale); None = not sent.
    """

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    field: str = ""
    value: Value = None
    quality: int | None = None


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """A payload; `seq` is None where it has none (deaths, commands)."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()


def decode(data: bytes) -> Payload:
    """Parse a payload.

    Raises:
        PayloadError: It is too large, or none.
    """
    if len(data) > PAYLOAD_BYTES_MAX:
        raise PayloadError(f"{len(data)} bytes are more than {PAYLOAD_BYTES_MAX}")
    raw = _PAYLOAD()
    try:
        raw.ParseFromString(data)
        if len(raw.metrics) > METRICS_MAX:
            raise PayloadError(f"{len(raw.metrics)} metrics are more than {METRICS_MAX}")
        return Payload(
            timestamp_ms=_optional(raw, "timestamp"),
            seq=_optional(raw, "seq"),
            metrics=tuple(map(_metric, raw.metrics)),
        )
    except DecodeError as error:
        raise PayloadError(str(error)) from None


def encode(payload: Payload) -> bytes:
    """The bytes of a payload.

    Raises:
        ValueError: A value does not fit its field.
    """
    raw = _PAYLOAD()
    _fill(raw, timestamp=payload.timestamp_ms, seq=payload.seq)
    for metric in payload.metrics:
        entry = raw.metrics.add()
        _fill(
            entry,
            name=metric.name or None,
            alias=metric.alias,
            timestamp=metric.timestamp_ms,
            datatype=metric.datatype,
            is_historical=metric.is_historical or None,
            is_null=metric.is_null or None,
        )
        if metric.field:
            setattr(entry, metric.field, metric.value)
        if metric.quality is not None:
            entry.properties.keys.append("Quality")
            entry.properties.values.add(type=DataType.INT32, int_value=metric.quality)
    data: bytes = raw.SerializeToString()
    return data


def _fill(message: Any, **fields: Value) -> None:
    for name, value in fields.items():
        if value is not None:
            setattr(message, name, value)


def _optional(message: Any, field: str) -> int | None:
    return getattr(message, field) if message.HasField(field) else None


def _metric(raw: Any) -> Metric:
    field = raw.WhichOneof("value") or ""
    is_single = field not in {"", "bytes_value"}
    return Metric(
        name=_text(raw.name),
        alias=_optional(raw, "alias"),
        timestamp_ms=_optional(raw, "timestamp"),
        datatype=_optional(raw, "datatype"),
        is_historical=raw.is_historical,
        is_null=raw.is_null,
        field=field,
        value=_text(getattr(raw, field)) if is_single else None,
        quality=_quality(raw.properties) if raw.HasField("properties") else None,
    )


def _text(value: Any) -> Any:
    """The value, if it is no text that is not UTF-8: that comes as bytes."""
    if isinstance(value, bytes):
        raise PayloadError("a text in it is not UTF-8")
    return value


def _quality(properties: Any) -> int | None:
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == "Quality":
            return int(value.int_value if value.HasField("int_value") else value.long_value)
    return None


# --- the description of the messages

_UINT32: Final = FieldDescriptorProto.TYPE_UINT32
_UINT64: Final = FieldDescriptorProto.TYPE_UINT64
_FLOAT: Final = FieldDescriptorProto.TYPE_FLOAT
_DOUBLE: Final = FieldDescriptorProto.TYPE_DOUBLE
_BOOL: Final = FieldDescriptorProto.TYPE_BOOL
_STRING: Final = FieldDescriptorProto.TYPE_STRING
_BYTES: Final = FieldDescriptorProto.TYPE_BYTES
_MESSAGE: Final = FieldDescriptorProto.TYPE_MESSAGE


class _Field(msgspec.Struct, frozen=True):
    name: str
    number: int
    type: "FieldDescriptorProto.Type.ValueType"
    is_repeated: bool = False
    of: str = ""


def _values(first: int) -> tuple[_Field, ...]:
    """The one field of these that carries the value."""
    return (
        _Field("int_value", first, _UINT32),
        _Field("long_value", first + 1, _UINT64),
        _Field("float_value", first + 2, _FLOAT),
        _Field("double_value", first + 3, _DOUBLE),
        _Field("boolean_value", first + 4, _BOOL),
        _Field("string_value", first + 5, _STRING),
    )


_MESSAGES: Final = {
    "PropertyValue": (_Field("type", 1, _UINT32), *_values(first=3)),
    "PropertySet": (
        _Field("keys", 1, _STRING, is_repeated=True),
        _Field("values", 2, _MESSAGE, is_repeated=True, of="PropertyValue"),
    ),
    "Metric": (
        _Field("name", 1, _STRING),
        _Field("alias", 2, _UINT64),
        _Field("timestamp", 3, _UINT64),
        _Field("datatype", 4, _UINT32),
        _Field("is_historical", 5, _BOOL),
        _Field("is_null", 7, _BOOL),
        _Field("properties", 9, _MESSAGE, of="PropertySet"),
        *_values(first=10),
        _Field("bytes_value", 16, _BYTES),
    ),
    "Payload": (
        _Field("timestamp", 1, _UINT64),
        _Field("metrics", 2, _MESSAGE, is_repeated=True, of="Metric"),
        _Field("seq", 3, _UINT64),
    ),
}


def _payload_class() -> Any:
    file = FileDescriptorProto(
        name="sparkplug_b_subset.proto", package="sparkplug", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.oneof_decl.add(name="value")
        for field in fields:
            described = message.field.add(name=field.name, number=field.number, type=field.type)
            described.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if field.is_repeated
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if field.of:
                described.type_name = f".sparkplug.{field.of}"
            if field.name.endswith("_value"):
                described.oneof_index = 0
        if not any(field.name.endswith("_value") for field in fields):
            message.ClearField("oneof_decl")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


_PAYLOAD: Final = _payload_class()
