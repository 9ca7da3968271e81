"""Finds peers that have vanished without a word."""

from collections.abc import Collection
from math import inf

import trio

from ._events import LinkEventKind
from ._limits import LinkLimits
from ._line import Line

_LOOKS_PER_WAIT = 10


class Keeper:
    """Pings silent peers and cuts those which stay silent; one for all lines of an end.

    Characteristics:
        Bound: a vanished peer is cut within `keepalive_s + keepalive_timeout_s`.
        Cost: one look at every line when the first of them is due, at most ten times in
            the shorter of both.
    """

    def __init__(self, lines: Collection[Line], limits: LinkLimits) -> None:
        self._lines = lines
        self._limits = limits
        self._every_s = min(limits.keepalive_s, limits.keepalive_timeout_s) / _LOOKS_PER_WAIT

    async def run(self) -> None:
        """Look after the lines for ever."""
        while True:
            now = trio.current_time()
            # A line that comes later is due later than this.
            due = now + self._limits.keepalive_s - self._every_s
            for line in list(self._lines):
                due = min(due, self._look_after(line, now))
            await trio.sleep_until(max(due, now + self._every_s))

    def _look_after(self, line: Line, now: float) -> float:
        """Ping or cut a line whose time has come; returns when it is due again.

        A look may come late by the time between two looks, so each is due early by that.
        """
        if line.transport.is_closing():
            return inf  # ends within close_within_s
        if line.pinged_at is not None:
            due = line.pinged_at + self._limits.keepalive_timeout_s - self._every_s
            if due > now:
                return due
            silent_s = now - line.heard_at
            line.cut(LinkEventKind.PEER_VANISHED, f"it has been silent for {silent_s:.0f} s")
            return inf
        due = line.heard_at + self._limits.keepalive_s - self._every_s
        if due > now:
            return due
        line.pinged_at = now
        line.protocol.connection.ping()
        return now + self._limits.keepalive_timeout_s - self._every_s
