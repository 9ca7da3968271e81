"""A site's dispatch and its parts, what is said of them, and what must be done."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from dercp.edge.asset.lease import Lease
from dercp.edge.site.parts import Hold, Part
from dercp.edge.site.words import placed
from dercp.model.dispatch import Placement
from dercp.model.following import Following, Verdict
from dercp.wire.dispatch import EdgeWord

__all__ = [
    "Command",
    "DivideAgain",
    "Ending",
    "Give",
    "Heard",
    "Say",
    "Sharing",
    "Step",
    "TakeBack",
]


class Give(msgspec.Struct, frozen=True):
    """Order an asset to take its share."""

    asset_id: str
    revision: int
    setpoint_mw: float


class TakeBack(msgspec.Struct, frozen=True):
    """Tell an asset to leave its order."""

    asset_id: str
    detail: str


class DivideAgain(msgspec.Struct, frozen=True):
    """Split what was asked among `members_again`, then call `divided_again`."""


class Say(msgspec.Struct, frozen=True):
    """Tell the headend how the dispatch stands."""

    word: EdgeWord


Command: TypeAlias = Give | TakeBack | DivideAgain | Say


class Heard(msgspec.Struct, frozen=True):
    """What an asset says of its order."""

    asset_id: str
    revision: int
    word: EdgeWord


class Ending(msgspec.Struct, frozen=True):
    """How it shall end, and until when the last words of the assets are waited for."""

    word: EdgeWord
    by_s: float


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch and its parts, by asset id. Times are monotonic seconds.

    Attributes:
        settles_by_s: Until when answers are waited for; infinite when they no longer are.
        again_at_s: When the shortfall is divided again.
        take_back_at_s: When those who shall leave their orders are told so (again).
        has_run: Something of it was in force.
        told: The last word that was said once it was in force.
        verdict: What was measured of the sum.
    """

    lease: Lease
    parts: Mapping[str, Part]
    round: int = 1
    settles_by_s: float
    again_at_s: float = math.inf
    take_back_at_s: float = math.inf
    next_word_s: float = -math.inf
    has_run: bool = False
    verdict: Verdict = Verdict.SETTLING
    following: Following | None = None
    told: EdgeWord | None = None
    ending: Ending | None = None
    is_over: bool = False

    @property
    def placement(self) -> Placement:
        """How it stands with each asset."""
        return placed(self.lease, self.parts.values(), self.round)

    @property
    def holders(self) -> list[str]:
        """Those who may have an order of it."""
        return [each for each, part in self.parts.items() if part.hold is not Hold.NONE]


class Step(msgspec.Struct, frozen=True):
    """How it stands afterwards, and what must be done, in this order."""

    sharing: Sharing
    commands: tuple[Command, ...] = ()
