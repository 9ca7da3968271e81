"""What the edge's tests share: a device to play with, a config, and a headend by the script."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from adapters import Readings
from dercp.edge.config import AssetConfig, Config, Headend
from dercp.edge.guardrail import Bounds, Guardrails
from dercp.edge.site_file import Fallback
from dercp.model.asset import AssetSpec, standard_point
from dercp.model.points import Kind
from dercp.model.reading import Reading
from dercp.wire import v1

START_US = 1_800_000_000_000_000


class FakeOptions(msgspec.Struct):
    """No options."""


class FakeDevice:
    """A device that does what its fields say, and remembers what it was told."""

    options = FakeOptions

    def __init__(self) -> None:
        self.power_mw = 0.0
        self.told: list[float | str] = []
        self.opened = 0
        self.open_now = 0
        self.open_error: Exception | None = None
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None
        self.read_takes_s = 0.0
        self.open_takes_s = 0.0
        self.readback_offset_mw = 0.0
        self.values: Sequence[Any] | None = None
        self.source_time_us: int | None = None

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: FakeOptions) -> AsyncIterator["FakeDevice"]:
        """Connect."""
        await trio.sleep(self.open_takes_s)
        if self.open_error is not None:
            raise self.open_error
        self.opened += 1
        self.open_now += 1
        try:
            # As a real adapter may: with a nursery around the device.
            async with trio.open_nursery() as nursery:
                yield self
                nursery.cancel_scope.cancel()
        finally:
            self.open_now -= 1

    async def read(self) -> Readings:
        """Poll."""
        await trio.sleep(self.read_takes_s)
        if self.read_error is not None:
            raise self.read_error
        values = self.values or [Reading("active_power_mw", self.power_mw)]
        return Readings(values, self.source_time_us)

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        await trio.lowlevel.checkpoint()
        if self.write_error is not None:
            raise self.write_error
        self.told.append(active_power_mw)
        self.power_mw = active_power_mw
        return active_power_mw + self.readback_offset_mw

    async def release(self) -> None:
        """Let go."""
        await trio.lowlevel.checkpoint()
        if self.write_error is not None:
            raise self.write_error
        self.told.append("release")
        self.power_mw = 0.0


def storage(asset_id: str, interval_s: float = 1.0) -> AssetSpec:
    """A battery of 2 MW with two points."""
    return AssetSpec(
        asset_id=asset_id,
        name=asset_id,
        kind=Kind.STORAGE,
        p_min_mw=-2.0,
        p_max_mw=2.0,
        sample_interval_s=interval_s,
        points=(standard_point("active_power_mw"), standard_point("soc_pct")),
    )


def asset_config(
    asset_id: str,
    device: FakeDevice,
    *,
    interval_s: float = 1.0,
    fallback: Fallback = "release",
    limits: Bounds | None = None,
) -> AssetConfig:
    """An asset that a fake device speaks for."""
    nameplate = Bounds(-2.0, 2.0)
    return AssetConfig(
        spec=storage(asset_id, interval_s),
        guardrails=Guardrails(nameplate, limits or nameplate),
        fallback=fallback,
        adapter_name="fake",
        adapter=device,
        options=FakeOptions(),
    )


def config(*assets: AssetConfig, port: int = 1) -> Config:
    """An agent of these assets."""
    return Config(
        agent_id="edge-1",
        data_dir=None,
        headend=Headend("127.0.0.1", port, None),
        site_id="site-1",
        site_name="Site 1",
        assets=assets,
    )


def virtual_clock() -> int:
    """A wall clock that goes with Trio's."""
    return START_US + round(trio.current_time() * 1e6)


def dispatch(
    dispatch_id: str = "d-1",
    *,
    asset_id: str = "bess-1",
    setpoint_mw: float = 1.0,
    now_us: int | None = None,
    start_in_s: float = 0.0,
    until_in_s: float = 60.0,
    deliver_within_s: float = 30.0,
    revision: int = 1,
    priority: int = 0,
) -> v1.Dispatch:
    """A dispatch as the headend sends it."""
    now_us = virtual_clock() if now_us is None else now_us
    return v1.Dispatch(
        dispatch_id=dispatch_id,
        revision=revision,
        asset_id=asset_id,
        setpoint_mw=setpoint_mw,
        start_us=now_us + round(start_in_s * 1e6),
        until_us=now_us + round(until_in_s * 1e6),
        deliver_by_us=now_us + round(deliver_within_s * 1e6),
        priority=priority,
    )


def welcome(server_time_us: int, **fields: Any) -> v1.Downlink:
    """The headend's first word."""
    said = {"session_id": "s-1", "epoch": 1, "heartbeat_interval_ms": 10_000, **fields}
    return v1.Downlink(welcome=v1.Welcome(server_time_us=server_time_us, **said))
