"""Finds peers that have vanished without a word."""

from collections.abc import Iterable

import trio

from ._events import LinkEventKind
from ._limits import LinkLimits
from ._line import Line

_LOOKS_PER_WAIT = 10


class Keeper:
    """Pings silent peers and cuts those which stay silent; one for all lines of an end.

    Characteristics:
        Bound: a vanished peer is cut within `keepalive_s + keepalive_timeout_s`.
        Cost: one look at every line each tenth of the shorter of both.
    """

    def __init__(self, lines: Iterable[Line], limits: LinkLimits) -> None:
        self._lines = lines
        self._limits = limits
        self._every_s = min(limits.keepalive_s, limits.keepalive_timeout_s) / _LOOKS_PER_WAIT

    async def run(self) -> None:
        """Look after the lines for ever."""
        while True:
            await trio.sleep(self._every_s)
            now = trio.current_time()
            for line in list(self._lines):
                self._look_after(line, now)

    def _look_after(self, line: Line, now: float) -> None:
        """Ping early rather than late, so that the sum of both waits holds."""
        if line.transport.is_closing():
            return
        if line.pinged_at is None:
            if now - line.heard_at > self._limits.keepalive_s - self._every_s:
                line.pinged_at = now
                line.protocol.connection.ping()
        elif now - line.pinged_at > self._limits.keepalive_timeout_s - self._every_s:
            silent_s = now - line.heard_at
            line.cut(LinkEventKind.PEER_VANISHED, f"it has been silent for {silent_s:.0f} s")
