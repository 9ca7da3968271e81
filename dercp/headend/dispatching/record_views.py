"""All that is known of one dispatch, for those who settle it."""

from dercp.headend.history.views import GapView, HistorySample
from dercp.headend.views import View
from dercp.model.asset import PointSpec
from dercp.model.dispatch import Dispatch


class AssetRecord(View, frozen=True):
    """What history has of one asset over the time of a dispatch."""

    asset_id: str
    agent_id: str
    points: tuple[PointSpec, ...]
    samples: tuple[HistorySample, ...]
    # From here on there are more samples than the record may hold; None: all are here.
    samples_end_us: int | None
    # Batches on the way that could not be read.
    bad_batches: int
    # Before this all there was is logged or declared as a gap; None: not known.
    complete_until_us: int | None
    # Of its agent, overlapping the time of the dispatch.
    gaps: tuple[GapView, ...]


class DispatchRecord(View, frozen=True):
    """A dispatch, those it was divided into, and what the assets did meanwhile.

    The time is from the start of the lease to its end, or to now where it has not ended;
    half-open.
    """

    dispatch: Dispatch
    # At any depth, in the order in which they were made.
    parts: tuple[Dispatch, ...]
    from_us: int
    to_us: int
    assets: tuple[AssetRecord, ...]
    # Assets beyond what a record may hold: their parts are here, their samples are not.
    assets_left_out: int = 0
