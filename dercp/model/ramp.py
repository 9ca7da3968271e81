"""How an asset is brought to its setpoint: in which steps, and how soon.

Carried out as a loop: ask `next_write`, write what it says or wait as long as it says, ask
again. It keeps no state of its own, so that a new setpoint halfway, or a restart, is simply
another question.
"""

import math
from typing import Final, TypeAlias

import msgspec

from dercp.model.guardrail import Guardrails

__all__ = ["RAMP_STEP_S", "Later", "NextWrite", "Settled", "WriteNow", "Written", "next_write"]

RAMP_STEP_S: Final = 1.0
"""A ramp is climbed in steps of this many seconds, or of the write interval if that is longer."""


class Written(msgspec.Struct, frozen=True):
    """What stands in the device, and since when, in monotonic seconds.

    Before the first write it is what the device reads back or else measures, at present:
    a ramp has to begin somewhere.
    """

    setpoint_mw: float
    at_s: float


class WriteNow(msgspec.Struct, frozen=True):
    """Write this; `arrives` says whether it is the setpoint itself or a step of the ramp."""

    setpoint_mw: float
    arrives: bool


class Later(msgspec.Struct, frozen=True):
    """Nothing before this time."""

    at_s: float


class Settled(msgspec.Struct, frozen=True):
    """Nothing to write: the device has the setpoint, or one too near to be worth a write."""


NextWrite: TypeAlias = WriteNow | Later | Settled


def next_write(target_mw: float, guardrails: Guardrails, last: Written, now_s: float) -> NextWrite:
    """What is to be written now on the way to a setpoint that `judge` has passed.

    The steps of a ramp are of equal size. Over any stretch of time the setpoint moves at most
    by the ramp and one step more; a late caller makes the ramp slower, never steeper.
    """
    distance_mw = abs(target_mw - last.setpoint_mw)
    if distance_mw == 0 or distance_mw < guardrails.least_change_mw:
        return Settled()
    wait_s, steps = guardrails.write_interval_s, 1
    if guardrails.ramp_mw_per_min is not None:
        mw_per_s = guardrails.ramp_mw_per_min / 60.0
        steps = math.ceil(distance_mw / (mw_per_s * max(wait_s, RAMP_STEP_S)))
        wait_s = max(wait_s, distance_mw / steps / mw_per_s)
    due_s = last.at_s + wait_s
    if now_s < due_s:
        return Later(due_s)
    if steps <= 1:
        return WriteNow(target_mw, arrives=True)
    return WriteNow(last.setpoint_mw + (target_mw - last.setpoint_mw) / steps, arrives=False)
