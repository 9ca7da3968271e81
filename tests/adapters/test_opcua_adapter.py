"""The adapter `opcua` against a server of asyncua's, over a real connection. In real time."""

import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from adapters import DeviceError
from adapters.opcua import OpcUaAdapter, OpcUaOptions
from adapters.opcua._codes import number_in, read_value
from adapters.opcua._device import OpcUaDevice, ReleasableDevice
from dercp.model.asset import AssetSpec, standard_point
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from sim.field.opcua import OpcUaFault, VirtualServer, options_for, serve_opcua
from sim.options import SimulatedOptions

POINTS = ("active_power_mw", "soc_pct", "setpoint_mw", "frequency_hz")
ASSET = AssetSpec(
    asset_id="bess-1",
    name="bess-1",
    kind=Kind.STORAGE,
    p_min_mw=-2.0,
    p_max_mw=2.0,
    energy_capacity_mwh=4.0,
    sample_interval_s=1.0,
    points=tuple(standard_point(name) for name in POINTS),
)


class Field:
    """A virtual device and its server, which may be taken away and put back."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.device = VirtualServer(ASSET, SimulatedOptions(seed=1))
        self.port = 0
        self._nursery = nursery
        self._scope = trio.CancelScope()

    async def begin(self) -> None:
        """Serve, at the same port as before."""
        self._scope = trio.CancelScope()
        self.port = await self._nursery.start(self._serve)

    async def _serve(self, task_status: trio.TaskStatus[int]) -> None:
        with self._scope:
            await serve_opcua(self.device, port=self.port, interval_s=0.05, task_status=task_status)

    def end(self) -> None:
        """The server is gone."""
        self._scope.cancel()

    def options(self, **changes: Any) -> OpcUaOptions:
        """What site.toml says of it."""
        return msgspec.convert(options_for(ASSET, self.port) | changes, OpcUaOptions)


@pytest.fixture
async def field(nursery: trio.Nursery) -> AsyncIterator[Field]:
    """A battery behind an OPC UA server."""
    field = Field(nursery)
    await field.begin()
    yield field
    field.end()


async def until(device: OpcUaDevice, true: Callable[[dict[str, Reading]], bool]) -> None:
    """Poll until the readings are so."""
    with trio.fail_after(10):
        while not true({reading.point: reading for reading in (await device.read()).values}):  # noqa: ASYNC110  # it is polled
            await trio.sleep(0.05)


async def test_it_reads_writes_reads_back_and_releases(field: Field) -> None:
    """With the server's own times, if they are trusted."""
    async with OpcUaAdapter().open(ASSET, field.options(device_time=True)) as device:
        first = await device.read()
        assert [reading.point for reading in first.values] == list(POINTS)
        assert first.source_time_us
        assert await device.write_setpoint(0.5) == 0.5
        await until(device, lambda now: now["setpoint_mw"].value == 0.5)
        await until(device, lambda now: abs((now["active_power_mw"].value or 0) - 0.5) < 0.1)
        assert (await device.read()).source_time_us > first.source_time_us  # type: ignore[operator]  # both are known
        assert isinstance(device, ReleasableDevice)
        await device.release()
        await until(device, lambda now: now["setpoint_mw"].value is None)


async def test_what_is_wrong_with_the_device_is_never_good(field: Field) -> None:
    """Bad status, texts for numbers, absurd numbers; a setpoint that comes to nothing."""
    device_s = field.device
    async with OpcUaAdapter().open(ASSET, field.options()) as device:
        for fault, quality, reason in (
            (OpcUaFault.BAD_STATUS, Quality.BAD, Reason.OUT_OF_RANGE),
            (OpcUaFault.WRONG_TYPE, Quality.BAD, Reason.NONE),
            (OpcUaFault.ABSURD, Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
            (OpcUaFault.NONE, Quality.GOOD, Reason.NONE),
        ):
            device_s.fault = fault
            expected = (quality, reason)
            await until(
                device,
                lambda now, expected=expected: (  # type: ignore[misc]  # it is bound at once
                    (now["frequency_hz"].quality, now["frequency_hz"].reasons) == expected
                ),
            )
        await device.write_setpoint(0.5)
        device_s.fault = OpcUaFault.DEAF
        assert await device.write_setpoint(-1.0) == 0.5
        with pytest.raises(DeviceError, match="ype"):
            await device._run(_write_text, device)


async def _write_text(device: OpcUaDevice) -> None:
    assert device._setpoint is not None
    await device._setpoint[0].write_value("full")


async def test_a_server_that_goes_is_noticed_and_found_again(field: Field) -> None:
    """The edge opens the device anew; what was set is asked of the server, not remembered."""
    async with OpcUaAdapter().open(ASSET, field.options()) as device:
        await device.write_setpoint(0.5)
        field.end()
        with pytest.raises(DeviceError):
            await until(device, lambda _now: False)
        with pytest.raises(DeviceError):
            await device.write_setpoint(0.5)
    with pytest.raises(DeviceError, match="opc"):
        async with OpcUaAdapter().open(ASSET, field.options()):
            pass
    await field.begin()
    async with OpcUaAdapter().open(ASSET, field.options()) as device:
        assert await device.write_setpoint(0.25) == 0.25


async def test_a_node_that_is_not_there_is_named(field: Field) -> None:
    """By the name that site.toml gives it; paths of browse names are found, too."""
    options = options_for(ASSET, field.port)
    found = {"active_power_mw": {"node": "2:Device/2:active_power_mw", "unit": "kW", "sign": -1}}
    async with OpcUaAdapter().open(ASSET, field.options(points=found, release=None)) as device:
        [power] = (await device.read()).values
        assert power.quality is Quality.GOOD
        assert not isinstance(device, ReleasableDevice)
    for node in ("ns=2;s=Nothing", "nsu=urn:nobody;s=P", "2:Device/2:Nothing", "what=is;this"):
        wrong = options["points"] | {"active_power_mw": {"node": node}}
        with pytest.raises(DeviceError):
            async with OpcUaAdapter().open(ASSET, field.options(points=wrong)):
                pass


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"security": "basic256sha256"}, "needs cert_file"),
        ({"endpoint": "http://x"}, "endpoint"),
        ({"points": {}}, "points"),
        ({"points": {"soc_pct": {"node": "ns=2;s=P", "scale": 0}}}, "scale"),
        ({"points": {"active_power_mw": {"node": "ns=2;s=P", "unit": "V"}}}, "unit"),
        ({"user": "a", "user_cert_file": "a", "user_key_file": "b"}, "either user"),
        ({"user_cert_file": "a"}, "go together"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, Any], sentence: str) -> None:
    """When the file is read, not when the device is opened."""
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.convert(options_for(ASSET, 4840) | changes, OpcUaOptions)


async def test_certificates_that_are_not_there_are_an_error_of_the_device(tmp_path: Path) -> None:
    """It may be a matter of time until somebody brings them."""
    missing = str(tmp_path / "missing.pem")
    files = dict.fromkeys(("cert_file", "key_file", "server_cert_file"), missing)
    changes = {"security": "basic256sha256", **files}
    options = msgspec.convert(options_for(ASSET, 4840) | changes, OpcUaOptions)
    with pytest.raises(DeviceError, match="missing"):
        async with OpcUaAdapter().open(ASSET, options):
            pass


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(), st.integers(), st.lists(st.floats())
)


@given(ANYTHING, st.integers(0, 2**32 - 1), st.sampled_from(ASSET.points))
def test_nonsense_is_never_good(value: object, status: int, point: Any) -> None:
    """Whatever a server sends: a good value has a good status and lies within the range."""
    variant = ua.Variant()
    variant.Value, variant.is_array = value, isinstance(value, list)
    number = number_in(ua.DataValue(variant))
    reading = read_value(point, number, ua.StatusCode(status), ASSET)
    if reading.quality is Quality.GOOD:
        assert reading.value is not None
        assert point.low <= reading.value <= point.high
        assert status >> 30 == 0
    assert reading.value is None or math.isfinite(reading.value)
