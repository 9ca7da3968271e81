"""One asset as others may look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors import Slot
from dercp.model.asset import AssetSpec
from dercp.wire.payload import PayloadSchema, Row
from dercp.wire.v1 import edge_link_pb2 as upb

if TYPE_CHECKING:
    from dercp.headend.messages import AssetRef, SessionRef


class Arrival(NamedTuple):
    """What all rows of one frame have in common."""

    schema: PayloadSchema
    base_time_us: int
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


def alone(content: upb.AssetRow) -> upb.AssetRow:
    """A copy of the row that does not hold the frame it came in."""
    return type(content)(
        asset_index=content.asset_index,
        time_offset_us=content.time_offset_us,
        values=content.values,
        # No more are ever read (PayloadSchema.readings).
        qualities=content.qualities[: len(content.values)],
    )


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
        self.latest: Slot[tuple[upb.AssetRow, Arrival]] = Slot()
        self.link: Link | None = None
        self.ref: AssetRef | None = None

    def look(self) -> Latest | None:
        """The newest row; None before the first."""
        held = self.latest.peek()
        if held is None:
            return None
        content, arrival = held.item
        time_us = arrival.base_time_us + content.time_offset_us
        return Latest(round(held.order), Row(content.asset_index, time_us, content), arrival)
