"""What stands in `[assets.options]` of a Modbus device: where it is, and its register map."""

from typing import Annotated, Final

import msgspec

from adapters._scaling import POWER_UNITS, Scaling, unit_factor
from adapters.modbus._client import Endpoint, Framing
from adapters.modbus._registers import Order, RegisterType
from adapters.modbus._spans import Span, Table

__all__ = ["LIVE", "EnableMap", "ModbusOptions", "PointMap", "SetpointMap"]

LIVE: Final = "live"
"""The poll group of points that are read with every poll."""

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_UnitId = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Address = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Word = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Bit = Annotated[int, msgspec.Meta(ge=0, le=15)]
_RequestTime = Annotated[float, msgspec.Meta(gt=0, le=5)]
_PollTime = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_Registers = Annotated[int, msgspec.Meta(ge=4, le=125)]
_Gap = Annotated[int, msgspec.Meta(ge=0, le=100)]


class PointMap(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[assets.options.points]]: where one point stands.

    Attributes:
        unit: What the device counts in, where that is not the point's own unit.
        bit: The one bit of a register that is meant, 0 being the lowest.
        unknown: Numbers by which the device says that it does not know.
        poll: The poll group.
    """

    point: str
    address: _Address
    table: Table = Table.HOLDING
    type: RegisterType | None = None
    word_order: Order | None = None
    byte_order: Order | None = None
    unit: str | None = None
    bit: _Bit | None = None
    unknown: tuple[int, ...] = ()
    poll: str = LIVE

    def __post_init__(self) -> None:
        self.check()
        needs_type = not self.table.holds_bits and self.bit is None
        if needs_type and self.type is None:
            raise ValueError(f"type: missing (expected one of {', '.join(RegisterType)})")
        if not needs_type and self.type is not None:
            raise ValueError("type: a single bit has none")
        if self.table.holds_bits and self.bit is not None:
            raise ValueError(f"bit: the items of {self.table} are single bits already")
        _check_end(self.address, self.span.count)
        if self.unit is not None:
            unit_factor(self.point, self.unit)

    @property
    def span(self) -> Span:
        """What is read for it."""
        return Span(self.table, self.address, 1 if self.type is None else self.type.width)

    @property
    def factor(self) -> float:
        """How much of the point's unit one of the device's is."""
        return 1.0 if self.unit is None else unit_factor(self.point, self.unit)


class EnableMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[assets.options.setpoint.enable]: the register that puts a setpoint in force, or ends it."""

    address: _Address
    on: _Word = 1
    off: _Word = 0


class SetpointMap(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.setpoint]: the register that takes the active power.

    Attributes:
        min_mw: The least that the device takes; less is not written at all.
        max_mw: The most.
        readback_address: Where what is in force is read; the register itself if it is not given.
        enable: What is written after the setpoint, and to release it.
    """

    address: _Address
    type: RegisterType
    word_order: Order | None = None
    byte_order: Order | None = None
    unit: str = "MW"
    min_mw: float
    max_mw: float
    readback_address: _Address | None = None
    readback_table: Table = Table.HOLDING
    enable: EnableMap | None = None

    def __post_init__(self) -> None:
        self.check()
        if self.unit not in POWER_UNITS:
            listed = " or ".join(f'"{name}"' for name in POWER_UNITS)
            raise ValueError(f'unit: expected {listed} for the setpoint, got "{self.unit}"')
        if not self.min_mw <= self.max_mw:
            raise ValueError(f"max_mw: expected min_mw ({self.min_mw:g}) or more")
        if self.readback_table.holds_bits:
            raise ValueError('readback_table: expected "holding" or "input"')
        _check_end(self.address, self.type.width)
        _check_end(self.readback.start, self.type.width)

    @property
    def readback(self) -> Span:
        """Where what is in force is read."""
        given = self.readback_address
        return Span(self.readback_table, self.address if given is None else given, self.type.width)

    @property
    def factor(self) -> float:
        """How many MW one of the device's unit is."""
        return POWER_UNITS[self.unit]


class ModbusOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device is, how it orders words and bytes, and what stands where.

    Attributes:
        framing: "rtu" where a serial gateway passes RTU messages on as they are.
        request_registers_max: How many registers the device lets be read at once.
        gap_registers_max: How many registers that nobody asked for may be read in between, to
            save a request; 0 for devices that refuse to read what they do not have.
        poll_groups: How often the points of a group are read, in seconds.
    """

    host: str
    port: _Port = 502
    unit_id: _UnitId = 1
    framing: Framing = Framing.TCP
    timeout_s: _RequestTime = 2.0
    word_order: Order = Order.BIG
    byte_order: Order = Order.BIG
    request_registers_max: _Registers = 120
    gap_registers_max: _Gap = 0
    poll_groups: dict[str, _PollTime] = {}
    points: Annotated[tuple[PointMap, ...], msgspec.Meta(min_length=1, max_length=64)]
    setpoint: SetpointMap | None = None

    def __post_init__(self) -> None:
        places: dict[str, int] = {}
        for index, point in enumerate(self.points):
            first = places.setdefault(point.point, index)
            if first != index:
                raise ValueError(f"points[{index}].point: {point.point} is already points[{first}]")
            if point.poll != LIVE and point.poll not in self.poll_groups:
                known = ", ".join((LIVE, *self.poll_groups))
                raise ValueError(
                    f'points[{index}].poll: expected one of {known}, got "{point.poll}"'
                )

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect to."""
        return Endpoint(
            host=self.host,
            port=self.port,
            unit_id=self.unit_id,
            framing=self.framing,
            timeout_s=self.timeout_s,
        )


def _check_end(address: int, count: int) -> None:
    if address + count > 65536:
        raise ValueError(f"address: the last registers of {address} are beyond 65535")
