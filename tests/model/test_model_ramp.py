"""The way to a setpoint: which step, and how soon."""

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.ramp import RAMP_STEP_S, Later, Settled, WriteNow, Written, next_write

PLAIN = Guardrails(Bounds(-10, 10), Bounds(-10, 10))


def walk(target_mw: float, rails: Guardrails, start: Written) -> list[Written]:
    """All writes of one who always asks again as soon as told."""
    writes: list[Written] = []
    now_s, last = start.at_s, start
    while len(writes) < 10_000:
        match next_write(target_mw, rails, last, now_s):
            case WriteNow(setpoint_mw):
                last = Written(setpoint_mw, now_s)
                writes.append(last)
            case Later(at_s):
                assert at_s > now_s
                now_s = at_s
            case Settled():
                break
    return writes


def test_without_a_ramp_the_setpoint_is_written_at_once_and_once() -> None:
    """Nothing to wait for."""
    assert next_write(3, PLAIN, Written(0, 100), 100) == WriteNow(3, arrives=True)
    assert next_write(3, PLAIN, Written(3, 100), 200) == Settled()


def test_a_ramp_is_climbed_in_equal_steps() -> None:
    """2.5 MW at 60 MW a minute: three steps, not two and a small one."""
    rails = replace(PLAIN, ramp_mw_per_min=60.0)
    writes = walk(2.5, rails, Written(0, 0))
    assert [round(each.setpoint_mw, 6) for each in writes] == [0.833333, 1.666667, 2.5]
    assert [round(each.at_s, 6) for each in writes] == [0.833333, 1.666667, 2.5]


def test_after_a_long_rest_a_ramp_still_begins_with_one_step() -> None:
    """An hour without a write is no credit for a jump."""
    rails = replace(PLAIN, ramp_mw_per_min=60.0)
    step = next_write(10, rails, Written(0, 0), 3600)
    assert step == WriteNow(1.0, arrives=False)


def test_a_slow_bus_is_written_to_rarely() -> None:
    """The interval holds with a ramp and without."""
    rails = replace(PLAIN, write_interval_s=15.0)
    assert next_write(1, rails, Written(0, 100), 110) == Later(115)
    assert next_write(1, rails, Written(0, 100), 115) == WriteNow(1, arrives=True)
    ramped = replace(rails, ramp_mw_per_min=4.0)
    assert [each.at_s for each in walk(3, ramped, Written(0, 0))] == [15, 30, 45]


def test_a_small_change_is_not_worth_a_write() -> None:
    """Less than it, not just as much."""
    rails = replace(PLAIN, least_change_mw=0.1)
    assert next_write(1.05, rails, Written(1, 0), 60) == Settled()
    assert next_write(1.5, rails, Written(1, 0), 60) == WriteNow(1.5, arrives=True)


def test_a_new_setpoint_halfway_is_simply_another_question() -> None:
    """From what stands in the device, with no jump."""
    rails = replace(PLAIN, ramp_mw_per_min=60.0)
    assert next_write(-5, rails, Written(4, 10), 11) == WriteNow(3.0, arrives=False)


@given(
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.floats(1, 1000),
    st.sampled_from([0.0, 0.5, 1.0, 7.5]),
)
def test_a_ramp_arrives_and_is_never_steeper_than_allowed(
    start_mw: float, target_mw: float, ramp: float, interval_s: float
) -> None:
    """Over any stretch at most the ramp and a step more; never past the setpoint, never back."""
    assume(abs(target_mw - start_mw) > 1e-6)
    rails = replace(PLAIN, ramp_mw_per_min=ramp, write_interval_s=interval_s)
    writes = walk(target_mw, rails, Written(start_mw, 0.0))
    assert writes[-1].setpoint_mw == target_mw
    step_mw = ramp / 60 * max(interval_s, RAMP_STEP_S)
    before = Written(start_mw, 0.0)
    for each in writes:
        moved_mw = abs(each.setpoint_mw - before.setpoint_mw)
        assert moved_mw <= step_mw * (1 + 1e-9)
        assert moved_mw <= ramp / 60 * (each.at_s - before.at_s) * (1 + 1e-9) + 1e-9
        assert each.at_s - before.at_s >= interval_s * (1 - 1e-9)
        assert min(start_mw, target_mw) - 1e-9 <= each.setpoint_mw
        assert each.setpoint_mw <= max(start_mw, target_mw) + 1e-9
        before = each
