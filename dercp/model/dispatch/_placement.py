"""How a setpoint that was shared stands with each of those who share it."""

import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from dercp.model.split import TOLERANCE_MW, Split

__all__ = ["Placement", "Share", "ShareState", "placement", "planned"]


class ShareState(StrEnum):
    """Where one share stands."""

    PLANNED = "planned"
    """Not confirmed yet."""
    APPLIED = "applied"
    """Confirmed."""
    FAILED = "failed"
    """Given, and not taken, or not kept."""
    EXCLUDED = "excluded"
    """It was given nothing."""
    ENDED = "ended"
    """Its lease is over."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One asset's (or site's) part.

    `setpoint_mw` is what it was given, or, once that is known, what its own limits left of
    it. `limit` is what kept it from another share, `reason` why it has none, or failed.
    """

    id: str
    setpoint_mw: float = 0.0
    state: ShareState = ShareState.PLANNED
    limit: str = ""
    reason: str = ""
    detail: str = ""
    readback_mw: float | None = None


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """All shares, and what they come to. In sum the four are what was asked.

    Attributes:
        placed_mw: What was confirmed.
        pending_mw: What is not confirmed yet.
        failed_mw: What was given and not taken.
        unplaced_mw: What nobody had room for.
        round: Counts the divisions: 1 the first, 2 after a shortfall was divided again.
    """

    shares: tuple[Share, ...]
    placed_mw: float
    pending_mw: float = 0.0
    failed_mw: float
    unplaced_mw: float
    round: int = 1


def planned(split: Split, *, round_: int = 1) -> Placement:
    """A split, before anybody has confirmed anything."""
    given = (
        Share(id=each.id, setpoint_mw=each.setpoint_mw, limit=each.limit)
        for each in split.allocations
    )
    left_out = (
        Share(id=each.id, state=ShareState.EXCLUDED, reason=each.reason) for each in split.excluded
    )
    return placement(split.setpoint_mw, (*given, *left_out), round_=round_)


def placement(setpoint_mw: float, shares: Iterable[Share], *, round_: int = 1) -> Placement:
    """Add up what the shares of a setpoint come to, in the order of their ids."""
    everyone = tuple(sorted(shares, key=lambda share: share.id))
    placed_mw = _sum(everyone, ShareState.APPLIED, ShareState.ENDED)
    pending_mw = _sum(everyone, ShareState.PLANNED)
    failed_mw = _sum(everyone, ShareState.FAILED)
    unplaced_mw = math.fsum((setpoint_mw, -placed_mw, -pending_mw, -failed_mw))
    return Placement(
        shares=everyone,
        placed_mw=placed_mw,
        pending_mw=pending_mw,
        failed_mw=failed_mw,
        unplaced_mw=unplaced_mw if abs(unplaced_mw) > TOLERANCE_MW else 0.0,
        round=round_,
    )


def _sum(shares: tuple[Share, ...], *states: ShareState) -> float:
    return math.fsum(share.setpoint_mw for share in shares if share.state in states)
