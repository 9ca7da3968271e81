"""What the edge's tests share: a device to play with, a config, and a headend by the script."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from msgspec.structs import replace

from adapters import Readings
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.link import LinkBroken, LinkError, LinkUnreachable, Status
from dercp.model.asset import AssetSpec, Fallback, RegistrationLimits, standard_point
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.points import Kind
from dercp.model.reading import Reading
from dercp.wire import v1
from dercp.wire.envelope import decode_uplink, encode_downlink, kind_of
from dercp.wire.payload import PayloadSchema, Row
from dercp.wire.registration import decode_registration

START_US = 1_800_000_000_000_000


class FakeOptions(msgspec.Struct):
    """No options."""


class FakeDevice:
    """A device that does what its fields say, and remembers what it was told."""

    options: type[msgspec.Struct] = FakeOptions

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
        self.breaks = trio.Event()

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
                nursery.start_soon(self._break)
                yield self
                nursery.cancel_scope.cancel()
        finally:
            self.open_now -= 1

    async def _break(self) -> None:
        await self.breaks.wait()
        self.breaks = trio.Event()
        raise OSError("the adapter's own task broke")

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


class FakeCaptive(FakeDevice):
    """A device that cannot be given back to itself."""

    release = None  # type: ignore[assignment]  # which is how a method is taken away


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
        spec=replace(storage(asset_id, interval_s), fallback=fallback),
        guardrails=Guardrails(nameplate, limits or nameplate),
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


class MemoryCall:
    """A call whose other end is a test."""

    def __init__(self) -> None:
        self.heard: list[v1.Uplink] = []
        self.ended = False
        self.closed = False
        self.stuck = False
        self.beats = True
        # Whether what comes is acknowledged at once.
        self.acks = True
        self.acks_backlog = True
        self.spool_id = ""
        self._arrived = trio.Event()
        self._to_edge: deque[bytes | LinkError | None] = deque()
        self._pending = trio.Event()

    # The edge's end.

    async def send(self, message: bytes) -> None:
        """Take a message from the edge."""
        await trio.lowlevel.checkpoint()
        if self.stuck:
            await trio.sleep(10)
            raise LinkBroken(Status.UNAVAILABLE, "the peer takes nothing")
        self.heard.append(decode_uplink(message))
        self._acknowledge(self.heard[-1])
        if self.beats and self.heard[-1].heartbeat is not None:
            self.say(heartbeat=v1.Heartbeat(time_us=virtual_clock()))
        self._arrived.set()
        self._arrived = trio.Event()

    def _acknowledge(self, message: v1.Uplink) -> None:
        held = None
        if message.hello is not None:
            self.spool_id = message.hello.spool_id
        elif message.telemetry is not None:
            number = message.telemetry.sequence
            if self.acks_backlog or message.telemetry.lane is v1.Lane.LIVE:
                held = v1.SequenceRange(first=number, last=number)
        elif message.gap_report is not None:
            held = message.gap_report.sequences
        if held is not None and self.acks:
            self.say(telemetry_ack=v1.TelemetryAck(spool_id=self.spool_id, ranges=[held]))

    async def receive(self) -> bytes | None:
        """Give the edge what the test said."""
        while not self._to_edge:
            self._pending = trio.Event()
            await self._pending.wait()
        await trio.lowlevel.checkpoint()
        said = self._to_edge.popleft()
        if isinstance(said, LinkError):
            raise said
        return said

    async def end(self) -> None:
        """The edge has said its last; a headend ends the call as well."""
        await trio.lowlevel.checkpoint()
        self.ended = True
        self._say(None)

    # The test's end.

    def say(self, **kind: Any) -> None:
        """Send one message: `say(heartbeat=v1.Heartbeat(...))`."""
        self._say(encode_downlink(v1.Downlink(**kind)))

    def say_bytes(self, content: bytes) -> None:
        """Send anything."""
        self._say(content)

    def cut(self) -> None:
        """Break the link."""
        self._say(LinkBroken(Status.UNAVAILABLE, "the link broke"))

    def _say(self, said: bytes | LinkError | None) -> None:
        self._to_edge.append(said)
        self._pending.set()

    def kinds(self) -> list[str]:
        """What came, by kind."""
        return [kind_of(message) for message in self.heard]

    def updates(self) -> list[v1.DispatchUpdate]:
        """What was said of dispatches."""
        return [up.dispatch_update for up in self.heard if up.dispatch_update is not None]

    def states(self, dispatch_id: str = "d-1") -> list[str]:
        """The states of one dispatch, as they came."""
        return [
            str(up.state.name).lower() for up in self.updates() if up.dispatch_id == dispatch_id
        ]

    def batches(self) -> list[v1.TelemetryBatch]:
        """The telemetry."""
        return [up.telemetry for up in self.heard if up.telemetry is not None]

    async def wait_heard(self, kind: str, count: int = 1) -> None:
        """Wait for so many messages of a kind."""
        while self.kinds().count(kind) < count:
            await self._arrived.wait()

    async def wait_state(self, state: str, dispatch_id: str = "d-1") -> None:
        """Wait until a dispatch has been in a state."""
        while state not in self.states(dispatch_id):
            await self._arrived.wait()


class PaperHeadend:
    """Where the agent's calls arrive: each is kept, and welcomed unless told otherwise."""

    def __init__(self) -> None:
        self.calls: list[MemoryCall] = []
        self.called_at_s: list[float] = []
        self.unreachable = False
        self.answer: Callable[[MemoryCall], None] | None = self.welcome
        self._called = trio.Event()

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[MemoryCall]:
        """Give this to an agent."""
        await trio.lowlevel.checkpoint()
        self.called_at_s.append(trio.current_time())
        if self.unreachable:
            raise LinkUnreachable(Status.UNAVAILABLE, "nobody listens")
        call = MemoryCall()
        self.calls.append(call)
        if self.answer is not None:
            self.answer(call)
        self._called.set()
        self._called = trio.Event()
        try:
            yield call
        finally:
            call.closed = True

    @staticmethod
    def welcome(call: MemoryCall) -> None:
        """Answer a Hello before it comes: the order between two ends is not kept in memory."""
        call.say_bytes(encode_downlink(welcome(virtual_clock())))

    async def call(self, number: int = 1) -> MemoryCall:
        """Wait for the agent's call of this number."""
        while len(self.calls) < number:
            await self._called.wait()
        return self.calls[number - 1]


class Telemetry:
    """The rows that a call brought."""

    def __init__(self, call: MemoryCall) -> None:
        hello = call.heard[0].hello
        assert hello is not None
        registration = decode_registration(hello.registration, RegistrationLimits())
        self._schema = PayloadSchema(registration)
        self._call = call

    def rows(self, asset_index: int = 0) -> list[Row]:
        """All rows of one asset."""
        return [
            row
            for batch in self._call.batches()
            for row in self._schema.decode(batch.payload).rows
            if row.asset_index == asset_index
        ]

    def powers(self, asset_index: int = 0) -> list[Reading]:
        """The active power of one asset, row by row."""
        return [self._schema.readings(row)[0] for row in self.rows(asset_index)]
