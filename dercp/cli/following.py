"""`dercp dispatch`: hand one in, and follow what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, assert_never
from urllib.parse import quote

import msgspec

from dercp.cli.client import ApiClient, Unanswered, Unavailable, read
from dercp.cli.clock import Pause
from dercp.cli.exits import CommandError, Exit
from dercp.cli.ordering import Order
from dercp.cli.shapes import Dispatch, Placement, TimelineEntry
from dercp.cli.tables import clock_time

APPLIED_WITHIN_S = 10.0
# The last word about a lease comes so long after its end at the latest.
LAST_WORD_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
# Once it is in force there is no hurry.
LOOK_IN_FORCE_EVERY_S = 1.0
# What rounding leaves of a setpoint is no shortfall.
SHORTFALL_MW = 0.001

ON_ITS_WAY = frozenset({"submitted", "sent", "acked"})
IN_FORCE = frozenset({"applied", "following", "deviating"})
MISSED: Final[Mapping[str, Exit]] = {
    "rejected": Exit.REJECTED,
    "expired": Exit.EXPIRED,
    "cancelled": Exit.CANCELLED,
    "superseded": Exit.SUPERSEDED,
    "failed": Exit.DEVICE_FAILED,
    "unknown": Exit.UNKNOWN,
    "deviating": Exit.DEVIATING,
}


class Goal(Enum):
    """How far a dispatch is followed."""

    TAKEN = auto()
    """It is on the headend's disk."""
    APPLIED = auto()
    """It is in force, or never will be."""
    ENDED = auto()
    """The lease has ended."""


class Follower:
    """Follows one dispatch and tells each new state of it, never one that was not heard of.

    Attributes:
        answer: The dispatch as the API last gave it; None before it was taken.
    """

    def __init__(self, client: ApiClient, pause: Pause, say: Callable[[str], None]) -> None:
        self._client = client
        self._pause = pause
        self._say = say
        self._told = 0
        self._shared: Placement | None = None
        # Why the headend cannot be asked at the moment; empty when it can.
        self._silent = ""
        self.answer: msgspec.Raw | None = None

    def submit(self, order: Order, key: str) -> Dispatch:
        """Hand it in.

        Raises:
            CommandError: It was refused, or nobody knows.
        """
        try:
            answer = self._client.post("/dispatch", order, {"Idempotency-Key": key})
        except Unanswered as error:
            raise CommandError(
                f"{error}; whether the dispatch was taken is not known",
                f"repeat the command with --key {key}: it never dispatches twice",
                code=Exit.UNAVAILABLE,
            ) from None
        taken = self._take(answer)
        self._say(
            f"dispatch {taken.id}: {taken.target.name} to {taken.setpoint_mw:+.3f} MW "
            f"until {clock_time(taken.until, with_date=True)}"
        )
        return taken

    def follow(self, dispatch: Dispatch, goal: Goal, within_s: float | None = None) -> None:
        """Return when it is there, and is what was asked.

        Raises:
            CommandError: It is not, with the exit code of what it is instead.
        """
        if within_s is None:
            within_s = self._usual_s(dispatch, goal)
        dispatch = self._watch(dispatch, goal, within_s)
        if goal is not Goal.TAKEN and dispatch.state in ON_ITS_WAY:
            raise CommandError(
                f"dispatch {dispatch.id} is {dispatch.state}, not applied within {within_s:g} s; "
                "it goes on without this command" + self._silent
            )
        _judge(dispatch, self._say)

    def cancel(self, dispatch_id: str, reason: str | None, within_s: float | None = None) -> None:
        """Say that it shall end early; return when it has.

        Raises:
            CommandError: It has ended otherwise, or its site has not said so in time.
        """
        within_s = APPLIED_WITHIN_S if within_s is None else within_s
        path = f"/dispatches/{quote(dispatch_id, safe='')}/cancel"
        answer = self._client.post(path, {} if reason is None else {"reason": reason}, {})
        dispatch = self._watch(self._take(answer), Goal.ENDED, within_s)
        if dispatch.state in ON_ITS_WAY | IN_FORCE:
            raise CommandError(
                f"dispatch {dispatch.id} is {dispatch.state}; the wish to end it is on the "
                f"headend's disk, and its site has not confirmed it within {within_s:g} s"
                + self._silent
            )
        if dispatch.state != "cancelled":
            raise _missed(dispatch)

    def _usual_s(self, dispatch: Dispatch, goal: Goal) -> float:
        if goal is not Goal.ENDED:
            return APPLIED_WITHIN_S
        return max(0.0, dispatch.until.timestamp() - self._pause.utc_s()) + LAST_WORD_WITHIN_S

    def _watch(self, dispatch: Dispatch, goal: Goal, within_s: float) -> Dispatch:
        """Tell what happens until it is there, or time is up; how it stands then."""
        ends_s = self._pause.now_s() + within_s
        while True:
            self._tell(dispatch)
            if _is_there(dispatch, goal) or self._pause.now_s() >= ends_s:
                return dispatch
            in_force = dispatch.state in IN_FORCE
            self._pause.sleep(LOOK_IN_FORCE_EVERY_S if in_force else LOOK_EVERY_S)
            try:
                dispatch = self._take(self._client.get(f"/dispatches/{dispatch.id}", msgspec.Raw))
                self._silent = ""
            except Unavailable as error:
                self._silent = f" ({error})"

    def _tell(self, dispatch: Dispatch) -> None:
        for entry in dispatch.timeline[self._told :]:
            self._say(_line(entry))
        self._told = len(dispatch.timeline)
        if dispatch.placement != self._shared and dispatch.placement is not None:
            for line in shares_lines(dispatch.placement):
                self._say(line)
        self._shared = dispatch.placement

    def _take(self, answer: msgspec.Raw) -> Dispatch:
        self.answer = answer
        return read(answer, Dispatch)


def _is_there(dispatch: Dispatch, goal: Goal) -> bool:
    match goal:
        case Goal.TAKEN:
            return True
        case Goal.APPLIED:
            return dispatch.state not in ON_ITS_WAY
        case Goal.ENDED:
            return dispatch.state not in ON_ITS_WAY | IN_FORCE
        case _:
            assert_never(goal)


def shares_lines(placement: Placement) -> list[str]:
    """What the shares come to, and those that are not as planned."""
    sums = (
        ("placed", placement.placed_mw),
        ("pending", placement.pending_mw),
        ("failed", placement.failed_mw),
        ("unplaced", placement.unplaced_mw),
    )
    lines = [", ".join(f"{word} {power_mw:+z.3f} MW" for word, power_mw in sums)]
    for share in placement.shares:
        if share.state in {"failed", "excluded"}:
            why = " ".join(filter(None, (share.reason, share.detail))) or "no reason given"
            lines.append(f"  {share.id}: {share.state}, {why}")
    return lines


def _judge(dispatch: Dispatch, say: Callable[[str], None]) -> None:
    if dispatch.state in MISSED:
        raise _missed(dispatch)
    if dispatch.readback_mw is not None:
        say(f"the asset reads back {dispatch.readback_mw:+.3f} MW")
    if dispatch.outcome is not None and dispatch.outcome.energy_delivered_mwh is not None:
        outcome = dispatch.outcome
        say(
            f"delivered {outcome.energy_delivered_mwh:+.3f} of {outcome.energy_asked_mwh:+.3f} "
            f"MWh asked, {outcome.known_pct:.0f} % of the time known"
        )
    placement = dispatch.placement
    if placement is not None and dispatch.state not in ON_ITS_WAY:
        short_mw = placement.failed_mw + placement.unplaced_mw
        if abs(short_mw) > SHORTFALL_MW:
            raise CommandError(
                f"dispatch {dispatch.id} is {dispatch.state}, but {short_mw:+.3f} MW of it are not "
                "in force",
                code=Exit.PARTIAL,
            )


def _missed(dispatch: Dispatch) -> CommandError:
    last = dispatch.timeline[-1]
    why = last.detail or last.reason or "no reason given"
    return CommandError(
        f"dispatch {dispatch.id} is {dispatch.state}: {why}",
        code=MISSED.get(dispatch.state, Exit.FAILED),
    )


def _line(entry: TimelineEntry) -> str:
    note = entry.detail or entry.reason
    line = f"{clock_time(entry.time)}  {entry.state:<10} {entry.source:<8}"
    return f"{line} {note}" if note else line.rstrip()
