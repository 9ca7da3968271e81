"""A headend that dies as its plan says, on a disk that is in trouble for a while."""

from typing import Final

import trio
from chaos_plan import Kill, Plan, StoreTrouble
from headend_plant import Plant, open_plant
from memory_store import MemoryDisk

from actors import Crashed, Escalated, RestartsExceeded
from dercp.store import StoreClosed, StoreError

# Whatever runs services starts it again.
START_AGAIN_S: Final = 2.0
IDLE_S: Final = 15.0
SLOW_WRITE_S: Final = 8.0


class MortalHeadend:
    """The headend through all its lives.

    Attributes:
        plant: The one that lives now.
        deaths: When it was killed.
        failures: How often it, or a part of it, ended because its disk was no more.
    """

    def __init__(self, plan: Plan) -> None:
        self.disk = MemoryDisk()
        self.plant: Plant | None = None
        self.deaths: list[float] = []
        self.failures = 0
        self.complaints: list[str] = []
        self._plan = plan
        self._life = trio.CancelScope()
        self._down_s = 0.0
        self._over = False

    async def run(self) -> None:
        """Live and die until stopped."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._trouble)
            for kill in self._plan.kills:
                nursery.start_soon(self._kill_later, kill)
            while not self._over:
                with trio.CancelScope() as self._life:
                    await self._live()
                await trio.sleep(self._down_s)
            nursery.cancel_scope.cancel("stopped")

    def stop(self) -> None:
        """End it for good."""
        self._over = True
        self._life.cancel("stopped")

    async def open_far(self) -> trio.abc.HalfCloseableStream:
        """Connect to it.

        Raises:
            OSError: It is not there.
        """
        await trio.lowlevel.checkpoint()
        if self.plant is None:
            raise ConnectionRefusedError("the headend is down")
        return self.plant.door.knock().near

    async def _live(self) -> None:
        self._down_s = START_AGAIN_S
        try:
            async with open_plant(self.disk) as plant:
                self.plant = plant
                try:
                    await trio.sleep_forever()
                finally:
                    self._note_harm(plant)
        except* (StoreError, RestartsExceeded) as error:
            # On a disk that is full or no more, it cannot begin.
            if self._plan.store not in {StoreTrouble.AWAY, StoreTrouble.FULL}:
                self.complaints.append(f"the headend ended: {error!r}")
            self.failures += 1
        finally:
            self.plant = None

    def _note_harm(self, plant: Plant) -> None:
        if plant is not self.plant:
            return
        harm: list[Crashed | Escalated] = [*plant.events.of(Crashed), *plant.events.of(Escalated)]
        if self._plan.store is StoreTrouble.AWAY:
            self.failures += len(harm)
        else:
            self.complaints += [f"{event.path}: {event.error!r}" for event in harm]

    # --- troubles

    async def _kill_later(self, kill: Kill) -> None:
        await trio.sleep_until(kill.at_s)
        writes_left = kill.writes

        def count() -> None:
            nonlocal writes_left
            writes_left -= 1
            if writes_left == 0:
                self._die(kill)
                if kill.writes % 2:
                    raise StoreClosed("killed before it was written")

        self.disk.on_write = count
        await trio.sleep(IDLE_S)
        if writes_left > 0:
            self._die(kill)

    def _die(self, kill: Kill) -> None:
        self.disk.on_write = lambda: None
        self.disk.cut_power()
        self.deaths.append(trio.current_time())
        self._down_s = kill.down_s
        if self.plant is not None:
            self._note_harm(self.plant)
        # What its actors say of a disk that is gone is no news.
        self.plant = None
        self._life.cancel("killed")

    async def _trouble(self) -> None:
        plan, disk = self._plan, self.disk
        await trio.sleep_until(plan.store_from_s)
        match plan.store:
            case StoreTrouble.FULL:
                disk.full = True
            case StoreTrouble.LOG_FULL:
                disk.log_full = True
            case StoreTrouble.SLOW:
                disk.write_takes_s = SLOW_WRITE_S
            case StoreTrouble.AWAY:
                disk.broken = True
            case StoreTrouble.NONE:
                pass
        await trio.sleep_until(plan.store_to_s)
        disk.full = disk.log_full = disk.broken = False
        disk.write_takes_s = 0.0
