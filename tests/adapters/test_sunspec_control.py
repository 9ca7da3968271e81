"""Which model takes a setpoint, with which writes in which order."""

from collections.abc import Mapping

import pytest
from sunspec_field import MemoryClient, Points, chain_bank, models_of

from adapters import DeviceError
from adapters.sunspec._control import Control, choose
from dercp.model.points import Kind

MODERN: Mapping[int, Points] = {
    702: {"WMax": 2000, "W_SF": 3},
    704: {
        "WSetEna": 0, "WSetMod": 1, "WSet": 0, "WSet_SF": 0, "WSetRvrt": 0, "WSetEnaRvrt": 0,
        "WSetRvrtTms": 0, "WSetRvrtRem": 0,
    },
}  # fmt: skip
PERCENT: Mapping[int, Points] = {
    702: {"WMax": 2000, "W_SF": 3},
    704: {"WSetEna": 0, "WSetMod": 0, "WSetPct": 0, "WSetPct_SF": -1, "WSetRvrtTms": 0},
}
LIMIT: Mapping[int, Points] = {
    120: {"WRtg": 2000, "WRtg_SF": 3},
    123: {"WMaxLimPct": 100, "WMaxLimPct_SF": 0, "WMaxLim_Ena": 0, "WMaxLimPct_RvrtTms": 0},
}
RATES: Mapping[int, Points] = {
    **LIMIT,
    124: {
        "WChaMax": 1000, "WChaMax_SF": 3, "StorCtl_Mod": 0, "OutWRte": 0, "InWRte": 0,
        "InOutWRte_SF": -2, "InOutWRte_RvrtTms": 0,
    },
}  # fmt: skip


class Played:
    """A device that is commanded, and told what it remembers."""

    def __init__(self, models: Mapping[int, Points], kind: Kind) -> None:
        self.bank = chain_bank(models)
        self._kind = kind

    async def control(self) -> Control:
        """The way that is chosen."""
        control = choose(await models_of(self.bank), self._kind)
        assert control is not None
        return control

    async def set(self, power_mw: float) -> float | None:
        """Put a power in force; what then is."""
        control = await self.control()
        await MemoryClient(self.bank).write(control.set(await models_of(self.bank), power_mw))
        return control.setpoint_mw(await models_of(self.bank))

    async def number(self, model_id: int, name: str) -> float | None:
        """A point as it stands."""
        return (await models_of(self.bank))[model_id].number(name)


@pytest.mark.parametrize(
    ("models", "kind", "value"),
    [
        (MODERN, Kind.STORAGE, "WSet"),
        (PERCENT, Kind.STORAGE, "WSetPct"),
        (RATES, Kind.STORAGE, "OutWRte"),
        (LIMIT, Kind.STORAGE, "WMaxLimPct"),
        (RATES, Kind.PV, "WMaxLimPct"),
        ({**LIMIT, **MODERN}, Kind.PV, "WSet"),
    ],
)
async def test_the_best_model_is_chosen(
    models: Mapping[int, Points], kind: Kind, value: str
) -> None:
    """704 before the older ones; a battery by its rates before a limit."""
    control = await Played(models, kind).control()
    assert control.values[0].name == value


async def test_a_device_without_controls_has_none() -> None:
    """A meter."""
    assert choose(await models_of(chain_bank({701: {"W": 1, "W_SF": 0}})), Kind.PV) is None


@pytest.mark.parametrize(
    ("models", "kind", "power_mw"),
    [
        (MODERN, Kind.STORAGE, -1.25),
        (PERCENT, Kind.STORAGE, -1.25),
        (RATES, Kind.STORAGE, 0.75),
        (RATES, Kind.STORAGE, -0.75),
        (LIMIT, Kind.PV, 0.5),
    ],
)
async def test_a_setpoint_is_read_back_as_written(
    models: Mapping[int, Points], kind: Kind, power_mw: float
) -> None:
    """In W, in percent of what the device tells, as a window without width."""
    device = Played(models, kind)
    assert await device.set(power_mw) == pytest.approx(power_mw)


@pytest.mark.parametrize("models", [MODERN, PERCENT, RATES, LIMIT])
async def test_values_are_written_first_and_the_enable_last(models: Mapping[int, Points]) -> None:
    """A device never follows a value of before."""
    device = Played(models, Kind.STORAGE)
    control = await device.control()
    now = await models_of(device.bank)
    enable = now[control.model_id].write(*control.enable)
    for writes in (control.set(now, 0.5), control.release(now)):
        starts = [write.start for write in writes]
        assert starts.count(enable.start) == 1
    assert control.set(now, 0.5)[-1] == enable


async def test_values_side_by_side_take_effect_together() -> None:
    """Mode and setpoint of 704 are three registers in a row: one request."""
    device = Played(MODERN, Kind.STORAGE)
    control = await device.control()
    mode_and_value, enable = control.set(await models_of(device.bank), 0.5)
    assert mode_and_value.registers == (1, 0x0007, 0xA120)
    assert enable.registers == (1,)


async def test_release_takes_it_out_of_force() -> None:
    """And ends the timer."""
    device = Played(MODERN, Kind.STORAGE)
    await device.set(0.5)
    control = await device.control()
    await MemoryClient(device.bank).write(control.release(await models_of(device.bank)))
    assert control.setpoint_mw(await models_of(device.bank)) is None
    assert await device.number(704, "WSetRvrtTms") == 0


async def test_the_timer_of_704_goes_to_a_power_of_ours() -> None:
    """The power, its enable and the time; the enable again, which starts it."""
    device = Played(MODERN, Kind.STORAGE)
    await device.set(1.0)
    control = await device.control()
    now = await models_of(device.bank)
    assert control.has_timer(now)
    writes = control.arm(now, -0.5, 59.2)
    assert writes[-1] == now[704].write("WSetEna", 1)
    await MemoryClient(device.bank).write(writes)
    for name, number in (("WSetRvrt", -500_000), ("WSetEnaRvrt", 1), ("WSetRvrtTms", 60)):
        assert await device.number(704, name) == number


async def test_arming_puts_nothing_in_force() -> None:
    """An old value would be."""
    device = Played(MODERN, Kind.STORAGE)
    control = await device.control()
    await MemoryClient(device.bank).write(control.arm(await models_of(device.bank), 0.0, 60))
    assert await device.number(704, "WSetEna") == 0


async def test_a_timer_that_only_ends_is_armed_for_the_devices_own_control_alone() -> None:
    """123 goes back to full power, 124 to the battery's own; neither to a power of ours."""
    for models, kind, own_mw, other_mw in (
        (LIMIT, Kind.PV, 2.0, 0.0),
        (RATES, Kind.STORAGE, 0.0, 1.0),
    ):
        device = Played(models, kind)
        await device.set(0.5)
        control, now = await device.control(), await models_of(device.bank)
        assert control.arm(now, own_mw, 30.0)
        with pytest.raises(DeviceError, match="going back to the device's own control"):
            control.arm(now, other_mw, 30.0)


async def test_a_timer_that_does_not_run_is_told() -> None:
    """It would be the last link of the chain, and not hold."""
    device = Played(MODERN, Kind.STORAGE)
    await device.set(1.0)
    control = await device.control()
    await MemoryClient(device.bank).write(control.arm(await models_of(device.bank), 0.0, 60))
    with pytest.raises(DeviceError, match=r"WSetRvrtRem says 0\.0 s after it was set to 60 s"):
        control.check_timer(await models_of(device.bank), 60)


async def test_what_cannot_be_expressed_is_refused() -> None:
    """A limit takes no power; a percentage needs to know of what."""
    limit = Played(LIMIT, Kind.PV)
    with pytest.raises(DeviceError, match="only limits what the device gives"):
        await limit.set(-0.5)
    unknown = Played({704: PERCENT[704]}, Kind.STORAGE)
    with pytest.raises(DeviceError, match=r"of what the device does not tell \(702 WMax"):
        await unknown.set(0.5)


async def test_a_setpoint_of_somebody_elses_mode_is_not_ours() -> None:
    """What is in force is not what stands in our register."""
    device = Played({**MODERN, 704: {**MODERN[704], "WSetEna": 1, "WSetMod": 0}}, Kind.STORAGE)
    control = await device.control()
    assert control.setpoint_mw(await models_of(device.bank)) is None
