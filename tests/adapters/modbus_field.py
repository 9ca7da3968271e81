"""What the Modbus and SunSpec tests share: virtual devices on loopback, and plain registers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import trio

from dercp.model.asset import AssetSpec, standard_point
from dercp.model.points import Kind
from dercp.model.reading import Reading
from sim.field.modbus import Bank, FieldFaults, serve_modbus
from sim.specs import default_spec

BATTERY = default_spec(Kind.STORAGE, "bess-1", "Battery")
SOLAR = default_spec(Kind.PV, "pv-1", "Solar")


class Served(msgspec.Struct, frozen=True):
    """Where a virtual device listens, and what is wrong with it."""

    port: int
    faults: FieldFaults


@asynccontextmanager
async def served(bank: Bank, *, rtu: bool = False) -> AsyncIterator[Served]:
    """The device on loopback for the length of the block."""
    faults = FieldFaults()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(serve_modbus, bank, faults, rtu=rtu))
        yield Served(port, faults)
        nursery.cancel_scope.cancel()


class PlainBank:
    """Tables by address; what is not there is illegal. Remembers what was written."""

    def __init__(self, **tables: dict[int, int]) -> None:
        self.tables = tables
        self.written: list[tuple[int, tuple[int, ...]]] = []
        self.asked: list[tuple[str, int, int]] = []

    def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
        """The items from this address on."""
        self.asked.append((table, start, count))
        items = self.tables.get(table, {})
        addresses = range(start, start + count)
        return [items[a] for a in addresses] if all(a in items for a in addresses) else None

    def write(self, start: int, registers: Sequence[int]) -> bool:
        """Write holding registers."""
        holding = self.tables.setdefault("holding", {})
        if any(start + place not in holding for place in range(len(registers))):
            return False
        self.written.append((start, tuple(registers)))
        holding.update((start + place, register) for place, register in enumerate(registers))
        return True


def asset(*points: str, kind: Kind = Kind.STORAGE) -> AssetSpec:
    """An asset of 2 MW with these points."""
    return AssetSpec(
        asset_id="bess-1",
        name="Battery",
        kind=kind,
        p_min_mw=-2.0,
        p_max_mw=2.0,
        points=tuple(standard_point(name) for name in points),
    )


def by_point(readings: Sequence[Reading]) -> dict[str, Reading]:
    """The readings by the names of their points."""
    return {reading.point: reading for reading in readings}
