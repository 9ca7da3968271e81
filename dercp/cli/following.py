"""`dercp dispatch`: hand one in, and follow it until it is applied or never will be."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dercp.cli.client import ApiClient, Unanswered, Unavailable, read
from dercp.cli.clock import Pause
from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Duration
from dercp.cli.shapes import Dispatch, TimelineEntry
from dercp.cli.tables import clock_time

LOOK_EVERY_S = 0.1
IN_FORCE = frozenset({"applied", "following", "deviating", "completed"})
ON_ITS_WAY = frozenset({"submitted", "sent", "acked"})


class Order(msgspec.Struct, frozen=True):
    """The body of POST /dispatch."""

    asset_id: str
    setpoint_mw: float
    duration_s: float
    reason: str | None = None


class Follower:
    """Follows one dispatch and tells each new state of it.

    Attributes:
        answer: The dispatch as the API last gave it; None before it was taken.
    """

    def __init__(self, client: ApiClient, pause: Pause, say: Callable[[str], None]) -> None:
        self._client = client
        self._pause = pause
        self._say = say
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
            f"dispatch {taken.id}: {order.asset_id} to {taken.setpoint_mw:+.3f} MW "
            f"until {clock_time(taken.until, with_date=True)}"
        )
        return taken

    def follow(self, dispatch: Dispatch, within: Duration) -> None:
        """Return when it is applied.

        Raises:
            CommandError: It ended otherwise, or was not applied in time.
        """
        told, ends_s, silent = 0, self._pause.now_s() + within.seconds, ""
        while True:
            for entry in dispatch.timeline[told:]:
                self._say(_line(entry))
            told = len(dispatch.timeline)
            if dispatch.state not in ON_ITS_WAY:
                break
            if self._pause.now_s() >= ends_s:
                raise CommandError(
                    f"dispatch {dispatch.id} is {dispatch.state}, not applied within {within}; "
                    "it goes on without this command" + silent
                )
            self._pause.sleep(LOOK_EVERY_S)
            try:
                dispatch = self._take(self._client.get(f"/dispatches/{dispatch.id}", msgspec.Raw))
                silent = ""
            except Unavailable as error:
                silent = f" ({error})"
        _judge(dispatch, self._say)

    def _take(self, answer: msgspec.Raw) -> Dispatch:
        self.answer = answer
        return read(answer, Dispatch)


def _judge(dispatch: Dispatch, say: Callable[[str], None]) -> None:
    if dispatch.state not in IN_FORCE:
        last = dispatch.timeline[-1]
        why = last.detail or last.reason or "no reason given"
        raise CommandError(f"dispatch {dispatch.id} is {dispatch.state}: {why}")
    if dispatch.readback_mw is not None:
        say(f"the asset reads back {dispatch.readback_mw:+.3f} MW")


def _line(entry: TimelineEntry) -> str:
    note = entry.detail or entry.reason
    line = f"{clock_time(entry.time)}  {entry.state:<10} {entry.source:<8}"
    return f"{line} {note}" if note else line.rstrip()
