"""What a reader of the stream asks for."""

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec import Meta

from dercp.api.queries import Query, SiteFilter
from dercp.headend.fleet.changes import Subject
from dercp.model.points import Kind

ASSETS_NAMED_MAX = 500

AssetIds = Annotated[
    tuple[Annotated[str, Meta(max_length=64)], ...],
    Meta(max_length=ASSETS_NAMED_MAX, description="Only these; may be given more than once"),
]


class Topic(StrEnum):
    """What the stream tells of."""

    ASSET = "asset"
    AGENT = "agent"
    DISPATCH = "dispatch"
    TELEMETRY = "telemetry"


class Scope(msgspec.Struct, frozen=True):
    """Of which assets something is told: those that pass all filters that were given."""

    site_id: str | None = None
    kind: Kind | None = None
    asset_ids: frozenset[str] = frozenset()

    @property
    def is_all(self) -> bool:
        """Whether there is no filter."""
        return self.site_id is None and self.kind is None and not self.asset_ids

    def takes(self, subject: Subject) -> bool:
        """Whether what concerns this asset is to be told."""
        return (
            self.site_id in (None, subject.site_id)
            and self.kind in (None, subject.kind)
            and (not self.asset_ids or subject.asset_id in self.asset_ids)
        )

    def takes_any(self, site_id: str, subjects: Iterable[Subject]) -> bool:
        """Whether what concerns a site and these of its assets is to be told."""
        if self.kind is None and not self.asset_ids:
            return self.site_id in (None, site_id)
        return any(map(self.takes, subjects))


class StreamQuery(Query, frozen=True, kw_only=True, dict=True):
    """Of what, and of which assets, the stream is to tell."""

    site_id: SiteFilter | None = None
    kind: Annotated[Kind, Meta(description="Only assets of this kind")] | None = None
    asset_id: AssetIds = ()
    events: Annotated[
        tuple[Topic, ...],
        Meta(max_length=len(Topic), description="Only these; all when left out"),
    ] = ()

    @cached_property
    def topics(self) -> frozenset[Topic]:
        """What is to be told."""
        return frozenset(self.events or Topic)

    @cached_property
    def scope(self) -> Scope:
        """Of which assets."""
        return Scope(self.site_id, self.kind, frozenset(self.asset_id))
