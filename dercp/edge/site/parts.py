"""One asset's part of a site's dispatch, and what the words of its order make of it. Pure."""

from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from dercp.model.dispatch import (
    Acked,
    Applied,
    Cancelled,
    Completed,
    DeviatingSeen,
    DispatchReason,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Rejected,
    Share,
    ShareState,
    Superseded,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp
from dercp.wire.dispatch import EdgeWord

__all__ = ["Hold", "KeptShares", "Part", "hear", "parent_of", "share_id"]

# No id of a dispatch has it, so no dispatch of the headend can be taken for a part.
_MARK: Final = "/"


class Hold(StrEnum):
    """Whether the asset's actor has the order for the part."""

    NONE = "none"
    """It was given none, or that one is over."""
    GIVEN = "given"
    """It has not answered yet."""
    TAKEN = "taken"
    RECALLED = "recalled"
    """It shall end it; its last word is awaited."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """How one asset stands in a site's dispatch.

    `given_mw` is what its order says, `revision` which order (0 = it never had one).
    """

    share: Share
    given_mw: float = 0.0
    revision: int = 0
    hold: Hold = Hold.NONE
    outcome: Outcome | None = None


class KeptShares(msgspec.Struct, frozen=True):
    """The parts of a dispatch as they outlive the process."""

    parts: tuple[Part, ...]
    round: int
    has_run: bool


def share_id(dispatch_id: str, asset_id: str) -> str:
    """The name of an asset's part of a dispatch, here at the site."""
    return f"{dispatch_id}{_MARK}{asset_id}"


def parent_of(dispatch_id: str) -> str | None:
    """The dispatch that this one is a part of; None of one that stands for itself."""
    parent, mark, _ = dispatch_id.partition(_MARK)
    return parent if mark else None


def hear(part: Part, word: EdgeWord, *, expected_to_end: bool) -> Part:
    """The part, after a word of its asset on the order that it has."""
    share = part.share
    if part.hold is Hold.RECALLED and not _is_last(word):
        return part
    match word:
        case Acked():
            return replace(part, share=_limited(part, word.clamps), hold=Hold.TAKEN)
        case Applied():
            applied = replace(
                _limited(part, word.clamps),
                state=ShareState.APPLIED,
                reason="",
                detail="",
                readback_mw=word.readback_mw,
            )
            return replace(part, share=applied, hold=Hold.TAKEN)
        case FollowingSeen() | DeviatingSeen():
            return replace(part, share=replace(share, state=ShareState.APPLIED), hold=Hold.TAKEN)
        case Completed() | Cancelled() | Superseded() | Failed() | Rejected() | ExpiredAtEdge():
            ended = replace(part, hold=Hold.NONE, outcome=word.outcome or part.outcome)
            if share.state is ShareState.FAILED:  # taken back, for a reason that was said
                return ended
            return replace(ended, share=_ended(share, word, expected_to_end=expected_to_end))
        case _:
            assert_never(word)


def _ended(
    share: Share,
    word: Completed | Cancelled | Superseded | Failed | Rejected | ExpiredAtEdge,
    *,
    expected_to_end: bool,
) -> Share:
    detail = word.detail
    if isinstance(word, Superseded) and word.by is not None:
        detail = f"{parent_of(word.by) or word.by} has the asset now"
    stopped = word.reason == DispatchReason.EDGE_STOPPED
    is_an_end = isinstance(word, Cancelled | Superseded) and (expected_to_end or stopped)
    kept = share.state is ShareState.APPLIED and (is_an_end or isinstance(word, Completed))
    state = ShareState.ENDED if kept else ShareState.FAILED
    if kept and not stopped:
        return replace(share, state=state)
    return replace(share, state=state, reason=word.reason, detail=detail)


def _is_last(word: EdgeWord) -> bool:
    return not isinstance(word, Acked | Applied | FollowingSeen | DeviatingSeen)


def _limited(part: Part, clamps: tuple[Clamp, ...]) -> Share:
    """What the asset's own limits left of its share; a ramp on its way there is no limit."""
    standing = [clamp for clamp in clamps if clamp.reason != DispatchReason.RAMP]
    if not standing:
        return replace(part.share, setpoint_mw=part.given_mw)
    return replace(part.share, setpoint_mw=standing[-1].to_mw, limit=standing[-1].reason)
