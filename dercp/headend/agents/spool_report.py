"""What an agent said of its spool: how much waits there, and for how long."""

from typing import NamedTuple, Self

import trio

from dercp.headend.views import SpoolView
from dercp.wire import v1

__all__ = ["SpoolReport"]

TROUBLE_CHARS_MAX = 64


class SpoolReport(NamedTuple):
    """One agent's word, and when it came."""

    state: v1.SpoolState
    # By the agent's own clock, which has stamped both ends; None: nothing waits.
    oldest_age_s: float | None
    reported_us: int
    # trio.current_time() then: what waits goes on to age.
    reported_mono_s: float

    @classmethod
    def of(cls, heartbeat: v1.Heartbeat, now_us: int) -> Self | None:
        """The word in a heartbeat; None if it has none."""
        state = heartbeat.spool
        if state is None:
            return None
        age_s = None
        if state.oldest_us:
            age_s = max(0, (heartbeat.time_us or now_us) - state.oldest_us) / 1_000_000
        return cls(state, age_s, now_us, trio.current_time())

    def view(self) -> SpoolView:
        """A frozen picture, the age as of now."""
        state, age_s = self.state, self.oldest_age_s
        if age_s is not None:
            age_s += trio.current_time() - self.reported_mono_s
        return SpoolView(
            batches=state.batches,
            bytes=state.bytes,
            bytes_max=state.bytes_max,
            oldest_us=state.oldest_us or None,
            oldest_age_s=age_s,
            dropped_samples=state.dropped_samples,
            trouble=state.trouble[:TROUBLE_CHARS_MAX],
            reported_us=self.reported_us,
        )
