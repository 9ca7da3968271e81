"""Dispatches of a scenario, handed in through the API as fast as it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from dercp.cli.exits import CommandError
from dercp.cli.sim_api import SimApi
from dercp.cli.sim_report import DispatchSums
from dercp.model.points import Kind
from sim.load.fleet import asset_ids
from sim.load.latency import Latencies
from sim.load.plan import Fleet
from sim.load.scenario import DispatchStorm
from sim.seeded import seeded
from sim.specs import default_spec

AT_ONCE: Final = 16
_BATTERY_MW: Final = default_spec(Kind.STORAGE, "any", "").p_max_mw


class Storms:
    """All dispatch storms of a run. A dispatch that is refused is counted, not repeated."""

    def __init__(
        self, api: SimApi, storms: Sequence[DispatchStorm], fleet: Fleet, run_id: str
    ) -> None:
        self._api = api
        self._storms = storms
        self._fleet = fleet
        self._run_id = run_id
        self._taken: list[str] = []
        self._refused = 0

    async def run(self) -> None:
        """Let them come to pass, beginning now."""
        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number, storm in enumerate(self._storms):
                nursery.start_soon(self._rage, number, storm, began_s)

    async def sums(self) -> DispatchSums:
        """What became of them, by their timelines."""
        latencies, acked, applied = Latencies(), 0, 0
        for dispatch_id in self._taken:
            try:
                seen = await self._api.dispatch(dispatch_id)
            except CommandError:
                continue
            after_s = seen.after_s("acked")
            if after_s is not None:
                acked += 1
                latencies.note(after_s)
            applied += seen.after_s("applied") is not None
        return DispatchSums(
            submitted=len(self._taken),
            refused=self._refused,
            acked=acked,
            applied=applied,
            acked_p50_s=latencies.quantile(0.5),
            acked_p99_s=latencies.quantile(0.99),
        )

    async def _rage(self, number: int, storm: DispatchStorm, began_s: float) -> None:
        assets = asset_ids(self._fleet, Kind.STORAGE)
        draw = seeded(self._fleet.seed, "storm", number)
        targets = draw.sample(assets, round(storm.share * len(assets)))
        await trio.sleep_until(began_s + storm.at_s)
        limit = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for asset_id in targets:
                await limit.acquire_on_behalf_of(asset_id)
                nursery.start_soon(self._submit, number, storm, asset_id, limit)

    async def _submit(
        self, number: int, storm: DispatchStorm, asset_id: str, limit: trio.CapacityLimiter
    ) -> None:
        try:
            taken = await self._api.submit(
                asset_id,
                storm.setpoint_share * _BATTERY_MW,
                for_s=storm.for_s,
                key=f"sim-{self._run_id}-{number}-{asset_id}",
            )
        except CommandError:
            taken = None
        finally:
            limit.release_on_behalf_of(asset_id)
        if taken is None:
            self._refused += 1
        else:
            self._taken.append(taken)
