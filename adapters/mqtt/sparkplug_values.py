"""What stands in a metric's value field, by the data type that its birth gave it."""

import math
from typing import Final

from adapters.mqtt.sparkplug_payload import DataType, Metric, Value

__all__ = ["WrongTypeError", "metric_with", "typed_value"]

_SIGNED_BITS: Final = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED_BITS: Final = {
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATE_TIME: 64,
}
# Implementations differ over which of the two a UInt32 belongs into.
_CONTAINER_BITS: Final = {"int_value": 32, "long_value": 64}
_FIELDS: Final = {
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.TEXT: "string_value",
    DataType.UUID: "string_value",
}
_TYPES: Final = {int(kind): kind for kind in DataType}
_FLOAT_MAX: Final = (2 - 2**-23) * 2.0**127


class WrongTypeError(ValueError):
    """A value that its data type cannot have."""


def typed_value(metric: Metric, datatype: int) -> Value:
    """The value of a metric of this data type; None where it says that it has none.

    Raises:
        WrongTypeError: It came in the field of another type, or beyond this type's range.
    """
    if metric.is_null:
        return None
    kind = _TYPES.get(datatype)
    bits = _CONTAINER_BITS.get(metric.field)
    if kind is not None and bits is not None and isinstance(metric.value, int):
        if kind in _UNSIGNED_BITS:
            return _unsigned(metric.value, _UNSIGNED_BITS[kind])
        if kind in _SIGNED_BITS:
            return _signed(metric.value, bits, _SIGNED_BITS[kind])
    elif kind is not None and metric.field == _FIELDS.get(kind):
        return metric.value
    raise WrongTypeError(f"data type {datatype} in {metric.field or 'no field'}")


def metric_with(number: float, datatype: int) -> Metric:
    """A metric without a name that carries a number; whole ones are rounded.

    Raises:
        WrongTypeError: The data type does not hold numbers, or not this one.
    """
    kind = _TYPES.get(datatype)
    if not math.isfinite(number):
        raise WrongTypeError(f"{number} is no number")
    if kind is DataType.DOUBLE or (kind is DataType.FLOAT and abs(number) <= _FLOAT_MAX):
        return Metric(datatype=datatype, field=_FIELDS[kind], value=float(number))
    whole = round(number)
    if kind in _SIGNED_BITS:
        low, bits = -(1 << _SIGNED_BITS[kind] - 1), _SIGNED_BITS[kind]
    elif kind in _UNSIGNED_BITS:
        low, bits = 0, _UNSIGNED_BITS[kind]
    else:
        raise WrongTypeError(f"data type {datatype} holds no such number ({number:g})")
    if not low <= whole < low + (1 << bits):
        raise WrongTypeError(f"{kind.name} cannot hold {whole}")
    container = "long_value" if bits == 64 or kind is DataType.UINT32 else "int_value"
    return Metric(
        datatype=datatype, field=container, value=whole % (1 << _CONTAINER_BITS[container])
    )


def _unsigned(raw: int, bits: int) -> int:
    if raw >> bits:
        raise WrongTypeError(f"{raw} does not fit {bits} bits")
    return raw


def _signed(raw: int, container_bits: int, bits: int) -> int:
    """Two's complement, of the type's width or of the field's: both are seen."""
    half = 1 << bits - 1
    widened = raw - (1 << container_bits) if raw >> container_bits - 1 else raw
    if -half <= widened < half:
        return widened
    if half <= raw < 2 * half:
        return raw - 2 * half
    raise WrongTypeError(f"{raw} does not fit {bits} bits")
