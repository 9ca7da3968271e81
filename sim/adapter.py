"""The `simulated` adapter: virtual devices behind the protocol that real ones speak."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import trio

from adapters import DeviceError, Identity, Readings
from dercp.model.asset import AssetSpec
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from sim.conditions import SiteConditions
from sim.faults import Faults
from sim.options import SimulatedOptions
from sim.running import Connection, RunningPlant
from sim.specs import plant_for

__all__ = ["SimulatedAdapter", "SimulatedDevice"]


class _World:
    """What all adapters of a Trio run share: when the simulation began, and the weather.

    Devices opened one after the other, by whichever agent, stand in the same weather at
    the same time. It grows with the sites of the configuration, one entry each.
    """

    def __init__(self) -> None:
        self._began = trio.current_time()
        self._sites: dict[tuple[int, float], SiteConditions] = {}

    def now_s(self) -> float:
        """Seconds since the simulation began."""
        return trio.current_time() - self._began

    def site(self, options: SimulatedOptions) -> SiteConditions:
        """The site that these options put a device on."""
        key = (options.site_seed, options.start_hour)
        if key not in self._sites:
            self._sites[key] = SiteConditions(options.site_seed, start_hour=options.start_hour)
        return self._sites[key]


_WORLD: trio.lowlevel.RunVar[_World] = trio.lowlevel.RunVar("sim_world")


class _Machine(msgspec.Struct, frozen=True):
    """What stands in the field. It goes on while nobody is connected to it."""

    asset: AssetSpec
    options: SimulatedOptions
    plant: RunningPlant[Any]  # its state is nobody else's business
    faults: Faults


class SimulatedDevice:
    """A connection to a machine.

    Each exchange first steps the physics over the time that passed on Trio's clock, so a
    test's virtual clock is as good as the real one.
    """

    def __init__(self, machine: _Machine) -> None:
        self._asset_id = machine.asset.asset_id
        self._kind = machine.asset.kind
        self._plant = machine.plant
        self._faults = machine.faults
        self._points = tuple(point.name for point in machine.asset.points)

    async def read(self) -> Readings:
        """All points of the asset, in its order; those that a device of its kind lacks are bad.

        Raises:
            DeviceError: A fault was ordered for this exchange.
        """
        now_s = await self._exchanged()
        self._plant.advance(now_s)
        remote = 0.0 if self._faults.is_local(now_s) else 1.0
        values = {**self._plant.values(), "remote_control": remote}
        return Readings([_reading(name, values.get(name)) for name in self._points])

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Set the active power and return it as far as the nameplate allows.

        Raises:
            DeviceError: It is not a number, or a fault was ordered for this exchange.
        """
        self._check_number(active_power_mw)
        return self._plant.set(active_power_mw, await self._controlled())

    async def release(self) -> None:
        """Let the device follow its own control."""
        self._plant.release(await self._controlled())

    async def arm_revert(self, active_power_mw: float, within_s: float) -> None:
        """Fall back to this power unless armed or written again within this time.

        A write starts the time anew (as SunSpec model 704, WSetRvrtRem does); release ends it.

        Raises:
            DeviceError: The power is not a number, or a fault was ordered for this exchange.
        """
        self._check_number(active_power_mw)
        self._plant.arm_revert(active_power_mw, within_s, await self._controlled())

    async def identify(self) -> Identity:
        """Who it is; the serial number is the asset id."""
        await self._exchanged()
        return Identity("dercp", f"simulated {self._kind}", self._asset_id, "1")

    async def _exchanged(self) -> float:
        """Go through an exchange; the time of the world at its end."""
        await self._faults.exchange()
        now_s = _world().now_s()
        self._faults.check_reachable(now_s)
        return now_s

    async def _controlled(self) -> float:
        """Go through an exchange that only remote control may have."""
        now_s = await self._exchanged()
        self._faults.check_remote(now_s)
        return now_s

    def _check_number(self, active_power_mw: float) -> None:
        if not math.isfinite(active_power_mw):
            raise DeviceError(f"{self._asset_id}: a setpoint is a number, not {active_power_mw}")


class SimulatedAdapter:
    """Opens simulated devices. One adapter is one field: it keeps the machines it opened.

    Closing a device and opening it again finds the machine where it got to by then: state
    of charge, counters, setpoint and revert timer, as with a real one. An asset that comes
    with another nameplate or other options gets a new machine.
    """

    options: ClassVar[type[SimulatedOptions]] = SimulatedOptions

    def __init__(self) -> None:
        self._machines: dict[str, _Machine] = {}

    @asynccontextmanager
    async def open(
        self, asset: AssetSpec, options: SimulatedOptions
    ) -> AsyncIterator[SimulatedDevice]:
        """Connect to the machine of this asset; the first time, put it there.

        Raises:
            DeviceError: The asset cannot be simulated as it is described, or an outage lasts.
        """
        await trio.lowlevel.checkpoint()
        machine = self._machine(asset, options)
        machine.faults.check_reachable(_world().now_s())
        yield SimulatedDevice(machine)

    def _machine(self, asset: AssetSpec, options: SimulatedOptions) -> _Machine:
        found = self._machines.get(asset.asset_id)
        if found is not None and found.asset == asset and found.options == options:
            return found
        plant = plant_for(asset, options)
        connection = Connection(
            rating_mva=asset.nameplate_mw,
            nominal_voltage_v=options.nominal_voltage_v,
            nominal_frequency_hz=options.nominal_frequency_hz,
        )
        world = _world()
        running: RunningPlant[Any] = RunningPlant(
            plant,
            world.site(options),
            connection,
            started_s=world.now_s(),
            ramp_mw_per_s=options.ramp_share_per_s * asset.nameplate_mw or math.inf,
        )
        machine = _Machine(asset, options, running, Faults(asset.asset_id, options))
        self._machines[asset.asset_id] = machine
        return machine


def _world() -> _World:
    try:
        return _WORLD.get()
    except LookupError:
        world = _World()
        _WORLD.set(world)
        return world


def _reading(name: str, value: float | None) -> Reading:
    return Reading(name, value) if value is not None else Reading(name, None, Quality.BAD)
