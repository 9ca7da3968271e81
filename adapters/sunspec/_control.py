"""How a device is given an active power: by the best of its models, values first, enable last."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from adapters import DeviceError
from adapters.modbus._client import Write
from adapters.sunspec._mapping import Models
from adapters.sunspec._model import Model
from dercp.model.points import Kind

__all__ = ["CONTROLS", "Control", "choose"]

_W_PER_MW: Final = 1e6
# Where a model says what its percentages are of: the first that the device implements.
_W_MAX: Final = ((702, "WMax"), (702, "WMaxRtg"), (121, "WMax"), (120, "WRtg"))
_CHARGE: Final = ((124, "WChaMax"), (120, "MaxChaRte"))
# Model 124 has no reference of its own for discharging; without 120's it is that of charging.
_DISCHARGE: Final = ((120, "MaxDisChaRte"), (124, "WChaMax"))
# How far a timer may be from what it was set to when it is read back.
_TIMER_SHARE: Final = 0.5
# What counts as all that a device can give.
_ALL_SHARE: Final = 0.99


class _Value(msgspec.Struct, frozen=True):
    """A point that takes the power: in W, or in percent of a reference; `sign` as it counts."""

    name: str
    percent_of: tuple[tuple[int, str], ...] = ()
    sign: int = 1


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One way to set a power.

    Attributes:
        values: What takes the power; the first one is read back.
        enable: What puts it in force, with this number.
        mode: What selects the way, with this number.
        timer: How many seconds it stays in force.
        after: Where the model lets us choose what comes then: the point that takes the power,
            and the one that enables it. Otherwise the device goes back to its own control: to
            all it can give where this is a limit, else to 0.
        is_limit: The device stays at or below the power; it cannot be made to take power.
    """

    model_id: int
    values: tuple[_Value, ...]
    enable: tuple[str, int]
    mode: tuple[str, int] | None = None
    timer: str
    remaining: str | None = None
    after: tuple[_Value, str] | None = None
    is_limit: bool = False

    @property
    def names(self) -> Iterator[tuple[int, str]]:
        """The points it works with, with their models."""
        own = [value.name for value in self.values]
        own += [self.enable[0], self.timer]
        own += [] if self.mode is None else [self.mode[0]]
        own += [] if self.remaining is None else [self.remaining]
        own += [] if self.after is None else [self.after[0].name, self.after[1]]
        yield from ((self.model_id, name) for name in own)
        for value in self.values:
            yield from value.percent_of

    def is_in(self, models: Models) -> bool:
        """Whether the device implements it."""
        model = models.get(self.model_id)
        return model is not None and all(model.has(value.name) for value in self.values)

    def has_timer(self, models: Models) -> bool:
        """Whether the device ends it by itself."""
        return models[self.model_id].has(self.timer)

    def setpoint_mw(self, models: Models) -> float | None:
        """The power in force; None while none is.

        Raises:
            RefusedError: The device did not let it be read.
        """
        model = models[self.model_id]
        if model.number(self.enable[0]) != self.enable[1]:
            return None
        if self.mode is not None and model.number(self.mode[0]) not in {self.mode[1], None}:
            return None
        value = self.values[0]
        number = model.number(value.name)
        return None if number is None else number * _w_per_unit(value, models) / _W_PER_MW

    def set(self, models: Models, power_mw: float) -> list[Write]:
        """The writes that put a power in force.

        Raises:
            DeviceError: It cannot be expressed.
        """
        if self.is_limit and power_mw < 0:
            raise DeviceError(
                f"model {self.model_id} only limits what the device gives: it cannot be told to "
                f"take {-power_mw:g} MW"
            )
        model = models[self.model_id]
        writes = [_power(value, models, model, power_mw) for value in self.values]
        if self.mode is not None and model.has(self.mode[0]):
            writes.append(model.write(*self.mode))
        return [*_together(writes), model.write(*self.enable)]

    def release(self, models: Models) -> list[Write]:
        """The writes that end it: out of force first, then the timer."""
        model = models[self.model_id]
        timer = [model.write(self.timer, 0)] if model.has(self.timer) else []
        return [model.write(self.enable[0], 0), *timer]

    def arm(self, models: Models, power_mw: float, within_s: float) -> list[Write]:
        """The writes that let the device go to this power by itself after a time.

        The enable is written again, last: that is what starts the timer anew.

        Raises:
            DeviceError: The device cannot go there.
        """
        model = models[self.model_id]
        writes = [model.write(self.timer, math.ceil(within_s))]
        if self.after is not None:
            value, enable = self.after
            writes.append(_power(value, models, model, power_mw))
            if model.has(enable):
                writes.append(model.write(enable, 1))
        else:
            self._check_own_control(models, power_mw)
        is_in_force = model.number(self.enable[0]) == self.enable[1]
        return [*_together(writes), *([model.write(*self.enable)] if is_in_force else [])]

    def check_timer(self, models: Models, within_s: float) -> None:
        """See that the timer was taken, and runs.

        Raises:
            DeviceError: It was not, or does not.
        """
        model = models[self.model_id]
        self._check_seconds(self.timer, model.number(self.timer), within_s)
        if self.remaining is not None and self.setpoint_mw(models) is not None:
            left_s = model.number(self.remaining)
            if left_s is not None:
                self._check_seconds(self.remaining, left_s, within_s)

    def _check_seconds(self, name: str, told_s: float | None, within_s: float) -> None:
        if told_s is None or not _TIMER_SHARE * within_s <= told_s <= within_s + 1:
            raise DeviceError(
                f"model {self.model_id}: {name} says {told_s} s after it was set to {within_s:g} s"
            )

    def _check_own_control(self, models: Models, power_mw: float) -> None:
        if self.is_limit:
            own_mw = 100.0 * _w_per_unit(self.values[0], models) / _W_PER_MW
            goes_there = power_mw >= _ALL_SHARE * own_mw
        else:
            goes_there = power_mw == 0
        if not goes_there:
            raise DeviceError(
                f"the timer of model {self.model_id} ends a setpoint by going back to the "
                f"device's own control, and not to {power_mw:g} MW (set fallback to "
                '"release", or revert_after_s to 0 to do without the timer)'
            )


def _power(value: _Value, models: Models, model: Model, power_mw: float) -> Write:
    return model.write(value.name, value.sign * power_mw * _W_PER_MW / _w_per_unit(value, models))


def _w_per_unit(value: _Value, models: Models) -> float:
    """How many W one unit of the point is.

    Raises:
        DeviceError: It is a percentage of something that the device does not tell.
    """
    if not value.percent_of:
        return 1.0
    for model_id, name in value.percent_of:
        number = models[model_id].number(name) if model_id in models else None
        if number is not None and 0 < number < math.inf:
            return number / 100.0
    asked = ", ".join(f"{model_id} {name}" for model_id, name in value.percent_of)
    raise DeviceError(f"{value.name} is a percentage of what the device does not tell ({asked})")


def _together(writes: Iterable[Write]) -> Sequence[Write]:
    """Values that stand side by side go in one request, and take effect together."""
    joined: list[Write] = []
    for write in sorted(writes, key=lambda write: write.start):
        if joined and joined[-1].start + len(joined[-1].registers) == write.start:
            last = joined.pop()
            joined.append(Write(last.start, last.registers + write.registers))
        else:
            joined.append(write)
    return joined


_WATTS_704 = Control(
    model_id=704,
    values=(_Value("WSet"),),
    enable=("WSetEna", 1),
    mode=("WSetMod", 1),
    timer="WSetRvrtTms",
    remaining="WSetRvrtRem",
    after=(_Value("WSetRvrt"), "WSetEnaRvrt"),
)
_PERCENT_704 = Control(
    model_id=704,
    values=(_Value("WSetPct", _W_MAX),),
    enable=("WSetEna", 1),
    mode=("WSetMod", 0),
    timer="WSetRvrtTms",
    remaining="WSetRvrtRem",
    after=(_Value("WSetPctRvrt", _W_MAX), "WSetEnaRvrt"),
)
_LIMIT_704 = Control(
    model_id=704,
    values=(_Value("WMaxLimPct", _W_MAX),),
    enable=("WMaxLimPctEna", 1),
    timer="WMaxLimPctRvrtTms",
    remaining="WMaxLimPctRvrtRem",
    after=(_Value("WMaxLimPctRvrt", _W_MAX), "WMaxLimPctEnaRvrt"),
    is_limit=True,
)
_LIMIT_123 = Control(
    model_id=123,
    values=(_Value("WMaxLimPct", _W_MAX),),
    enable=("WMaxLim_Ena", 1),
    timer="WMaxLimPct_RvrtTms",
    is_limit=True,
)
# Both rates are limits of one window; the same power as both of its ends is a setpoint.
_RATES_124 = Control(
    model_id=124,
    values=(_Value("OutWRte", _DISCHARGE), _Value("InWRte", _CHARGE, sign=-1)),
    enable=("StorCtl_Mod", 3),
    timer="InOutWRte_RvrtTms",
)

_MODERN: Final = (_WATTS_704, _PERCENT_704, _LIMIT_704)
CONTROLS: Final[Mapping[Kind, tuple[Control, ...]]] = {
    Kind.STORAGE: (_WATTS_704, _PERCENT_704, _RATES_124, _LIMIT_704, _LIMIT_123),
    Kind.PV: (*_MODERN, _LIMIT_123),
    Kind.WIND: (*_MODERN, _LIMIT_123),
    Kind.EV: _MODERN,
}
"""The ways to set a power, the best first."""


def choose(models: Models, kind: Kind) -> Control | None:
    """The best way that the device implements; None when it takes no setpoint."""
    return next((control for control in CONTROLS[kind] if control.is_in(models)), None)
