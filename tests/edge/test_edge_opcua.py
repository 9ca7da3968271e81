"""The OPC UA surface: what it shows, what it takes, what becomes of it. In real time."""

import asyncio  # noqa: TID251  # what the client does
import math
from collections.abc import AsyncIterator

import pytest
import trio
from asyncua import Client, ua
from edge_plant import FakeDevice, asset_config, config, dispatch
from msgspec.structs import replace
from opcua_plant import OPEN, Plant, node, open_surface

from adapters import DeviceError
from dercp.edge.opcua.nodes import NAMESPACE
from dercp.model.bounds import Bounds
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.wire import v1

POWER = "Assets/bess-1/Telemetry/active_power_mw"
CHARGE = "Assets/bess-1/Telemetry/soc_pct"
SETPOINT = "Assets/bess-1/Controls/SetpointMW"
RELEASE = "Assets/bess-1/Controls/Release"
SITE = "Site/Controls/SiteDispatchMW"


@pytest.fixture
def devices() -> list[FakeDevice]:
    """Two batteries of 2 MW; the site lets the first one discharge 1.5 MW."""
    return [FakeDevice(), FakeDevice()]


@pytest.fixture
async def plant(devices: list[FakeDevice]) -> AsyncIterator[Plant]:
    """Their agent, open to everybody on this machine."""
    for device in devices:
        device.values = [
            Reading("active_power_mw", 0.25),
            Reading("soc_pct", 50.0, Quality.UNCERTAIN, Reason.SUBSTITUTED),
        ]
    assets = (
        asset_config("bess-1", devices[0], interval_s=0.2, limits=Bounds(-2.0, 1.5)),
        asset_config("bess-2", devices[1], interval_s=0.2),
    )
    async with open_surface(config(*assets)) as plant:
        yield plant


async def test_the_namespace_is_as_the_page_describes_it(plant: Plant) -> None:
    """By browsing from Objects, as a SCADA does; with types, units and ranges."""

    async def work(client: Client) -> None:
        assert await client.get_namespace_index(NAMESPACE) == 2
        children = {
            (await each.read_browse_name()).Name: each
            for each in await client.nodes.objects.get_children()
        }
        names = [
            (await each.read_browse_name()).Name for each in await children["Assets"].get_children()
        ]
        assert names == ["bess-1", "bess-2"]
        power = client.get_node(node(POWER))
        assert await power.read_data_type() == ua.NodeId(ua.ObjectIds.Double)
        unit = await client.get_node(node(f"{POWER}/EngineeringUnits")).read_value()
        assert (unit.DisplayName.Text, unit.UnitId) == ("MW", int.from_bytes(b"MAW"))
        span = await client.get_node(node(f"{POWER}/EURange")).read_value()
        assert (span.Low, span.High) == (-2.0, 2.0)
        span = await client.get_node(node(f"{SITE}/EURange")).read_value()
        assert (span.Low, span.High) == (-4.0, 4.0)
        assert ua.AccessLevel.CurrentWrite not in await power.get_access_level()
        setpoint = client.get_node(node(SETPOINT))
        assert ua.AccessLevel.CurrentWrite in await setpoint.get_access_level()

    await plant.client(work)


async def test_values_come_with_their_quality_and_their_time(
    plant: Plant, devices: list[FakeDevice]
) -> None:
    """As the device gave them; out of range is never good; a lost device has no values."""
    devices[0].source_time_us = 1_700_000_000_000_000
    await trio.sleep(1.0)
    power, charge = await plant.read(POWER), await plant.read(CHARGE)
    assert (power.Value.Value, power.StatusCode.name) == (0.25, "Good")
    assert power.SourceTimestamp.timestamp() == 1_700_000_000
    assert (charge.Value.Value, charge.StatusCode.name) == (50.0, "UncertainSubstituteValue")
    devices[0].values = [Reading("active_power_mw", 0.5), Reading("soc_pct", 250.0)]
    await trio.sleep(1.0)
    charge = await plant.read(CHARGE)
    assert charge.StatusCode.name == "UncertainEngineeringUnitsExceeded"
    devices[0].read_error = DeviceError("gone")
    await trio.sleep(1.0)
    power = await plant.read(POWER)
    assert (power.Value.Value, power.StatusCode.name) == (None, "BadNotConnected")
    assert (await plant.read("Assets/bess-1/Status/Online")).Value.Value is False
    assert (await plant.read("Assets/bess-2/Status/Online")).Value.Value is True


async def test_a_subscriber_hears_of_changes(plant: Plant, devices: list[FakeDevice]) -> None:
    """Value, status and source time, as they come."""
    heard: list[tuple[float, str]] = []

    class Handler:
        def datachange_notification(self, _node: object, value: float, data: object) -> None:
            heard.append((value, data.monitored_item.Value.StatusCode.name))  # type: ignore[attr-defined]  # asyncua gives it

    async def work(client: Client) -> None:
        subscription = await client.create_subscription(100, Handler())
        await subscription.subscribe_data_change(client.get_node(node(POWER)))
        devices[0].values = [Reading("active_power_mw", 0.75)]
        while (0.75, "Good") not in heard:  # noqa: ASYNC110  # it rings no bell
            await asyncio.sleep(0.05)

    await plant.client(work)
    await plant.wait_until(lambda: plant.agent.status().opcua.sessions == 0)  # type: ignore[union-attr]  # it is up


async def test_a_setpoint_is_a_dispatch_of_the_local_operator(
    plant: Plant, devices: list[FakeDevice]
) -> None:
    """It is written, told upstream with who asked, and goes before the headend's."""
    assert await plant.write(SETPOINT, -0.5) == "Good"
    call = await plant.headend.call()
    await plant.wait_until(lambda: any(u.state.name == "APPLIED" for u in call.updates()))
    assert devices[0].told[-1] == -0.5
    local = call.updates()[0].local
    assert local is not None
    assert (local.asset_id, local.setpoint_mw) == ("bess-1", -0.5)
    assert local.authority is v1.Authority.LOCAL_OPERATOR
    assert local.requested_by == "opcua:anonymous"
    await trio.sleep(0.6)
    assert (await plant.read(SETPOINT)).Value.Value == -0.5
    authority = await plant.read("Assets/bess-1/Status/Authority")
    assert authority.Value.Value == "local_operator"
    result = await plant.read("Assets/bess-1/Status/LastCommandResult")
    assert "opcua:anonymous -0.5 MW applied" in result.Value.Value

    call.say(dispatch=dispatch("d-1", setpoint_mw=1.0))
    await plant.wait_until(lambda: call.states("d-1") == ["rejected"])
    [refused] = [update for update in call.updates() if update.dispatch_id == "d-1"]
    assert refused.reason == "local_operator"
    local_id = call.updates()[0].dispatch_id
    call.say(cancel_dispatch=v1.CancelDispatch(dispatch_id=local_id, revision=1))
    await trio.sleep(0.2)
    assert devices[0].told[-1] == -0.5


async def test_the_local_operator_takes_the_asset_from_the_headend(
    plant: Plant, devices: list[FakeDevice]
) -> None:
    """The headend is told by whom."""
    call = await plant.headend.call()
    call.say(dispatch=dispatch("d-1", setpoint_mw=1.0))
    await plant.wait_until(lambda: "applied" in call.states("d-1"))
    assert await plant.write(SETPOINT, 0.0) == "Good"
    await plant.wait_until(lambda: call.states("d-1")[-1] == "superseded")
    [superseded] = [u for u in call.updates() if u.state is v1.DispatchState.SUPERSEDED]
    assert superseded.reason == "local_operator"
    assert devices[0].told[-1] == 0.0


WRITES = [
    (SETPOINT, 1.75, "GoodClamped"),
    (SETPOINT, 99.0, "BadOutOfRange"),
    (SETPOINT, math.inf, "BadOutOfRange"),
    (SETPOINT, "full", "BadTypeMismatch"),
    (SETPOINT, ua.Variant([1.0, 2.0]), "BadTypeMismatch"),
    (SETPOINT, ua.Variant(1, ua.VariantType.Int32), "BadTypeMismatch"),
    (RELEASE, 1.0, "BadTypeMismatch"),
    (POWER, 1.0, "BadNotWritable"),
    ("Assets/nobody/Controls/SetpointMW", 1.0, "BadNodeIdUnknown"),
]


async def test_a_write_is_answered_with_a_code_that_says_why(
    plant: Plant, devices: list[FakeDevice]
) -> None:
    """Each node of a request by itself; bad ones reach no device, and no headend."""

    async def work(client: Client) -> list[str]:
        params = ua.WriteParameters(NodesToWrite=[_write(path, value) for path, value, _ in WRITES])
        return [code.name for code in await client.uaclient.write(params)]

    assert await plant.client(work) == [code for _, _, code in WRITES]
    call = await plant.headend.call()
    await plant.wait_until(lambda: bool(call.updates()))
    assert {update.local.setpoint_mw for update in call.updates() if update.local} == {1.75}
    assert devices[0].told == ["release", 1.5]

    plant.agent._memories["bess-1"].keeper.surroundings.locked = "fan replaced"
    assert await plant.write(SETPOINT, 0.5) == "BadInvalidState"
    devices[1].read_error = DeviceError("gone")
    devices[1].open_error = DeviceError("gone")
    await plant.wait_until(lambda: not plant.agent._memories["bess-2"].is_connected)
    assert await plant.write("Assets/bess-2/Controls/SetpointMW", 0.5) == "BadNotConnected"
    assert await plant.write(SITE, 0.5) == "BadInvalidState"


async def test_a_lease_ends_by_itself_or_is_released(devices: list[FakeDevice]) -> None:
    """After `lease_s`, unless it is renewed; NaN and Release end it at once."""
    asset = asset_config("bess-1", devices[0], interval_s=0.2, fallback="zero")
    async with open_surface(config(asset), replace(OPEN, lease_s=1.0)) as plant:
        call = await plant.headend.call()
        assert await plant.write(SETPOINT, 0.5) == "Good"
        began_s = trio.current_time()
        await plant.wait_until(lambda: devices[0].told[-1] == 0.0)
        assert 0.5 < trio.current_time() - began_s < 2.0

        for _ in range(4):
            assert await plant.write(SETPOINT, 0.75) == "Good"
            await trio.sleep(0.4)
        assert devices[0].told[-1] == 0.75
        assert await plant.write(SETPOINT, math.nan) == "Good"
        await plant.wait_until(lambda: devices[0].told[-1] == 0.0)
        assert await plant.write(SETPOINT, 0.25) == "Good"
        assert await plant.write(RELEASE, value=True) == "Good"
        await plant.wait_until(lambda: devices[0].told[-1] == 0.0)

        endings = [u.state.name for u in call.updates() if u.state >= v1.DispatchState.COMPLETED]
        assert endings == ["COMPLETED", *["SUPERSEDED"] * (len(endings) - 3), *["CANCELLED"] * 2]
        # Asked four times within the lease, renewed as often at most.
        assert len(endings) <= 6


async def test_a_sites_setpoint_is_divided(plant: Plant, devices: list[FakeDevice]) -> None:
    """The allocations are shown; whoever holds one of the assets keeps it."""
    assert await plant.write(SITE, 2.0) == "Good"
    await plant.wait_until(lambda: devices[0].told[-1] != "release")
    await plant.wait_until(lambda: devices[1].told[-1] != "release")
    assert sum(float(device.told[-1]) for device in devices) == pytest.approx(2.0)
    await trio.sleep(0.6)
    shown = [await plant.read(f"Site/Allocations/{each}/MW") for each in ("bess-1", "bess-2")]
    assert [each.Value.Value for each in shown] == [device.told[-1] for device in devices]
    assert (await plant.read(SITE)).Value.Value == 2.0
    call = await plant.headend.call()
    assert {u.local.site_id for u in call.updates() if u.local} == {"site-1"}

    call.say(dispatch=dispatch("d-1", asset_id="bess-2", setpoint_mw=1.0))
    await plant.wait_until(lambda: call.states("d-1") == ["rejected"])
    assert await plant.write("Site/Controls/Release", value=True) == "Good"
    await plant.wait_until(lambda: [device.told[-1] for device in devices] == ["release"] * 2)


def _write(path: str, value: object) -> ua.WriteValue:
    variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
    return ua.WriteValue(
        NodeId=node(path), AttributeId=ua.AttributeIds.Value, Value=ua.DataValue(variant)
    )
