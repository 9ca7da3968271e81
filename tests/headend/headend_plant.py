"""A whole headend on a virtual clock, and agents that do as a test says.

The links are memory streams below real HTTP/2, the store is memory, the wall clock is
Trio's clock: nothing here waits in real time, and nothing depends on it.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import trio
import trio.testing
from memory_store import (
    MemoryDisk,
    MemoryHistory,
    MemoryStore,
    open_memory,
    open_memory_history,
)

from actors import Crashed, Escalated
from actors.testing import EventRecorder
from dercp.headend.agents.listener import Door
from dercp.headend.headend import Headend, open_headend
from dercp.headend.history.draining import Drain
from dercp.headend.settings import HeadendSettings
from dercp.link import ClientCall, LinkError, open_call_over
from dercp.model.asset import AssetSpec, Registration, standard_point
from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest, Target
from dercp.model.points import Kind
from dercp.model.time import us_from_s
from dercp.store.records import HistoryLimits
from dercp.wire import CONNECT_PATH, v1
from dercp.wire.envelope import decode_downlink, encode_uplink, kind_of
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id

START_US = 1_800_000_000_000_000
POINTS = ("active_power_mw", "soc_pct")
# On the virtual clock: longer than anything a test waits for.
PATIENCE_S = 600.0


def battery(asset_id: str, *, p_max_mw: float = 2.0, points: Sequence[str] = POINTS) -> AssetSpec:
    """A battery with two points, sampled every second."""
    return AssetSpec(
        asset_id=asset_id,
        name=f"Battery {asset_id}",
        kind=Kind.STORAGE,
        p_min_mw=-2.0,
        p_max_mw=p_max_mw,
        sample_interval_s=1.0,
        points=tuple(standard_point(name) for name in points),
    )


def site_of(site_id: str, *asset_ids: str) -> Registration:
    """A site of batteries."""
    assets = tuple(battery(asset_id) for asset_id in asset_ids)
    return Registration(site_id=site_id, site_name=f"Site {site_id}", assets=assets)


class WallClock:
    """The headend's wall clock: Trio's, unless somebody sets it."""

    def __init__(self) -> None:
        self.set_by_us = 0

    def __call__(self) -> int:
        return START_US + us_from_s(trio.current_time()) + self.set_by_us


class Wire:
    """A connection that can be cut, or swallow everything."""

    def __init__(self) -> None:
        up_send, up_receive = trio.testing.memory_stream_one_way_pair()
        down_send, down_receive = trio.testing.memory_stream_one_way_pair()
        self._sends = (up_send, down_send)
        self.near = trio.StapledStream(up_send, down_receive)
        self.far = trio.StapledStream(down_send, up_receive)

    def swallow(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        for stream in self._sends:
            stream.send_all_hook = None
            stream.close_hook = None

    async def cut(self) -> None:
        """Both ends see it break."""
        await self.near.aclose()
        await self.far.aclose()


class MemoryDoor(Door, trio.abc.Listener[trio.abc.HalfCloseableStream]):
    """A door in memory: `knock` gives the caller's end of a new connection."""

    def __init__(self) -> None:
        super().__init__("memory", 0)
        self._waiting: deque[trio.abc.HalfCloseableStream] = deque()
        self._arrivals = trio.Semaphore(0)

    async def listen(self) -> Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]]:
        await trio.lowlevel.checkpoint()
        return [self]

    async def accept(self) -> trio.abc.HalfCloseableStream:
        await self._arrivals.acquire()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def knock(self) -> Wire:
        """Connect."""
        wire = Wire()
        self._waiting.append(wire.far)
        self._arrivals.release()
        return wire


# Messages of the headend that answer nothing a test asked for.
BY_ITSELF = {"heartbeat", "telemetry_ack"}


class Caller:
    """An agent by the script: it says what it is told, and hears what it is asked about."""

    def __init__(
        self,
        call: ClientCall,
        wire: Wire,
        nursery: trio.Nursery,
        *,
        agent_id: str,
        registration: Registration,
        clock: Callable[[], int],
    ) -> None:
        self.call = call
        self.wire = wire
        self.agent_id = agent_id
        self.registration = registration
        self.content = encode_registration(registration)
        self.welcome: v1.Welcome | None = None
        self.heard: list[v1.Downlink] = []
        self._nursery = nursery
        self._beating = trio.CancelScope()
        self._clock = clock
        self._sequences = count(1)

    # --- speaking

    async def say(self, **kind: Any) -> None:
        """Send one message: `say(heartbeat=v1.Heartbeat())`."""
        await self.call.send(encode_uplink(v1.Uplink(**kind)))

    async def hello(self, **fields: Any) -> v1.Welcome:
        """Say Hello, and go on to give signs of life once welcomed."""
        await self.say_hello(**fields)
        downlink = await self.expect("welcome")
        self.welcome = downlink.welcome
        assert self.welcome is not None
        self._nursery.start_soon(self._beat)
        return self.welcome

    async def say_hello(self, **fields: Any) -> None:
        """Say Hello, whatever is answered."""
        hello: dict[str, Any] = {
            "agent_id": self.agent_id,
            "software_version": "paper 1",
            "spool_id": "spool-1",
            "registration": self.content,
            "time_us": self._clock(),
        }
        await self.say(hello=v1.Hello(**hello | fields))

    async def sample(self, power_mw: float = 1.0, *, soc_pct: float = 50.0, **fields: Any) -> None:
        """Send one row for each asset, taken now."""
        values = [power_mw, soc_pct]
        assets = range(len(self.registration.assets))
        await self.rows(*(RowDraft(index, self._clock(), values) for index in assets), **fields)

    async def rows(self, *rows: RowDraft, **fields: Any) -> None:
        """Send a batch of these rows."""
        await self.payload(encode_payload(self._clock(), rows), **fields)

    async def payload(self, payload: bytes, **fields: Any) -> None:
        """Send a batch of these bytes."""
        batch: dict[str, Any] = {
            "sequence": next(self._sequences),
            "registration_id": registration_id(self.content),
            "payload": payload,
        }
        await self.say(telemetry=v1.TelemetryBatch(**batch | fields))

    async def update(self, dispatch_id: str, state: str, **fields: Any) -> None:
        """Say a word about a dispatch."""
        update: dict[str, Any] = {
            "dispatch_id": dispatch_id,
            "revision": 1,
            "state": v1.DispatchState[state.upper()],
            "time_us": self._clock(),
        }
        await self.say(dispatch_update=v1.DispatchUpdate(**update | fields))

    async def _beat(self) -> None:
        assert self.welcome is not None
        with self._beating:
            try:
                while True:
                    await trio.sleep(self.welcome.heartbeat_interval_ms / 1000)
                    await self.say(heartbeat=v1.Heartbeat(time_us=self._clock()))
            except LinkError:
                return

    def fall_silent(self) -> None:
        """Give no more signs of life."""
        self._beating.cancel()

    # --- hearing

    async def hear(self) -> v1.Downlink | None:
        """The next message; None at the orderly end. Raises LinkError at another."""
        with trio.fail_after(PATIENCE_S):
            content = await self.call.receive()
        if content is None:
            return None
        self.heard.append(decode_downlink(content))
        return self.heard[-1]

    async def expect(self, kind: str) -> v1.Downlink:
        """The next message of this kind; only what comes by itself may come in between."""
        while (downlink := await self.hear()) is not None:
            if kind == (heard := kind_of(downlink)):
                return downlink
            assert heard in BY_ITSELF, f"expected {kind}, heard {downlink}"
        raise AssertionError(f"expected {kind}, but the call ended")

    async def expect_ack(self) -> list[tuple[int, int]]:
        """The stretches of batches that are acknowledged next."""
        ack = (await self.expect("telemetry_ack")).telemetry_ack
        assert ack is not None
        assert ack.spool_id == "spool-1"
        return [(stretch.first, stretch.last) for stretch in ack.ranges]

    async def expect_dispatch(self) -> v1.Dispatch:
        """The next dispatch."""
        dispatch = (await self.expect("dispatch")).dispatch
        assert dispatch is not None
        return dispatch

    async def expect_reject(self, code: v1.RejectCode) -> v1.Reject:
        """The next message, which must be a reject with this code."""
        reject = (await self.expect("reject")).reject
        assert reject is not None
        assert reject.code is code, reject
        return reject

    async def expect_end(self) -> None:
        """The call ends in order, nothing but heartbeats before."""
        while (downlink := await self.hear()) is not None:
            assert kind_of(downlink) in BY_ITSELF, f"expected the end, heard {downlink}"


class Plant:
    """A running headend with what a test wants to see of it."""

    def __init__(
        self, headend: Headend, door: MemoryDoor, disk: MemoryDisk, clock: WallClock
    ) -> None:
        self.headend = headend
        self.door = door
        self.disk = disk
        self.clock = clock
        self.events = EventRecorder(headend.system.events)
        self._keys = count(1)

    @asynccontextmanager
    async def caller(self, agent_id: str, registration: Registration) -> AsyncIterator[Caller]:
        """An agent whose call is open, and which has not said a word."""
        wire = self.door.knock()
        async with trio.open_nursery() as nursery:
            async with open_call_over(wire.near, CONNECT_PATH) as call:
                caller = Caller(
                    call,
                    wire,
                    nursery,
                    agent_id=agent_id,
                    registration=registration,
                    clock=self.clock,
                )
                yield caller
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def agent(
        self,
        agent_id: str = "edge-1",
        site_id: str = "site-1",
        *,
        assets: Sequence[str] = ("bess-1",),
    ) -> AsyncIterator[Caller]:
        """An agent that was welcomed, and whose assets are linked."""
        async with self.caller(agent_id, site_of(site_id, *assets)) as caller:
            await caller.hello()
            await self.settle()
            yield caller

    async def settle(self) -> None:
        """Wait until nobody has anything more to do at this instant."""
        await trio.testing.wait_all_tasks_blocked()

    async def submit(self, setpoint_mw: float = 1.0, **fields: Any) -> Dispatch:
        """Hand in a dispatch as the API would; `key` and `fingerprint` may be given."""
        key = fields.pop("key", None) or f"key-{next(self._keys)}"
        fingerprint = fields.pop("fingerprint", "body")
        token = fields.pop("plan_token", "")
        request = self.request(setpoint_mw, **fields)
        return await self.headend.desk.submit(
            request, key=key, fingerprint=fingerprint, plan_token=token
        )

    def request(
        self,
        setpoint_mw: float = 1.0,
        *,
        asset_id: str = "bess-1",
        target: Target | None = None,
        starts_in_s: float = 0.0,
        lasts_s: float = 900.0,
        deliver_within_s: float = 30.0,
    ) -> DispatchRequest:
        """What a POST asks."""
        now_us = self.clock()
        return DispatchRequest(
            target=target or AssetTarget(asset_id),
            setpoint_mw=setpoint_mw,
            start_us=now_us + us_from_s(starts_in_s),
            until_us=now_us + us_from_s(lasts_s),
            deliver_by_us=now_us + us_from_s(min(deliver_within_s, lasts_s)),
        )

    async def dispatch(self, dispatch_id: str) -> Dispatch:
        """Its newest state, once everybody is at rest; what is shown must be durable."""
        await self.settle()
        dispatch = await self.headend.desk.dispatch(dispatch_id)
        assert dispatch is not None
        assert dispatch == self.disk.dispatches[dispatch_id]
        return dispatch

    async def story(self, dispatch_id: str) -> list[str]:
        """The states it went through."""
        return [entry.state.value for entry in (await self.dispatch(dispatch_id)).timeline]

    def power_mw(self, asset_id: str) -> float | None:
        """The latest known active power."""
        telemetry = self.headend.reader.telemetry(asset_id)
        assert telemetry is not None
        values = {point.name: point.value for point in telemetry.points}
        return values.get("active_power_mw")

    def count(self, name: str) -> float:
        """A counter; 0 if it never counted."""
        return self.headend.operations.counters().get(name, 0)

    def sessions(self) -> int:
        """How many session actors live."""
        return sum("/sessions/session-" in path for path in self.headend.system.registry)

    def assert_unharmed(self) -> None:
        """No actor has crashed or given up."""
        assert self.events.of(Crashed) == []
        assert self.events.of(Escalated) == []

    async def ended_as(self, reason: str) -> bool:
        """Whether exactly one session has ended for this reason, and left nothing behind."""
        await self.settle()
        return self.count(f"sessions_ended_{reason}") == 1


@asynccontextmanager
async def open_plant(
    disk: MemoryDisk | None = None,
    *,
    settings: HeadendSettings | None = None,
    history: HistoryLimits | None = None,
    opened: Callable[[MemoryDisk], AbstractAsyncContextManager[MemoryStore]] = open_memory,
    elsewhere: MemoryDisk | None = None,
    open_there: Callable[..., AbstractAsyncContextManager[MemoryHistory]] = open_memory_history,
    **fields: Any,
) -> AsyncIterator[Plant]:
    """Run a headend on this disk; settings may be given one by one.

    With `elsewhere` the store is there, as a Postgres would be, and the disk has the log alone.
    """
    disk, door, clock = disk or MemoryDisk(), MemoryDoor(), WallClock()
    destination = None if elsewhere is None else "elsewhere"
    async with (
        opened(elsewhere or disk) as store,
        open_memory_history(disk, history, destination=destination) as kept,
        open_there(elsewhere or disk, history) as there,
        open_headend(
            store,
            kept,
            door,
            settings=settings or HeadendSettings(**fields),
            clock=clock,
            drain=None if elsewhere is None else Drain(kept, there),
            seed=1,
            new_id=partial(_numbered_id, disk),
        ) as headend,
    ):
        yield Plant(headend, door, disk, clock)


def _numbered_id(disk: MemoryDisk, now_us: int) -> str:
    disk.ids += 1
    return f"d-{disk.ids}"
