"""The short way of telemetry says what the long one says."""

import msgspec

from dercp.api.resources import telemetry_resource
from dercp.api.telemetry import TelemetryEncoder
from dercp.headend.views import GoodSampleView, PointView, TelemetryView
from dercp.model.asset import PointSpec
from dercp.model.quality import Quality, Reason

NOW_US = 1_795_442_400_000_000
POINTS = (
    PointSpec(name="soc_pct", unit="%"),
    PointSpec(name="active_power_mw", unit="MW"),
    PointSpec(name='of %s "site"', unit="100 %b"),
)


def short(asset_id: str, points: tuple[PointSpec, ...], *values: float) -> GoodSampleView:
    """A good sample."""
    return GoodSampleView(
        asset_id, "north", NOW_US, NOW_US + 1, 0.12345, stale=False, points=points, values=values
    )


def long(view: GoodSampleView) -> TelemetryView:
    """The same with an object for each value."""
    points = tuple(
        PointView(
            name=point.name,
            value=value,
            unit=point.unit,
            quality=Quality.GOOD,
            reasons=Reason.NONE,
        )
        for point, value in zip(view.points, view.values, strict=True)
    )
    return TelemetryView(
        asset_id=view.asset_id,
        site_id=view.site_id,
        source_time_us=view.source_time_us,
        ingest_time_us=view.ingest_time_us,
        age_s=view.age_s,
        stale=view.stale,
        points=points,
    )


def test_the_short_way_gives_the_same_bytes() -> None:
    """Whatever stands in names and units, with and without points, mixed with doubtful ones."""
    views = [
        short("a", POINTS, 50.0, -1.5e-7, 1e300),
        short("b", (), *()),
        short("c", POINTS, 0.1, 2.0, 3.25),
        short("d", POINTS[:1], 7.0),
    ]
    doubtful = long(views[0])
    said = TelemetryEncoder().encode([*views[:2], doubtful, *views[2:]])
    resources = [telemetry_resource(long(view)) for view in views]
    expected = [*resources[:2], telemetry_resource(doubtful), *resources[2:]]
    assert b"[" + said + b"]" == msgspec.json.encode(expected)


def test_nobody_is_no_item() -> None:
    """A chunk of assets that have gone."""
    assert TelemetryEncoder().encode([]) == b""
