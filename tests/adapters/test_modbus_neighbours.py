"""A device in trouble affects itself only: an agent with ill devices, and one that is well."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from statistics import median

import pytest
import trio
import trio.testing
from modbus_field import by_point, served

from adapters import DeviceError, Readings
from adapters.sunspec import SunSpecOptions
from adapters.sunspec._device import SunSpecAdapter, SunSpecDevice
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason
from sim.field.modbus import Fault
from sim.field.modbus_sunspec import sunspec_device
from sim.options import SimulatedOptions
from sim.specs import default_spec

PERIOD_S = 0.1
# How long the ill device keeps its caller waiting.
TIMEOUT_S = 0.6
WELL = "well"
ILLNESSES = {
    f"ill-{fault}": fault
    for fault in (Fault.SWAPPED, Fault.EXCEPTION, Fault.SILENT, Fault.RESET, Fault.GARBAGE)
}


class Watched(SunSpecAdapter):
    """The adapter, noting when its devices are polled and how that went."""

    def __init__(self) -> None:
        self.polled_s: list[float] = []
        self.error = ""
        self._polled = trio.Event()

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: SunSpecOptions) -> AsyncIterator[SunSpecDevice]:
        """Connect, and put a watch on reading."""
        async with super().open(asset, options) as device:
            read = device.read

            async def watched_read() -> Readings:
                self.polled_s.append(trio.current_time())
                try:
                    readings = await read()
                except DeviceError as error:
                    self._note(str(error))
                    raise
                self._note("")
                return readings

            device.read = watched_read  # type: ignore[method-assign]  # the watch
            yield device

    async def wait_until(self, *, well: bool) -> None:
        """Wait for a poll that went so."""
        self._polled = trio.Event()
        while True:
            await self._polled.wait()
            if (not self.error) is well:
                return

    def _note(self, error: str) -> None:
        self.error = error
        self._polled.set()
        self._polled = trio.Event()


def battery(asset_id: str) -> AssetSpec:
    """One of the devices."""
    return default_spec(Kind.STORAGE, asset_id, asset_id, sample_interval_s=PERIOD_S)


def asset_config(asset_id: str, port: int, adapter: SunSpecAdapter) -> AssetConfig:
    """A battery behind that port."""
    nameplate = Bounds(-2.0, 2.0)
    return AssetConfig(
        spec=battery(asset_id),
        guardrails=Guardrails(nameplate, nameplate),
        adapter_name="sunspec",
        adapter=adapter,
        options=SunSpecOptions(host="127.0.0.1", port=port, timeout_s=TIMEOUT_S),
    )


async def test_devices_in_trouble_go_bad_and_come_back_and_their_neighbour_keeps_its_period() -> (
    None
):
    """Bad while it lasts, good again soon after; who is well notices nothing of it."""
    watches = {name: Watched() for name in (*ILLNESSES, WELL)}
    async with AsyncExitStack() as stack:
        devices = {}
        for name in watches:
            bank = sunspec_device(battery(name), SimulatedOptions())
            devices[name] = await stack.enter_async_context(served(bank))
        nursery = await stack.enter_async_context(trio.open_nursery())
        config = Config(
            agent_id="edge-1",
            data_dir=None,
            headend=Headend("127.0.0.1", 1, None),  # nobody there
            site_id="site-1",
            site_name="",
            assets=tuple(asset_config(n, devices[n].port, watches[n]) for n in watches),
        )
        agent: Agent = await nursery.start(partial(run_agent, config, clock=lambda: 0, seed=1))

        async def fall_ill_and_get_well(name: str) -> None:
            await watches[name].wait_until(well=True)
            devices[name].faults.now = ILLNESSES[name]
            await watches[name].wait_until(well=False)
            devices[name].faults.now = Fault.NONE
            await watches[name].wait_until(well=True)

        with trio.fail_after(15):
            async with trio.open_nursery() as stories:
                for name in ILLNESSES:
                    stories.start_soon(fall_ill_and_get_well, name)
            await trio.testing.wait_all_tasks_blocked(0.01)
        for name, memory in agent._memories.items():
            power = by_point(memory.readings)["active_power_mw"]
            assert (power.quality, power.reasons) == (Quality.GOOD, Reason.NONE), name
        nursery.cancel_scope.cancel()
    gaps = [after - before for before, after in pairwise(watches[WELL].polled_s)]
    assert median(gaps) == pytest.approx(PERIOD_S, rel=0.2)
    assert max(gaps) < TIMEOUT_S
