"""Whole ends, many dispatches, and deaths and cuts at random; a seed that fails, fails again."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio
from dispatch_verdict import RELEASE, complaints
from two_ends import EdgeEnd, HeadendEnd, TwoEnds, in_virtual_time, request, two_ends

from dercp.headend.errors import DispatchEnded
from dercp.model.dispatch import DispatchError, id_of
from sim.seeded import seeded

SEEDS = int(os.environ.get("DERCP_DISPATCH_SEEDS", "40"))
ASSETS = ("bess-1", "bess-2")
LASTS_S = 90.0
# All leases have ended, the longest wait between two calls has passed, and so has the grace.
HEALS_S = 200.0


class Troubles:
    """What befalls both ends for a while, by the seed."""

    def __init__(self, ends: TwoEnds, draw: Random) -> None:
        self._ends = ends
        self._draw = draw
        self._taken: list[str] = []

    async def come(self) -> None:
        """All of them, until it is enough."""
        with trio.move_on_after(LASTS_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._order)
                nursery.start_soon(self._kill)
                nursery.start_soon(self._cut)
                nursery.start_soon(self._change_minds)
        self._ends.edge.cut_off = False

    async def _order(self) -> None:
        for number in range(1, 100):
            draw = self._draw
            asked = request(
                round(0.01 * number, 2),
                asset_id=draw.choice(ASSETS),
                starts_in_s=draw.choice((0.0, 0.0, draw.uniform(0.0, 30.0))),
                lasts_s=draw.uniform(1.0, 40.0),
                deliver_within_s=draw.uniform(1.0, 30.0),
            )
            with suppress(DispatchError):  # the headend was away for too long
                taken = await self._ends.submit(asked, f"k-{number}")
                self._taken.append(taken.dispatch_id)
            await trio.sleep(draw.expovariate(0.25))

    async def _kill(self) -> None:
        """At steps, where it matters; of both ends now and then."""
        ends, draw = self._ends, self._draw
        ends.steps.counts = True
        while True:
            await trio.sleep(draw.uniform(2.0, 20.0))
            both: Sequence[EdgeEnd | HeadendEnd] = (ends.edge, ends.headend)
            victims = draw.choice((both, both[:1], both[1:]))
            down_s = draw.choice((0.0, draw.uniform(0.0, 5.0), draw.uniform(5.0, 60.0)))

            def die() -> None:
                for victim in victims:  # noqa: B023 - of this very turn
                    victim.kill(down_s)  # noqa: B023 - of this very turn

            ends.steps.plan(len(ends.steps.names) + draw.randint(1, 30), die)

    async def _cut(self) -> None:
        draw = self._draw
        while True:
            await trio.sleep(draw.uniform(5.0, 40.0))
            await self._ends.edge.cut()
            await trio.sleep(draw.choice((0.0, draw.uniform(0.0, 30.0))))
            self._ends.edge.cut_off = False

    async def _change_minds(self) -> None:
        while True:
            await trio.sleep(self._draw.uniform(3.0, 20.0))
            if self._taken:
                name = self._draw.choice(self._taken)
                with suppress(DispatchEnded):
                    await self._ends.insist(
                        lambda plant: plant.headend.desk.cancel(name, "enough")  # noqa: B023 - awaited here
                    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_befalls_both_ends_they_agree(seed: int) -> None:
    """Every dispatch ends, is carried out once or never, and ends as its device knows."""

    async def story() -> tuple[int, int]:
        with tempfile.TemporaryDirectory() as directory:
            async with two_ends(Path(directory), ASSETS) as ends:
                await Troubles(ends, seeded(seed, "dispatches")).come()
                ends.steps.counts = False
                await trio.sleep(HEALS_S)
                wrong = ends.complaints()
                dispatches = ends.headend.disk.dispatches.values()
                for dispatch in dispatches:
                    device = ends.edge.devices[id_of(dispatch.request.target)]
                    wrong += complaints(dispatch, device.memory)
                wrong += [
                    f"{asset_id} was left with {device.went_through()[-1]}"
                    for asset_id, device in ends.edge.devices.items()
                    if device.went_through()[-1] != RELEASE
                ]
                assert wrong == [], "\n".join(wrong)
                return len(dispatches), len(ends.edge.away)

    try:
        in_virtual_time(seed, story)
    except BaseException as error:
        error.add_note(
            f"again: DERCP_DISPATCH_SEEDS={seed + 1} pytest "
            f'"tests/dispatch/test_dispatch_plants.py" -k "agree[{seed}]"'
        )
        raise
