"""The talk with the headend as a state machine. Pure: events in, commands out.

    opening ── Welcome ──▶ live ──▶ over
       └───────────────────────────▶ over

One `Session` is one call. Whatever the headend sends, however broken, ends at most the
session; the next one begins after the wait that `Over` states. Times are monotonic seconds.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from dercp.model.backoff import full_jitter
from dercp.wire import v1

__all__ = [
    "Acknowledge",
    "Beat",
    "Begin",
    "Command",
    "Event",
    "Execute",
    "Garbled",
    "Heard",
    "LinkLost",
    "Live",
    "Observe",
    "Opening",
    "Over",
    "Part",
    "Recall",
    "Refuse",
    "Session",
    "Step",
    "Tick",
    "advance",
    "next_deadline_s",
    "open_session",
]

WELCOME_WITHIN_S: Final = 10.0
MISSED_BEATS_MAX: Final = 3
BEAT_S_DEFAULT: Final = 10.0
BEAT_S_MIN: Final = 0.5
BEAT_S_MAX: Final = 300.0
# A session that lived this long was a good one: the next backoff begins anew.
GOOD_AFTER_S: Final = 30.0
# For what a person has to mend; asking more often helps nobody.
SLOW_S: Final = 60.0

_FOR_A_PERSON: Final = frozenset(
    {
        v1.RejectCode.BAD_REGISTRATION,
        v1.RejectCode.TOO_MANY_ASSETS,
        v1.RejectCode.NOT_YOURS,
        v1.RejectCode.NOT_AUTHORIZED,
        # Another agent runs under this id: taking the session back would go on for ever.
        v1.RejectCode.SUPERSEDED,
    }
)


# ----------------------------------------------------------------- states


class Opening(msgspec.Struct, frozen=True):
    """The Hello is out, the answer not yet in."""

    until_s: float


class Live(msgspec.Struct, frozen=True):
    """Welcomed."""

    session_id: str
    epoch: int
    since_s: float
    interval_s: float
    heard_s: float
    next_beat_s: float


class Over(msgspec.Struct, frozen=True):
    """Ended. The next call comes after `wait_s` and a random share of `spread_s`.

    `loud` says that it comes to nothing until a person has acted.
    """

    reason: str
    detail: str
    wait_s: float
    spread_s: float
    next_attempt: int
    loud: bool = False


Phase: TypeAlias = Opening | Live | Over


class Session(msgspec.Struct, frozen=True):
    """One call, from its Hello on; `attempt` counts the calls before it that came to nothing."""

    phase: Phase
    attempt: int


# ----------------------------------------------------------------- events


class Heard(msgspec.Struct, frozen=True):
    """A whole message came in."""

    message: v1.Downlink


class Garbled(msgspec.Struct, frozen=True):
    """Bytes came in that are no message."""

    detail: str


class LinkLost(msgspec.Struct, frozen=True):
    """The call ended, or never came about."""

    detail: str


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; `next_deadline_s` says when this matters."""


Event: TypeAlias = Heard | Garbled | LinkLost | Tick


# --------------------------------------------------------------- commands


class Begin(msgspec.Struct, frozen=True):
    """Telemetry and updates may flow."""

    welcome: v1.Welcome


class Beat(msgspec.Struct, frozen=True):
    """Send a heartbeat."""


class Part(msgspec.Struct, frozen=True):
    """End the call in order: what was sent before is still read at the other end."""


class Observe(msgspec.Struct, frozen=True):
    """The headend's clock, as it was when the message left."""

    time_us: int


class Execute(msgspec.Struct, frozen=True):
    """Hand a dispatch to its asset."""

    dispatch: v1.Dispatch


class Recall(msgspec.Struct, frozen=True):
    """End a dispatch."""

    cancel: v1.CancelDispatch


class Acknowledge(msgspec.Struct, frozen=True):
    """The headend holds batches."""

    ack: v1.TelemetryAck


class Refuse(msgspec.Struct, frozen=True):
    """The headend refused one thing and goes on: count it and say so."""

    reject: v1.Reject


Command: TypeAlias = Begin | Beat | Part | Observe | Execute | Recall | Acknowledge | Refuse


class Step(msgspec.Struct, frozen=True):
    """The session afterwards, and what must be done, in this order."""

    session: Session
    commands: tuple[Command, ...] = ()


# ------------------------------------------------------------------ moves


def open_session(attempt: int, now_s: float) -> Session:
    """A session whose Hello is about to leave."""
    return Session(Opening(now_s + WELCOME_WITHIN_S), attempt)


def advance(session: Session, event: Event, now_s: float) -> Step:
    """What an event makes of a session. Nothing happens to one that is over."""
    phase = session.phase
    if isinstance(phase, Over):
        return Step(session)
    match event:
        case Heard(message):
            if isinstance(phase, Opening):
                return _answered(session, message, now_s)
            return _heard(session, replace(phase, heard_s=now_s), message, now_s)
        case Garbled(detail):
            return _over(session, "garbled", detail, now_s)
        case LinkLost(detail):
            return _over(session, "link_lost", detail, now_s)
        case Tick():
            return _tick(session, phase, now_s)
        case _:
            assert_never(event)


def next_deadline_s(session: Session) -> float:
    """When a `Tick` next matters."""
    match session.phase:
        case Opening(until_s):
            return until_s
        case Live() as live:
            return min(live.next_beat_s, live.heard_s + MISSED_BEATS_MAX * live.interval_s)
        case Over():
            return float("inf")
        case _:
            assert_never(session.phase)


def _answered(session: Session, message: v1.Downlink, now_s: float) -> Step:
    """The first message: Welcome or Reject, and nothing else."""
    if message.reject is not None:
        return _rejected(session, message.reject, now_s)
    if message.drain is not None:
        return _drained(session, message.drain, now_s)
    welcome = message.welcome
    if welcome is None:
        return _over(session, "garbled", "the first message was no Welcome", now_s)
    interval_s = welcome.heartbeat_interval_ms / 1000 or BEAT_S_DEFAULT
    interval_s = min(max(interval_s, BEAT_S_MIN), BEAT_S_MAX)
    live = Live(
        session_id=welcome.session_id,
        epoch=welcome.epoch,
        since_s=now_s,
        interval_s=interval_s,
        heard_s=now_s,
        # At once: the headend learns the offset of this clock from it.
        next_beat_s=now_s,
    )
    step = _tick(replace(session, phase=live), live, now_s)
    return Step(step.session, (Begin(welcome), *step.commands))


def _heard(session: Session, live: Live, message: v1.Downlink, now_s: float) -> Step:
    session = replace(session, phase=live)
    if message.drain is not None:
        return _drained(session, message.drain, now_s)
    if message.reject is not None and message.reject.final:
        return _rejected(session, message.reject, now_s)
    if message.welcome is not None:
        return _over(session, "garbled", "a second Welcome came", now_s)
    return Step(session, tuple(_work(message)))


def _work(message: v1.Downlink) -> Iterator[Command]:
    """What a message of a session that goes on asks to be done; one kind is set in it."""
    if message.dispatch is not None:
        yield Execute(message.dispatch)
    if message.cancel_dispatch is not None:
        yield Recall(message.cancel_dispatch)
    if message.telemetry_ack is not None:
        yield Acknowledge(message.telemetry_ack)
    if message.heartbeat is not None:
        yield Observe(message.heartbeat.time_us)
    if message.reject is not None:
        yield Refuse(message.reject)


def _tick(session: Session, phase: Opening | Live, now_s: float) -> Step:
    match phase:
        case Opening(until_s):
            if now_s < until_s:
                return Step(session)
            detail = f"no Welcome within {WELCOME_WITHIN_S:g} s"
            return _over(session, "no_welcome", detail, now_s)
        case Live():
            silent_s = now_s - phase.heard_s
            if silent_s >= MISSED_BEATS_MAX * phase.interval_s:
                detail = f"not a word from the headend for {silent_s:.1f} s"
                return _over(session, "heartbeat_missed", detail, now_s)
            if now_s < phase.next_beat_s:
                return Step(session)
            beaten = replace(phase, next_beat_s=now_s + phase.interval_s)
            return Step(replace(session, phase=beaten), (Beat(),))
        case _:
            assert_never(phase)


def _drained(session: Session, drain: v1.Drain, now_s: float) -> Step:
    """Come back within the time given, but no faster than the backoff would."""
    over = _ended(session, "drained", drain.reason, now_s)
    over = replace(over, spread_s=max(over.spread_s, drain.reconnect_within_ms / 1000))
    return Step(replace(session, phase=over), (Part(),))


def _rejected(session: Session, reject: v1.Reject, now_s: float) -> Step:
    loud = reject.code in _FOR_A_PERSON
    reason = f"rejected_{reject.code.name or reject.code.value}".lower()
    over = _ended(session, reason, reject.detail, now_s)
    wait_s = max(reject.retry_after_ms / 1000, SLOW_S if loud else 0.0)
    # The random share comes on top: many may have been told the same.
    return _end(session, replace(over, wait_s=wait_s, loud=loud))


def _over(session: Session, reason: str, detail: str, now_s: float) -> Step:
    return _end(session, _ended(session, reason, detail, now_s))


def _end(session: Session, over: Over) -> Step:
    return Step(replace(session, phase=over))


def _ended(session: Session, reason: str, detail: str, now_s: float) -> Over:
    """With a wait that doubles from one session to the next, until one of them lived well."""
    phase = session.phase
    lived_well = isinstance(phase, Live) and now_s - phase.since_s >= GOOD_AFTER_S
    attempt = 0 if lived_well else session.attempt
    spread_s = full_jitter(attempt, draw=1.0)
    return Over(reason, detail, wait_s=0.0, spread_s=spread_s, next_attempt=attempt + 1)
