"""What an answer of the API costs, beside a bare ASGI application on the same server.

    python benchmarks/api.py [--short]

A fleet of fakes: 10,000 assets of 10 points. All requests go over a loopback socket from
the same process and loop, so the client's share is in every figure; the bare application
shows how much that is.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from time import perf_counter
from typing import cast

import httpx
import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

sys.path.insert(0, str(Path(__file__).parent.parent))

from dercp.api import (
    ApiSettings,
    DispatchDesk,
    FleetReader,
    HistoryReader,
    LiveStream,
    Operations,
    Portfolios,
    create_app,
    serve_api,
)
from dercp.headend.views import AssetView, PointView, TelemetryView
from dercp.model.asset import AssetSpec, PointSpec
from dercp.model.points import Kind
from dercp.model.quality import Quality, Reason

NOW_US = 1_795_442_400_000_000
POINTS = tuple(PointSpec(name=f"point_{n}_mw", unit="MW") for n in range(10))


PATHS = (
    "/livez",
    "/assets/asset-00500",
    "/assets/asset-00500/telemetry",
    "/assets?limit=100",
    "/assets?limit=1000",
    "/telemetry?limit=1000",
    "/telemetry?limit=10000",
)


class Fleet:
    """Views made once: what is measured is the API."""

    def __init__(self, size: int) -> None:
        ids = [f"asset-{n:05}" for n in range(size)]
        self._assets = {asset_id: _asset(asset_id) for asset_id in ids}
        self._telemetry = {asset_id: _telemetry(asset_id) for asset_id in ids}
        self._sorted = list(self._assets.values())

    def assets(self) -> Sequence[AssetView]:
        """All assets."""
        return self._sorted

    def asset(self, asset_id: str) -> AssetView | None:
        """One asset."""
        return self._assets.get(asset_id)

    def telemetry(self, asset_id: str) -> TelemetryView | None:
        """Its latest sample."""
        return self._telemetry.get(asset_id)


def _asset(asset_id: str) -> AssetView:
    spec = AssetSpec(
        asset_id=asset_id,
        name=asset_id,
        kind=Kind.STORAGE,
        p_min_mw=-2.0,
        p_max_mw=2.0,
        points=POINTS,
    )
    return AssetView(
        spec=spec, site_id="site", agent_id="edge", online=True, stale=False, age_s=0.2
    )


def _telemetry(asset_id: str) -> TelemetryView:
    values = [
        PointView(
            name=point.name,
            value=n * 0.1234567,
            unit=point.unit,
            quality=Quality.GOOD,
            reasons=Reason.NONE,
        )
        for n, point in enumerate(POINTS)
    ]
    return TelemetryView(
        asset_id=asset_id,
        site_id="site",
        source_time_us=NOW_US - 234_567,
        ingest_time_us=NOW_US - 123_456,
        age_s=0.234567,
        stale=False,
        points=tuple(values),
    )


async def bare(scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """As many zero bytes as the path says, in pieces as large as the API's."""
    assert scope["type"] == "http"
    left = int(scope["path"][1:])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while left:
        piece = min(left, 300_000)
        left -= piece
        await send({"type": "http.response.body", "body": bytes(piece), "more_body": left > 0})


async def _time(client: httpx.AsyncClient, path: str, rounds: int) -> tuple[float, int]:
    """The best of some requests in seconds, for noise only adds; and the bytes one brings."""
    best, size = inf, 0
    for _ in range(rounds):
        begin = perf_counter()
        response = await client.get(path)
        best = min(best, perf_counter() - begin)
        assert response.status_code == 200, response.text
        size = len(response.content)
    return best, size


async def _measure(rounds: int) -> None:
    app = create_app(
        cast("FleetReader", Fleet(10_000)),
        cast("HistoryReader", None),  # nothing here asks these
        cast("DispatchDesk", None),
        cast("Portfolios", None),
        cast("Operations", None),
        cast("LiveStream", None),
        lambda: NOW_US,
        ApiSettings(),
    )
    async with trio.open_nursery() as nursery:
        serve = partial(serve_api, bind=["127.0.0.1:0"], shutdown_trigger=trio.sleep_forever)
        [api_url] = await nursery.start(partial(serve, app))
        [bare_url] = await nursery.start(partial(serve, bare))
        async with (
            httpx.AsyncClient(base_url=api_url) as api,
            httpx.AsyncClient(base_url=bare_url) as raw,
        ):
            print(f"{'request':<28} {'bytes':>10} {'API ms':>8} {'bare ms':>8} {'ratio':>6}")
            for path in PATHS:
                took, size = await _time(api, path, rounds)
                floor, _ = await _time(raw, f"/{size}", rounds)
                print(
                    f"{path:<28} {size:>10,} {took * 1e3:>8.2f} {floor * 1e3:>8.2f} "
                    f"{took / floor:>6.1f}"
                )
        nursery.cancel_scope.cancel()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few rounds only")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("info"))
    trio.run(_measure, 5 if parser.parse_args().short else 50)


if __name__ == "__main__":
    main()
