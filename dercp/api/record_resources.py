"""How the record of a dispatch is told: one document, written while it is sent."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import msgspec
import trio
from msgspec import Meta

from dercp.api.dispatch_resources import DispatchResource, dispatch_resource
from dercp.api.history_resources import (
    GapResource,
    SampleResource,
    gap_resource,
    sample_resource,
)
from dercp.api.resources import PointName, Resource, moment, moment_or_none
from dercp.headend.dispatching.record_views import AssetRecord, DispatchRecord

# Encoded at a stretch: some 10 ms.
SAMPLES_PER_CHUNK = 500

_encoder = msgspec.json.Encoder()


class AssetRecordResource(Resource, frozen=True, kw_only=True):
    """What history has of one asset over the time of a dispatch."""

    asset_id: str
    agent_id: str
    complete: Annotated[
        bool, Meta(description="Nothing is missing: no gap, no unread batch, no sample to come")
    ]
    complete_until: (
        Annotated[datetime, Meta(description="Before this all there was is here or in a gap")]
        | None
    )
    samples_end: (
        Annotated[
            datetime,
            Meta(description="From here on history has more than fits; null: all are here"),
        ]
        | None
    )
    bad_batches: int
    gaps: tuple[GapResource, ...]
    points: tuple[PointName, ...]
    # Last: they are written while they are sent.
    samples: tuple[SampleResource, ...]


class RecordResource(Resource, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A dispatch with all that became of it, for settlement."""

    dispatch: DispatchResource
    parts: Annotated[
        tuple[DispatchResource, ...],
        Meta(description="The dispatches that it was divided into, at any depth"),
    ]
    from_: datetime
    to: Annotated[datetime, Meta(description="Its end, or now where it has not ended; excluded")]
    assets_left_out: Annotated[int, Meta(description="Assets beyond what one record may hold")]
    assets: tuple[AssetRecordResource, ...]


async def record_chunks(record: DispatchRecord) -> AsyncIterator[bytes]:
    """A record as JSON, made while it is sent, so that the loop is not held by a long one."""
    head = RecordResource(
        dispatch=dispatch_resource(record.dispatch),
        parts=tuple(map(dispatch_resource, record.parts)),
        from_=moment(record.from_us),
        to=moment(record.to_us),
        assets_left_out=record.assets_left_out,
        assets=(),
    )
    yield _opened(head)
    for index, asset in enumerate(record.assets):
        await trio.lowlevel.checkpoint()
        yield (b"," if index else b"") + _opened(_asset(asset, record.to_us))
        for begin in range(0, len(asset.samples), SAMPLES_PER_CHUNK):
            await trio.lowlevel.checkpoint()
            some = map(sample_resource, asset.samples[begin : begin + SAMPLES_PER_CHUNK])
            yield (b"," if begin else b"") + _encoder.encode(tuple(some))[1:-1]
        yield b"]}"
    yield b"]}"


def _opened(resource: Resource) -> bytes:
    """Without the end of its last member, a list that is empty still."""
    return _encoder.encode(resource).removesuffix(b"]}")


def _asset(asset: AssetRecord, to_us: int) -> AssetRecordResource:
    return AssetRecordResource(
        asset_id=asset.asset_id,
        agent_id=asset.agent_id,
        complete=_is_complete(asset, to_us),
        complete_until=moment_or_none(asset.complete_until_us),
        samples_end=moment_or_none(asset.samples_end_us),
        bad_batches=asset.bad_batches,
        gaps=tuple(map(gap_resource, asset.gaps)),
        points=tuple(PointName(name=point.name, unit=point.unit) for point in asset.points),
        samples=(),
    )


def _is_complete(asset: AssetRecord, to_us: int) -> bool:
    reached = asset.complete_until_us is not None and asset.complete_until_us >= to_us
    told = not asset.bad_batches and asset.samples_end_us is None
    return reached and told and not asset.gaps
