"""A schedule: setpoints for stretches of time, handed over ahead.

Each block becomes one lease of its own. From one block to the next the asset does not go to
its fallback, unless what lies between them is longer than `GAP_GRACE_S`: the plans of real
operators have gaps of seconds where two blocks were meant to touch.
"""

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from dercp.model.asset import AssetSpec
from dercp.model.dispatch import (
    DispatchError,
    DispatchLimits,
    DispatchRequest,
    GroupSpec,
    Target,
    check_request,
)
from dercp.model.guardrail import OnLimit

__all__ = [
    "BLOCKS_MAX",
    "GAP_GRACE_S",
    "Block",
    "Schedule",
    "check_schedule",
    "requests_of",
]

BLOCKS_MAX: Final = 288
"""A day in blocks of five minutes."""

GAP_GRACE_S: Final = 10.0
"""A gap up to this long is bridged: the block before it holds until the next one starts."""


class Block(msgspec.Struct, frozen=True):
    """A setpoint from `start_us` to before `until_us`, in UTC."""

    start_us: int
    until_us: int
    setpoint_mw: float


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks of one target, in order of time.

    `deliver_by_us` is for the schedule as a whole: what the edge has not accepted by then is
    not to be accepted (a block that has ended before then expires with its end).
    """

    schedule_id: str
    target: Target
    blocks: tuple[Block, ...]
    deliver_by_us: int
    priority: int = 0
    reason: str = ""
    requested_by: str = ""
    on_limit: OnLimit = OnLimit.CLAMP


def check_schedule(
    schedule: Schedule, spec: AssetSpec | GroupSpec, now_us: int, limits: DispatchLimits
) -> None:
    """Refuse what cannot be carried out, at its first fault.

    Raises:
        DispatchError: `no_blocks`, `too_many_blocks`, `blocks_overlap` (out of order too), or
            what `check_request` finds in a block; the pointer leads into `/blocks/<index>`.
    """
    if not schedule.blocks:
        raise DispatchError("no_blocks", "/blocks", "a schedule must have a block")
    if len(schedule.blocks) > BLOCKS_MAX:
        raise DispatchError(
            "too_many_blocks",
            "/blocks",
            f"expected at most {BLOCKS_MAX} blocks, got {len(schedule.blocks)}",
        )
    end_us = -math.inf
    for index, (block, request) in enumerate(
        zip(schedule.blocks, requests_of(schedule), strict=True)
    ):
        if block.start_us < end_us:
            raise DispatchError(
                "blocks_overlap",
                f"/blocks/{index}/start",
                "each block must start at the end of the one before, or later",
            )
        end_us = block.until_us
        try:
            check_request(request, spec, now_us, limits)
        except DispatchError as error:
            within = error.pointer in {"/setpoint_mw", "/start", "/until"}
            pointer = f"/blocks/{index}{error.pointer}" if within else error.pointer
            raise DispatchError(error.reason, pointer, error.detail) from None


def requests_of(schedule: Schedule) -> Iterator[DispatchRequest]:
    """One dispatch for each block, in order."""
    for index, block in enumerate(schedule.blocks):
        yield DispatchRequest(
            target=schedule.target,
            setpoint_mw=block.setpoint_mw,
            start_us=block.start_us,
            until_us=block.until_us,
            deliver_by_us=min(schedule.deliver_by_us, block.until_us),
            priority=schedule.priority,
            reason=schedule.reason,
            requested_by=schedule.requested_by,
            on_limit=schedule.on_limit,
            schedule_id=schedule.schedule_id,
            block=index,
        )
