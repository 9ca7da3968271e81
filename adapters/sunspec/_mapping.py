"""Which SunSpec points say what the points of an asset ask for."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Final, TypeAlias

import msgspec

from adapters.sunspec._model import Model
from dercp.model.points import Kind

__all__ = ["LOCAL_OR_REMOTE", "MEASURED", "Models", "Source", "needed", "value_of"]

Models: TypeAlias = Mapping[int, Model]
"""The models of a device by number; of several with the same number the first."""

LOCAL_OR_REMOTE: Final = "remote_control"
"""A custom point: 1 while the device may be commanded from here, 0 while somebody is at it."""

_LEGACY: Final = (101, 102, 103, 111, 112, 113)
_SINGLE: Final = (101, 111)
_LINES: Final = (102, 103, 112, 113)
_WATT: Final = 1e-6  # in MW; also of var and Wh
_KINDS: Final = frozenset(Kind)
_STORAGE: Final = frozenset({Kind.STORAGE})
_SUN_AND_WIND: Final = frozenset({Kind.PV, Kind.WIND})
_EV: Final = frozenset({Kind.EV})


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value can come from, on assets of these kinds.

    `names` are points of each of the models, `*.name` that of all repetitions. Those that the
    device implements are put together by `combine`, then scaled and shifted.
    `is_unsigned` says that the models do not define which way is positive.
    """

    models: tuple[int, ...]
    names: tuple[str, ...]
    factor: float = 1.0
    shift: float = 0.0
    combine: Callable[[Iterable[float]], float] = sum
    is_unsigned: bool = False
    kinds: frozenset[Kind] = _KINDS


def _of(*models: int, name: str, factor: float = 1.0, **more: object) -> Source:
    return msgspec.structs.replace(Source(models=models, names=(name,), factor=factor), **more)


# The first one that the device implements counts.
MEASURED: Final[Mapping[str, tuple[Source, ...]]] = {
    "active_power_mw": (
        _of(701, name="W", factor=_WATT),
        _of(*_LEGACY, name="W", factor=_WATT, is_unsigned=True),
    ),
    "reactive_power_mvar": (
        _of(701, name="Var", factor=_WATT),
        _of(*_LEGACY, name="VAr", factor=_WATT, is_unsigned=True),
    ),
    "voltage_v": (
        _of(701, name="LLV"),
        Source(models=_LEGACY, names=("PPVphAB", "PPVphBC", "PPVphCA"), combine=fmean),
        _of(*_SINGLE, name="PhVphA"),
        Source(
            models=_LINES,
            names=("PhVphA", "PhVphB", "PhVphC"),
            combine=fmean,
            factor=math.sqrt(3.0),
        ),
    ),
    "frequency_hz": (_of(701, *_LEGACY, name="Hz"),),
    "available_min_mw": (
        _of(702, name="WChaRteMax", factor=-_WATT, kinds=_STORAGE | _EV),
        _of(702, name="WChaRteMaxRtg", factor=-_WATT, kinds=_STORAGE | _EV),
        _of(802, name="WChaRteMax", factor=-_WATT, kinds=_STORAGE),
        _of(124, name="WChaMax", factor=-_WATT, kinds=_STORAGE),
        _of(120, name="MaxChaRte", factor=-_WATT, kinds=_STORAGE),
    ),
    # What sun and wind allow is told by 122 alone: a rating is not available at night.
    "available_max_mw": (
        _of(122, name="WAval", factor=_WATT, kinds=_SUN_AND_WIND),
        _of(702, name="WDisChaRteMax", factor=_WATT, kinds=_STORAGE | _EV),
        _of(702, name="WDisChaRteMaxRtg", factor=_WATT, kinds=_STORAGE | _EV),
        _of(802, name="WDisChaRteMax", factor=_WATT, kinds=_STORAGE),
        _of(120, name="MaxDisChaRte", factor=_WATT, kinds=_STORAGE),
    ),
    "operating_state": (
        _of(701, name="InvSt"),
        _of(*_LEGACY, name="St", shift=-1.0),  # the same states, counted from 1
    ),
    "fault_code": (
        _of(701, name="Alrm"),
        _of(*_LEGACY, name="Evt1"),
        _of(802, name="Evt1"),
    ),
    "energy_exported_mwh": (
        _of(701, name="TotWhInj", factor=_WATT),
        _of(*_LEGACY, name="WH", factor=_WATT),
        _of(122, name="ActWh", factor=_WATT),
    ),
    "energy_imported_mwh": (_of(701, name="TotWhAbs", factor=_WATT),),
    "soc_pct": (_of(713, 802, name="SoC"), _of(124, name="ChaState")),
    "soh_pct": (_of(713, 802, name="SoH"),),
    "energy_capacity_mwh": (_of(713, 802, 120, name="WHRtg", factor=_WATT),),
    "temperature_c": (_of(803, name="ModTmpAvg"),),
    "irradiance_w_m2": (_of(302, name="*.POAI", combine=fmean),),
    "dc_power_mw": (
        _of(714, name="DCW", factor=_WATT),
        _of(*_LEGACY, name="DCW", factor=_WATT, is_unsigned=True),
        _of(160, name="*.DCW", factor=_WATT, is_unsigned=True),
    ),
    "module_temperature_c": (_of(303, name="*.TmpBOM", combine=fmean),),
    "wind_speed_m_s": (_of(307, name="WndSpd"),),
    "wind_direction_deg": (_of(307, name="WndDir"),),
    # 0 is REMOTE.
    LOCAL_OR_REMOTE: (_of(715, 802, name="LocRemCtl", factor=-1.0, shift=1.0),),
}


def needed(points: Iterable[str], kind: Kind) -> Iterator[tuple[int, str]]:
    """What is read for these points of an asset: points of models, with their models."""
    for point in points:
        for source in MEASURED.get(point, ()):
            if kind in source.kinds:
                yield from product(source.models, source.names)


def value_of(point: str, models: Models, kind: Kind, sign: int) -> float | None:
    """The value of an asset's point, in its unit.

    Returns:
        None where the device does not tell; infinite or NaN where it tells nonsense.

    Raises:
        RefusedError: The device did not let it be read.
    """
    for source in MEASURED.get(point, ()):
        if kind not in source.kinds:
            continue
        for model_id in source.models:
            numbers = _numbers(models.get(model_id), source.names)
            if numbers:
                direction = sign if source.is_unsigned else 1
                return direction * source.combine(numbers) * source.factor + source.shift
    return None


def _numbers(model: Model | None, names: Sequence[str]) -> list[float]:
    numbers: list[float] = []
    if model is None:
        return numbers
    for name in names:
        if name.startswith("*."):
            numbers += model.group_numbers(name.removeprefix("*."))
        elif (number := model.number(name)) is not None:
            numbers.append(number)
    return numbers
