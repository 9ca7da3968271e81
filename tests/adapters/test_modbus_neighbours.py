"""A device in trouble affects itself only: an agent with two devices, one of them ill."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from dercp.edge.config import AssetConfig, Config, Headend
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
ILL, WELL = "bess-1", "bess-2"


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


def asset_config(asset_id: str, port: int, adapter: SunSpecAdapter) -> AssetConfig:
    """A battery behind that port."""
    nameplate = Bounds(-2.0, 2.0)
    return AssetConfig(
        spec=default_spec(Kind.STORAGE, asset_id, asset_id, sample_interval_s=PERIOD_S),
        guardrails=Guardrails(nameplate, nameplate),
        fallback="release",
        adapter_name="sunspec",
        adapter=adapter,
        options=SunSpecOptions(host="127.0.0.1", port=port, timeout_s=TIMEOUT_S),
    )


@pytest.mark.parametrize(
    "fault", [Fault.SWAPPED, Fault.EXCEPTION, Fault.SILENT, Fault.RESET, Fault.GARBAGE]
)
async def test_one_device_in_trouble_goes_bad_and_comes_back_and_the_other_keeps_its_period(
    fault: Fault,
) -> None:
    """Bad with the reason while it lasts, good again soon after; the neighbour notices nothing."""
    ill_watch, well_watch = Watched(), Watched()
    ill_bank, well_bank = (
        sunspec_device(default_spec(Kind.STORAGE, asset_id, ""), SimulatedOptions())
        for asset_id in (ILL, WELL)
    )
    async with served(ill_bank) as ill, served(well_bank) as well, trio.open_nursery() as nursery:
        config = Config(
            agent_id="edge-1",
            data_dir=None,
            headend=Headend("127.0.0.1", 1, None),  # nobody there
            site_id="site-1",
            site_name="",
            assets=(
                asset_config(ILL, ill.port, ill_watch),
                asset_config(WELL, well.port, well_watch),
            ),
        )
        run = partial(run_agent, config, clock=lambda: 0, seed=1)
        with trio.fail_after(10):
            agent: Agent = await nursery.start(run)
            await ill_watch.wait_until(well=True)
            ill.faults.now = fault
            await ill_watch.wait_until(well=False)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not agent._memories[ILL].readings
            ill.faults.now = Fault.NONE
            await ill_watch.wait_until(well=True)
            await trio.testing.wait_all_tasks_blocked(0.01)
        power = by_point(agent._memories[ILL].readings)["active_power_mw"]
        assert (power.quality, power.reasons) == (Quality.GOOD, Reason.NONE)
        nursery.cancel_scope.cancel()
    gaps = [after - before for before, after in pairwise(well_watch.polled_s)]
    assert len(gaps) > 2
    assert median(gaps) == pytest.approx(PERIOD_S, rel=0.2)
    assert max(gaps) < TIMEOUT_S
