"""A Modbus device that falls ill when it is told to: by its own registers, for some seconds."""

from collections.abc import Sequence
from enum import IntEnum
from functools import partial
from typing import Any, Final

import msgspec
import trio

from sim.field.modbus import Bank, Fault, FieldFaults, serve_modbus

__all__ = ["ORDER", "Ailing", "Illness", "serve_ailing"]

ORDER: Final = 60_000
"""The holding register for the number of an illness; how many seconds it lasts is in the next."""

# The order is answered first.
ANSWERED_S: Final = 0.1
LASTS_S_MAX: Final = 3600


class Illness(IntEnum):
    """What the device can be told to have."""

    SWAPPED = 1
    EXCEPTION = 2
    FROZEN = 3
    SLOW = 4
    SILENT = 5
    RESET = 6
    GARBAGE = 7
    GONE = 8
    """Nobody listens on its port."""


class _Order(msgspec.Struct, frozen=True):
    illness: Illness
    lasts_s: int


class Ailing:
    """A bank that also takes orders to be ill. A newer order replaces one that waits."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._order: _Order | None = None
        self._ordered = trio.Event()

    def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
        """The items of the device itself."""
        return self._bank.read(table, start, count)

    def write(self, start: int, registers: Sequence[int]) -> bool:
        """Write to the device, or order an illness: its number, and for how many seconds."""
        if start != ORDER:
            return self._bank.write(start, registers)
        match registers:
            case (number, lasts_s) if number in set(Illness) and lasts_s <= LASTS_S_MAX:
                self._order = _Order(Illness(number), lasts_s)
                self._ordered.set()
                return True
            case _:
                return False

    async def wait_order(self) -> _Order:
        """The next order."""
        await self._ordered.wait()
        self._ordered = trio.Event()
        assert self._order is not None  # noqa: S101  # it is there when the event is set
        return self._order


async def serve_ailing(bank: Ailing, port: int, told: trio.TaskStatus[Any]) -> None:
    """Serve the device on this port of the loopback, and let it be ill as it is told."""
    faults = FieldFaults()
    while True:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_modbus, bank, faults, port=port))
            told.started()
            gone_s = await _be_ill(bank, faults)
            nursery.cancel_scope.cancel("it was told to be gone")
        await trio.sleep(gone_s)


async def _be_ill(bank: Ailing, faults: FieldFaults) -> int:
    """Take orders until one is to be gone; for how many seconds."""
    while True:
        order = await bank.wait_order()
        await trio.sleep(ANSWERED_S)
        if order.illness is Illness.GONE:
            return order.lasts_s
        faults.now = Fault[order.illness.name]
        await trio.sleep(order.lasts_s)
        faults.now = Fault.NONE
