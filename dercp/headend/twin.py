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
    return candidate.order_us >= current.order_us


class Twin:
    """An asset's latest known state. Each part has one writer; everybody may read.

    Attributes:
        spec: What the asset is; written by the fleet when it is registered.
        agent_id: The agent that registered it; written by the fleet.
        latest: The newest row; offered by the session that carries the asset.
        link: The session that carries it now; written by the asset's actor.
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
