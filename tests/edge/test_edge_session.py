"""The talk with the headend as playbooks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.edge.uplink import session as talk
from dercp.edge.uplink.session import Garbled, Heard, LinkLost, Live, Over, Session, Step, Tick
from dercp.wire import v1

WELCOME = Heard(
    v1.Downlink(
        welcome=v1.Welcome(session_id="s", epoch=3, heartbeat_interval_ms=10_000, server_time_us=1)
    )
)


def heard(**kind: object) -> Heard:
    """One message from the headend."""
    return Heard(v1.Downlink(**kind))  # type: ignore[arg-type]  # any one kind


def rejected(code: v1.RejectCode, *, final: bool = True, retry_after_ms: int = 0) -> Heard:
    """A Reject."""
    return heard(
        reject=v1.Reject(code=code, detail="so", final=final, retry_after_ms=retry_after_ms)
    )


def live(attempt: int = 0, now_s: float = 0.0) -> Session:
    """A session just welcomed."""
    return talk.advance(talk.open_session(attempt, now_s), WELCOME, now_s).session


def over(step: Step) -> Over:
    """How it ended."""
    assert isinstance(step.session.phase, Over)
    return step.session.phase


def names(step: Step) -> list[str]:
    """The commands, by name."""
    return [type(command).__name__ for command in step.commands]


def test_a_welcome_begins_the_session_with_a_heartbeat() -> None:
    """The headend learns the clock's offset at once."""
    step = talk.advance(talk.open_session(0, 0.0), WELCOME, 1.0)
    assert names(step) == ["Begin", "Beat"]
    assert isinstance(step.session.phase, Live)
    assert talk.next_deadline_s(step.session) == 11.0


def test_no_welcome_in_time_ends_the_session() -> None:
    """A headend may hang."""
    session = talk.open_session(0, 0.0)
    assert talk.next_deadline_s(session) == 10.0
    assert talk.advance(session, Tick(), 9.9) == Step(session)
    assert over(talk.advance(session, Tick(), 10.0)).reason == "no_welcome"


def test_anything_before_the_welcome_is_garbage() -> None:
    """The order of the first words is fixed."""
    step = talk.advance(talk.open_session(0, 0.0), heard(heartbeat=v1.Heartbeat()), 1.0)
    assert over(step).reason == "garbled"


def test_heartbeats_go_out_at_the_interval_told() -> None:
    """And only then."""
    session = live()
    assert names(talk.advance(session, Tick(), 9.9)) == []
    step = talk.advance(session, Tick(), 10.0)
    assert names(step) == ["Beat"]
    assert talk.next_deadline_s(step.session) == 20.0


def test_three_intervals_of_silence_end_the_session() -> None:
    """A half-open link looks like this."""
    session = live()
    for beat_s in (10.0, 20.0):
        session = talk.advance(session, Tick(), beat_s).session
    assert over(talk.advance(session, Tick(), 30.0)).reason == "heartbeat_missed"


def test_any_word_of_the_headend_is_a_sign_of_life() -> None:
    """An acknowledgement as good as a heartbeat."""
    step = talk.advance(live(), heard(telemetry_ack=v1.TelemetryAck()), 25.0)
    assert names(step) == ["Acknowledge"]
    assert isinstance(talk.advance(step.session, Tick(), 54.0).session.phase, Live)
    assert over(talk.advance(step.session, Tick(), 55.0)).reason == "heartbeat_missed"


@pytest.mark.parametrize(("told_ms", "interval_s"), [(0, 10.0), (1, 0.5), (10**9, 300.0)])
def test_an_interval_out_of_reason_is_bounded(told_ms: int, interval_s: float) -> None:
    """A headend's mistake neither floods the line nor switches the watch off."""
    welcome = heard(welcome=v1.Welcome(heartbeat_interval_ms=told_ms))
    phase = talk.advance(talk.open_session(0, 0.0), welcome, 0.0).session.phase
    assert isinstance(phase, Live)
    assert phase.interval_s == interval_s


def test_dispatches_cancels_and_times_become_commands() -> None:
    """What a message asks for is said by its kind."""
    assert names(talk.advance(live(), heard(dispatch=v1.Dispatch()), 1.0)) == ["Execute"]
    assert names(talk.advance(live(), heard(cancel_dispatch=v1.CancelDispatch()), 1.0)) == [
        "Recall"
    ]
    assert names(talk.advance(live(), heard(heartbeat=v1.Heartbeat()), 1.0)) == ["Observe"]


def test_a_drain_spreads_the_return_over_the_time_given() -> None:
    """A fleet must not come back in one second."""
    step = talk.advance(live(), heard(drain=v1.Drain(reconnect_within_ms=30_000)), 100.0)
    assert (over(step).wait_s, over(step).spread_s) == (0.0, 30.0)
    assert names(step) == ["Part"]


def test_a_drain_without_time_is_no_invitation_to_hurry() -> None:
    """The backoff is the least."""
    step = talk.advance(live(attempt=3), heard(drain=v1.Drain()), 1.0)
    assert over(step).spread_s == 8.0


@pytest.mark.parametrize("code", ["NOT_YOURS", "BAD_REGISTRATION", "NOT_AUTHORIZED", "SUPERSEDED"])
def test_what_a_person_must_mend_is_loud_and_retried_slowly(code: str) -> None:
    """Asking more often helps nobody."""
    step = talk.advance(talk.open_session(0, 0.0), rejected(v1.RejectCode[code]), 1.0)
    assert over(step).loud
    assert over(step).wait_s == 60.0
    assert over(step).reason == f"rejected_{code.lower()}"


def test_a_retry_hint_is_honoured_with_a_share_on_top() -> None:
    """Many may have been told the same."""
    reject = rejected(v1.RejectCode.OVERLOADED, retry_after_ms=7_000)
    end = over(talk.advance(talk.open_session(1, 0.0), reject, 1.0))
    assert (end.wait_s, end.spread_s, end.loud) == (7.0, 2.0, False)


def test_a_rejected_batch_does_not_end_the_session() -> None:
    """It is counted and said."""
    step = talk.advance(live(), rejected(v1.RejectCode.BAD_PAYLOAD, final=False), 1.0)
    assert names(step) == ["Refuse"]
    assert isinstance(step.session.phase, Live)


def test_garbage_and_a_second_welcome_end_the_session_only() -> None:
    """The next one begins after a backoff."""
    assert over(talk.advance(live(), Garbled("what?"), 1.0)).spread_s == 1.0
    assert over(talk.advance(live(), WELCOME, 1.0)).reason == "garbled"


def test_the_backoff_doubles_until_a_session_lives_well() -> None:
    """A headend that welcomes and drops at once is no reason to begin anew."""
    spreads = []
    attempt = 0
    for _ in range(8):
        end = over(talk.advance(live(attempt), LinkLost(""), 1.0))
        spreads.append(end.spread_s)
        attempt = end.next_attempt
    assert spreads == [1, 2, 4, 8, 16, 32, 60, 60]
    assert over(talk.advance(live(attempt), LinkLost(""), 30.0)).spread_s == 1.0


def test_a_session_that_is_over_hears_nothing_more() -> None:
    """Late bytes change nothing."""
    ended = talk.advance(live(), LinkLost(""), 1.0).session
    assert talk.advance(ended, WELCOME, 2.0) == Step(ended)
    assert talk.next_deadline_s(ended) == math.inf


uint32 = st.integers(0, 2**32 - 1)
codes = st.sampled_from(list(v1.RejectCode)) | uint32.map(v1.RejectCode)
downlinks = st.one_of(
    st.builds(v1.Welcome, heartbeat_interval_ms=uint32).map(lambda m: v1.Downlink(welcome=m)),
    st.builds(v1.Drain, reconnect_within_ms=uint32).map(lambda m: v1.Downlink(drain=m)),
    st.builds(v1.Reject, code=codes, retry_after_ms=uint32, final=st.booleans()).map(
        lambda m: v1.Downlink(reject=m)
    ),
    st.just(v1.Downlink(heartbeat=v1.Heartbeat())),
    st.just(v1.Downlink(dispatch=v1.Dispatch())),
    st.just(v1.Downlink(cancel_dispatch=v1.CancelDispatch())),
    st.just(v1.Downlink(telemetry_ack=v1.TelemetryAck())),
    st.just(v1.Downlink()),
)
events = st.one_of(
    downlinks.map(Heard),
    st.just(Tick()),
    st.just(Garbled("")),
    st.just(LinkLost("")),
)


@given(
    script=st.lists(st.tuples(events, st.floats(0, 20)), max_size=40), attempt=st.integers(0, 99)
)
def test_whatever_is_heard_the_session_ends_in_bounds(
    script: list[tuple[talk.Event, float]], attempt: int
) -> None:
    """Deadlines never lie behind once seen to, waits are bounded, and nothing follows an end."""
    now_s = 0.0
    session = talk.open_session(attempt, now_s)
    for event, pause_s in script:
        now_s += pause_s
        was_over = isinstance(session.phase, Over)
        step = talk.advance(session, event, now_s)
        session = talk.advance(step.session, Tick(), now_s).session
        assert talk.next_deadline_s(session) > now_s
        if was_over:
            assert step.commands == ()
    if isinstance(session.phase, Over):
        assert 0 < session.phase.spread_s <= max(60.0, 2**32 / 1000)
        assert session.phase.next_attempt >= 1
    else:
        silent = talk.advance(session, Tick(), now_s + 1000).session
        assert isinstance(silent.phase, Over)
