"""What happens to actors, as frozen facts on one stream.

Logs, metrics and tests all read the same stream; nothing else in the runtime reports.
Times are of Trio's clock, in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from actors._mailbox_spec import OnFull


class Ending(StrEnum):
    """How an actor or supervisor came to its end."""

    FINISHED = "finished"
    """Its work was done: `run` returned by itself."""
    STOPPED = "stopped"
    """It was asked to stop and ended within its grace."""
    CUT = "cut"
    """It was asked to stop, its grace ran out, and it was cancelled."""
    KILLED = "killed"
    """It was cancelled at once, by name or with what it lived in."""
    CRASHED = "crashed"
    """It failed and is not to be restarted."""


class Undelivered(StrEnum):
    """Why a message was never (fully) handled."""

    CRASHED = "crashed"
    """In hand when its actor crashed."""
    CANCELLED = "cancelled"
    """In hand when its actor was cancelled."""
    STOPPED = "stopped"
    """Left behind by, or sent to, an actor that is gone."""
    EXPIRED = "expired"
    """An ask whose asker no longer waits; skipped."""
    REFUSED = "refused"
    """A tell that its actor refused, with nobody to say it to."""


@dataclass(frozen=True, slots=True)
class Started:
    """The first incarnation is up."""

    path: str
    at: float


@dataclass(frozen=True, slots=True)
class Crashed:
    """An incarnation failed."""

    path: str
    at: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Restarted:
    """A fresh incarnation is up, with the mail of the last one."""

    path: str
    at: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end: the path is free, the rest of the mail undelivered."""

    path: str
    at: float
    ending: Ending
    reason: str | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Escalated:
    """A supervisor gave up and hands its failure to its own supervisor."""

    path: str
    at: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Overflowed:
    """A mailbox was full `count` times since the last such event and did as `on_full` says."""

    path: str
    at: float
    on_full: OnFull
    count: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`count` messages were not handled since the last such event; `message` is the last."""

    path: str
    at: float
    why: Undelivered
    count: int
    message: object


Event: TypeAlias = Started | Crashed | Restarted | Stopped | Escalated | Overflowed | DeadLetter


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """What a stream has carried."""

    emitted: int
    listeners: int
    listener_errors: int


class EventStream:
    """Hands every event to every listener, at once and in order.

    Characteristics:
        Delivery: synchronous, in the task where it happened; a listener must be quick.
        Buffer: none. A slow reader puts what it needs into a mailbox of its own.
        A listener that raises: is counted, and disturbs neither actors nor other listeners.
    """

    __slots__ = ("_emitted", "_errors", "_listeners")

    def __init__(self) -> None:
        self._listeners: dict[object, Callable[[Event], object]] = {}
        self._emitted = 0
        self._errors = 0

    def listen(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call `callback` with each event from now on; call what is returned to end it."""
        key = object()
        self._listeners[key] = callback

        def stop_listening() -> None:
            self._listeners.pop(key, None)

        return stop_listening

    def emit(self, event: Event) -> None:
        """Tell all listeners."""
        self._emitted += 1
        for listener in tuple(self._listeners.values()):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener's fault must stay the listener's
                self._errors += 1

    def statistics(self) -> EventStatistics:
        """The counts so far."""
        return EventStatistics(self._emitted, len(self._listeners), self._errors)
