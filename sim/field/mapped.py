"""A plain Modbus device for any kind of asset: its points as floats, one after the other."""

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import trio

from dercp.model.asset import AssetSpec
from sim.field.machine import machine_for
from sim.options import SimulatedOptions

__all__ = ["ENABLE", "SETPOINT", "MappedBank", "map_for"]

SETPOINT: Final = 200
ENABLE: Final = 202
_POINTS_AT: Final = 0


class MappedBank:
    """Holding registers: the points from 0 on, the setpoint at 200, its enable at 202.

    Numbers are float32, the more significant register first, in the units of the points; NaN is
    what the device does not know. A setpoint is in force once 1 is written to the enable.
    """

    def __init__(self, asset: AssetSpec, options: SimulatedOptions) -> None:
        self._points = tuple(point.name for point in asset.points)
        self._setpoint_mw = 0.0
        self._enable = 0
        self._began_s = trio.current_time()
        self._plant = machine_for(asset, options)

    def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
        """Registers as of now."""
        if table != "holding":
            return None
        registers = self._registers()
        addresses = range(start, start + count)
        if any(address not in registers for address in addresses):
            return None
        return [registers[address] for address in addresses]

    def write(self, start: int, registers: Sequence[int]) -> bool:
        """Take a setpoint, or put it in force."""
        match start, tuple(registers):
            case (200, (_, _) as words):
                (self._setpoint_mw,) = struct.unpack(">f", struct.pack(">2H", *words))
            case (202, (0 | 1 as enable,)):
                self._enable = enable
            case _:
                return False
        if self._enable and math.isfinite(self._setpoint_mw):
            self._plant.set(self._setpoint_mw, self._now_s())
        else:
            self._plant.release(self._now_s())
        return True

    def _registers(self) -> dict[int, int]:
        self._plant.advance(self._now_s())
        values = self._plant.values()
        registers = {ENABLE: self._enable}
        registers |= _words(SETPOINT, self._setpoint_mw)
        for index, name in enumerate(self._points):
            registers |= _words(_POINTS_AT + 2 * index, values.get(name))
        return registers

    def _now_s(self) -> float:
        return trio.current_time() - self._began_s


def map_for(asset: AssetSpec, port: int) -> dict[str, Any]:
    """The table [assets.options] of the adapter `modbus` for such a device on loopback."""
    return {
        "host": "127.0.0.1",
        "port": port,
        "points": [
            {"point": point.name, "address": _POINTS_AT + 2 * index, "type": "float32"}
            for index, point in enumerate(asset.points)
        ],
        "setpoint": {
            "address": SETPOINT,
            "type": "float32",
            "min_mw": asset.p_min_mw,
            "max_mw": asset.p_max_mw,
            "enable": {"address": ENABLE},
        },
    }


def _words(address: int, value: float | None) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", math.nan if value is None else value))
    return {address: high, address + 1: low}
