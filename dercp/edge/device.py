"""The actor that speaks for one asset: it polls the device and keeps the leases on it."""

import math
from enum import StrEnum
from random import Random
from typing import Final, TypeAlias, assert_never

import msgspec
import structlog
import trio

from actors import Actor, Context, Ref
from adapters import DeviceError, Readings
from dercp.edge.config import AssetConfig
from dercp.edge.device_port import DevicePort
from dercp.edge.lease_keeper import LeaseKeeper
from dercp.edge.pace import Pace
from dercp.model.backoff import full_jitter
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire.dispatch import Order
from dercp.wire.payload import PayloadSchema, RowDraft

__all__ = ["AssetMemory", "Cancel", "Connection", "DeviceActor", "DeviceMessage", "Reporting"]

OPEN_WITHIN_S: Final = 10.0
CLOSE_WITHIN_S: Final = 5.0
REOPEN_S_MAX: Final = 30.0
BATCH: Final = 16
# Year 10000: no calendar, and no headend, takes a time beyond it.
TIME_US_END: Final = 253_402_300_800_000_000


class Cancel(msgspec.Struct, frozen=True):
    """End a dispatch early."""

    dispatch_id: str
    detail: str


DeviceMessage: TypeAlias = Order | Cancel


class Connection(StrEnum):
    """How the edge stands with a device."""

    OPENING = "opening"
    OPEN = "open"
    LOST = "lost"


class AssetMemory:
    """What an asset's actor must not forget when it crashes, and what others may look at."""

    def __init__(self, keeper: LeaseKeeper, pace: Pace) -> None:
        self.keeper = keeper
        self.pace = pace
        self.connection = Connection.OPENING
        self.failures = 0
        self.samples = 0
        self.last_error = ""


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """How and where the devices of one agent deliver their rows."""

    schema: PayloadSchema
    collector: Ref[RowDraft]
    clock: Clock


class DeviceActor(Actor[DeviceMessage]):
    """Speaks for one asset.

    Characteristics:
        Polls: on fixed ticks; those missed while a call takes long are counted, not made up.
        While the device is lost: a row of unknown values (bad, device_comms_lost) per tick,
            and a new try after a backoff.
        Leases: kept by monotonic time, whether headend or device are there or not.
        The device: used by this task alone, one call at a time, each bounded.
    """

    def __init__(
        self,
        index: int,
        asset: AssetConfig,
        memory: AssetMemory,
        reporting: Reporting,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._index = index
        self._asset = asset
        self._memory = memory
        self._keeper = memory.keeper
        self._reporting = reporting
        self._log = log
        self._points = frozenset(point.name for point in asset.spec.points)

    async def run(self, context: Context[DeviceMessage]) -> None:
        """Open the device again and again until told to end."""
        while not context.is_ending:
            error = await self._open(context)
            if error is not None:
                wait_s = self._note_loss(error, context.random)
                await self._live(context, None, until_s=trio.current_time() + wait_s)
        # Told to end while the device was neither open nor lost.
        await self._keeper.abandon(None)

    async def _open(self, context: Context[DeviceMessage]) -> DeviceError | None:
        """Live with an open device. Returns why it was lost; None when told to end."""
        asset = self._asset
        error: DeviceError | None = None
        # One scope around all of it: an adapter may keep a nursery open, and a scope that
        # ended between opening and closing would be torn.
        with trio.CancelScope(deadline=trio.current_time() + OPEN_WITHIN_S) as scope:
            try:
                async with asset.adapter.open(asset.spec, asset.options) as device:
                    scope.deadline = math.inf
                    error = await self._live_with(context, DevicePort(device, asset, self._log))
                    scope.deadline = trio.current_time() + CLOSE_WITHIN_S
            except DeviceError as failure:
                error = error or failure
            except Exception as failure:  # noqa: BLE001 - an adapter may be anybody's code
                self._log.exception("adapter_failed", call="open")
                error = error or DeviceError(f"open: the adapter failed with {failure!r}")
        if scope.cancelled_caught and error is None and not context.is_ending:
            error = DeviceError(f"open: no answer within {OPEN_WITHIN_S:g} s")
        return error

    async def _live_with(
        self, context: Context[DeviceMessage], port: DevicePort
    ) -> DeviceError | None:
        self._memory.connection = Connection.OPEN
        self._log.info("device_opened")
        if not port.can_fall_back:
            self._log.error("device_cannot_release", consequence="dispatches are rejected")
        await self._keeper.reopened(port)
        return await self._live(context, port, until_s=math.inf)

    async def _live(
        self, context: Context[DeviceMessage], port: DevicePort | None, until_s: float
    ) -> DeviceError | None:
        """Poll, keep leases, take messages. Returns why the device counts as lost, if so."""
        memory, keeper = self._memory, self._keeper
        while (now_s := trio.current_time()) < until_s:
            if keeper.next_deadline_s <= now_s:
                await keeper.tick(port)
            if port is not None and keeper.owes_fallback:
                return DeviceError("the asset did not go to its fallback")
            if memory.pace.next_s <= now_s:
                error = await self._poll(port)
                if error is not None:
                    return error
            batch = None
            with trio.move_on_at(min(until_s, memory.pace.next_s, keeper.next_deadline_s)):
                batch = await context.receive_batch(BATCH)
            if batch is None:
                continue
            if not batch:
                await keeper.abandon(port)
                return None
            for envelope in batch:
                await self._take(envelope.body, port)
        return None

    async def _take(self, message: DeviceMessage, port: DevicePort | None) -> None:
        match message:
            case Order():
                await self._keeper.order(message, port)
            case Cancel():
                await self._keeper.cancel(message.dispatch_id, message.detail, port)
            case _:
                assert_never(message)

    async def _poll(self, port: DevicePort | None) -> DeviceError | None:
        """Send one row, whatever is known; returns why the device counts as lost, if so."""
        memory = self._memory
        error = None
        row = None
        if port is not None:
            try:
                row = self._row(await port.read())
                memory.failures = 0
            except DeviceError as failure:
                error = failure
        memory.pace = memory.pace.polled(trio.current_time())
        await self._reporting.collector.tell(row or self._lost_row())
        memory.samples += 1
        return error

    def _row(self, readings: Readings) -> RowDraft:
        """The row of a poll. Points that are not registered are passed over.

        Raises:
            DeviceError: The adapter's answer is no set of readings.
        """
        time_us = readings.source_time_us
        if time_us is None or not 0 <= time_us < TIME_US_END:
            time_us = self._reporting.clock()
        try:
            known = [
                Reading(
                    reading.point,
                    None if reading.value is None else float(reading.value),
                    Quality(reading.quality),
                    Reason(reading.reasons),
                )
                for reading in readings.values
                if reading.point in self._points
            ]
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DeviceError(f"read: the adapter's answer makes no sense: {error}") from error
        return self._reporting.schema.draft(self._index, time_us, known)

    def _lost_row(self) -> RowDraft:
        unknown = [
            Reading(point.name, None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
            for point in self._asset.spec.points
        ]
        return self._reporting.schema.draft(self._index, self._reporting.clock(), unknown)

    def _note_loss(self, error: DeviceError, random: Random) -> float:
        """Count a failure; returns how long to wait before the next try."""
        memory = self._memory
        if memory.connection is not Connection.LOST or str(error) != memory.last_error:
            self._log.warning("device_lost", why=str(error))
        memory.connection = Connection.LOST
        memory.last_error = str(error)
        memory.failures += 1
        return full_jitter(memory.failures - 1, draw=random.random(), max_s=REOPEN_S_MAX)
