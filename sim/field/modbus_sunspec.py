"""Virtual SunSpec devices: the physics of `sim` behind register images of SunSpec models.

The images are built with pysunspec2's own encoder, so that an adapter which reads them is
tested against somebody else's understanding of the models. Sizes are the asset's.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

import trio
from sunspec2.device import Model  # type: ignore[import-untyped]  # it has no types

from dercp.model.asset import AssetSpec
from dercp.model.points import Kind
from sim.field.machine import machine_for
from sim.options import SimulatedOptions
from sim.plant import Values

__all__ = ["BASE", "SunSpecBank", "SunSpecBattery", "SunSpecInverter", "sunspec_device"]

BASE: Final = 40000
_MARK: Final = b"SunS"
_END: Final = b"\xff\xff\x00\x00"
_W: Final = 1e6  # of a MW
# Several requests of one poll see the same moment.
_MOMENT_S: Final = 0.05


def sunspec_device(asset: AssetSpec, options: SimulatedOptions) -> "SunSpecBank":
    """A virtual device for an asset: storage by the models of 2021, PV by the older ones.

    Raises:
        DeviceError: The nameplate leaves such a plant no power.
        ValueError: There is no such device for this kind of asset.
    """
    match asset.kind:
        case Kind.STORAGE:
            return SunSpecBattery(asset, options)
        case Kind.PV:
            return SunSpecInverter(asset, options)
        case Kind.WIND | Kind.EV:
            raise ValueError(f"{asset.asset_id}: there is no SunSpec device for {asset.kind}")
        case _:
            assert_never(asset.kind)


class SunSpecBank:
    """Holding registers with a chain of models, brought up to the moment when they are read.

    `_measure` tells the models what the plant does; `_obey` tells the plant what was written.
    """

    def __init__(self, asset: AssetSpec, options: SimulatedOptions, models: "_Models") -> None:
        self._began_s = trio.current_time()
        self._plant = machine_for(asset, options)
        self._asset = asset
        self._revert_due_s = math.inf
        self._fresh_until_s = -math.inf
        self._models = [_model(model_id, points) for model_id, points in models.items()]
        self._by_id = {model.model_id: model for model in self._models}
        # Where each model begins in the image, in bytes.
        self._starts: dict[int, int] = {}
        self._image = bytearray(_MARK)
        for model in self._models:
            self._starts[model.model_id] = len(self._image)
            self._image += model.get_mb()
        self._image += _END

    # ------------------------------------------------------------- as a Bank

    def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
        """Registers as of now."""
        if table != "holding":
            return None
        now_s = self._now_s()
        if now_s >= self._fresh_until_s:
            self._refresh(now_s)
        first = 2 * (start - BASE)
        if first < 0 or first + 2 * count > len(self._image):
            return None
        return struct.unpack_from(f">{count}H", self._image, first)

    def write(self, start: int, registers: Sequence[int]) -> bool:
        """Write registers of one model; what is not to be written is left as it is."""
        now_s = self._now_s()
        self._refresh(now_s)
        data = struct.pack(f">{len(registers)}H", *registers)
        first = 2 * (start - BASE)
        for model in self._models:
            begin = self._starts[model.model_id]
            end = begin + 2 * (model.points["L"].value + 2)
            if begin <= first and first + len(data) <= end:
                names = _written(model, (first - begin) // 2, data)
                for name in names:
                    self._note(model, model.points[name])
                for name in names:
                    self._obey(model.model_id, name, now_s)
                self._fresh_until_s = -math.inf
                return True
        return False

    # ------------------------------------------------------- for a neighbour

    @property
    def active_power_mw(self) -> float:
        """What the plant gives, whatever the registers say."""
        self._refresh(self._now_s())
        return self._plant.values()["active_power_mw"] or 0.0

    def value(self, model_id: int, name: str) -> Any:
        """What stands in a register."""
        return self._by_id[model_id].points[name].cvalue

    def put(self, model_id: int, name: str, value: object) -> None:
        """Put something into a register, as somebody at the device may."""
        model = self._by_id[model_id]
        model.points[name].cvalue = value
        self._note(model, model.points[name])

    # ------------------------------------------------------------ the device

    def _measure(self, values: Values, now_s: float) -> None:
        raise NotImplementedError

    def _obey(self, model_id: int, name: str, now_s: float) -> None:
        raise NotImplementedError

    def _revert(self, due_s: float) -> None:
        raise NotImplementedError

    def _number(self, model_id: int, name: str) -> float:
        return float(self.value(model_id, name) or 0.0)

    def _now_s(self) -> float:
        return trio.current_time() - self._began_s

    def _refresh(self, now_s: float) -> None:
        if self._revert_due_s <= now_s:
            due_s, self._revert_due_s = self._revert_due_s, math.inf
            self._revert(due_s)
        self._plant.advance(now_s)
        self._measure(self._plant.values(), now_s)
        self._fresh_until_s = now_s + _MOMENT_S

    def _set(self, model_id: int, **points: float | None) -> None:
        model = self._by_id[model_id]
        for name, value in points.items():
            point = model.points[name]
            # Without a scale factor it is a state or a count.
            point.cvalue = value if value is None or point.sf_required else round(value)
            self._note(model, point)

    def _set_in_group(self, model_id: int, group: str, name: str, value: float | None) -> None:
        model = self._by_id[model_id]
        point = model.groups[group][0].points[name]
        point.cvalue = value
        self._note(model, point)

    def _note(self, model: Any, point: Any) -> None:
        """Put a point into the image as it now is."""
        begin = self._starts[model.model_id] + 2 * point.offset
        self._image[begin : begin + 2 * point.len] = point.get_mb()


class SunSpecBattery(SunSpecBank):
    """A battery with models 1, 701, 702, 704, 713, 714, 715, 802 and 803."""

    def __init__(self, asset: AssetSpec, options: SimulatedOptions) -> None:
        charge_w, discharge_w = -asset.p_min_mw * _W, asset.p_max_mw * _W
        w_sf = _scale(asset.nameplate_mw * _W * 1.2)
        wh = (asset.energy_capacity_mwh or 2.0 * asset.nameplate_mw) * _W
        wh_sf = _scale(2.0 * wh)
        v_sf = _scale(options.nominal_voltage_v * 12.0) - 1
        models: _Models = {
            1: _common(asset, "battery"),
            701: {
                "ACType": 2, "St": 1, "ConnSt": 1, "Alrm": 0, "W_SF": w_sf, "Var_SF": w_sf,
                "V_SF": v_sf, "Hz_SF": -3, "TotWh_SF": 0,
            },
            702: {
                "W_SF": w_sf, "WMaxRtg": discharge_w, "WMax": discharge_w,
                "WChaRteMaxRtg": charge_w, "WChaRteMax": charge_w,
                "WDisChaRteMaxRtg": discharge_w, "WDisChaRteMax": discharge_w,
            },
            704: {
                "WSet_SF": 0, "WSetPct_SF": -1, "WSetEna": 0, "WSetMod": 1, "WSet": 0,
                "WSetRvrt": 0, "WSetPct": 0, "WSetPctRvrt": 0, "WSetEnaRvrt": 0,
                "WSetRvrtTms": 0, "WSetRvrtRem": 0,
            },
            713: {"WH_SF": wh_sf, "Pct_SF": -1, "WHRtg": wh},
            714: {"DCW_SF": w_sf, "NPrt": 0},
            715: {"LocRemCtl": 0, "DERHb": 0, "ControllerHb": 0},
            802: {
                "SoC_SF": -1, "SoH_SF": -1, "WHRtg_SF": wh_sf, "WHRtg": wh,
                "WChaDisChaMax_SF": w_sf, "WChaRteMax": charge_w, "WDisChaRteMax": discharge_w,
            },
            803: {"ModTmp_SF": -1, "NStr": 0},
        }  # fmt: skip
        super().__init__(asset, options, models)

    def _measure(self, values: Values, now_s: float) -> None:
        power_w = _w(values, "active_power_mw")
        self._set(
            701,
            W=power_w,
            Var=_w(values, "reactive_power_mvar"),
            LLV=values["voltage_v"],
            Hz=values["frequency_hz"],
            InvSt=values["operating_state"],
            TotWhInj=_w(values, "energy_exported_mwh"),
            TotWhAbs=_w(values, "energy_imported_mwh"),
        )
        self._set(713, SoC=values["soc_pct"], SoH=values["soh_pct"])
        self._set(714, DCW=power_w)
        self._set(715, DERHb=int(now_s))
        self._set(802, SoC=values["soc_pct"], SoH=values["soh_pct"])
        self._set(803, ModTmpAvg=values["temperature_c"])
        left_s = self._revert_due_s - now_s
        self._set(704, WSetRvrtRem=0 if math.isinf(left_s) else math.ceil(left_s))

    def _obey(self, model_id: int, name: str, now_s: float) -> None:
        if model_id != 704:
            return
        if self._number(704, "WSetEna") == 0:
            self._revert_due_s = math.inf
            self._plant.release(now_s)
            return
        self._plant.set(self._setpoint_mw("WSet", "WSetPct"), now_s)
        after_s = self._number(704, "WSetRvrtTms")
        self._revert_due_s = now_s + after_s if after_s > 0 else math.inf

    def _revert(self, due_s: float) -> None:
        """The timer of 704 ran out: its own setpoint takes over, if that is enabled."""
        enabled = self._number(704, "WSetEnaRvrt")
        after = ("WSet", "WSetRvrt"), ("WSetPct", "WSetPctRvrt")
        self._set(704, WSetEna=enabled, **{to: self.value(704, of) for to, of in after})
        if enabled:
            self._plant.set(self._setpoint_mw("WSet", "WSetPct"), due_s)
        else:
            self._plant.release(due_s)

    def _setpoint_mw(self, watts: str, percent: str) -> float:
        if self._number(704, "WSetMod") == 1:
            return self._number(704, watts) / _W
        return self._number(704, percent) / 100.0 * self._number(702, "WMax") / _W


class SunSpecInverter(SunSpecBank):
    """A PV plant with models 1, 103, 120, 121, 122, 123, 160, 302 and 303."""

    def __init__(self, asset: AssetSpec, options: SimulatedOptions) -> None:
        rating_w = asset.p_max_mw * _W
        w_sf = _scale(rating_w * 1.5)
        v_sf = _scale(options.nominal_voltage_v * 12.0) - 1
        models: _Models = {
            1: _common(asset, "inverter"),
            103: {
                "W_SF": w_sf, "VAr_SF": w_sf, "V_SF": v_sf, "Hz_SF": -2, "WH_SF": 0,
                "DCW_SF": w_sf, "Evt1": 0,
            },
            120: {"DERTyp": 4, "WRtg_SF": w_sf, "WRtg": rating_w},
            121: {"WMax_SF": w_sf, "WMax": rating_w},
            122: {"WAval_SF": w_sf},
            123: {
                "WMaxLimPct_SF": -2, "WMaxLimPct": 100, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0,
            },
            160: {"DCW_SF": w_sf, "N": 0},
            302: {"repeating": [{"POAI": 0}]},
            303: {"temp": [{"TmpBOM": 0}]},
        }  # fmt: skip
        super().__init__(asset, options, models)

    def _measure(self, values: Values, now_s: float) -> None:
        voltage_v = values["voltage_v"]
        self._set(
            103,
            W=_w(values, "active_power_mw"),
            VAr=_w(values, "reactive_power_mvar"),
            PPVphAB=voltage_v,
            PPVphBC=voltage_v,
            PPVphCA=voltage_v,
            Hz=values["frequency_hz"],
            WH=_w(values, "energy_exported_mwh"),
            DCW=_w(values, "dc_power_mw"),
            St=(values["operating_state"] or 0.0) + 1,
        )
        self._set(122, WAval=_w(values, "available_max_mw"))
        self._set_in_group(
            302, "repeating", "POAI", max(0, round(values["irradiance_w_m2"] or 0.0))
        )
        self._set_in_group(303, "temp", "TmpBOM", values["module_temperature_c"])

    def _obey(self, model_id: int, name: str, now_s: float) -> None:
        if model_id != 123:
            return
        if self._number(123, "WMaxLim_Ena") == 0:
            self._revert(now_s)
            return
        share = self._number(123, "WMaxLimPct") / 100.0
        self._plant.set(share * self._asset.p_max_mw, now_s)
        after_s = self._number(123, "WMaxLimPct_RvrtTms")
        self._revert_due_s = now_s + after_s if after_s > 0 else math.inf

    def _revert(self, due_s: float) -> None:
        """The time of the limit is over: it ends."""
        self._revert_due_s = math.inf
        self._set(123, WMaxLim_Ena=0)
        self._plant.release(due_s)


_Models = Mapping[int, Mapping[str, object]]


def _model(model_id: int, points: Mapping[str, object]) -> Any:
    """A model with these points in their units; all others are not implemented."""
    raw = {name: value for name, value in points.items() if _is_structure(name)}
    groups = {name: value for name, value in points.items() if isinstance(value, list)}
    model = Model(model_id, data={"ID": model_id, **raw, **groups})
    for name, value in points.items():
        if name not in raw and name not in groups:
            model.points[name].cvalue = value
    model.points["ID"].value = model_id
    model.points["L"].value = len(model.get_mb()) // 2 - 2
    return model


def _is_structure(name: str) -> bool:
    """Whether the point says how others are to be understood: scales, counts of groups."""
    return name.endswith("_SF") or name in {"NPrt", "NStr"}


def _common(asset: AssetSpec, what: str) -> dict[str, object]:
    return {"Mn": "dercp", "Md": f"virtual {what}", "Vr": "1", "SN": asset.asset_id, "DA": 1}


def _written(model: Any, first: int, data: bytes) -> list[str]:
    """Take over the writable points that these registers cover; their names, enables last."""
    names = []
    for name, point in model.points.items():
        start, end = 2 * (point.offset - first), 2 * (point.offset - first + point.len)
        if start >= 0 and end <= len(data) and point.pdef.get("access") == "RW":
            point.set_mb(data[start:end])
            names.append(name)
    return names


def _scale(largest: float) -> int:
    """The power of ten with which so great a number fits 16 bits."""
    return max(0, math.ceil(math.log10(largest / 32_000.0)))


def _w(values: Values, name: str) -> float | None:
    value = values[name]
    return None if value is None else value * _W
