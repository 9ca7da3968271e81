"""Keeps one device open, as far as that can be done from here."""

import math
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Final

import msgspec
import structlog
import trio

from adapters import DeviceError
from dercp.edge.asset.port import DevicePort
from dercp.edge.config.settings import AssetConfig
from dercp.model.backoff import full_jitter

__all__ = ["ConnectionState", "ConnectionStatistics", "DeviceConnection"]

OPEN_WITHIN_S: Final = 10.0
CLOSE_WITHIN_S: Final = 5.0
REOPEN_S_MAX: Final = 30.0


class ConnectionState(StrEnum):
    """How the edge stands with a device."""

    OPENING = "opening"
    OPEN = "open"
    LOST = "lost"


class ConnectionStatistics(msgspec.Struct, frozen=True):
    """How it went. `failures` counts those since the last answer."""

    state: ConnectionState
    failures: int
    last_error: str


class DeviceConnection:
    """Opens the device, and opens it again after a backoff whenever it was given up.

    It runs beside its actor's loop, so that a device which takes its time to open or to
    close keeps neither rows nor leases waiting.

    Attributes:
        port: The open device; None while there is none.
    """

    def __init__(
        self,
        asset: AssetConfig,
        random: Random,
        on_change: Callable[[], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.port: DevicePort | None = None
        self._asset = asset
        self._random = random
        self._on_change = on_change
        self._log = log
        self._state = ConnectionState.OPENING
        self._failures = 0
        self._last_error = ""
        self._closing = trio.Event()
        self._let_go = trio.Event()

    @property
    def is_opening(self) -> bool:
        """Whether the first opening is under way."""
        return self._state is ConnectionState.OPENING

    async def keep(self) -> None:
        """Keep the device open until `close`."""
        while not self._closing.is_set():
            await self._open_and_hold()
            bound_s = full_jitter(self._failures - 1, draw=1.0, max_s=REOPEN_S_MAX)
            with trio.move_on_after(self._random.random() * bound_s):
                await self._closing.wait()

    def answered(self) -> None:
        """The device is well: the next backoff begins anew."""
        self._failures = 0

    def give_up(self, port: DevicePort, error: DeviceError) -> None:
        """This device counts as lost: close it and open it again. Nothing, if it has been so."""
        if port is self.port:
            self._lose(error)

    def close(self) -> None:
        """Close the device for good."""
        self.port = None
        self._closing.set()
        self._let_go.set()

    def statistics(self) -> ConnectionStatistics:
        """How it stands."""
        return ConnectionStatistics(self._state, self._failures, self._last_error)

    async def _open_and_hold(self) -> None:
        """One opening: until the device is given up, or closed for good."""
        asset = self._asset
        self._let_go = trio.Event()
        # One scope around all of it: an adapter may keep a nursery open, and a scope that
        # ended between opening and closing would be torn.
        with trio.CancelScope(deadline=trio.current_time() + OPEN_WITHIN_S) as scope:
            try:
                async with asset.adapter.open(asset.spec, asset.options) as device:
                    scope.deadline = math.inf
                    self._opened(DevicePort(device, asset, self._log))
                    await self._let_go.wait()
                    scope.deadline = trio.current_time() + CLOSE_WITHIN_S
            except DeviceError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - an adapter may be anybody's code
                self._log.exception("adapter_failed", call="open")
                self._failed(DeviceError(f"open: the adapter failed with {error!r}"))
        if scope.cancelled_caught:
            self._failed(DeviceError(f"open: no answer within {OPEN_WITHIN_S:g} s"))

    def _opened(self, port: DevicePort) -> None:
        if self._closing.is_set():
            self._let_go.set()
            return
        self._state = ConnectionState.OPEN
        self._log.info("device_opened")
        self.port = port
        self._on_change()

    def _failed(self, error: DeviceError) -> None:
        """It did not open, or fell while it was held; what happens in closing matters no more."""
        if not self._let_go.is_set():
            self._lose(error)
            self._on_change()

    def _lose(self, error: DeviceError) -> None:
        if self._state is not ConnectionState.LOST or str(error) != self._last_error:
            self._log.warning("device_lost", why=str(error))
        self._state = ConnectionState.LOST
        self._failures += 1
        self._last_error = str(error)
        self.port = None
        self._let_go.set()
