"""A whole headend and a whole agent in virtual time, which can be killed at any step.

A step is whatever makes a difference if one of the two dies just there: each write to the
disk of either end, before and after; each message of a dispatch, before it leaves and once it
has come; each word to the device, before and after it is taken in.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Final, TypeVar
from unittest.mock import patch

import structlog
import trio
from chaos_plan import Death
from dispatch_verdict import DIED, RELEASE, Told
from edge_plant import START_US, FakeDevice, asset_config
from headend_plant import Plant, Wire, open_plant
from memory_store import MemoryDisk
from mortal_disk import MortalDisk

from actors import Crashed, Escalated, Event, RestartsExceeded, open_system
from actors.testing import run_deterministic
from dercp.edge.agent import Agent
from dercp.edge.config.settings import Config, Headend
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.spool.spool import in_line, open_spool
from dercp.edge.uplink.bell import Bell
from dercp.headend.errors import DeskBusy, StoreAwaited, UnknownTarget
from dercp.link import ClientCall, LinkUnreachable, Status, open_call_over
from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest
from dercp.model.time import us_from_s
from dercp.store import StoreClosed, StoreError
from dercp.wire import CONNECT_PATH
from dercp.wire.envelope import decode_downlink, decode_uplink, kind_of

T = TypeVar("T")

AGENT_ID: Final = "edge-1"
SITE_ID: Final = "site-1"
INTERVAL_S: Final = 5.0
LOG: Final = structlog.get_logger()
# A spool makes room for work on a full disk when it is opened: 2 MB that nothing here needs.
RESERVE_BYTES: Final = 4096
# On the virtual clock.
PATIENCE_S: Final = 20_000.0


def headend_us() -> int:
    """The headend's wall clock."""
    return START_US + us_from_s(trio.current_time())


class Steps:
    """Counts the steps while it is told to, and does something at one of them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.counts = False
        self._at = 0
        self._do: Callable[[], None] = lambda: None

    def plan(self, at: int, do: Callable[[], None]) -> None:
        """Do this at the step of this number, from 1."""
        self._at, self._do = at, do

    def reach(self, name: str) -> None:
        """A step."""
        if self.counts:
            self.names.append(name)
            if len(self.names) == self._at:
                self._do()


class SteppedDisk(MortalDisk):
    """The disk of one life of the agent.

    Each transaction has two steps: nothing is written of it, and it is written.
    """

    def __init__(self, directory: Path, steps: Steps) -> None:
        super().__init__(directory)
        self._steps = steps
        self._is_writing = False

    def check(self, operation: str, path: str) -> None:
        """Write, unless this is where the agent dies."""
        if (operation == "write") is not self._is_writing:
            self._is_writing = not self._is_writing
            self._steps.reach(f"edge: {'before' if self._is_writing else 'after'} write")
        super().check(operation, path)


class SteppedDevice(FakeDevice):
    """Remembers when it was told what, and by how much it differs from what it was told."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.memory: list[Told] = []
        self._steps = steps

    async def write_setpoint(self, active_power_mw: float) -> float:
        """Write."""
        await self._take(active_power_mw)
        return await super().write_setpoint(active_power_mw)

    async def release(self) -> None:
        """Let go."""
        await self._take(RELEASE)
        await super().release()

    async def _take(self, what: float | str) -> None:
        self._steps.reach(f"device: before {_kind(what)}")
        await trio.lowlevel.checkpoint()
        self.memory.append(Told(what, headend_us()))
        self._steps.reach(f"device: after {_kind(what)}")
        await trio.lowlevel.checkpoint()

    def went_through(self) -> list[float | str]:
        """What it was told, what was said again left out."""
        return [what for what, _ in groupby(each.what for each in self.memory if each.what != DIED)]


def _kind(what: float | str) -> str:
    return RELEASE if what == RELEASE else "setpoint"


class SteppedCall:
    """The agent's end of a call, in which each message of a dispatch is a step."""

    def __init__(self, call: ClientCall, edge: "EdgeEnd", steps: Steps) -> None:
        self._call = call
        self._edge = edge
        self._steps = steps

    async def send(self, message: bytes) -> None:
        """Send a message."""
        kind = kind_of(decode_uplink(message))
        if kind == "dispatch_update":
            self._steps.reach(f"edge: before {kind}")
            await trio.lowlevel.checkpoint()
        await self._call.send(message)
        if kind == "dispatch_update":
            self._edge.on_said()
            self._steps.reach(f"edge: after {kind}")

    async def receive(self) -> bytes | None:
        """The next message."""
        message = await self._call.receive()
        if message is not None and "dispatch" in (kind := kind_of(decode_downlink(message))):
            self._steps.reach(f"edge: {kind} has come")
            await trio.sleep(self._edge.held_up_s)
        return message

    async def end(self) -> None:
        """Send no more."""
        await self._call.end()


class HeadendEnd:
    """The headend through all its lives, on one disk.

    Attributes:
        plant: The one that lives now; None while it is dead.
        complaints: What its actors died of, if it was not a kill.
    """

    def __init__(self, steps: Steps) -> None:
        self.disk = MemoryDisk()
        self.plant: Plant | None = None
        self.complaints: list[str] = []
        self._steps = steps
        self._life = trio.CancelScope()
        self._is_dead = False
        self._down_s = 0.0
        self.disk.on_write = self._on_write

    async def run(self) -> None:
        """Live, die and live again."""
        while True:
            self._is_dead = False
            with trio.CancelScope() as self._life:
                await self._live()
            await trio.sleep(self._down_s)

    def kill(self, down_s: float) -> None:
        """Nothing of it remains but its disk; it comes back after so long."""
        if self.plant is not None:
            self._note_harm(self.plant)
            self.plant = None
            self._is_dead, self._down_s = True, down_s
            self.disk.cut_power()
            self._life.cancel("killed")

    async def _live(self) -> None:
        try:
            async with open_plant(self.disk) as plant:
                self.plant = plant
                await trio.sleep_forever()
        except* (StoreError, RestartsExceeded) as error:
            if not self._is_dead:
                self.complaints.append(f"the headend ended: {error!r}")

    def _note_harm(self, plant: Plant) -> None:
        harm: list[Crashed | Escalated] = [*plant.events.of(Crashed), *plant.events.of(Escalated)]
        self.complaints += [f"{event.path}: {event.error!r}" for event in harm]

    def _on_write(self) -> None:
        self._steps.reach("headend: before write")
        if self._is_dead:
            raise StoreClosed("killed before it was written")
        # What follows in the store is done before anything else can happen.
        self._steps.reach("headend: after write")


class EdgeEnd:
    """The agent through all its lives, each on a copy of the disk that the last one left.

    Attributes:
        agent: The one that lives now; None while it is dead.
        away: From when to when it was dead, by the headend's clock.
        clock_off_s: How far its clock is ahead.
        cut_off: Whether it can reach the headend.
        held_up_s: How long a dispatch is on its way.
        on_said: Called when it has said a word about a dispatch, which nobody has heard yet.
    """

    def __init__(
        self, headend: HeadendEnd, steps: Steps, directory: Path, asset_ids: Sequence[str]
    ) -> None:
        self.devices = {asset_id: SteppedDevice(steps) for asset_id in asset_ids}
        self.agent: Agent | None = None
        self.away: list[tuple[int, int]] = []
        self.complaints: list[str] = []
        self.clock_off_s = 0.0
        self.cut_off = False
        self.held_up_s = 0.0
        self.on_said: Callable[[], None] = lambda: None
        self._headend = headend
        self._steps = steps
        self._directory = directory
        self._lives = 0
        self._life = trio.CancelScope()
        self._disk: SteppedDisk | None = None
        self._wire: Wire | None = None
        self._down_s = 0.0

    async def run(self) -> None:
        """Live, die and live again."""
        while True:
            with trio.CancelScope() as self._life:
                try:
                    await self._live()
                except* RuntimeError:
                    # Killed while it starts: its supervisors take in nobody any more.
                    if not self._life.cancel_called:
                        raise
            died_us = headend_us()
            await trio.sleep(self._down_s)
            self.away.append((died_us, headend_us()))

    def kill(self, down_s: float) -> None:
        """Nothing of it remains but its disk; it comes back after so long."""
        if self.agent is not None and self._disk is not None:
            self.agent, self._down_s = None, down_s
            self._disk.die()
            self._life.cancel("killed")
            for device in self.devices.values():
                device.memory.append(Told(DIED, headend_us()))

    async def cut(self) -> None:
        """Break the link, and let it not come back."""
        self.cut_off = True
        if self._wire is not None:
            await self._wire.cut()

    def is_live(self) -> bool:
        """Whether it has a session."""
        return self.agent is not None and self.agent.status().uplink.session is not None

    async def _live(self) -> None:
        here, heir = self._place(self._lives), self._place(self._lives + 1)
        self._lives += 1
        disk, bell = SteppedDisk(here, self._steps), Bell()
        disk.die_at(0, lambda: disk.leave(heir, Death.KILLED, Random(0)))
        try:
            async with open_spool(
                here, AGENT_ID, SpoolSettings(), bell.ring, LOG, runner=in_line, vfs=str(here)
            ) as spool:
                agent = Agent(
                    self._config(), clock=self._clock, dial=self._dial, bell=bell, spool=spool
                )
                async with open_system(AGENT_ID, seed=self._lives, grace_s=15.0) as system:
                    system.events.listen(self._hear)
                    self.agent, self._disk = agent, disk
                    await agent.run(system, trio.Event(), lambda: None)
        finally:
            disk.unregister()

    def _place(self, number: int) -> Path:
        place = self._directory / str(number)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _hear(self, event: Event) -> None:
        if isinstance(event, Crashed | Escalated) and self.agent is not None:
            self.complaints.append(f"{event.path}: {event.error!r}")

    def _clock(self) -> int:
        return headend_us() + us_from_s(self.clock_off_s)

    def _config(self) -> Config:
        assets = (
            asset_config(asset_id, device, interval_s=INTERVAL_S)
            for asset_id, device in self.devices.items()
        )
        return Config(
            agent_id=AGENT_ID,
            data_dir=None,
            headend=Headend("memory", 1, None),
            site_id=SITE_ID,
            site_name=SITE_ID,
            assets=tuple(assets),
        )

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[SteppedCall]:
        await trio.lowlevel.checkpoint()
        plant = self._headend.plant
        if plant is None or self.cut_off:
            raise LinkUnreachable(Status.UNAVAILABLE, "nobody listens")
        self._wire = plant.door.knock()
        async with open_call_over(self._wire.near, CONNECT_PATH) as call:
            yield SteppedCall(call, self, self._steps)


class TwoEnds:
    """A headend, an agent, and an operator who does not give up."""

    def __init__(self, directory: Path, asset_ids: Sequence[str] = ("bess-1",)) -> None:
        self.steps = Steps()
        self.headend = HeadendEnd(self.steps)
        self.edge = EdgeEnd(self.headend, self.steps, directory, asset_ids)
        self.device = self.edge.devices[asset_ids[0]]

    async def wait_live(self) -> None:
        """Until the agent has a session, and the headend has met its assets."""
        while not self.edge.is_live():  # noqa: ASYNC110 - an agent tells nobody
            await trio.sleep(0.25)
        await trio.sleep(1.0)

    async def submit(self, request: DispatchRequest, key: str) -> Dispatch:
        """Hand in a dispatch, again and again with its key, until it is answered."""
        return await self.insist(
            lambda plant: plant.headend.desk.submit(request, key=key, fingerprint="body")
        )

    async def insist(self, wish: Callable[[Plant], Awaitable[T]]) -> T:
        """Ask the headend until it answers."""
        while True:
            plant = self.headend.plant
            if plant is not None:
                try:
                    return await wish(plant)
                except (DeskBusy, StoreAwaited, UnknownTarget):
                    pass
            await trio.sleep(0.5)

    def dispatch(self, dispatch_id: str) -> Dispatch:
        """A dispatch as it is on the headend's disk."""
        return self.headend.disk.dispatches[dispatch_id]

    async def wait_final(self, dispatch_id: str, within_s: float) -> Dispatch:
        """The dispatch once it has ended, or the time is over."""
        with trio.move_on_after(within_s):
            while not self.dispatch(dispatch_id).is_final:  # noqa: ASYNC110 - a disk tells nobody
                await trio.sleep(0.25)
        return self.dispatch(dispatch_id)

    def complaints(self) -> list[str]:
        """Of both."""
        return self.headend.complaints + self.edge.complaints


def request(
    setpoint_mw: float,
    *,
    asset_id: str = "bess-1",
    starts_in_s: float = 0.0,
    lasts_s: float = 10.0,
    deliver_within_s: float = 8.0,
) -> DispatchRequest:
    """What a POST asks, now."""
    start_us = headend_us() + us_from_s(starts_in_s)
    until_us = start_us + us_from_s(lasts_s)
    return DispatchRequest(
        target=AssetTarget(asset_id),
        setpoint_mw=setpoint_mw,
        start_us=start_us,
        until_us=until_us,
        deliver_by_us=min(until_us, headend_us() + us_from_s(deliver_within_s)),
    )


@asynccontextmanager
async def two_ends(
    directory: Path, asset_ids: Sequence[str] = ("bess-1",), clock_off_s: float = 0.0
) -> AsyncIterator[TwoEnds]:
    """Both, once they know each other."""
    ends = TwoEnds(directory, asset_ids)
    ends.edge.clock_off_s = clock_off_s
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends.headend.run)
            nursery.start_soon(ends.edge.run)
            await ends.wait_live()
            yield ends
            nursery.cancel_scope.cancel("the test is over")


def in_virtual_time(seed: int, story: Callable[[], Awaitable[T]]) -> T:
    """Live through a story; the same seed gives the same one, to the message."""
    chance = Random(seed)
    with ExitStack() as held:
        held.enter_context(patch("dercp.edge.spool.file.RESERVE_BYTES", RESERVE_BYTES))
        held.enter_context(patch("secrets.token_hex", lambda size: chance.randbytes(size).hex()))
        held.enter_context(_no_collector())
        return run_deterministic(seed, story)


@contextmanager
def _no_collector() -> Iterator[None]:
    """It would look a dozen times at all modules of the house, a tenth of a second each."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
