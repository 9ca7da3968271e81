"""What a follower of the headend is told: frozen pictures of changes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from dercp.headend.views import AgentStatus, AssetView, SessionView, View
from dercp.model.dispatch import Dispatch
from dercp.model.points import Kind
from dercp.model.reading import Reading


class Subject(NamedTuple):
    """Whom a change concerns; what it is filtered by."""

    # Empty for what concerns a site as a whole.
    asset_id: str
    site_id: str
    # None when the asset is not registered.
    kind: Kind | None


class AssetChange(StrEnum):
    """What has become of an asset."""

    REGISTERED = "registered"
    REMOVED = "removed"
    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"
    FRESH = "fresh"


class AssetChanged(View, frozen=True):
    """An asset, and how it differs from the look before."""

    asset: AssetView
    changes: tuple[AssetChange, ...]

    @property
    def subject(self) -> Subject:
        """Whom it concerns."""
        return Subject(self.asset.spec.asset_id, self.asset.site_id, self.asset.spec.kind)


class AgentChanged(View, frozen=True):
    """An agent whose session came or went, with that session."""

    agent_id: str
    site_id: str
    site_name: str
    status: AgentStatus
    software_version: str
    session: SessionView | None
    # Its assets.
    subjects: tuple[Subject, ...]


class DispatchChanged(View, frozen=True):
    """A dispatch in its newest state."""

    dispatch: Dispatch
    subject: Subject


Fact = AgentChanged | DispatchChanged


class News(View, frozen=True):
    """Facts in their order, and how many before them were left out."""

    facts: tuple[Fact, ...]
    lost: int


class Look(View, frozen=True):
    """What differs from the look before."""

    time_us: int
    # Assets whose latest sample is another one, or is stale and was not, or the reverse.
    sampled: Sequence[Subject]
    assets: Sequence[AssetChanged]


class Layout(View, frozen=True):
    """The points of a sample in their order, shared by all samples that have the same."""

    points: tuple[str, ...]
    units: tuple[str, ...]


class Sample(View, frozen=True):
    """The latest sample of an asset, as lean as a stream of whole fleets needs it."""

    asset_id: str
    source_time_us: int | None
    age_s: float | None
    stale: bool
    layout: Layout
    # In the order of the layout; None is not known.
    values: Sequence[float | None]
    # Those that are not good.
    doubtful: tuple[Reading, ...]
