"""Numbers in registers: types, and the orders in which devices put words and bytes."""

import math
import struct
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

__all__ = ["Order", "RegisterType", "decode", "encode"]


class Order(StrEnum):
    """Which part comes first: the more significant one ("big"), or the less."""

    BIG = "big"
    LITTLE = "little"


class RegisterType(StrEnum):
    """How a number is written into registers."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def width(self) -> int:
        """How many registers it takes."""
        return _FORMATS[self].size // 2

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point number."""
        return self in {RegisterType.FLOAT32, RegisterType.FLOAT64}


_FORMATS: Final = {
    RegisterType.INT16: struct.Struct(">h"),
    RegisterType.UINT16: struct.Struct(">H"),
    RegisterType.INT32: struct.Struct(">i"),
    RegisterType.UINT32: struct.Struct(">I"),
    RegisterType.INT64: struct.Struct(">q"),
    RegisterType.UINT64: struct.Struct(">Q"),
    RegisterType.FLOAT32: struct.Struct(">f"),
    RegisterType.FLOAT64: struct.Struct(">d"),
}


def decode(
    registers: Sequence[int], kind: RegisterType, *, word_order: Order, byte_order: Order
) -> int | float:
    """The number that stands in these registers."""
    data = struct.pack(f">{len(registers)}H", *_ordered(registers, word_order, byte_order))
    number: int | float = _FORMATS[kind].unpack(data)[0]
    return number


def encode(
    number: float, kind: RegisterType, *, word_order: Order, byte_order: Order
) -> tuple[int, ...]:
    """The registers for a number, rounded where the type knows no fractions.

    Raises:
        ValueError: The type cannot hold it.
    """
    if not math.isfinite(number):
        raise ValueError(f"{kind} cannot hold {number}")
    try:
        data = _FORMATS[kind].pack(number if kind.is_float else round(number))
    except (struct.error, OverflowError):
        raise ValueError(f"{kind} cannot hold {number:g}") from None
    return _ordered(struct.unpack(f">{kind.width}H", data), word_order, byte_order)


def _ordered(registers: Sequence[int], word_order: Order, byte_order: Order) -> tuple[int, ...]:
    """From the device's order into ours, or back: each is its own opposite."""
    words = registers if word_order is Order.BIG else registers[::-1]
    if byte_order is Order.BIG:
        return tuple(words)
    return tuple((word & 0xFF) << 8 | word >> 8 for word in words)
