"""The border to an adapter: every call bounded in time, every failure a `DeviceError`.

An adapter may be a site's own code. Whatever it raises is answered like a device that is
out of reach, so that the leases on its asset are still kept in time.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, assert_never

import structlog
import trio

from adapters import Device, DeviceError, Readings, SupportsRelease
from dercp.edge.config import AssetConfig
from dercp.model.asset import FallbackValue
from dercp.model.guardrail import readback_agrees

__all__ = ["DevicePort", "NotConfirmed"]

T = TypeVar("T")

READ_WITHIN_S: Final = 5.0
WRITE_WITHIN_S: Final = 5.0


class NotConfirmed(DeviceError):
    """The device answers, but confirms another setpoint than was written."""


class DevicePort:
    """One open device and how its asset falls back."""

    def __init__(
        self, device: Device, asset: AssetConfig, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._device = device
        self._nameplate_mw = asset.spec.nameplate_mw
        self._fallback = asset.fallback
        self._log = log

    @property
    def can_fall_back(self) -> bool:
        """Whether the configured fallback is one that this device has."""
        return self._fallback != "release" or isinstance(self._device, SupportsRelease)

    async def read(self) -> Readings:
        """Poll once."""
        return await self._bounded("read", READ_WITHIN_S, self._device.read)

    async def write_setpoint(self, power_mw: float) -> float:
        """Set the power and return what is in force, which is the same within tolerance.

        Raises:
            NotConfirmed: It is not.
            DeviceError: The device did not take it.
        """
        readback_mw = await self._bounded(
            "write", WRITE_WITHIN_S, lambda: self._device.write_setpoint(power_mw)
        )
        if not readback_agrees(power_mw, readback_mw, self._nameplate_mw):
            raise NotConfirmed(f"wrote {power_mw:g} MW, the device says {readback_mw:g} MW")
        return readback_mw

    async def fall_back(self) -> None:
        """Bring the asset to its fallback.

        Raises:
            DeviceError: It is not there.
        """
        match self._fallback:
            case "release" if isinstance(device := self._device, SupportsRelease):
                await self._bounded("release", WRITE_WITHIN_S, device.release)
            case "release":
                # No lease is ever taken for such an asset, so there is none to end.
                pass
            case "hold":
                pass
            case "zero":
                await self.write_setpoint(0.0)
            case FallbackValue(value_mw):
                await self.write_setpoint(value_mw)
            case _:
                assert_never(self._fallback)

    async def _bounded(self, what: str, within_s: float, call: Callable[[], Awaitable[T]]) -> T:
        with trio.move_on_after(within_s):
            try:
                return await call()
            except DeviceError:
                raise
            except Exception as error:
                self._log.exception("adapter_failed", call=what)
                raise DeviceError(f"{what}: the adapter failed with {error!r}") from error
        raise DeviceError(f"{what}: no answer within {within_s:g} s")
