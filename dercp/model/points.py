"""The table of points: what an asset can say, in which unit, within which range.

The numbers are those of the wire (enum Point of edge_link.proto). `python -m
dercp.model.points` prints docs/points.md. Power and energy are named by direction:
positive power, and exported energy, go from the asset into the grid.
"""

import sys
from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from dercp.model.errors import ModelError


class Kind(StrEnum):
    """The kinds of asset."""

    STORAGE = "storage"
    PV = "pv"
    WIND = "wind"
    EV = "ev"


class OperatingState(IntEnum):
    """The values of the point operating_state (those of SunSpec model 701, InvSt)."""

    OFF = 0
    SLEEPING = 1
    STARTING = 2
    RUNNING = 3
    THROTTLED = 4
    SHUTTING_DOWN = 5
    FAULT = 6
    STANDBY = 7


class Point(msgspec.Struct, frozen=True):
    """A standard point.

    `low` and `high` are the physical range in `unit`, inclusive: a value outside of it comes
    from a broken sensor or a wrong scale factor.
    `sunspec` and `iec61850` name the counterpart, "" where there is no single one.
    """

    number: int
    name: str
    unit: str
    meaning: str
    kinds: frozenset[Kind]
    low: float
    high: float
    sunspec: str = ""
    iec61850: str = ""


class PointNotFoundError(ModelError, LookupError):
    """The table has no such point (`unknown_point`)."""


_ALL = frozenset(Kind)
_STORAGE = frozenset({Kind.STORAGE})
_PV = frozenset({Kind.PV})
_WIND = frozenset({Kind.WIND})
_EV = frozenset({Kind.EV})

_MW = 10_000.0  # the largest plants, times two to be sure
_MWH = 1e10  # 10 GW for a century

# fmt: off
POINTS: Final[tuple[Point, ...]] = (
    Point(1, "active_power_mw", "MW", "Active power at the asset's terminals.",
          _ALL, -_MW, _MW, "701 W", "MMXU.TotW"),
    Point(2, "reactive_power_mvar", "Mvar",
          "Reactive power; positive is injected into the grid (over-excited).",
          _ALL, -_MW, _MW, "701 Var", "MMXU.TotVAr"),
    Point(3, "voltage_v", "V", "Voltage between phases, mean of the phases.",
          _ALL, 0, 1_000_000, "701 LLV", "MMXU.PPV"),
    Point(4, "frequency_hz", "Hz", "Frequency of the grid.",
          _ALL, 0, 100, "701 Hz", "MMXU.Hz"),
    Point(5, "available_min_mw", "MW",
          "The lowest active power the asset could run at now; negative where it can take power.",
          _ALL, -_MW, _MW, "702 WChaRteMax", ""),
    Point(6, "available_max_mw", "MW",
          "The highest active power the asset could run at now, given sun, wind, charge, vehicles.",
          _ALL, -_MW, _MW, "702 WMax", ""),
    Point(7, "setpoint_mw", "MW",
          "The active power setpoint in force at the device, as read back; unknown when none is.",
          _ALL, -_MW, _MW, "704 WSet", "DWGC"),
    Point(8, "operating_state", "", ", ".join(
              f"{state.value} {state.name.lower().replace('_', ' ')}" for state in OperatingState
          ) + ".",
          _ALL, min(OperatingState), max(OperatingState), "701 InvSt", "DGEN.DEROpSt"),
    Point(9, "fault_code", "", "The device's own code for its present fault; 0 = no fault.",
          _ALL, 0, 2**32 - 1, "701 Alrm", ""),
    Point(10, "energy_exported_mwh", "MWh",
          "Energy delivered into the grid since commissioning; it only grows.",
          _ALL, 0, _MWH, "701 TotWhInj", "MMTR.SupWh"),
    Point(11, "energy_imported_mwh", "MWh",
          "Energy taken from the grid since commissioning; it only grows.",
          _ALL, 0, _MWH, "701 TotWhAbs", "MMTR.DmdWh"),

    Point(20, "soc_pct", "%", "State of charge, of the usable energy capacity.",
          _STORAGE, 0, 100, "713 SoC", "DSTO.SocPct"),
    Point(21, "soh_pct", "%", "State of health: usable energy capacity now, of that when new.",
          _STORAGE, 0, 100, "713 SoH", ""),
    Point(22, "energy_capacity_mwh", "MWh", "Usable energy between 0 and 100 % state of charge.",
          _STORAGE, 0, 1_000_000, "713 WHRtg", "DSTO.UseWh"),
    Point(23, "temperature_c", "°C", "Temperature of the cells, mean of the modules.",
          _STORAGE, -60, 200, "803 ModTmpAvg", ""),

    Point(30, "irradiance_w_m2", "W/m²", "Irradiance in the plane of the array.",
          _PV, -50, 2000, "302 POAI", "MMET.PlnInsol"),  # pyranometers read below 0 at night
    Point(31, "dc_power_mw", "MW", "Power on the direct current side; positive towards the grid.",
          _PV, -_MW, _MW, "714 DCW", "MMDC.Watt"),
    Point(32, "module_temperature_c", "°C", "Temperature at the back of the modules.",
          _PV, -60, 200, "303 TmpBOM", ""),

    Point(40, "wind_speed_m_s", "m/s", "Wind speed at the nacelle.",
          _WIND, 0, 100, "307 WndSpd", "WMET.HorWdSpd"),
    Point(41, "wind_direction_deg", "°", "Where the wind comes from, clockwise from north.",
          _WIND, 0, 360, "307 WndDir", "WMET.HorWdDir"),
    Point(42, "rotor_speed_rpm", "1/min", "Rotor speed.",
          _WIND, 0, 1000, "", "WROT.RotSpd"),
    Point(43, "nacelle_direction_deg", "°", "Where the nacelle looks, clockwise from north.",
          _WIND, 0, 360, "", "WNAC.Dir"),
    Point(44, "pitch_deg", "°", "Pitch angle of the blades, mean of the blades; 90 is feathered.",
          _WIND, -20, 120, "", "WROT.BlPthAngVal"),

    Point(50, "connectors_total", "", "Connectors that could serve a vehicle.",
          _EV, 0, 100_000),
    Point(51, "connectors_occupied", "", "Connectors with a vehicle plugged in.",
          _EV, 0, 100_000),
    Point(52, "session_energy_mwh", "MWh",
          "Energy put into the vehicles by the sessions under way, sum of the connectors.",
          _EV, -1000, 1000),  # negative: a vehicle that gave more than it took
    Point(53, "vehicle_soc_pct", "%", "State of charge of the vehicles, mean of those that tell.",
          _EV, 0, 100),
)
# fmt: on

_BY_NAME = {point.name: point for point in POINTS}
_BY_NUMBER = {point.number: point for point in POINTS}
_OF_KIND = {kind: tuple(point for point in POINTS if kind in point.kinds) for kind in Kind}


def point_named(name: str) -> Point:
    """The point by its name.

    Raises:
        PointNotFoundError: The table has none.
    """
    if point := _BY_NAME.get(name):
        return point
    raise PointNotFoundError("unknown_point", f"there is no standard point named {name[:80]!r}")


def point_numbered(number: int) -> Point:
    """The point by its number on the wire.

    Raises:
        PointNotFoundError: The table has none.
    """
    if point := _BY_NUMBER.get(number):
        return point
    raise PointNotFoundError("unknown_point", f"there is no standard point with number {number}")


def points_of(kind: Kind) -> tuple[Point, ...]:
    """The points that assets of this kind usually have, in the order of the table."""
    return _OF_KIND[kind]


def page() -> str:
    """The text of docs/points.md."""
    lines = [
        "# Points",
        "",
        "What an asset can say. This page is generated: change `dercp/model/points.py`, then run",
        "`python -m dercp.model.points > docs/points.md`.",
        "",
        "- Positive power flows from the asset into the grid (generation, discharge), negative",
        "  into the asset (load, charge).",
        "- A value that is not known is null, never 0. A value outside its range (inclusive) is",
        "  kept and marked uncertain, out of range.",
        "- SunSpec: model and point. IEC 61850: logical node and data object, as a hint for those",
        "  who map by hand, not a certified mapping.",
        "- A site may declare custom points with names and units of its own.",
        "",
        "| no. | name | unit | range | assets | meaning | SunSpec | IEC 61850 |",
        "|--:|---|---|---|---|---|---|---|",
        *(_row(point) for point in POINTS),
    ]
    return "\n".join(lines) + "\n"


def _row(point: Point) -> str:
    kinds = "all" if point.kinds == _ALL else ", ".join(k for k in Kind if k in point.kinds)
    cells = (
        str(point.number),
        f"`{point.name}`",
        point.unit,
        f"{point.low:,.0f} to {point.high:,.0f}",
        kinds,
        point.meaning,
        point.sunspec,
        point.iec61850,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
