"""The border to an adapter: every call bounded in time, every failure a `DeviceError`.

An adapter may be a site's own code. Whatever it raises is answered like a device that is
out of reach, so that the leases on its asset are still kept in time.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, assert_never

import structlog
import trio

from adapters import Device, DeviceError, Readings, SupportsRelease, SupportsRevertTimer
from dercp.edge.config.settings import AssetConfig
from dercp.model.asset import FallbackValue
from dercp.model.guardrail import readback_agrees

__all__ = ["DevicePort", "NotConfirmed"]

T = TypeVar("T")

READ_WITHIN_S: Final = 5.0
WRITE_WITHIN_S: Final = 5.0
# A device's own timer is put off that often before it could run out.
REVERT_REFRESHES: Final = 3


class NotConfirmed(DeviceError):
    """The device answers, but confirms another setpoint than was written."""


class DevicePort:
    """One open device and how its asset falls back.

    Where the device has a timer of its own, it is armed with each setpoint and put off for
    as long as somebody holds the setpoint: should this process die, the device ends it.

    Attributes:
        refresh_at_s: When the timer must be put off; infinite while none is armed.
    """

    def __init__(
        self, device: Device, asset: AssetConfig, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.refresh_at_s = math.inf
        self._device = device
        self._nameplate_mw = asset.spec.nameplate_mw
        self._fallback = asset.fallback
        self._revert = asset.revert
        self._log = log

    @property
    def can_fall_back(self) -> bool:
        """Whether the configured fallback is one that this device has."""
        return self._fallback != "release" or isinstance(self._device, SupportsRelease)

    async def read(self) -> Readings:
        """Poll once."""
        return await self._bounded("read", READ_WITHIN_S, self._device.read)

    async def write_setpoint(self, power_mw: float) -> float:
        """Set the power for a lease and return what is in force, the same within tolerance.

        Raises:
            NotConfirmed: It is not.
            DeviceError: The device did not take it, or not its end.
        """
        readback_mw = await self._write(power_mw)
        await self.refresh_revert()
        return readback_mw

    async def refresh_revert(self) -> None:
        """Arm the device's own timer, or put it off; nothing where there is none.

        Raises:
            DeviceError: The device did not take it.
        """
        device, revert = self._device, self._revert
        if revert is None or not isinstance(device, SupportsRevertTimer):
            return
        power_mw, after_s = revert.power_mw, revert.after_s
        await self._bounded("revert", WRITE_WITHIN_S, lambda: device.arm_revert(power_mw, after_s))
        self.refresh_at_s = trio.current_time() + after_s / REVERT_REFRESHES

    def let_go(self) -> None:
        """Put the device's own timer off no longer: somebody else has the device."""
        self.refresh_at_s = math.inf

    async def _write(self, power_mw: float) -> float:
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
        self.let_go()
        match self._fallback:
            case "release" if isinstance(device := self._device, SupportsRelease):
                await self._bounded("release", WRITE_WITHIN_S, device.release)
            case "release":
                # No lease is ever taken for such an asset, so there is none to end.
                pass
            case "hold":
                pass
            case "zero":
                await self._write(0.0)
            case FallbackValue(value_mw):
                await self._write(value_mw)
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
