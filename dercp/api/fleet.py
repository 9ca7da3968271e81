"""What is known of the fleet: assets, their telemetry, sites and agents."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec
import trio

from dercp.api.asset_resources import AssetResource, asset_detail, asset_resource
from dercp.api.ports import FleetReader
from dercp.api.problems import NOT_FOUND, Refusal
from dercp.api.queries import AgentQuery, AssetFilter, FleetQuery, Query, SiteQuery, cut_page
from dercp.api.resources import (
    AgentResource,
    Page,
    SiteResource,
    TelemetryResource,
    agent_resource,
    site_resource,
    telemetry_resource,
)
from dercp.api.routes import Call, Stream
from dercp.api.telemetry import TelemetryEncoder
from dercp.headend.errors import HistoryUnavailable

# An agent's history as far as the store keeps it.
SESSIONS_TOLD = 100
# Assets encoded at a stretch: 10 points each take about a millisecond.
ASSETS_PER_CHUNK = 250

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


async def list_assets(call: Call[AssetFilter]) -> Page[AssetResource]:
    """All assets that pass the filters, sorted by id."""
    reader, query = call.services.reader, call.query
    ids, after = _ids(reader, query)
    return Page(items=list(map(asset_resource, reader.assets(ids))), next=after)


async def get_asset(call: Call[Query]) -> AssetResource:
    """One asset with its points and limits, who holds it, and how far its history goes."""
    history = call.services.history
    asset = found(call.services.reader.asset(call.id), "asset", call.id)
    try:
        until_us = await history.complete_until(asset.agent_id)
    except HistoryUnavailable:
        # What is known of the asset is no worse for it.
        until_us = None
    return asset_detail(asset, until_us, history.retained_from())


async def get_telemetry(call: Call[Query]) -> TelemetryResource:
    """The latest known sample of one asset."""
    return telemetry_resource(found(call.services.reader.telemetry(call.id), "asset", call.id))


async def list_telemetry(call: Call[FleetQuery]) -> Stream[Page[TelemetryResource]]:
    """The latest known samples of all assets that pass the filters, sorted by id."""
    reader = call.services.reader
    ids, after = _ids(reader, call.query)
    return Stream(chunks=_telemetry_chunks(reader, ids, after))


async def list_sites(call: Call[SiteQuery]) -> Page[SiteResource]:
    """All sites with their sums, sorted by id."""
    page, after = cut_page(
        call.services.reader.sites(), call.query, id_of=lambda site: site.site_id, takes=_anything
    )
    return Page(items=list(map(site_resource, page)), next=after)


async def get_site(call: Call[Query]) -> SiteResource:
    """One site with its sums."""
    return site_resource(found(call.services.reader.site(call.id), "site", call.id))


async def list_agents(call: Call[AgentQuery]) -> Page[AgentResource]:
    """All agents that pass the filters, sorted by id."""
    page, after = cut_page(
        call.services.reader.agents(),
        call.query,
        id_of=lambda agent: agent.agent_id,
        takes=call.query.takes,
    )
    return Page(items=[agent_resource(agent, agent.recent_sessions) for agent in page], next=after)


async def get_agent(call: Call[Query]) -> AgentResource:
    """One agent with its sessions, as many as are kept."""
    agent = found(call.services.reader.agent(call.id), "agent", call.id)
    sessions = await call.services.reader.recent_sessions(call.id, SESSIONS_TOLD)
    return agent_resource(agent, sessions)


def _ids(reader: FleetReader, query: AssetFilter) -> tuple[Sequence[str], str | None]:
    """A page of ids, and the cursor of the page after it; assets are looked at to filter only."""
    if query.takes_all:
        return cut_page(reader.asset_ids(), query, id_of=str, takes=_anything)
    page, after = cut_page(
        reader.assets(), query, id_of=lambda asset: asset.spec.asset_id, takes=query.takes
    )
    return [asset.spec.asset_id for asset in page], after


async def _telemetry_chunks(
    reader: FleetReader, ids: Sequence[str], after: str | None
) -> AsyncIterator[bytes]:
    """A page of telemetry as JSON, made while it is sent.

    So the loop is never held for longer than one chunk takes, and a slow reader costs
    one chunk of memory.
    """
    yield b'{"items":['
    comma, telemetry = b"", TelemetryEncoder()
    for begin in range(0, len(ids), ASSETS_PER_CHUNK):
        await trio.lowlevel.checkpoint()
        views = map(reader.sample, ids[begin : begin + ASSETS_PER_CHUNK])
        # An asset may have gone since the page was cut.
        items = telemetry.encode(view for view in views if view is not None)
        if items:
            yield comma + items
            comma = b","
    yield b'],"next":' + _encoder.encode(after) + b"}"


def found(view: T | None, what: str, name: str) -> T:
    """What was looked up; the refusal of a name that nobody has."""
    if view is None:
        raise Refusal(NOT_FOUND, f"there is no {what} {name[:80]!r}")
    return view


def _anything(_: object) -> bool:
    return True
