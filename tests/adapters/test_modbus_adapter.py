"""The adapter `modbus` against plain registers, over TCP and RTU framing."""

import pytest
import trio
from modbus_field import PlainBank, asset, by_point, served

from adapters import DeviceError, SupportsRelease, SupportsRevertTimer
from adapters.modbus import ModbusAdapter, ModbusOptions
from adapters.modbus._client import Framing
from adapters.modbus._options import EnableMap, PointMap, SetpointMap
from adapters.modbus._registers import Order, RegisterType
from adapters.modbus._spans import Table
from dercp.model.quality import Quality, Reason
from sim.field.modbus import Fault

POWER = PointMap(
    point="active_power_mw", address=100, type=RegisterType.INT32, unit="kW", scale=0.1
)
SOC = PointMap(
    point="soc_pct",
    address=7,
    table=Table.INPUT,
    type=RegisterType.UINT16,
    scale=0.1,
    unknown=(0xFFFF,),
)
SETPOINT = SetpointMap(
    address=200,
    type=RegisterType.INT16,
    unit="kW",
    min_mw=-1.0,
    max_mw=1.0,
    enable=EnableMap(address=210),
)
SITE = asset("active_power_mw", "soc_pct", "soh_pct")


def bank() -> PlainBank:
    """150 kW into the grid, charged to 52.3 %."""
    return PlainBank(
        holding={100: 0, 101: 1500, 200: 0, 210: 0},
        input={7: 523},
        coil={0: 1},
    )


def options(port: int, **more: object) -> ModbusOptions:
    """The map of `bank`."""
    told = {"points": (POWER, SOC), "setpoint": SETPOINT, "timeout_s": 0.2, **more}
    return ModbusOptions(host="127.0.0.1", port=port, **told)  # type: ignore[arg-type]  # tests


@pytest.mark.parametrize("framing", list(Framing))
async def test_points_are_read_in_their_units_and_a_setpoint_is_written(framing: Framing) -> None:
    """Over both framings; what the map lacks is bad."""
    device_bank = bank()
    async with (
        served(device_bank, rtu=framing is Framing.RTU) as device,
        ModbusAdapter().open(SITE, options(device.port, framing=framing)) as opened,
    ):
        readings = by_point((await opened.read()).values)
        assert readings["active_power_mw"].value == pytest.approx(0.15)
        assert readings["soc_pct"].value == pytest.approx(52.3)
        assert readings["soh_pct"].quality is Quality.BAD
        assert await opened.write_setpoint(-0.25) == pytest.approx(-0.25)
        assert isinstance(opened, SupportsRelease)
        assert not isinstance(opened, SupportsRevertTimer)
        await opened.release()
    assert device_bank.written == [(200, (0xFFFF - 249,)), (210, (1,)), (210, (0,))]


async def test_words_and_bytes_come_in_the_order_of_the_map() -> None:
    """The device's own for all points, a point's own before it."""
    device_bank = PlainBank(holding={100: 1500, 101: 0}, input={7: 0x0B02})
    soc = PointMap(
        point="soc_pct",
        address=7,
        table=Table.INPUT,
        type=RegisterType.UINT16,
        byte_order=Order.LITTLE,
        scale=0.1,
    )
    async with served(device_bank) as device:
        told = options(device.port, word_order=Order.LITTLE, points=(POWER, soc))
        async with ModbusAdapter().open(SITE, told) as opened:
            readings = by_point((await opened.read()).values)
    assert readings["active_power_mw"].value == pytest.approx(0.15)
    assert readings["soc_pct"].value == pytest.approx(52.3)


async def test_bits_and_unknown_values() -> None:
    """A coil is 0 or 1; the number that stands for unknown is no value."""
    device_bank = PlainBank(holding={5: 0b0100}, input={7: 0xFFFF}, coil={9: 1})
    points = (
        SOC,
        PointMap(point="fault_code", address=9, table=Table.COIL),
        PointMap(point="operating_state", address=5, bit=2),
    )
    async with served(device_bank) as device:
        told = options(device.port, points=points)
        site = asset("soc_pct", "fault_code", "operating_state")
        async with ModbusAdapter().open(site, told) as opened:
            soc, fault, state = (await opened.read()).values
    assert (soc.value, soc.quality) == (None, Quality.BAD)
    assert (fault.value, state.value) == (1.0, 1.0)


async def test_points_side_by_side_are_read_in_one_request_and_slow_ones_seldom() -> None:
    """A gap is read along only where the map says that it may be."""
    device_bank = PlainBank(holding=dict.fromkeys(range(10), 1), input={7: 1})
    kind = RegisterType.UINT16
    points = (
        PointMap(point="active_power_mw", address=0, type=kind),
        PointMap(point="reactive_power_mvar", address=4, type=kind),
        PointMap(point="soc_pct", address=7, table=Table.INPUT, type=kind, poll="slow"),
    )
    site = asset("active_power_mw", "reactive_power_mvar", "soc_pct")
    async with served(device_bank) as device:
        for gap, requests in (
            (0, [("holding", 0, 1), ("holding", 4, 1)]),
            (3, [("holding", 0, 5)]),
        ):
            told = options(
                device.port, points=points, gap_registers_max=gap, poll_groups={"slow": 60.0}
            )
            async with ModbusAdapter().open(site, told) as opened:
                await opened.read()
                device_bank.asked.clear()
                readings = by_point((await opened.read()).values)
            assert device_bank.asked == requests
            assert readings["soc_pct"].value == 1.0


async def test_a_part_that_is_refused_is_bad_and_the_rest_is_good() -> None:
    """A wrong address in the map costs the point that it is for."""
    device_bank = bank()
    del device_bank.tables["input"][7]
    async with (
        served(device_bank) as device,
        ModbusAdapter().open(SITE, options(device.port)) as opened,
    ):
        readings = by_point((await opened.read()).values)
        assert readings["active_power_mw"].quality is Quality.GOOD
        assert readings["soc_pct"].quality is Quality.BAD
        assert readings["soc_pct"].reasons == Reason.DEVICE_COMMS_LOST


async def test_a_value_that_cannot_be_is_not_good() -> None:
    """A battery of 2 MW does not give 200; no state of charge is 600 %."""
    device_bank = bank()
    device_bank.tables["holding"][100] = 30
    device_bank.tables["input"][7] = 6000
    async with (
        served(device_bank) as device,
        ModbusAdapter().open(SITE, options(device.port)) as opened,
    ):
        power, soc, _ = (await opened.read()).values
    assert (power.quality, power.reasons) == (Quality.UNCERTAIN, Reason.OUT_OF_RANGE)
    assert (soc.quality, soc.reasons) == (Quality.UNCERTAIN, Reason.OUT_OF_RANGE)


async def test_setpoints_that_cannot_be_written_are_refused() -> None:
    """Beyond the limits of the map, too great for the register, without one, not enabled."""
    device_bank = bank()
    wide = SetpointMap(address=200, type=RegisterType.INT16, unit="W", min_mw=-1, max_mw=1)
    away = SetpointMap(address=300, type=RegisterType.INT16, unit="kW", min_mw=-1, max_mw=1)
    async with served(device_bank) as device:
        for setpoint, power_mw, sentence in (
            (SETPOINT, 1.1, "1.1 MW is not within -1 to 1 MW"),
            (SETPOINT, float("nan"), "nan MW is not within"),
            (wide, 0.5, "int16 cannot hold 500000"),
            (away, 0.5, "exception 2, illegal data address"),
            (None, 0.5, r"takes no setpoint \(its options have no"),
        ):
            async with ModbusAdapter().open(
                SITE, options(device.port, setpoint=setpoint)
            ) as opened:
                with pytest.raises(DeviceError, match=sentence):
                    await opened.write_setpoint(power_mw)


async def test_an_enable_that_does_not_stay_is_told() -> None:
    """Some devices take a write and do nothing."""

    class Stubborn(PlainBank):
        def write(self, start: int, registers: object) -> bool:
            return True

    stubborn = Stubborn(holding={100: 0, 101: 0, 200: 0, 210: 0}, input={7: 0})
    async with (
        served(stubborn) as device,
        ModbusAdapter().open(SITE, options(device.port)) as opened,
    ):
        with pytest.raises(DeviceError, match="register 210 says 0 after 1 was written"):
            await opened.write_setpoint(0.5)


async def test_a_map_for_points_that_the_asset_has_not_is_refused() -> None:
    """Rather than read for nobody."""
    with pytest.raises(DeviceError, match=r"options.points\[1\].point: the asset has no .*soc_pct"):
        async with ModbusAdapter().open(asset("active_power_mw"), options(1)):
            pass


async def test_nobody_there_is_told_in_time() -> None:
    """A port that nobody listens on."""
    async with served(bank()) as device:
        port = device.port
    with pytest.raises(DeviceError, match=f"127.0.0.1:{port} unit 1: no connection within 0.2 s"):
        async with ModbusAdapter().open(SITE, options(port)):
            pass


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault.EXCEPTION, "answered exception 4, device failure"),
        (Fault.SLOW, "no answer within 0.2 s"),
        (Fault.SILENT, "no answer within 0.2 s"),
        (Fault.GARBAGE, "no answer within 0.2 s"),
        (Fault.RESET, "no answer within 0.2 s|lost"),
    ],
)
async def test_a_device_in_trouble_is_lost_and_comes_back_when_opened_again(
    fault: Fault, sentence: str
) -> None:
    """Each trouble is told in a sentence, and in time."""
    async with served(bank()) as device:
        device.faults.slow_s = 0.5
        async with ModbusAdapter().open(SITE, options(device.port)) as opened:
            await opened.read()
            device.faults.now = fault
            with trio.fail_after(2), pytest.raises(DeviceError, match=sentence):
                await opened.read()
            device.faults.now = Fault.NONE
            if fault is not Fault.EXCEPTION:
                # A late answer must not be taken for that of the next question.
                with pytest.raises(DeviceError, match="the connection was lost"):
                    await opened.read()
        async with ModbusAdapter().open(SITE, options(device.port)) as opened:
            assert by_point((await opened.read()).values)["soc_pct"].quality is Quality.GOOD


async def test_a_read_that_is_cancelled_leaves_no_late_answer_behind() -> None:
    """The edge bounds each call; RTU has no number by which answers could be told apart."""
    async with served(bank(), rtu=True) as device:
        device.faults.slow_s = 0.1
        told = options(device.port, framing=Framing.RTU)
        async with ModbusAdapter().open(SITE, told) as opened:
            device.faults.now = Fault.SLOW
            with trio.move_on_after(0.02) as scope:
                await opened.read()
            assert scope.cancelled_caught
            with pytest.raises(DeviceError, match="the connection was lost"):
                await opened.read()
