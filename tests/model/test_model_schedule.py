"""Schedules: plans that can be handed over ahead."""

import pytest
from msgspec.structs import replace

from dercp.model.dispatch import DispatchError, DispatchLimits, GroupSpec, SiteTarget
from dercp.model.guardrail import OnLimit
from dercp.model.schedule import BLOCKS_MAX, Block, Schedule, check_schedule, requests_of

S = 1_000_000
NOW = 1_700_000_000 * S
SITE = GroupSpec("north", -5.0, 5.0)


def block(start_s: float, until_s: float, setpoint_mw: float = 1.0) -> Block:
    """Seconds from now."""
    return Block(NOW + round(start_s * S), NOW + round(until_s * S), setpoint_mw)


PLAN = Schedule(
    schedule_id="s-1",
    target=SiteTarget("north"),
    blocks=(block(0, 300), block(300, 600, -2.0), block(604, 900)),
    deliver_by_us=NOW + 400 * S,
    priority=3,
    reason="day ahead",
    requested_by="desk",
    on_limit=OnLimit.REJECT,
)


def test_each_block_becomes_a_lease() -> None:
    """With all that the schedule says; delivered before its own end in any case."""
    check_schedule(PLAN, SITE, NOW, DispatchLimits())
    first, second, third = requests_of(PLAN)
    assert (first.setpoint_mw, second.setpoint_mw, third.setpoint_mw) == (1, -2, 1)
    assert [each.block for each in (first, second, third)] == [0, 1, 2]
    assert (first.deliver_by_us, second.deliver_by_us) == (NOW + 300 * S, NOW + 400 * S)
    assert (third.start_us, third.until_us) == (NOW + 604 * S, NOW + 900 * S)
    assert (third.schedule_id, third.priority, third.on_limit) == ("s-1", 3, OnLimit.REJECT)
    assert (third.target, third.reason, third.requested_by) == (PLAN.target, "day ahead", "desk")


def test_a_day_ahead_of_five_minutes_fits() -> None:
    """From tomorrow's midnight, in the evening."""
    hours = 3600
    blocks = tuple(block(6 * hours + 300 * n, 6 * hours + 300 * (n + 1)) for n in range(BLOCKS_MAX))
    check_schedule(replace(PLAN, blocks=blocks), SITE, NOW, DispatchLimits())


@pytest.mark.parametrize(
    ("blocks", "reason", "pointer"),
    [
        ((), "no_blocks", "/blocks"),
        ((block(0, 1),) * (BLOCKS_MAX + 1), "too_many_blocks", "/blocks"),
        ((block(0, 300), block(299, 600)), "blocks_overlap", "/blocks/1/start"),
        ((block(300, 600), block(0, 300)), "blocks_overlap", "/blocks/1/start"),
        ((block(0, 300), block(300, 300)), "start_after_until", "/blocks/1/start"),
        ((block(0, 300), block(300, 600, 6.0)), "outside_nameplate", "/blocks/1/setpoint_mw"),
        ((block(-600, -300),), "until_passed", "/blocks/0/until"),
        ((block(0, 49 * 3600),), "until_too_far", "/blocks/0/until"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(
    blocks: tuple[Block, ...], reason: str, pointer: str
) -> None:
    """At its first fault, with the place."""
    with pytest.raises(DispatchError) as caught:
        check_schedule(replace(PLAN, blocks=blocks), SITE, NOW, DispatchLimits())
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)


def test_a_fault_of_the_schedule_is_not_blamed_on_a_block() -> None:
    """All blocks share it."""
    with pytest.raises(DispatchError) as caught:
        check_schedule(replace(PLAN, priority=2000), SITE, NOW, DispatchLimits())
    assert caught.value.pointer == "/priority"
