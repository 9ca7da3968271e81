"""The actor that speaks for one asset: it polls the device and keeps the leases on it."""

from typing import Final, TypeAlias, assert_never

import msgspec
import structlog
import trio

from actors import Actor, Context, Envelope, MailboxFull, Ref
from adapters import DeviceError, Readings
from dercp.edge.config import AssetConfig
from dercp.edge.device_connection import DeviceConnection
from dercp.edge.device_port import DevicePort
from dercp.edge.lease_keeper import LeaseKeeper
from dercp.edge.pace import Pace
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire.dispatch import Order
from dercp.wire.payload import PayloadSchema, RowDraft

__all__ = ["AssetMemory", "Cancel", "DeviceActor", "DeviceMessage", "Reporting"]

BATCH: Final = 16
# Year 10000: no calendar, and no headend, takes a time beyond it.
TIME_US_END: Final = 253_402_300_800_000_000


class Cancel(msgspec.Struct, frozen=True):
    """End a dispatch early."""

    dispatch_id: str
    detail: str


DeviceMessage: TypeAlias = Order | Cancel


class AssetMemory:
    """What an asset's actor must not forget when it crashes, and what others may look at."""

    def __init__(self, keeper: LeaseKeeper, pace: Pace) -> None:
        self.keeper = keeper
        self.pace = pace
        self.samples = 0
        self.connection: DeviceConnection | None = None


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """How and where the devices of one agent deliver their rows."""

    schema: PayloadSchema
    collector: Ref[RowDraft]
    clock: Clock


class DeviceActor(Actor[DeviceMessage]):
    """Speaks for one asset.

    Characteristics:
        Polls: on fixed ticks; those missed while a call takes long are counted, not made up.
        While the device is lost: a row of unknown values (bad, device_comms_lost) per tick.
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
        self._nap = trio.CancelScope()

    async def run(self, context: Context[DeviceMessage]) -> None:
        """Live beside the connection until told to end."""
        connection = DeviceConnection(self._asset, context.random, self._wake, self._log)
        self._memory.connection = connection
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.keep)
            await self._wait_first_opening(context, connection)
            await self._live(context, connection)
            await self._keeper.abandon(connection.port)
            connection.close()

    def _wake(self) -> None:
        self._nap.cancel("the connection has changed")

    async def _wait_first_opening(
        self, context: Context[DeviceMessage], connection: DeviceConnection
    ) -> None:
        """Leave rows and messages be until the device had its chance; leases go on."""
        while connection.is_opening and not context.is_ending:
            with trio.move_on_at(self._keeper.next_deadline_s) as self._nap:
                await context.wait_ending()
            await self._keeper.tick(None)

    async def _live(self, context: Context[DeviceMessage], connection: DeviceConnection) -> None:
        """Poll, keep leases, take messages, until told to end."""
        memory, keeper = self._memory, self._keeper
        port: DevicePort | None = None
        while not context.is_ending:
            if connection.port is not port:
                port = connection.port
                await self._meet(port)
            now_s = trio.current_time()
            if keeper.next_deadline_s <= now_s:
                await keeper.tick(port)
            if port is not None and keeper.owes_fallback:
                connection.give_up(port, DeviceError("the asset did not go to its fallback"))
            elif memory.pace.next_s <= now_s:
                await self._poll(port, connection)
            if connection.port is not port:
                continue
            batch: list[Envelope[DeviceMessage]] = []
            with trio.move_on_at(min(memory.pace.next_s, keeper.next_deadline_s)) as self._nap:
                batch = await context.receive_batch(BATCH)
            for envelope in batch:
                await self._take(envelope.body, port)

    async def _meet(self, port: DevicePort | None) -> None:
        """The device was opened, or lost."""
        if port is None:
            return
        if not port.can_fall_back:
            self._log.error("device_cannot_release", consequence="dispatches are rejected")
        await self._keeper.reopened(port)

    async def _take(self, message: DeviceMessage, port: DevicePort | None) -> None:
        match message:
            case Order():
                await self._keeper.order(message, port)
            case Cancel():
                await self._keeper.cancel(message.dispatch_id, message.detail, port)
            case _:
                assert_never(message)

    async def _poll(self, port: DevicePort | None, connection: DeviceConnection) -> None:
        """Send one row, whatever is known."""
        row = None
        if port is not None:
            try:
                row = self._row(await port.read())
                connection.answered()
            except DeviceError as error:
                connection.give_up(port, error)
        memory = self._memory
        memory.pace = memory.pace.polled(trio.current_time())
        try:
            # Not waited for: a disk that hangs behind the collector must not keep leases waiting.
            self._reporting.collector.tell_nowait(row or self._lost_row())
            memory.samples += 1
        except MailboxFull:
            memory.pace = memory.pace.lost()

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
