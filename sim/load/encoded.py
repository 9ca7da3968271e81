"""The load of frames prepared ahead: no edge agents, so that the headend is what is measured.

A gateway here registers its assets, numbers its frames, keeps what is not acknowledged and
sends it again, as an edge does. What it does not do is poll devices and encode values: the
rows were encoded before the run, and a frame is the time, the number and such rows.
"""

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Final

import msgspec
import structlog
import trio
from msgspec.structs import replace

from dercp.link import ClientCall, LinkError
from dercp.model.asset import standard_point
from dercp.model.backoff import full_jitter
from dercp.model.time import Clock
from dercp.wire import v1
from dercp.wire.envelope import encode_uplink
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id
from dercp.wire.v1 import edge_link_pb2 as upb
from sim.load.accounts import SpoolLedger
from sim.load.fleet import Station, stations
from sim.load.latency import Latencies
from sim.load.links import Links
from sim.load.plan import Plan
from sim.load.words import Counts
from sim.seeded import seeded

__all__ = ["POINTS", "EncodedLoad"]

POINTS: Final = (
    "active_power_mw",
    "reactive_power_mvar",
    "voltage_v",
    "frequency_hz",
    "available_min_mw",
    "available_max_mw",
    "operating_state",
    "energy_exported_mwh",
    "energy_imported_mwh",
    "soc_pct",
)
# Rows that are prepared; the frames of a gateway take them in turn.
VARIANTS: Final = 8
# Frames that a gateway keeps until they are acknowledged; with so many it produces no more.
KEPT_MAX: Final = 120
WELCOME_WITHIN_S: Final = 10.0
# As the edge does: a headend whose log is full takes a frame and does not acknowledge it.
AGAIN_AFTER_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1

log = structlog.get_logger()


class EncodedLoad:
    """See `Load`. Every gateway is two tasks and a call, and produces from `measure` on."""

    def __init__(self, plan: Plan, links: Links, clock: Clock) -> None:
        self.latencies = Latencies()
        self._plan = plan
        self._measured = trio.Event()
        rows = _rows(plan.fleet.assets_per_site if not plan.fleet.single_asset_agents else 1)
        self._gateways = [
            Gateway(station, rows, plan, links, clock, self.latencies.note)
            for station in _stations(plan)
        ]

    async def start(self, nursery: trio.Nursery) -> None:
        """Each has its own moment of the sample interval."""
        began_s = trio.current_time()
        count = len(self._gateways)
        for number, gateway in enumerate(self._gateways):
            await trio.sleep_until(began_s + number / self._plan.starts_per_s)
            phase_s = began_s + number / count * self._plan.fleet.interval_s
            nursery.start_soon(gateway.run, phase_s, self._measured)

    def measure(self) -> None:
        """Now all produce: the registrations of the others are not in the figures."""
        self.latencies.clear()
        self._measured.set()

    async def drain(self, within_s: float) -> None:
        """Produce no more, and wait for the last acknowledgements."""
        for gateway in self._gateways:
            gateway.rest()
        with trio.move_on_after(within_s):
            while any(gateway.kept for gateway in self._gateways):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """All at once: nothing is left to be said. Their tasks end with the nursery."""
        for gateway in self._gateways:
            await gateway.end()

    def counts(self) -> Counts:
        """Adds up the gateways."""
        sums = Counts()
        for gateway in self._gateways:
            sums += gateway.counts()
        return sums

    def ledgers(self) -> Iterator[SpoolLedger]:
        """By their own numbering."""
        return (gateway.ledger() for gateway in self._gateways)


class _Kept(msgspec.Struct):
    """A frame that is not acknowledged: when its values were taken, and when it was last sent."""

    time_us: int
    made_s: float
    sent_s: float


class Gateway:
    """One agent without an edge behind it.

    Characteristics:
        Bound: `KEPT_MAX` frames, as numbers; with so many its ticks are missed and counted.
        Sends again: all that is kept, on each new session; what is not acknowledged for a
            minute, within one.
    """

    def __init__(
        self,
        station: Station,
        rows: Sequence[bytes],
        plan: Plan,
        links: Links,
        clock: Clock,
        acknowledged: Callable[[float], None],
    ) -> None:
        self.kept: dict[int, _Kept] = {}
        self._agent_id = station.agent_id
        self._content = encode_registration(station.registration)
        self._registration_id = registration_id(self._content)
        self._assets = len(station.registration.assets)
        self._rows = rows
        self._interval_s = plan.fleet.interval_s
        self._links = links
        self._clock = clock
        self._acknowledged = acknowledged
        self._draw = seeded(plan.fleet.seed, station.agent_id, "backoff")
        # Of this process: what an earlier one sent under the same name is another spool's.
        self._spool_id = secrets.token_hex(8)
        self._call: ClientCall | None = None
        self._beat_s = 10.0
        self._first_welcome = trio.Event()
        self._rests = False
        self._sequence = self._missed = self._frames = self._sessions = 0

    def rest(self) -> None:
        """Produce no more."""
        self._rests = True

    async def end(self) -> None:
        """End the call in order."""
        if self._call is not None:
            with suppress(LinkError):
                await self._call.end()

    def counts(self) -> Counts:
        """Where it stands."""
        return Counts(
            agents=1,
            up=int(self._call is not None),
            produced=self._sequence * self._assets,
            waiting=len(self.kept) * self._assets,
            missed=self._missed * self._assets,
            frames=self._frames,
            sessions=self._sessions,
        )

    def ledger(self) -> SpoolLedger:
        """What it has produced."""
        return SpoolLedger(
            agent_id=self._agent_id,
            spool_id=self._spool_id,
            sequences=self._sequence,
            samples=self._sequence * self._assets,
            waiting=len(self.kept),
            waiting_samples=len(self.kept) * self._assets,
        )

    async def run(self, phase_s: float, begin: trio.Event) -> None:
        """Connect; then produce at `phase_s` plus multiples of the interval, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_connected)
            await begin.wait()
            await self._first_welcome.wait()
            tick = math.ceil((trio.current_time() - phase_s) / self._interval_s)
            while not self._rests:
                await trio.sleep_until(phase_s + tick * self._interval_s)
                await self._produce()
                late = math.floor((trio.current_time() - phase_s) / self._interval_s) - tick
                self._missed += max(0, late)
                tick += 1 + max(0, late)

    async def _produce(self) -> None:
        if self._rests or len(self.kept) >= KEPT_MAX:
            self._missed += not self._rests
            return
        self._sequence += 1
        now_s = trio.current_time()
        self.kept[self._sequence] = _Kept(self._clock(), now_s, now_s)
        if self._call is not None:
            # On a broken call it is kept, and whoever listens there knows.
            with suppress(LinkError):
                await self._call.send(self._frame(self._sequence, v1.Lane.LIVE))

    def _frame(self, sequence: int, lane: v1.Lane) -> bytes:
        # Two messages one after the other are one message with the fields of both.
        base = upb.TelemetryPayload(base_time_us=self.kept[sequence].time_us)
        batch = v1.TelemetryBatch(
            sequence=sequence,
            registration_id=self._registration_id,
            payload=base.SerializeToString() + self._rows[sequence % len(self._rows)],
            lane=lane,
        )
        return encode_uplink(v1.Uplink(telemetry=batch))

    # --- the call

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            try:
                async with self._links.open(self._agent_id) as call:
                    attempt += 1
                    if await self._is_welcome(call):
                        attempt = 0
                        await self._converse(call)
            except* LinkError:
                pass  # what was sent is kept; the next call sends it again
            finally:
                self._call = None
            await trio.sleep(full_jitter(attempt, draw=self._draw.random()))

    async def _is_welcome(self, call: ClientCall) -> bool:
        hello = v1.Hello(
            agent_id=self._agent_id,
            software_version="pre-encoded",
            spool_id=self._spool_id,
            registration=self._content,
            time_us=self._clock(),
        )
        await call.send(encode_uplink(v1.Uplink(hello=hello)))
        answer = upb.Downlink()
        with trio.move_on_after(WELCOME_WITHIN_S):
            answer = upb.Downlink.FromString(await call.receive() or b"")
        if not answer.HasField("welcome"):
            log.warning("not_welcome", agent_id=self._agent_id, why=str(answer))
            return False
        self._beat_s = answer.welcome.heartbeat_interval_ms / 1000
        self._sessions += 1
        return True

    async def _converse(self, call: ClientCall) -> None:
        before, self._call = list(self.kept), call
        self._first_welcome.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, call)
            nursery.start_soon(self._repeat, call, before)
            await call.receive_into(self._hear)
            nursery.cancel_scope.cancel("the headend ended the call")

    async def _repeat(self, call: ClientCall, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            if (kept := self.kept.get(sequence)) is not None:
                kept.sent_s = trio.current_time()
                await call.send(self._frame(sequence, v1.Lane.BACKLOG))

    async def _beat(self, call: ClientCall) -> None:
        """Say that this end lives, and again what was not acknowledged for a minute."""
        while True:
            beat = v1.Heartbeat(time_us=self._clock())
            await call.send(encode_uplink(v1.Uplink(heartbeat=beat)))
            await trio.sleep(self._beat_s)
            overdue_s = trio.current_time() - AGAIN_AFTER_S
            overdue = [each for each, kept in self.kept.items() if kept.sent_s <= overdue_s]
            await self._repeat(call, overdue)

    def _hear(self, messages: Sequence[bytes]) -> None:
        now_s = trio.current_time()
        for message in messages:
            downlink = upb.Downlink.FromString(message)
            if downlink.HasField("reject"):
                log.warning("refused", agent_id=self._agent_id, why=downlink.reject.detail)
            for held in downlink.telemetry_ack.ranges:
                for sequence in range(held.first, held.last + 1):
                    if (kept := self.kept.pop(sequence, None)) is not None:
                        self._frames += 1
                        self._acknowledged(now_s - kept.made_s)


def _stations(plan: Plan) -> Iterator[Station]:
    """Those of the plan, all their assets with the same points."""
    points = tuple(standard_point(name) for name in POINTS)
    for station in stations(plan.fleet):
        assets = tuple(replace(each, points=points) for each in station.registration.assets)
        yield replace(station, registration=replace(station.registration, assets=assets))


def _rows(assets: int) -> list[bytes]:
    """Variants of the rows of one frame, without their time; for all gateways."""
    draw = seeded("pre-encoded rows")
    return [
        encode_payload(0, [RowDraft(index, 0, _values(draw)) for index in range(assets)])
        for _ in range(VARIANTS)
    ]


def _values(draw: Random) -> list[float | None]:
    """In the order of POINTS."""
    power_mw = draw.uniform(-2.0, 2.0)
    energy = [draw.uniform(0.0, 900.0) for _ in range(2)]
    grid = [0.1, draw.uniform(13_700.0, 13_900.0), draw.uniform(59.98, 60.02)]
    return [power_mw, *grid, -2.0, 2.0, 1.0, *energy, draw.uniform(5.0, 95.0)]
