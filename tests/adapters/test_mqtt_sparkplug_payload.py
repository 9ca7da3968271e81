"""Payloads and typed values of Sparkplug B."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt import sparkplug_payload
from adapters.mqtt.sparkplug_payload import DataType, Metric, Payload, PayloadError, decode, encode
from adapters.mqtt.sparkplug_values import WrongTypeError, metric_with, typed_value

# Written by pysparkplug 0.6.1, whose codec is generated from the .proto of Eclipse Tahu.
NODE_BIRTH = bytes.fromhex(
    "0880d095ffbc3112120a0562645365711881d095ffbc312008580712180a015010ac021882d095ffbc31200a69"
    "000000000000f4bf12130a015110021883d095ffbc312009650000003f12100a0269381884d095ffbc31200150"
    "fd0112120a036931361884d095ffbc31200250d4fd0312140a036933321884d095ffbc3120035090ddfbff0f12"
    "190a036936341884d095ffbc31200458809ce8afedffffffff0112140a037533321884d095ffbc3120075080d0"
    "acf30e120e0a01621884d095ffbc31200b700112140a01731884d095ffbc31200c7a066cc3a4756674120e0a01"
    "6e1884d095ffbc31200a380112170a01681884d095ffbc31200a28016900000000000000401800"
)
DEVICE_COMMAND = bytes.fromhex("080512180a0c436f6e74726f6c2f5053657418052003508cfcffff0f")

DATATYPES = st.sampled_from(list(DataType))


def test_a_birth_of_another_library_is_understood() -> None:
    """Every type that a point can have, a null, a historical value."""
    birth = decode(NODE_BIRTH)
    values = {m.name: typed_value(m, m.datatype or 0) for m in birth.metrics}
    assert (birth.seq, birth.timestamp_ms) == (0, 1_700_000_000_000)
    assert values == {
        "bdSeq": 7,
        "P": -1.25,
        "Q": 0.5,
        "i8": -3,
        "i16": -300,
        "i32": -70_000,
        "i64": -5_000_000_000,
        "u32": 4_000_000_000,
        "b": True,
        "s": "läuft",
        "n": None,
        "h": 2.0,
    }
    assert [m.name for m in birth.metrics if m.is_historical] == ["h"]
    assert [(m.name, m.alias) for m in birth.metrics if m.alias] == [("P", 300), ("Q", 2)]


@pytest.mark.parametrize("golden", [NODE_BIRTH, DEVICE_COMMAND])
def test_what_another_library_writes_is_written_the_same(golden: bytes) -> None:
    """Byte by byte."""
    assert encode(decode(golden)) == golden


def test_a_command_is_written_as_another_library_does() -> None:
    """A negative Int32, two's complement."""
    metric = Metric(name="Control/PSet", timestamp_ms=5, datatype=3, field="int_value")
    number = metric_with(-500.2, DataType.INT32).value
    command = Payload(timestamp_ms=5, metrics=(_with(metric, number),))
    assert encode(command) == DEVICE_COMMAND


def test_fields_that_nobody_looks_at_are_skipped() -> None:
    """A uuid, a body, and numbers that no version has yet."""
    others = bytes.fromhex("22027575" + "2a0401020304" + "d23e0568656c6c6f")
    assert decode(others + NODE_BIRTH) == decode(NODE_BIRTH)


@pytest.mark.parametrize(
    "data",
    [
        NODE_BIRTH[:-3],
        b"\xff" * 50,
        b"\x12\x03\x0a\x01\xff",  # a name that is not UTF-8
        b"\x12\x03\x7a\x01\xff",  # a value that is not
        b"\x12\x00" * (sparkplug_payload.METRICS_MAX + 1),
        b"\x22" + b"\x00" * sparkplug_payload.PAYLOAD_BYTES_MAX,
    ],
)
def test_what_is_no_payload_is_refused(data: bytes) -> None:
    """Truncated, garbage, too many, too large."""
    with pytest.raises(PayloadError):
        decode(data)


@pytest.mark.parametrize(
    ("field", "raw", "datatype", "value"),
    [
        ("int_value", 0xFFFFFFFD, DataType.INT8, -3),  # as Eclipse Tahu writes it
        ("int_value", 0xFD, DataType.INT8, -3),  # as pysparkplug does
        ("long_value", 4_000_000_000, DataType.UINT32, 4_000_000_000),  # Tahu's Java
        ("int_value", 5, DataType.INT64, 5),
    ],
)
def test_integers_are_read_in_both_ways_they_are_written(
    field: str, raw: int, datatype: DataType, value: int
) -> None:
    """Implementations differ over sign extension and fields."""
    assert typed_value(Metric(field=field, value=raw), datatype) == value


@pytest.mark.parametrize(
    ("field", "raw", "datatype"),
    [
        ("string_value", "12.5", DataType.DOUBLE),
        ("int_value", 70_000, DataType.UINT16),
        ("int_value", 70_000, DataType.INT16),
        ("int_value", 1, DataType.BOOLEAN),
        ("double_value", 1.0, DataType.INT32),
        ("float_value", 1.0, DataType.DOUBLE),
        ("", None, DataType.DOUBLE),
        ("int_value", 1, 99),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, raw: object, datatype: int) -> None:
    """Nobody knows what it means."""
    with pytest.raises(WrongTypeError):
        typed_value(Metric(field=field, value=raw), datatype)  # type: ignore[arg-type]  # fixed


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70).map(float),
    DATATYPES,
)
def test_a_number_that_fits_is_read_as_it_was_written(number: float, datatype: DataType) -> None:
    """Rounded to what its type can hold; what does not fit is refused, never wrapped."""
    try:
        metric = metric_with(number, datatype)
    except WrongTypeError:
        return
    (read,) = decode(encode(Payload(metrics=(metric,)))).metrics
    value = typed_value(read, datatype)
    assert isinstance(value, int | float)
    assert value == number or math.isclose(value, number, rel_tol=1e-6, abs_tol=0.5)


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 40))
def test_no_number_and_no_type_is_too_strange(number: float, datatype: int) -> None:
    """It gives a metric or a `WrongTypeError`."""
    with suppress(WrongTypeError):
        metric_with(number, datatype)


def _with(metric: Metric, value: object) -> Metric:
    return Metric(
        name=metric.name,
        timestamp_ms=metric.timestamp_ms,
        datatype=metric.datatype,
        field=metric.field,
        value=value,  # type: ignore[arg-type]  # of a metric
    )
