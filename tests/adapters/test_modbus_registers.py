"""Numbers in registers, in each type and order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus._registers import Order, RegisterType, decode, encode

orders = st.sampled_from(Order)


@given(st.sampled_from(RegisterType), st.integers(0, 2**15 - 1), orders, orders)
def test_what_is_encoded_is_decoded(
    kind: RegisterType, number: int, word_order: Order, byte_order: Order
) -> None:
    """In every type, whichever way the device puts its words and bytes."""
    registers = encode(number, kind, word_order=word_order, byte_order=byte_order)
    assert len(registers) == kind.width
    assert decode(registers, kind, word_order=word_order, byte_order=byte_order) == number


@pytest.mark.parametrize(
    ("word_order", "byte_order", "registers"),
    [
        (Order.BIG, Order.BIG, (0x0102, 0x0304)),
        (Order.LITTLE, Order.BIG, (0x0304, 0x0102)),
        (Order.BIG, Order.LITTLE, (0x0201, 0x0403)),
        (Order.LITTLE, Order.LITTLE, (0x0403, 0x0201)),
    ],
)
def test_the_four_orders(word_order: Order, byte_order: Order, registers: tuple[int, ...]) -> None:
    """ABCD, CDAB, BADC, DCBA, as vendors' manuals call them."""
    number = 0x01020304
    assert encode(number, RegisterType.UINT32, word_order=word_order, byte_order=byte_order) == (
        registers
    )


@pytest.mark.parametrize("number", [40_000, -40_000, math.nan, math.inf])
def test_a_number_that_does_not_fit_is_refused(number: float) -> None:
    """Rather than written as another one."""
    with pytest.raises(ValueError, match="int16 cannot hold"):
        encode(number, RegisterType.INT16, word_order=Order.BIG, byte_order=Order.BIG)
    with pytest.raises(ValueError, match="float32 cannot hold"):
        encode(1e300, RegisterType.FLOAT32, word_order=Order.BIG, byte_order=Order.BIG)
