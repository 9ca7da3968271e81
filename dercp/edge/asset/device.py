"""The actor that speaks for one asset: it polls the device and keeps the leases on it."""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias, assert_never

import msgspec
import structlog
import trio
from msgspec.structs import replace

from actors import Actor, Context, Envelope, MailboxFull, Ref
from adapters import DeviceError, Readings
from dercp.edge.asset.connection import DeviceConnection
from dercp.edge.asset.lease_keeper import Clocks, LeaseKeeper
from dercp.edge.asset.pace import Pace
from dercp.edge.asset.port import DevicePort
from dercp.edge.config.settings import AssetConfig
from dercp.model.asset import AssetSpec
from dercp.model.capability import Live, live_of
from dercp.model.dispatch import DispatchReason
from dercp.model.latest import STALE_INTERVALS
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading
from dercp.wire.dispatch import Order
from dercp.wire.payload import PayloadSchema, RowDraft

__all__ = ["AssetMemory", "Cancel", "DeviceActor", "DeviceMessage", "Lockout", "Reporting"]

BATCH: Final = 16
# Year 10000: no calendar, and no headend, takes a time beyond it.
TIME_US_END: Final = 253_402_300_800_000_000


class Cancel(msgspec.Struct, frozen=True):
    """End a dispatch early."""

    dispatch_id: str
    detail: str


class Lockout(msgspec.Struct, frozen=True):
    """The people at the site have locked the asset for this reason, or unlocked it (None)."""

    reason: str | None


DeviceMessage: TypeAlias = Order | Cancel | Lockout


class AssetMemory:
    """What an asset's actor must not forget when it crashes, and what others may look at.

    Attributes:
        keeper: The leases, `keeper.guardrails` in force, `keeper.surroundings.locked`.
        readings: The newest row, as the device gave it; empty while it is lost.
        read_at_s: When that was, in monotonic seconds.
        source_time_us: The same as the row bears it, by the device's clock or this machine's.
    """

    def __init__(self, spec: AssetSpec, keeper: LeaseKeeper, pace: Pace) -> None:
        self.spec = spec
        self.keeper = keeper
        self.pace = pace
        self.samples = 0
        self.connection: DeviceConnection | None = None
        self.readings: Sequence[Reading] = ()
        self.read_at_s = -math.inf
        self.source_time_us: int | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the device is open."""
        return self.connection is not None and self.connection.port is not None

    def live(self, now_s: float) -> Live:
        """What is known of the asset now, for its capacity."""
        return live_of(self.readings, stale=not self.is_fresh(now_s))

    def is_fresh(self, now_s: float) -> bool:
        """Whether the readings speak of the present."""
        age_s = now_s - self.read_at_s
        return self.is_connected and age_s <= STALE_INTERVALS * self.pace.interval_s

    def obstacle(self) -> str:
        """Why a setpoint could not be written now, as a `DispatchReason`; "" = it could."""
        port = None if self.connection is None else self.connection.port
        if port is None:
            return DispatchReason.DEVICE_FAILED
        if not port.can_fall_back:
            return DispatchReason.NO_FALLBACK
        return self.keeper.hands_off


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """How and where the devices of one agent deliver their rows."""

    schema: PayloadSchema
    collector: Ref[RowDraft]
    clocks: Clocks


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
            elif port is not None and port.refresh_at_s <= now_s:
                await self._refresh(port, connection)
            if connection.port is not port:
                continue
            batch: list[Envelope[DeviceMessage]] = []
            refresh_s = math.inf if port is None else port.refresh_at_s
            next_s = min(memory.pace.next_s, keeper.next_deadline_s, refresh_s)
            with trio.move_on_at(next_s) as self._nap:
                batch = await context.receive_batch(BATCH)
            for envelope in batch:
                await self._take(envelope.body, port)

    async def _meet(self, port: DevicePort | None) -> None:
        """The device was opened, or lost."""
        keeper, memory = self._keeper, self._memory
        if port is None:
            keeper.lost()
            memory.readings = ()
            return
        if not port.can_fall_back:
            self._log.error("device_cannot_release", consequence="dispatches are rejected")
        try:
            # A setpoint is judged by what the device says; if it says nothing, so it is judged.
            if keeper.judges_by_readings:
                known = self._known(await port.read())
                keeper.surroundings.observe(known, trio.current_time())
        except DeviceError as error:
            self._log.info("first_read_failed", why=str(error))
        await keeper.reopened(port)

    async def _refresh(self, port: DevicePort, connection: DeviceConnection) -> None:
        """Put off the device's own timer."""
        try:
            await port.refresh_revert()
        except DeviceError as error:
            connection.give_up(port, error)

    async def _take(self, message: DeviceMessage, port: DevicePort | None) -> None:
        match message:
            case Order():
                await self._keeper.order(message, port)
            case Cancel():
                await self._keeper.cancel(message.dispatch_id, message.detail, port)
            case Lockout():
                self._log.warning("lockout", reason=message.reason)
                await self._keeper.lock(message.reason, port)
            case _:
                assert_never(message)

    async def _poll(self, port: DevicePort | None, connection: DeviceConnection) -> None:
        """Send one row, whatever is known."""
        row, memory = None, self._memory
        if port is not None:
            try:
                answer = await port.read()
                known = self._known(answer)
                row = self._row(answer.source_time_us, known)
                connection.answered()
                memory.readings, memory.read_at_s = known, trio.current_time()
                memory.source_time_us = row.source_time_us
                await self._keeper.observe(known, port)
            except DeviceError as error:
                connection.give_up(port, error)
        memory.pace = memory.pace.polled(trio.current_time())
        try:
            # Not waited for: a disk that hangs behind the collector must not keep leases waiting.
            self._reporting.collector.tell_nowait(row or self._lost_row())
            memory.samples += 1
        except MailboxFull:
            memory.pace = memory.pace.lost()

    def _known(self, readings: Readings) -> Sequence[Reading]:
        """What was read of the points that are registered; others are passed over.

        Raises:
            DeviceError: The adapter's answer is no set of readings.
        """
        try:
            return [
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

    def _row(self, time_us: int | None, known: Sequence[Reading]) -> RowDraft:
        """The row of a poll. What is stamped here by a clock that is off says so."""
        clocks = self._reporting.clocks
        if time_us is None or not 0 <= time_us < TIME_US_END:
            time_us = clocks.own()
            known = [_suspect(reading) for reading in known] if clocks.is_suspect else known
        return self._reporting.schema.draft(self._index, time_us, known)

    def _lost_row(self) -> RowDraft:
        unknown = [
            Reading(point.name, None, Quality.BAD, Reason.DEVICE_COMMS_LOST)
            for point in self._asset.spec.points
        ]
        return self._reporting.schema.draft(self._index, self._reporting.clocks.own(), unknown)


def _suspect(reading: Reading) -> Reading:
    return replace(
        reading,
        quality=max(reading.quality, Quality.UNCERTAIN),
        reasons=reading.reasons | Reason.CLOCK_SUSPECT,
    )
