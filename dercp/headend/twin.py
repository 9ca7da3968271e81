"""One asset as others may look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors import Slot
from dercp.model.asset import AssetSpec
from dercp.wire.payload import PayloadSchema, Row

if TYPE_CHECKING:
    from dercp.headend.messages import AssetRef, SessionRef


class Arrival(NamedTuple):
    """What all rows of one frame have in common."""

    schema: PayloadSchema
    ingest_time_us: int
    # trio.current_time() at ingest: ages are counted by the monotonic clock.
    ingest_mono_s: float
    # The agent's clock minus ours when the frame came.
    clock_offset_us: int


class Latest(NamedTuple):
    """The newest row of an asset, by reference: its values are decoded when read."""

    # What rows are ordered by (dercp.model.latest.order_time_us).
    order_us: int
    row: Row
    arrival: Arrival


class Link(NamedTuple):
    """The session that carries an asset now."""

    session: SessionRef
    agent_id: str
    epoch: int


def newer(candidate: Latest, current: Latest) -> bool:
    """Whether a row becomes current (dercp.model.latest.supersedes)."""
    return (
        candidate.order_us >= current.order_us
        # Nothing is ordered later than the present, so our clock has been set back.
        or current.order_us > candidate.arrival.ingest_time_us
    )


def alone(row: Row) -> Row:
    """A copy of the row that does not hold the frame it came in."""
    content, points = row.content, len(row.content.values)
    copy = type(content)(
        asset_index=content.asset_index,
        time_offset_us=content.time_offset_us,
        values=content.values,
        # No more are ever read (PayloadSchema.readings).
        qualities=content.qualities[:points],
    )
    return Row(row.asset_index, row.source_time_us, copy)


class Twin:
    """An asset's latest known state. Each part has one writer; everybody may read.

    Attributes:
        spec: What the asset is; written by the fleet when it is registered.
        agent_id: The agent that registered it; written by the fleet.
        latest: The newest row; offered by the session that carries the asset.
        link: The session that carries it now; written by the asset's actor, and by its
            site before that actor starts.
        ref: The asset's actor; written by the site that started it.
    """

    __slots__ = ("agent_id", "latest", "link", "ref", "site_id", "spec")

    def __init__(self, spec: AssetSpec, *, site_id: str, agent_id: str) -> None:
        self.spec = spec
        self.site_id = site_id
        self.agent_id = agent_id
        self.latest: Slot[Latest] = Slot(newer)
        self.link: Link | None = None
        self.ref: AssetRef | None = None
