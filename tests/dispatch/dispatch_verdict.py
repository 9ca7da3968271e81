"""Whether what the headend says of a dispatch is what its device went through.

Each dispatch has a setpoint of its own, by which the device's memory knows it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import TypeAlias

import msgspec

from dercp.edge.asset.lease import TOUCH_S
from dercp.model.dispatch import FINAL, Dispatch, DispatchState, Source
from dercp.model.time import us_from_s

__all__ = ["Told", "complaints", "left_a_final_state"]

RELEASE = "release"
REFUSED = "refused"
DIED = "died"


class Told(msgspec.Struct, frozen=True):
    """What a device was told, and when by the headend's clock; `REFUSED` = it did not take it.

    `DIED` stands where nobody was left to tell it anything.
    """

    what: float | str
    at_us: int


Memory: TypeAlias = Sequence[Told]


def complaints(dispatch: Dispatch, told: Memory, early_us: int = 0) -> Iterator[str]:
    """What is wrong about the end of a dispatch, by all that its device was ever told.

    An edge that knows the headend's time from an answer takes it to be later than it is, by
    up to `early_us`: so long before `until` a lease may end. And it may end a little early
    where another one was meant to touch it.
    """
    request, name = dispatch.request, dispatch.dispatch_id
    full_us = request.until_us - early_us - us_from_s(TOUCH_S)
    with_deaths, told = told, [each for each in told if each.what != DIED]
    mine = [each for each in told if each.what == request.setpoint_mw]
    if not dispatch.is_final:
        yield f"{name} is {dispatch.state} still"
    if any(not request.start_us - early_us <= each.at_us < request.until_us for each in mine):
        yield f"{name} was written outside of its time: {mine}"
    if _times_taken_up(told, request.setpoint_mw) > 1:
        yield f"{name} was carried out more than once: {told}"
    if left_a_final_state(dispatch):
        yield f"{name} left a final state: {dispatch.timeline}"
    match dispatch.state:
        case DispatchState.COMPLETED if _ended_us(told, mine) < full_us:
            yield f"{name} is completed, and was not held to its end: {told}"
        case DispatchState.EXPIRED | DispatchState.REJECTED | DispatchState.UNKNOWN if mine:
            yield f"{name} is {dispatch.state}, and was written: {mine}"
        case DispatchState.CANCELLED | DispatchState.SUPERSEDED if mine and (
            _ended_us(with_deaths, mine) >= request.until_us
        ):
            yield f"{name} is {dispatch.state}, and was held to its end: {told}"
        case _:
            pass


def left_a_final_state(dispatch: Dispatch) -> bool:
    """Whether its story goes on after an end, other than by the edge's word on what was unknown."""
    return any(
        former.state in FINAL
        and not (former.state is DispatchState.UNKNOWN and later.source is Source.EDGE)
        for former, later in pairwise(dispatch.timeline)
    )


def _times_taken_up(told: Memory, setpoint_mw: float) -> int:
    """How often a device came to a setpoint from another one; said again, it is the same."""
    taken = (each.what for each in told if each.what != REFUSED)
    return sum(what == setpoint_mw for what, _ in groupby(taken))


def _ended_us(told: Memory, mine: Memory) -> int:
    """When the device was told the next thing; 0 = never, or it never came to this one."""
    if not mine:
        return 0
    after = told[len(told) - 1 - told[::-1].index(mine[-1]) + 1 :]
    return after[0].at_us if after else 0
