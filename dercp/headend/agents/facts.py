"""What is known and counted of one session, read by everybody.

Written by the session itself, by the fleet that admits it and by the gate that sees it off.
"""

from collections import Counter

from dercp.headend.agents.spool_report import SpoolReport
from dercp.headend.views import SessionView
from dercp.wire.v1 import RejectCode


def session_id(agent_id: str, epoch: int) -> str:
    """The name of an agent's session; an epoch is never used twice."""
    return f"{agent_id}:{epoch}"


class SessionFacts:
    """The running record of one session, from accepted call to its end."""

    def __init__(self, peer: str, connected_us: int) -> None:
        # As the Hello claims it; admitted when there is an epoch.
        self.agent_id = ""
        self.session_id = ""
        self.epoch = 0
        self.peer = peer
        # The assets it was admitted for, in the order of its registration.
        self.asset_ids: tuple[str, ...] = ()
        self.connected_us = connected_us
        self.disconnected_us: int | None = None
        # A stable word; the first one stands.
        self.reason: str | None = None
        self.detail = ""
        self.frames = 0
        self.samples = 0
        # Older than the current sample of their asset: history only.
        self.late_samples = 0
        # Values infinite or outside the physical range of their point, in those frames that were
        # looked at for it (dercp.headend.agents.intake).
        self.oddities = 0
        # Samples the agent declared as never to come.
        self.gap_samples = 0
        self.events = 0
        self.rejects_by_code: Counter[RejectCode] = Counter()
        self.clock_offset_us = 0
        self.spool: SpoolReport | None = None

    @property
    def rejects(self) -> int:
        """Typed rejects sent so far."""
        return self.rejects_by_code.total()

    def admit(self, epoch: int, asset_ids: tuple[str, ...]) -> None:
        """The agent may speak for these assets."""
        self.session_id, self.epoch = session_id(self.agent_id, epoch), epoch
        self.asset_ids = asset_ids

    def count_reject(self, code: RejectCode) -> None:
        """One more typed reject."""
        self.rejects_by_code[code] += 1

    def end(self, reason: str) -> None:
        """Why it is over, unless that has been said already."""
        if self.reason is None:
            self.reason = reason

    def totals(self) -> dict[str, int]:
        """Its counts by the names of the headend's totals."""
        return {
            "sessions": 1,
            "frames": self.frames,
            "samples": self.samples,
            "late_samples": self.late_samples,
            "values_out_of_range": self.oddities,
            "gap_samples": self.gap_samples,
            "edge_events": self.events,
        } | {
            f"rejects_{(code.name or str(int(code))).lower()}": count
            for code, count in self.rejects_by_code.items()
        }

    def view(self) -> SessionView:
        """A frozen picture of now."""
        return SessionView(
            session_id=self.session_id,
            epoch=self.epoch,
            peer=self.peer,
            connected_us=self.connected_us,
            disconnected_us=self.disconnected_us,
            reason=self.reason,
            frames=self.frames,
            samples=self.samples,
            rejects=self.rejects,
        )
