"""Field protocols: each adapter turns a device into readings and setpoints.

An adapter is found by name through the entry-point group `dercp.adapters`, so a
site can bring its own without touching this repository:

    [project.entry-points."dercp.adapters"]
    acme-bms = "acme_dercp:AcmeBms"

The edge opens one device per asset, polls `read`, and calls `write_setpoint`
when a dispatch says so. What only some devices can do is a capability of its
own (`SupportsRelease`, `SupportsRevertTimer`, `SupportsIdentity`): a device opts
in by having the method, and nobody asks it for what it is not.

Manners of a device:
    Sign: positive power flows from the asset into the grid; convert here.
    Unknown: a value that could not be read is None with its quality, never 0.
    Errors: a device that cannot be reached raises `DeviceError`; the edge marks
        its points, closes it and opens it again with backoff.
    Cancellation: every method may be cancelled at any await.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from dercp.model.asset import AssetSpec
from dercp.model.reading import Reading

__all__ = [
    "Adapter",
    "Device",
    "DeviceError",
    "Identity",
    "Readings",
    "SupportsIdentity",
    "SupportsRelease",
    "SupportsRevertTimer",
]

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class DeviceError(Exception):
    """The device did not answer, or answered what it must not. The text says which and why."""


class Readings(msgspec.Struct, frozen=True):
    """What a device said in one poll.

    `source_time_us` is the device's own time (Unix, UTC, microseconds) where it has a
    clock worth trusting; None lets the edge stamp the time of the poll.
    """

    values: Sequence[Reading]
    source_time_us: int | None = None


class Identity(msgspec.Struct, frozen=True):
    """Who the device says it is (SunSpec model 1; OPC UA DI nameplate)."""

    manufacturer: str
    model: str
    serial: str
    version: str


class Device(Protocol):
    """One open device."""

    async def read(self) -> Readings:
        """Poll the device once.

        Raises:
            DeviceError: It did not answer.
        """
        ...

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Set the active power in MW and return what the device then says is in force.

        Raises:
            DeviceError: The write or its read-back did not succeed.
        """
        ...


class Adapter(Protocol[OptionsT]):
    """What an entry point of `dercp.adapters` names: a class with no constructor arguments."""

    @property
    def options(self) -> type[OptionsT]:
        """The Struct that an asset's `[assets.options]` table of the edge's TOML file is read into.

        Unknown or wrong keys are refused with their path. A class variable will do.
        """
        ...

    def open(self, asset: AssetSpec, options: OptionsT) -> AbstractAsyncContextManager[Device]:
        """Connect to the asset's device; leaving the context disconnects.

        Raises:
            DeviceError: From entering, when the device cannot be reached.
        """
        ...


@runtime_checkable
class SupportsRelease(Protocol):
    """The device can go back to its own control, with no setpoint in force."""

    async def release(self) -> None:
        """Give the device back to itself."""
        ...


@runtime_checkable
class SupportsRevertTimer(Protocol):
    """The device ends a setpoint by itself (SunSpec 704 WSetRvrtTms; 124 InOutWRte_RvrtTms)."""

    async def arm_revert(self, active_power_mw: float, within_s: float) -> None:
        """Fall back to this power in MW unless armed or written again within this time."""
        ...


@runtime_checkable
class SupportsIdentity(Protocol):
    """The device can say who it is."""

    async def identify(self) -> Identity:
        """Ask the device for its nameplate."""
        ...
