"""The simulated adapter is a well-mannered adapter, and its machines stay where they are."""

from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from adapters import Adapter, DeviceError, SupportsIdentity, SupportsRelease, SupportsRevertTimer
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.points import Kind, point_named
from dercp.model.quality import Quality
from sim.adapter import SimulatedAdapter, SimulatedDevice
from sim.options import SimulatedOptions
from sim.specs import default_spec

DEFAULTS = SimulatedOptions()
BATTERY = default_spec(Kind.STORAGE, "bess-1", "Battery 1")


async def values(device: SimulatedDevice) -> dict[str, float | None]:
    """What the device says, by point."""
    readings = await device.read()
    return {reading.point: reading.value for reading in readings.values}


def test_it_is_an_adapter() -> None:
    """The types agree with the protocol that the edge knows."""
    adapter: Adapter[SimulatedOptions] = SimulatedAdapter()
    assert adapter.options is SimulatedOptions


@pytest.mark.parametrize("kind", Kind)
async def test_a_device_reads_the_points_of_its_asset_in_order(
    kind: Kind, autojump_clock: MockClock
) -> None:
    """All good and plausible, but for the setpoint while there is none."""
    asset = default_spec(kind, "asset-1", "Asset 1")
    async with SimulatedAdapter().open(asset, DEFAULTS) as device:
        await trio.sleep(1)
        readings = await device.read()
    assert [reading.point for reading in readings.values] == [p.name for p in asset.points]
    for reading in readings.values:
        if reading.point == "setpoint_mw":
            assert (reading.value, reading.quality) == (None, Quality.BAD)
        else:
            assert reading.quality is Quality.GOOD
            assert reading.value is not None
            point = point_named(reading.point)
            assert point.low <= reading.value <= point.high


async def test_a_point_that_the_device_lacks_is_bad(autojump_clock: MockClock) -> None:
    """Unknown is no number, and never zero."""
    asset = replace(BATTERY, points=(PointSpec("door_open", ""), *BATTERY.points[:1]))
    async with SimulatedAdapter().open(asset, DEFAULTS) as device:
        readings = (await device.read()).values
    assert [(r.point, r.value, r.quality) for r in readings] == [
        ("door_open", None, Quality.BAD),
        ("active_power_mw", 0.0, Quality.GOOD),
    ]


async def test_a_setpoint_is_followed(autojump_clock: MockClock) -> None:
    """Written, clamped, in force, and reached a second later."""
    async with SimulatedAdapter().open(BATTERY, DEFAULTS) as device:
        assert await device.write_setpoint(9.0) == 2.0
        await trio.sleep(1)
        seen = await values(device)
        assert seen["setpoint_mw"] == 2.0
        assert seen["active_power_mw"] == pytest.approx(2.0, rel=0.02)


async def test_it_can_what_only_some_can(autojump_clock: MockClock) -> None:
    """Release, revert timer and identity, as the capability protocols name them."""
    async with SimulatedAdapter().open(BATTERY, DEFAULTS) as device:
        assert isinstance(device, SupportsRelease)
        assert isinstance(device, SupportsRevertTimer)
        assert isinstance(device, SupportsIdentity)
        assert (await device.identify()).serial == "bess-1"
        await device.write_setpoint(1.0)
        await device.arm_revert(0.5, 10.0)
        await trio.sleep(11)
        assert (await values(device))["setpoint_mw"] == 0.5
        await device.release()
        assert (await values(device))["setpoint_mw"] is None


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf")])
async def test_a_setpoint_that_is_no_number_is_refused(
    nonsense: float, autojump_clock: MockClock
) -> None:
    """And the one in force stays."""
    async with SimulatedAdapter().open(BATTERY, DEFAULTS) as device:
        await device.write_setpoint(1.0)
        with pytest.raises(DeviceError, match="bess-1: a setpoint is a number"):
            await device.write_setpoint(nonsense)
        with pytest.raises(DeviceError, match="bess-1: a setpoint is a number"):
            await device.arm_revert(nonsense, 1.0)
        assert (await values(device))["setpoint_mw"] == 1.0


async def test_a_machine_works_on_while_nobody_is_connected(autojump_clock: MockClock) -> None:
    """Opened again, it has the setpoint it had and the energy it gave since."""
    adapter = SimulatedAdapter()
    async with adapter.open(BATTERY, DEFAULTS) as device:
        await device.write_setpoint(1.0)
    await trio.sleep(360)
    async with adapter.open(BATTERY, DEFAULTS) as device:
        seen = await values(device)
    assert seen["setpoint_mw"] == 1.0
    assert seen["energy_exported_mwh"] == pytest.approx(0.1, rel=0.01)


async def test_another_nameplate_is_another_machine(autojump_clock: MockClock) -> None:
    """A changed configuration starts anew."""
    adapter = SimulatedAdapter()
    async with adapter.open(BATTERY, DEFAULTS) as device:
        await device.write_setpoint(1.0)
    async with adapter.open(replace(BATTERY, p_max_mw=1.0), DEFAULTS) as device:
        assert (await values(device))["setpoint_mw"] is None


async def test_devices_of_one_site_share_its_weather_whoever_opens_them(
    autojump_clock: MockClock,
) -> None:
    """Two agents with an adapter each, one of them later: one sun."""
    plants = [default_spec(Kind.PV, f"pv-{number}", "PV") for number in (1, 2)]
    async with SimulatedAdapter().open(plants[0], SimulatedOptions(site_seed=4)) as first:
        await trio.sleep(500)
        async with SimulatedAdapter().open(plants[1], SimulatedOptions(site_seed=4)) as second:
            here, there = await values(first), await values(second)
    assert here["irradiance_w_m2"] is not None
    assert here["irradiance_w_m2"] == pytest.approx(there["irradiance_w_m2"], abs=1.5)


async def test_the_start_hour_chooses_day_or_night(autojump_clock: MockClock) -> None:
    """At midnight the inverters sleep."""
    asset = default_spec(Kind.PV, "pv-1", "PV 1")
    async with SimulatedAdapter().open(asset, SimulatedOptions(start_hour=0)) as device:
        assert (await values(device))["active_power_mw"] == 0
    async with SimulatedAdapter().open(asset, SimulatedOptions(start_hour=12)) as device:
        assert (await values(device))["active_power_mw"] != 0


def test_the_same_seeds_tell_the_same_story() -> None:
    """Bit for bit, reading by reading, in two fields."""

    async def story() -> list[dict[str, float | None]]:
        adapter, told = SimulatedAdapter(), []
        for kind in Kind:
            async with adapter.open(default_spec(kind, f"{kind}-1", ""), DEFAULTS) as device:
                for _ in range(60):
                    await trio.sleep(10)
                    told.append(await values(device))
        return told

    stories = [trio.run(story, clock=MockClock(autojump_threshold=0)) for _ in range(2)]
    assert stories[0] == stories[1]


async def test_a_slow_device_takes_its_time(autojump_clock: MockClock) -> None:
    """Latency passes on the clock before the answer."""
    async with SimulatedAdapter().open(BATTERY, SimulatedOptions(latency_s=2.5)) as device:
        began = trio.current_time()
        await device.read()
        assert trio.current_time() - began == pytest.approx(2.5)


async def test_each_third_exchange_fails_and_a_new_connection_does_not_mend_it(
    autojump_clock: MockClock,
) -> None:
    """The fault is the machine's, not the connection's."""
    adapter, options = SimulatedAdapter(), SimulatedOptions(fail_every=3)
    async with adapter.open(BATTERY, options) as device:
        await device.read()
        await device.write_setpoint(1.0)
    async with adapter.open(BATTERY, options) as device:
        with pytest.raises(DeviceError, match=r"bess-1: exchange 3 failed.*ordered"):
            await device.read()
        assert (await values(device))["setpoint_mw"] == 1.0


async def test_chance_fails_the_same_exchanges_for_the_same_seed(autojump_clock: MockClock) -> None:
    """About as many as the probability says."""

    async def failures(seed: int) -> list[int]:
        options = SimulatedOptions(seed=seed, fail_probability=0.2)
        failed = []
        async with SimulatedAdapter().open(BATTERY, options) as device:
            for number in range(200):
                try:
                    await device.read()
                except DeviceError:
                    failed.append(number)
        return failed

    assert await failures(1) == await failures(1) != await failures(2)
    assert 20 < len(await failures(1)) < 60


async def test_an_outage_shuts_reading_and_opening_for_its_time(autojump_clock: MockClock) -> None:
    """Ten seconds in every hundred, from the hundredth on; then all is as before."""
    adapter = SimulatedAdapter()
    options = SimulatedOptions(outage_every_s=100, outage_for_s=10)
    async with adapter.open(BATTERY, options) as device:
        await trio.sleep(99)
        await device.read()
        await trio.sleep(2)
        with pytest.raises(DeviceError, match=r"bess-1: away for another 9\.0 s"):
            await device.read()
        with pytest.raises(DeviceError, match="away"):
            async with adapter.open(BATTERY, options):
                pass
        await trio.sleep(10)
        await device.read()


async def test_a_switch_on_local_control_refuses_setpoints(autojump_clock: MockClock) -> None:
    """And says so, while it is read as ever."""
    asset = replace(BATTERY, points=(PointSpec("remote_control", ""),))
    options = SimulatedOptions(local_every_s=100, local_for_s=10)
    async with SimulatedAdapter().open(asset, options) as device:
        await device.write_setpoint(1.0)
        assert await values(device) == {"remote_control": 1.0}
        await trio.sleep(101)
        assert await values(device) == {"remote_control": 0.0}
        for refused in (device.write_setpoint(0.5), device.release(), device.arm_revert(0.0, 60)):
            with pytest.raises(DeviceError, match="bess-1: under local control"):
                await refused
        await trio.sleep(10)
        await device.write_setpoint(0.5)


async def test_a_slow_ramp_takes_its_time_both_ways(autojump_clock: MockClock) -> None:
    """A hundredth of the nameplate a second."""
    async with SimulatedAdapter().open(BATTERY, SimulatedOptions(ramp_share_per_s=0.01)) as device:
        await device.write_setpoint(1.0)
        await trio.sleep(25)
        assert (await values(device))["active_power_mw"] == pytest.approx(0.5, abs=0.01)
        await trio.sleep(50)
        assert (await values(device))["active_power_mw"] == pytest.approx(1.0)
        await device.release()
        await trio.sleep(10)
        assert (await values(device))["active_power_mw"] == pytest.approx(0.8, abs=0.01)


async def test_a_read_can_be_cancelled(autojump_clock: MockClock) -> None:
    """At the wait for the device, and the next read is none the worse."""
    async with SimulatedAdapter().open(BATTERY, SimulatedOptions(latency_s=5)) as device:
        with trio.move_on_after(1) as scope:
            await device.read()
        assert scope.cancelled_caught
        await device.read()


@pytest.mark.parametrize(
    "table",
    [
        {"initial_soc": 50},
        {"initial_soc_pct": 101},
        {"fail_probability": 2},
        {"latency_s": -1},
        {"start_hour": 168},
    ],
)
def test_options_that_make_no_sense_are_refused(table: dict[str, Any]) -> None:
    """Unknown keys and impossible values name their place."""
    with pytest.raises(msgspec.ValidationError, match=next(iter(table))):
        msgspec.convert(table, SimulatedOptions)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.STORAGE, "p_min_mw below 0 or p_max_mw above 0"),
        (Kind.PV, "p_max_mw above 0"),
        (Kind.WIND, "p_max_mw above 0"),
        (Kind.EV, "p_min_mw below 0"),
    ],
)
async def test_an_asset_without_power_is_no_plant(
    kind: Kind, expected: str, autojump_clock: MockClock
) -> None:
    """The error says which number it wants."""
    asset: AssetSpec = replace(default_spec(kind, "none", "None"), p_min_mw=0.0, p_max_mw=0.0)
    with pytest.raises(DeviceError, match=f"none: a simulated {kind} asset needs {expected}"):
        async with SimulatedAdapter().open(asset, DEFAULTS):
            pass
