"""Either end, or both, killed at each step of a dispatch's life: its end is right, and it is final.

The steps are found by living each story once in peace; then it is lived once for each step and
victim. The same seed gives the same life up to the kill.
"""

import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest
import trio
from dispatch_verdict import RELEASE, complaints
from two_ends import TwoEnds, in_virtual_time, request, two_ends

from dercp.model.dispatch import Dispatch, DispatchState

SOON_S: Final = 2.0
# Beyond all deadlines: `until`, and the grace after it.
LATE_S: Final = 120.0
ENDS_WITHIN_S: Final = 300.0
VICTIMS: Final = ("edge", "headend", "both")

Story = Callable[[TwoEnds], Awaitable[list[Dispatch]]]


async def runs_out(ends: TwoEnds) -> list[Dispatch]:
    """A lease that runs to its end."""
    taken = await ends.submit(request(1.0), "one")
    return [await ends.wait_final(taken.dispatch_id, ENDS_WITHIN_S)]


async def is_cancelled(ends: TwoEnds) -> list[Dispatch]:
    """A lease that an operator ends early."""
    taken = await ends.submit(request(1.0, lasts_s=30.0), "one")
    await trio.sleep(3.0)
    await ends.insist(lambda plant: plant.headend.desk.cancel(taken.dispatch_id, "enough"))
    return [await ends.wait_final(taken.dispatch_id, ENDS_WITHIN_S)]


async def is_superseded(ends: TwoEnds) -> list[Dispatch]:
    """A lease whose place another one takes, which was handed over ahead."""
    first = await ends.submit(request(1.0, lasts_s=30.0), "one")
    await trio.sleep(2.0)
    second = await ends.submit(request(1.5, starts_in_s=5.0, lasts_s=5.0), "two")
    await ends.wait_final(second.dispatch_id, ENDS_WITHIN_S)
    return [
        await ends.wait_final(each.dispatch_id, ENDS_WITHIN_S) for each in (first, second)
    ]


STORIES: Final = (runs_out, is_cancelled, is_superseded)
IN_PEACE: Final = {
    runs_out: (["completed"], [RELEASE, 1.0, RELEASE]),
    is_cancelled: (["cancelled"], [RELEASE, 1.0, RELEASE]),
    is_superseded: (["superseded", "completed"], [RELEASE, 1.0, 1.5, RELEASE]),
}
# A step that is in none of the stories would show nothing.
EVERY_STEP: Final = {
    "headend: before write",
    "headend: after write",
    "edge: before write",
    "edge: after write",
    "edge: dispatch has come",
    "edge: before dispatch_update",
    "edge: after dispatch_update",
    "device: before setpoint",
    "device: after setpoint",
    "device: before release",
    "device: after release",
}


class Life(msgspec.Struct, frozen=True):
    """What came of a story."""

    steps: list[str]
    dispatches: list[Dispatch]
    told: list[float | str]
    complaints: list[str]
    away: list[tuple[int, int]]


def live(story: Story, at: int, victim: str, down_s: float) -> Life:
    """Live a story, with a death at the step of this number; 0 = in peace."""

    async def whole() -> Life:
        with tempfile.TemporaryDirectory() as directory:
            async with two_ends(Path(directory)) as ends:

                def die() -> None:
                    if victim in {"edge", "both"}:
                        ends.edge.kill(down_s)
                    if victim in {"headend", "both"}:
                        ends.headend.kill(down_s)

                ends.steps.plan(at, die)
                ends.steps.counts = True
                dispatches = await story(ends)
                ends.steps.counts = False
                # What comes after the end must not change it.
                await trio.sleep(45.0)
                ids = [each.dispatch_id for each in dispatches]
                after = [ends.dispatch(each) for each in ids]
                wrong = ends.complaints()
                for former, dispatch in zip(dispatches, after, strict=True):
                    wrong += complaints(dispatch, ends.device.memory)
                    if former.state not in {dispatch.state, DispatchState.UNKNOWN}:
                        wrong.append(f"{former.state} became {dispatch.state}")
                if set(ends.headend.disk.dispatches) != set(ids):
                    wrong.append(f"a POST made another one: {list(ends.headend.disk.dispatches)}")
                if ends.device.memory[-1].what != RELEASE:
                    wrong.append("it was not released")
                return Life(ends.steps.names, after, ends.device.went_through(), wrong, ends.edge.away)

    return in_virtual_time(at, whole)


def states(dispatches: list[Dispatch]) -> list[str]:
    """How they ended."""
    return [each.state.value for each in dispatches]


def test_in_peace_the_stories_end_as_they_should() -> None:
    """And all kinds of steps are in them."""
    seen: Counter[str] = Counter()
    for story, (ends, told) in IN_PEACE.items():
        life = live(story, 0, "nobody", 0.0)
        assert life.complaints == []
        assert (states(life.dispatches), life.told) == (ends, told)
        seen.update(life.steps)
        print(story.__name__, len(life.steps), Counter(life.steps))
    assert set(seen) >= EVERY_STEP


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("story", STORIES)
def test_a_death_at_any_step_that_is_soon_over_changes_no_outcome(
    story: Story, victim: str
) -> None:
    """Carried out once, ended once; only an edge that is away at the end of a lease misses it."""
    number, steps = 0, 1
    while number < steps:
        number += 1
        life = live(story, number, victim, SOON_S)
        steps = len(life.steps)
        try:
            assert life.complaints == []
        except BaseException as error:
            error.add_note(f"{story.__name__}, {victim} at {number}: {life.steps[number - 1]}")
            raise
