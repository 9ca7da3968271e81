"""Uplink and Downlink, to bytes and back."""

import math
import struct
from collections.abc import Callable
from typing import Any

import betterproto2
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import example, given
from hypothesis import strategies as st

from dercp.wire import v1
from dercp.wire.envelope import (
    CONTROL_BYTES_MAX,
    decode_downlink,
    decode_uplink,
    encode_acknowledgement,
    encode_downlink,
    encode_uplink,
    kind_of,
)
from dercp.wire.errors import WireError
from dercp.wire.v1 import edge_link_pb2

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: texts,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    # Only instants are int64 in the envelope.
    FieldDescriptor.TYPE_INT64: st.integers(0, 253_402_300_799_999_999),
}


def values_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """All that may stand in a field."""
    if field.message_type is not None:
        values = messages_of(field.message_type)
    elif field.enum_type is not None:
        values = st.sampled_from(list(getattr(v1, field.enum_type.name)))
    else:
        values = SCALARS[field.type]
    if field.is_repeated:
        return st.lists(values, max_size=4)
    return st.none() | values if field.has_presence else values


def messages_of(descriptor: Any) -> st.SearchStrategy[Any]:
    """All messages of a class, with at most one field of each oneof."""
    groups = [[f for f in o.fields if len(o.fields) > 1] for o in descriptor.oneofs]
    exclusive = {field.name for group in groups for field in group}
    free = {f.name: values_of(f) for f in descriptor.fields if f.name not in exclusive}
    chosen = [
        st.one_of([st.fixed_dictionaries({f.name: values_of(f)}) for f in group])
        for group in groups
        if group
    ]
    return st.tuples(st.fixed_dictionaries(free), *chosen).map(
        lambda parts: getattr(v1, descriptor.name)(**{k: v for p in parts for k, v in p.items()})
    )


def with_a_kind(message: betterproto2.Message) -> bool:
    """An envelope that is not empty."""
    return any(getattr(message, field) is not None for field in message.__annotations__)


uplinks = messages_of(edge_link_pb2.Uplink.DESCRIPTOR).filter(with_a_kind)
downlinks = messages_of(edge_link_pb2.Downlink.DESCRIPTOR).filter(with_a_kind)


@given(uplinks)
def test_what_the_edge_says_arrives(message: v1.Uplink) -> None:
    """Every field of every kind goes over."""
    assert decode_uplink(encode_uplink(message)) == message


@given(downlinks)
def test_what_the_headend_says_arrives(message: v1.Downlink) -> None:
    """Every field of every kind goes over."""
    assert decode_downlink(encode_downlink(message)) == message


@given(uplinks)
def test_both_libraries_agree_on_an_uplink(message: v1.Uplink) -> None:
    """An edge may be built with betterproto2 alone, or with any other protobuf."""
    assert v1.Uplink.parse(encode_uplink(message)) == message
    assert decode_uplink(bytes(message)) == message


@given(downlinks)
def test_both_libraries_agree_on_a_downlink(message: v1.Downlink) -> None:
    """A headend may be built with betterproto2 alone, or with any other protobuf."""
    assert v1.Downlink.parse(encode_downlink(message)) == message
    assert decode_downlink(bytes(message)) == message


def survives(content: bytes) -> None:
    """Decoding gives a message that can be sent on, or says what is wrong; nothing else."""
    for decode, encode in ((decode_uplink, encode_uplink), (decode_downlink, encode_downlink)):
        try:
            message: Any = decode(content)
        except WireError:
            continue
        assert decode(encode(message)) == message


@given(st.binary(max_size=200))
@example(b"\x0a\x00")
@example(b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x0b" * 200)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Whatever arrives, the session goes on or is told why not."""
    survives(content)


@given(st.data())
def test_spoiled_messages_are_read_or_refused(data: st.DataObject) -> None:
    """Damage is never more than a WireError, and never puts bytes where a number belongs."""
    content = data.draw(uplinks.map(encode_uplink) | downlinks.map(encode_downlink))
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 3, len(content))))
    survives(content[:start] + data.draw(st.binary(max_size=4)) + content[end:])


@given(uplinks, st.binary(max_size=30))
def test_fields_of_a_later_version_are_left_out(message: v1.Uplink, content: bytes) -> None:
    """Both beside the kind and within it."""
    later = edge_link_pb2.Uplink.FromString(encode_uplink(message))
    kind = getattr(later, kind_of(message))
    addition = bytes([0xFA, 0x3F, len(content)]) + content  # field 1023, length-delimited
    kind.MergeFromString(addition)
    assert decode_uplink(later.SerializeToString() + addition) == message


def test_an_enum_value_of_a_later_version_keeps_its_number() -> None:
    """The reader decides what an unknown lane means."""
    content = edge_link_pb2.Uplink(telemetry={"sequence": 1, "lane": 9}).SerializeToString()
    telemetry = decode_uplink(content).telemetry
    assert telemetry is not None
    assert (telemetry.lane.value, telemetry.lane.name) == (9, "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, -0.0])
def test_a_double_keeps_every_bit(value: float) -> None:
    """NaN, infinities, denormals and the negative zero go over."""
    update = v1.DispatchUpdate(dispatch_id="d", readback_mw=value)
    arrived = decode_uplink(encode_uplink(v1.Uplink(dispatch_update=update))).dispatch_update
    assert arrived is not None
    assert arrived.readback_mw is not None
    assert struct.pack("<d", arrived.readback_mw) == struct.pack("<d", value)


def test_a_message_cut_short_is_refused() -> None:
    """betterproto2 alone would take it for a whole one with a shorter payload."""
    batch = v1.TelemetryBatch(sequence=1, payload=b"x" * 100)
    content = encode_uplink(v1.Uplink(telemetry=batch))
    with pytest.raises(WireError, match="are no Uplink") as caught:
        decode_uplink(content[:-1])
    assert caught.value.code is v1.RejectCode.MALFORMED


@pytest.mark.parametrize("decode", [decode_uplink, decode_downlink])
@pytest.mark.parametrize("content", [b"", b"\xfa\x3f\x00"])
def test_a_message_of_no_known_kind_is_refused(
    decode: Callable[[bytes], object], content: bytes
) -> None:
    """Empty, or of a kind that a later version has."""
    with pytest.raises(WireError, match="of no kind that this version knows") as caught:
        decode(content)
    assert caught.value.code is v1.RejectCode.MALFORMED


def test_of_several_kinds_the_last_counts() -> None:
    """As protobuf has it for a oneof; our own encoder never writes several."""
    first = encode_uplink(v1.Uplink(heartbeat=v1.Heartbeat(time_us=1)))
    second = encode_uplink(v1.Uplink(event=v1.Event(name="door_open")))
    assert kind_of(decode_uplink(first + second)) == "event"


@pytest.mark.parametrize(
    "message", [v1.Uplink(), v1.Uplink(heartbeat=v1.Heartbeat(), event=v1.Event())]
)
def test_an_uplink_to_be_sent_has_one_kind(message: v1.Uplink) -> None:
    """Our own mistake, found before it leaves."""
    with pytest.raises(ValueError, match="expected one kind"):
        encode_uplink(message)


@pytest.mark.parametrize("time_us", [-1, 253_402_300_800_000_000, 2**63 - 1])
def test_an_instant_that_cannot_be_written_down_is_refused(time_us: int) -> None:
    """What RFC 3339 cannot say would fail later, in the API."""
    content = edge_link_pb2.Uplink(heartbeat={"time_us": time_us}).SerializeToString()
    with pytest.raises(WireError, match="1970 to 9999"):
        decode_uplink(content)


def test_a_text_that_cannot_be_stored_is_refused() -> None:
    """Postgres keeps no NUL."""
    with pytest.raises(WireError, match="NUL"):
        decode_uplink(encode_uplink(v1.Uplink(event=v1.Event(name="a\0b"))))


def test_a_huge_control_message_is_refused() -> None:
    """Before a hundred thousand ranges become objects."""
    ack = v1.Downlink(telemetry_ack=v1.TelemetryAck(ranges=[v1.SequenceRange()] * 100_000))
    with pytest.raises(WireError, match=f"at most {CONTROL_BYTES_MAX}") as caught:
        decode_downlink(encode_downlink(ack))
    assert caught.value.code is v1.RejectCode.TOO_LARGE


@pytest.mark.parametrize(
    "large",
    [
        v1.Uplink(event=v1.Event(detail="x" * CONTROL_BYTES_MAX)),
        v1.Uplink(hello=v1.Hello(agent_id="x" * CONTROL_BYTES_MAX, registration=b"x" * 10)),
        v1.Uplink(telemetry=v1.TelemetryBatch(registration_id=b"x" * CONTROL_BYTES_MAX)),
    ],
)
def test_only_payload_and_registration_may_be_large(large: v1.Uplink) -> None:
    """Ids, words and sentences have no need to."""
    with pytest.raises(WireError) as caught:
        decode_uplink(encode_uplink(large))
    assert caught.value.code is v1.RejectCode.TOO_LARGE


def test_payload_and_registration_may_be_large() -> None:
    """Their own readers look at their size."""
    bulk = bytes(1_000_000)
    batch = v1.Uplink(telemetry=v1.TelemetryBatch(sequence=1, payload=bulk))
    hello = v1.Uplink(hello=v1.Hello(agent_id="a", registration=bulk))
    assert decode_uplink(encode_uplink(batch)) == batch
    assert decode_uplink(encode_uplink(hello)) == hello


@given(texts, st.lists(st.tuples(st.integers(1, 2**63), st.integers(1, 2**63)), max_size=3))
def test_the_quick_way_to_an_acknowledgement_is_the_same(
    spool_id: str, ranges: list[tuple[int, int]]
) -> None:
    """The bytes do not tell which way they were made."""
    acked = [v1.SequenceRange(first=first, last=last) for first, last in ranges]
    ack = v1.TelemetryAck(spool_id=spool_id, ranges=acked)
    assert encode_acknowledgement(spool_id, ranges) == encode_downlink(
        v1.Downlink(telemetry_ack=ack)
    )


def test_a_wire_error_reads_as_its_sentence() -> None:
    """Logs and the peer are told the same."""
    error = WireError(v1.RejectCode.MALFORMED, "no Uplink")
    assert (str(error), error.code, error.detail) == (
        "no Uplink",
        v1.RejectCode.MALFORMED,
        "no Uplink",
    )
