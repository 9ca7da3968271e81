"""The adapter `sunspec` against virtual devices and hostile register images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_field import BATTERY, SOLAR, PlainBank, Served, asset, by_point, served
from sunspec_field import MemoryClient, Points, chain_bank, chain_of

from adapters import DeviceError, SupportsIdentity, SupportsRelease, SupportsRevertTimer
from adapters.modbus._client import ModbusClient
from adapters.sunspec import SunSpecAdapter, SunSpecOptions
from adapters.sunspec._device import SunSpecDevice, poller_of
from adapters.sunspec._mapping import MEASURED
from adapters.sunspec._polling import Poller
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.points import POINTS
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from sim.field.modbus import Fault
from sim.field.modbus_sunspec import BASE, sunspec_device
from sim.options import SimulatedOptions

NO_OPTIONS = SunSpecOptions(host="nowhere")


async def read_once(
    bank: Any, site: AssetSpec, options: SunSpecOptions = NO_OPTIONS
) -> list[Reading]:
    """What the adapter makes of a bank."""
    chain = await chain_of(bank)
    client = cast("ModbusClient", MemoryClient(bank))
    points = [point.name for point in site.points]
    poller = poller_of(client, chain, points, (site.kind,), options)
    return list((await SunSpecDevice(site, options, poller).read()).values)


def at(device: Served) -> SunSpecOptions:
    """Where a virtual device is."""
    return SunSpecOptions(host="127.0.0.1", port=device.port, timeout_s=1.0)


# --- whole devices, over sockets ---------------------------------------------------------


async def test_a_battery_is_read_commanded_and_released() -> None:
    """A setpoint changes holding registers, and the plant follows it."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    async with (
        served(bank) as device,
        SunSpecAdapter().open(
            BATTERY, SunSpecOptions(host="127.0.0.1", port=device.port)
        ) as opened,
    ):
        readings = by_point((await opened.read()).values)
        unknown = {name for name, reading in readings.items() if reading.value is None}
        assert unknown == {"setpoint_mw"}
        assert readings["energy_capacity_mwh"].value == pytest.approx(4.0)
        assert await opened.write_setpoint(-1.5) == pytest.approx(-1.5)
        assert bank.value(704, "WSet") == -1_500_000
        assert bank.value(704, "WSetEna") == 1
        assert by_point((await opened.read()).values)["setpoint_mw"].value == pytest.approx(-1.5)
        assert isinstance(opened, SupportsRelease)
        await opened.release()
        assert bank.value(704, "WSetEna") == 0
        assert isinstance(opened, SupportsIdentity)
        assert (await opened.identify()).serial == "bess-1"


async def test_an_inverter_is_curtailed_and_its_limit_ends_by_its_own_timer() -> None:
    """Model 123, which goes back to full power."""
    bank = sunspec_device(SOLAR, SimulatedOptions())
    async with (
        served(bank) as device,
        SunSpecAdapter().open(SOLAR, at(device)) as opened,
    ):
        readings = by_point((await opened.read()).values)
        unknown = {name for name, reading in readings.items() if reading.value is None}
        assert unknown == {"setpoint_mw", "available_min_mw", "energy_imported_mwh"}
        assert await opened.write_setpoint(0.6) == pytest.approx(0.6, abs=1e-3)
        assert isinstance(opened, SupportsRevertTimer)
        await opened.arm_revert(SOLAR.p_max_mw, 1.0)
        assert bank.value(123, "WMaxLim_Ena") == 1
        await trio.sleep(1.1)
        assert by_point((await opened.read()).values)["setpoint_mw"].value is None


async def test_the_timer_of_a_battery_runs_out_at_the_device() -> None:
    """When nobody comes back: the power that was armed takes over."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    async with served(bank) as device:
        options = SunSpecOptions(host="127.0.0.1", port=device.port)
        async with SunSpecAdapter().open(BATTERY, options) as opened:
            await opened.write_setpoint(1.5)
            assert isinstance(opened, SupportsRevertTimer)
            await opened.arm_revert(-0.5, 1.0)
        assert bank.value(704, "WSetRvrtTms") == 1
        await trio.sleep(1.1)
        async with SunSpecAdapter().open(BATTERY, options) as opened:
            setpoint = by_point((await opened.read()).values)["setpoint_mw"]
        assert setpoint.value == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault.SWAPPED, "is no longer at register"),
        (Fault.EXCEPTION, "answered exception 4, device failure"),
        (Fault.SLOW, "no answer within 0.2 s"),
        (Fault.GARBAGE, "no answer within 0.2 s"),
    ],
)
async def test_a_device_in_trouble_is_lost_and_comes_back(fault: Fault, sentence: str) -> None:
    """With its reason; opened again, it is good again."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    async with served(bank) as device:
        device.faults.slow_s = 0.5
        options = SunSpecOptions(host="127.0.0.1", port=device.port, timeout_s=0.2)
        async with SunSpecAdapter().open(BATTERY, options) as opened:
            device.faults.now = fault
            with pytest.raises(DeviceError, match=sentence):
                await opened.read()
            device.faults.now = Fault.NONE
        async with SunSpecAdapter().open(BATTERY, options) as opened:
            power = by_point((await opened.read()).values)["active_power_mw"]
        assert power.quality is Quality.GOOD


async def test_a_device_whose_heartbeat_stands_still_is_stale_until_it_moves() -> None:
    """Frozen values are the worst kind of wrong ones: they look right."""
    bank = sunspec_device(BATTERY, SimulatedOptions())
    async with served(bank) as device:
        options = SunSpecOptions(host="127.0.0.1", port=device.port, stale_after_s=1.5)
        async with SunSpecAdapter().open(BATTERY, options) as opened:
            await opened.read()
            device.faults.now = Fault.FROZEN
            await opened.read()
            await trio.sleep(1.6)
            frozen = by_point((await opened.read()).values)["active_power_mw"]
            assert (frozen.quality, frozen.reasons) == (Quality.UNCERTAIN, Reason.STALE)
            device.faults.now = Fault.NONE
            moving = by_point((await opened.read()).values)["active_power_mw"]
            assert moving.quality is Quality.GOOD


async def test_a_meter_takes_no_setpoint() -> None:
    """It has nothing to release, and no timer."""
    bank = chain_bank({1: {"Mn": "Acme"}, 103: {"W": 5, "W_SF": 3}})
    site = asset("active_power_mw")
    async with (
        served(bank) as device,
        SunSpecAdapter().open(site, at(device)) as opened,
    ):
        assert not isinstance(opened, SupportsRelease)
        assert not isinstance(opened, SupportsRevertTimer)
        with pytest.raises(DeviceError, match=r"takes no setpoint \(none of the models 123"):
            await opened.write_setpoint(0.1)


async def test_a_setpoint_that_is_not_taken_is_told() -> None:
    """Some devices answer a write with yes, and do nothing."""

    class Stubborn(PlainBank):
        def write(self, start: int, registers: Sequence[int]) -> bool:
            return True

    models: Mapping[int, Points] = {
        704: {"WSet": 0, "WSet_SF": 0, "WSetEna": 0, "WSetMod": 1, "WSetRvrtTms": None}
    }
    bank = Stubborn(holding=chain_bank(models).tables["holding"])
    site = asset("active_power_mw")
    async with (
        served(bank) as device,
        SunSpecAdapter().open(site, at(device)) as opened,
    ):
        assert not isinstance(opened, SupportsRevertTimer)
        with pytest.raises(DeviceError, match="says that no setpoint is in force"):
            await opened.write_setpoint(0.1)
        with pytest.raises(DeviceError, match="a setpoint is a number, not nan"):
            await opened.write_setpoint(math.nan)


# --- what is made of an image, without a socket ------------------------------------------


async def test_what_a_model_says_reaches_its_point() -> None:
    """One value each, from images that pysunspec2 built."""
    site = asset(
        "active_power_mw", "reactive_power_mvar", "voltage_v", "frequency_hz", "operating_state",
        "fault_code", "energy_exported_mwh", "dc_power_mw", "soc_pct", "temperature_c",
    )  # fmt: skip
    legacy: Mapping[int, Points] = {
        103: {
            "W": -50, "W_SF": 4, "VAr": 5, "VAr_SF": 3, "PhVphA": 2310, "PhVphB": 2300,
            "PhVphC": 2290, "V_SF": -1, "Hz": 5001, "Hz_SF": -2, "St": 4, "Evt1": 64,
            "WH": 12_000, "WH_SF": 3, "DCW": 52, "DCW_SF": 4,
        },
        802: {"SoC": 40, "SoC_SF": 0},
        803: {"ModTmpAvg": 251, "ModTmp_SF": -1},
    }  # fmt: skip
    values = [reading.value for reading in await read_once(chain_bank(legacy), site)]
    assert values == pytest.approx(
        [-0.5, 0.005, 230 * math.sqrt(3), 50.01, 3, 64, 12.0, 0.52, 40, 25.1]
    )
    floats: Mapping[int, Points] = {111: {"W": 500_000.0, "PhVphA": 231.5, "Hz": 50.0}}
    power, voltage = await read_once(chain_bank(floats), asset("active_power_mw", "voltage_v"))
    assert [power.value, voltage.value] == pytest.approx([0.5, 231.5])


async def test_the_sign_of_the_configuration_turns_models_that_have_none() -> None:
    """701 states its sign itself."""
    turned = SunSpecOptions(host="nowhere", sign=-1)
    site = asset("active_power_mw")
    for models, expected_mw in (
        ({103: {"W": 50, "W_SF": 4}}, -0.5),
        ({701: {"W": 50, "W_SF": 4}}, 0.5),
    ):
        (power,) = await read_once(chain_bank(models), site, turned)
        assert power.value == pytest.approx(expected_mw)


async def test_remote_control_is_a_point_of_the_sites_own() -> None:
    """715 LocRemCtl: 0 is REMOTE."""
    site = AssetSpec(
        asset_id="bess-1", name="", kind=BATTERY.kind, p_min_mw=-2, p_max_mw=2,
        points=(PointSpec("remote_control", ""),),
    )  # fmt: skip
    for state, expected in ((0, 1.0), (1, 0.0)):
        (remote,) = await read_once(chain_bank({715: {"LocRemCtl": state}}), site)
        assert remote.value == expected


@pytest.mark.parametrize(
    ("points", "quality", "reasons"),
    [
        ({"W": 100, "W_SF": 4}, Quality.GOOD, Reason.NONE),
        ({"W": 30_000, "W_SF": 3}, Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
        ({"W": 100, "W_SF": 12}, Quality.BAD, Reason.OUT_OF_RANGE),
        ({"W": 100, "W_SF": None}, Quality.BAD, Reason.OUT_OF_RANGE),
        ({"W": None, "W_SF": 0}, Quality.BAD, Reason.NONE),
    ],
)
async def test_what_a_number_is_worth(points: Points, quality: Quality, reasons: Reason) -> None:
    """A battery of 2 MW that gives 30 has its scale wrong."""
    (power,) = await read_once(chain_bank({701: points}), asset("active_power_mw"))
    assert (power.quality, power.reasons) == (quality, reasons)


async def test_a_part_that_is_refused_is_bad_and_the_rest_is_good() -> None:
    """The numbers of 701 can be read, its scale factors cannot."""
    bank = chain_bank({713: {"SoC": 50, "Pct_SF": 0}, 701: {"W": 1, "W_SF": 0}})
    for address in list(bank.tables["holding"]):
        if BASE + 2 + 9 + 60 < address < BASE + 2 + 9 + 130:
            del bank.tables["holding"][address]
    power, soc = await read_once(bank, asset("active_power_mw", "soc_pct"))
    assert (power.quality, power.reasons) == (Quality.BAD, Reason.DEVICE_COMMS_LOST)
    assert soc.quality is Quality.GOOD


async def test_a_scale_that_changes_between_two_requests_is_noticed() -> None:
    """701 is too long for one: number and scale must be of the same moment."""
    plain = chain_bank({701: {"W": 1500, "W_SF": 3}})
    (place,) = await chain_of(plain)
    w, w_sf = (place.address + place.layout.fields[name].offset for name in ("W", "W_SF"))

    class Switching(PlainBank):
        """Scales W anew after its numbers were read for the third time."""

        numbers_read = 0

        def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
            items = super().read(table, start, count)
            if start <= w < start + count:
                self.numbers_read += 1
                if self.numbers_read == 3:
                    self.tables["holding"] |= {w: 150, w_sf: 4}
            return items

    bank = Switching(holding=plain.tables["holding"])
    client = cast("ModbusClient", MemoryClient(bank))
    site = asset("active_power_mw")
    poller = Poller(client, (place,), {701: {"W"}}, 120)
    device = SunSpecDevice(site, NO_OPTIONS, poller)
    powers = [(await device.read()).values[0].value for _ in range(3)]
    assert powers == [pytest.approx(1.5)] * 3


async def test_a_scale_that_never_stands_still_cannot_be_read() -> None:
    """Three times, then the device counts as lost."""
    plain = chain_bank({701: {"W": 1500, "W_SF": 3}})
    (place,) = await chain_of(plain)
    w_sf = place.address + place.layout.fields["W_SF"].offset

    class Flickering(PlainBank):
        def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
            items = super().read(table, start, count)
            if start <= w_sf < start + count:
                self.tables["holding"][w_sf] += 1
            return items

    client = cast("ModbusClient", MemoryClient(Flickering(holding=plain.tables["holding"])))
    poller = Poller(client, (place,), {701: {"W"}}, 120)
    with pytest.raises(DeviceError, match="change faster than they can be read"):
        await poller.poll()


async def test_a_poll_of_a_battery_takes_few_requests() -> None:
    """Models side by side are read together; who it is and its ratings once a minute."""
    client = MemoryClient(sunspec_device(BATTERY, SimulatedOptions()))
    chain = await chain_of(sunspec_device(BATTERY, SimulatedOptions()))
    points = [point.name for point in BATTERY.points]
    poller = poller_of(cast("ModbusClient", client), chain, points, (BATTERY.kind,), NO_OPTIONS)
    await poller.poll()
    client.requests.clear()
    await poller.poll()
    assert len(client.requests) == 4
    assert all(request.count <= 120 for request in client.requests)


def test_every_mapped_point_is_a_point() -> None:
    """Of the table, or the one that a site gives its own name to."""
    assert set(MEASURED) - {point.name for point in POINTS} == {"remote_control"}


# --- hostile images ----------------------------------------------------------------------


def registers_of(site: AssetSpec) -> list[int]:
    """The whole image of a virtual device."""

    async def main() -> list[int]:
        bank = sunspec_device(site, SimulatedOptions())
        items: list[int] = []
        while (more := bank.read("holding", BASE + len(items), 1)) is not None:
            items += more
        return items

    return trio.run(main, clock=trio.testing.MockClock())


IMAGES = {site.asset_id: registers_of(site) for site in (BATTERY, SOLAR)}
words = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x7FC0])


@given(
    site=st.sampled_from([BATTERY, SOLAR]),
    changes=st.dictionaries(st.integers(0, 900), words, max_size=60),
    seed=st.none() | st.randoms(use_true_random=False),
)
@settings(max_examples=300)
def test_no_image_crashes_the_adapter_or_gives_a_good_value_that_cannot_be(
    site: AssetSpec, changes: dict[int, int], seed: Any
) -> None:
    """Garbled registers, or nothing but noise behind each header."""
    image = list(IMAGES[site.asset_id])
    if seed is not None:
        image = noise(image, seed)
    for place, word in changes.items():
        image[place % len(image)] = word
    bank = PlainBank(holding=dict(enumerate(image, BASE)))

    async def main() -> list[Reading]:
        try:
            return await read_once(bank, site)
        except DeviceError:
            return []

    ranges = {point.name: (point.low, point.high) for point in site.points}
    for reading in trio.run(main, clock=trio.testing.MockClock()):
        low, high = ranges[reading.point]
        if reading.quality is Quality.GOOD:
            assert reading.value is not None
            assert low <= reading.value <= high
            if reading.point.endswith("_mw"):
                assert abs(reading.value) <= 2 * site.nameplate_mw


def noise(image: list[int], seed: Any) -> list[int]:
    """An image whose headers alone are left."""
    noisy, place = image[:2], 2
    while image[place] != 0xFFFF:
        length = image[place + 1]
        noisy += image[place : place + 2] + [seed.randrange(0x10000) for _ in range(length)]
        place += 2 + length
    return [*noisy, *image[place:]]
