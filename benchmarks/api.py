"""What an answer of the API costs, beside a bare ASGI application on the same server.

    python benchmarks/api.py [--short]

The headend's own twins and reader: 10,000 assets of 10 points. All requests go over a loopback
socket from the same process and loop, so the client's share is in every figure; the bare
application shows how much that is.
"""

import argparse
import sys
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

from stream import Plant, now_us

from dercp.api import (
    ApiSettings,
    DispatchDesk,
    HistoryReader,
    LiveStream,
    Operations,
    Portfolios,
    create_app,
    serve_api,
)
from dercp.cli.collector import calm_the_collector
from dercp.headend.dispatching.book import DispatchBook
from dercp.headend.fleet.reader import RosterReader
from dercp.headend.settings import HeadendSettings

PATHS = (
    "/livez",
    "/assets/asset-10-000",
    "/assets/asset-10-000/telemetry",
    "/assets?limit=100",
    "/assets?limit=1000",
    "/telemetry?limit=1000",
    "/telemetry?limit=10000",
)


class NoHistory:
    """Knows of none; it is asked how far an asset's goes."""

    async def complete_until(self, _agent_id: str) -> int | None:
        """Not known."""
        return None

    def retained_from(self) -> int | None:
        """Not known."""
        return None


def _reader(plant: Plant) -> RosterReader:
    """The headend's own."""
    book = DispatchBook(ended_max=1, grace_s=1.0)
    return RosterReader(plant.roster, book, settings=HeadendSettings(), clock=now_us)


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
    plant = Plant()
    plant.sample()
    calm_the_collector()  # as `dercp headend` does
    app = create_app(
        _reader(plant),
        cast("HistoryReader", NoHistory()),
        cast("DispatchDesk", None),  # nothing here asks these
        cast("Portfolios", None),
        cast("Operations", None),
        cast("LiveStream", None),
        now_us,
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
