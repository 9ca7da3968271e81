"""`dercp export`: the history of many assets into one file, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dercp.cli.client import ApiClient, NotThere, read
from dercp.cli.columns import BucketLayout, Layout, SampleLayout, rows_of, time_of, units_of
from dercp.cli.completeness import Completeness
from dercp.cli.destination import Destination
from dercp.cli.exits import CommandError, Exit
from dercp.cli.export_progress import Shown, Tally
from dercp.cli.shapes import Asset, AssetPoints, HistoryPart
from dercp.cli.span import Span
from dercp.model.time import parse_rfc3339

ROWS_PER_PART = 10_000
# The headend reads all samples of an agent within the buckets it is asked for at once.
SPAN_PER_PART_S = 6 * 3_600
POINTS_NAMED = 20


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported. No assets means all of the site, or all; no points means all."""

    span: Span
    assets: Sequence[str] = ()
    site: str | None = None
    points: Sequence[str] = ()
    resolution_s: int | None = None

    @property
    def rows_per_part(self) -> int:
        """How much is asked for at once."""
        if self.resolution_s is None:
            return ROWS_PER_PART
        return min(ROWS_PER_PART, max(1, SPAN_PER_PART_S // self.resolution_s))


def find_assets(client: ApiClient, order: Order) -> list[AssetPoints]:
    """The assets with those of their points that are wanted; without any they are left out.

    Raises:
        CommandError: There are none.
    """
    assets = list(_assets(client, order))
    if not assets:
        raise CommandError("there are no assets to export" + _where(order))
    known = {point.name for asset in assets for point in asset.points}
    if unknown := sorted(set(order.points) - known):
        listed = ", ".join(sorted(known)[:POINTS_NAMED])
        raise CommandError(
            f"--points: none of these assets has {', '.join(unknown)}; they have {listed}",
            code=Exit.USAGE,
        )
    if not order.points:
        return assets
    wanted = frozenset(order.points)
    chosen = (
        msgspec.structs.replace(
            asset, points=tuple(point for point in asset.points if point.name in wanted)
        )
        for asset in assets
    )
    return [asset for asset in chosen if asset.points]


def layout_of(assets: Sequence[AssetPoints], order: Order) -> Layout:
    """The columns that hold all of these assets."""
    units = units_of(assets)
    if order.points:
        units = {name: units[name] for name in order.points}
    return SampleLayout(units) if order.resolution_s is None else BucketLayout(units)


def write_out(
    client: ApiClient,
    order: Order,
    assets: Sequence[AssetPoints],
    *,
    destination: Destination,
    shown: Shown,
) -> Completeness:
    """Write asset after asset, each in the order of time; return how complete that is."""
    layout, completeness = layout_of(assets, order), Completeness(order.span)
    tally = Tally(assets=len(assets))
    with destination.opened(layout.columns) as (table, file):
        for asset in assets:
            try:
                for part in parts(client, asset, order):
                    completeness.saw(asset.agent_id, part)
                    table.add(layout.cells(asset, part))
                    _count(tally, part, order.span)
                    tally.bytes = file.count
                    shown.show(tally)
            except NotThere:
                completeness.gone.append(asset.id)
            tally.assets_done += 1
            tally.share = 0.0
        completeness.look_for_gaps(client)
        table.finish(msgspec.json.encode(completeness.notes()))
        tally.bytes = file.count
    shown.end(tally)
    return completeness


def parts(client: ApiClient, asset: AssetPoints, order: Order) -> Iterator[HistoryPart]:
    """The history of an asset, part by part."""
    query: dict[str, str | int | None] = {**order.span.query, "resolution": order.resolution_s}
    if order.points:
        query["points"] = ",".join(point.name for point in asset.points)
    cursor: str | None = None
    while True:
        part = client.get(
            f"/assets/{asset.id}/history",
            HistoryPart,
            **query,
            limit=order.rows_per_part,
            cursor=cursor,
        )
        yield part
        # A cursor that does not move would never end.
        if not part.next or part.next == cursor:
            return
        cursor = part.next


def _assets(client: ApiClient, order: Order) -> Iterator[AssetPoints]:
    if order.assets:
        for name in dict.fromkeys(order.assets):
            yield client.get(f"/assets/{name}", AssetPoints)
        return
    for raw in client.items("/assets", site_id=order.site):
        try:
            yield client.get(f"/assets/{read(raw, Asset).id}", AssetPoints)
        except NotThere:  # it went since the list was made
            continue


def _where(order: Order) -> str:
    return f" at site {order.site}" if order.site else ""


def _count(tally: Tally, part: HistoryPart, span: Span) -> None:
    rows = rows_of(part)
    tally.rows += len(rows)
    if rows:
        tally.share = span.share_before(parse_rfc3339(time_of(rows[-1])))
