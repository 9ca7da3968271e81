"""Who has room for more, when what was asked of a site is divided once more. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from dercp.edge.site.parts import Hold, Part
from dercp.edge.site.state import Sharing
from dercp.model.dispatch import DispatchReason, ShareState
from dercp.model.split import Capacity

__all__ = ["members_again"]


def members_again(sharing: Sharing, capacities: Sequence[Capacity]) -> list[Capacity]:
    """Who takes part in another split: nobody loses what he has, and no failed one gets more."""
    return [_again(each, sharing.parts.get(each.id)) for each in capacities]


def _again(capacity: Capacity, part: Part | None) -> Capacity:
    if part is None:
        return capacity
    if part.share.state is ShareState.FAILED or part.hold is Hold.RECALLED:
        return replace(capacity, excluded=part.share.reason or DispatchReason.OUT_OF_SERVICE)
    if part.hold is Hold.NONE:
        return capacity
    held_mw = part.share.setpoint_mw
    if capacity.excluded:  # nothing is known of it: it keeps its share
        return replace(capacity, min_mw=held_mw, max_mw=held_mw, excluded="")
    low_mw, high_mw = min(capacity.min_mw, held_mw), max(capacity.max_mw, held_mw)
    if held_mw < part.given_mw:  # narrowed at the asset: it has no room there
        high_mw = held_mw
    elif held_mw > part.given_mw:
        low_mw = held_mw
    return replace(capacity, min_mw=low_mw, max_mw=high_mw)
