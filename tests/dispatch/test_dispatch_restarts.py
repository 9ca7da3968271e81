"""Either end, or both, killed at each step of a dispatch's life: its end is right, and it is final.

The steps are found by living each story once in peace; then it is lived once for each step and
victim. The same seed gives the same life up to the kill.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import pytest
import trio
from dispatch_verdict import DIED, RELEASE, complaints
from two_ends import TwoEnds, in_virtual_time, request, two_ends

from dercp.headend.errors import DispatchEnded
from dercp.model.dispatch import (
    Dispatch,
    DispatchError,
    DispatchReason,
    DispatchRequest,
    DispatchState,
)

SEED: Final = 4
SOON_S: Final = 2.0
# Beyond all deadlines: `until`, and the grace after it.
LATE_S: Final = 75.0
ENDS_WITHIN_S: Final = 300.0
SECOND_US: Final = 1_000_000
EVERYTHING: Final = bool(os.environ.get("DERCP_DISPATCH_EVERYTHING"))
VICTIMS: Final = ("edge", "headend", "both")

Story = Callable[[TwoEnds], Awaitable[list[Dispatch]]]


async def runs_out(ends: TwoEnds) -> list[Dispatch]:
    """A lease that runs to its end."""
    return await ended(ends, await hand_in(ends, request(1.0)))


async def is_cancelled(ends: TwoEnds) -> list[Dispatch]:
    """A lease that an operator ends early."""
    taken = await hand_in(ends, request(1.0, lasts_s=30.0))
    await trio.sleep(3.0)
    with suppress(DispatchEnded):
        for each in taken:
            await ends.insist(lambda plant: plant.headend.desk.cancel(each, "enough"))  # noqa: B023 - awaited here
    return await ended(ends, taken)


async def is_superseded(ends: TwoEnds) -> list[Dispatch]:
    """A lease whose place another one takes, which was handed over ahead."""
    taken = await hand_in(ends, request(1.0, lasts_s=30.0))
    await trio.sleep(2.0)
    taken += await hand_in(ends, request(1.5, starts_in_s=5.0, lasts_s=5.0))
    return await ended(ends, taken)


async def hand_in(ends: TwoEnds, asked: DispatchRequest) -> list[str]:
    """The id of the dispatch; none if the headend was away for too long."""
    try:
        return [(await ends.submit(asked, f"key of {asked.setpoint_mw}")).dispatch_id]
    except DispatchError:
        return []


async def ended(ends: TwoEnds, taken: list[str]) -> list[Dispatch]:
    """All of them, as they have ended."""
    return [await ends.wait_final(each, ENDS_WITHIN_S) for each in taken]


IN_PEACE: Final[dict[Story, tuple[list[str], list[float | str]]]] = {
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
    "edge: cancel_dispatch has come",
    "edge: before dispatch_update",
    "edge: after dispatch_update",
    "device: before setpoint",
    "device: after setpoint",
    "device: before release",
    "device: after release",
}


class Life(msgspec.Struct, frozen=True):
    """What came of a story.

    Attributes:
        steps: All that were reached, in order.
        dispatches: As they are on the headend's disk, long after.
        told: What the device went through.
        released_us: When it was last told to release.
        away: From when to when the edge was dead.
        wrong: What must not be, whoever dies whenever.
    """

    steps: list[str]
    dispatches: list[Dispatch]
    told: list[float | str]
    released_us: int
    away: list[tuple[int, int]]
    wrong: list[str]

    def states(self) -> list[str]:
        """How they ended."""
        return [each.state.value for each in self.dispatches]


def live(story: Story, at: int = 0, victim: str = "", down_s: float = 0.0) -> Life:
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
                # The longest wait between two calls is a minute, and an end must not change.
                await trio.sleep(45.0 + 2 * down_s)
                return look_back(ends, dispatches)

    return in_virtual_time(SEED, whole)


def look_back(ends: TwoEnds, dispatches: list[Dispatch]) -> Life:
    """See what has become of the dispatches of a story, and what is wrong about it."""
    after = [ends.dispatch(each.dispatch_id) for each in dispatches]
    wrong = ends.complaints()
    for former, dispatch in zip(dispatches, after, strict=True):
        wrong += complaints(dispatch, ends.device.memory)
        if former.state not in {dispatch.state, DispatchState.UNKNOWN}:
            wrong.append(f"{former.state} became {dispatch.state}")
    if len(ends.headend.disk.dispatches) != len(dispatches):
        wrong.append(f"there are others: {list(ends.headend.disk.dispatches)}")
    last = [each for each in ends.device.memory if each.what != DIED][-1]
    if last.what != RELEASE:
        wrong.append(f"it was left with {last}")
    told, away = ends.device.went_through(), ends.edge.away
    return Life(ends.steps.names, after, told, last.at_us, away, wrong)


@contextmanager
def again(story: Story, at: int, victim: str, life: Life) -> Iterator[None]:
    """Say how to see a failure once more."""
    try:
        yield
    except BaseException as error:
        error.add_note(
            f"again: live({story.__name__}, {at}, {victim!r}, ...), {life.steps[at - 1]}"
        )
        raise


def test_in_peace_the_stories_end_as_they_should() -> None:
    """And all kinds of steps are in them."""
    seen: set[str] = set()
    for story, (ends, told) in IN_PEACE.items():
        life = live(story)
        assert life.wrong == []
        assert (life.states(), life.told) == (ends, told)
        seen.update(life.steps)
    assert seen == EVERY_STEP


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("story", IN_PEACE)
def test_a_death_at_any_step_that_is_soon_over_changes_no_outcome(
    story: Story, victim: str
) -> None:
    """Carried out once, ended as in peace; but an edge that dies as a lease ends says so."""
    ends, told = IN_PEACE[story]
    for at in range(1, 1 + len(live(story).steps)):
        life = live(story, at, victim, SOON_S)
        with again(story, at, victim, life):
            assert life.wrong == []
            # One that was cancelled before it could be delivered again has never begun.
            assert life.told == told or (life.states(), life.told) == (["cancelled"], [RELEASE])
            for state, dispatch in zip(ends, life.dispatches, strict=True):
                if dispatch.state is DispatchState.FAILED:
                    assert dispatch.timeline[-1].reason == DispatchReason.EDGE_STOPPED
                    assert died_as_it_ended(life)
                else:
                    assert dispatch.state == state


def died_as_it_ended(life: Life) -> bool:
    """Whether the edge was not there when the device was to be released, or just about."""
    return any(from_us <= life.released_us <= to_us + SECOND_US for from_us, to_us in life.away)


@pytest.mark.parametrize("story", IN_PEACE)
def test_after_a_death_at_any_step_that_outlasts_all_deadlines_the_two_ends_agree(
    story: Story,
) -> None:
    """What the headend says in the end is what the device did.

    The victims take turns at every other step; DERCP_DISPATCH_EVERYTHING=1 for all.
    """
    for at in range(1, 1 + len(live(story).steps), 1 if EVERYTHING else 2):
        for victim in VICTIMS if EVERYTHING else VICTIMS[at % len(VICTIMS) :][:1]:
            life = live(story, at, victim, LATE_S)
            with again(story, at, victim, life):
                assert life.wrong == []
