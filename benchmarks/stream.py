"""What the live stream of a whole fleet costs: 100 readers of 10,000 assets at 1 Hz.

    python benchmarks/stream.py [--short]

The headend's own twins, feed and application, served over loopback to readers in another
process; each asset has ten points, and a new sample before every tick. Two peers in the
same run: one sends the same bytes, made beforehand, to as many readers through bare
quart-trio on the same server; the other is one reader alone. CPU time of the server's
process, as a share of one core.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import process_time, time_ns
from typing import cast

import structlog
import trio
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse

sys.path.insert(0, str(Path(__file__).parent.parent))

from dercp.api import (
    ApiSettings,
    DispatchDesk,
    HistoryReader,
    LiveStream,
    Operations,
    Portfolios,
    create_app,
    open_live_stream,
    serve_api,
)
from dercp.api.live.follower import following
from dercp.api.live.selection import StreamQuery
from dercp.cli.collector import calm_the_collector
from dercp.headend.dispatching.book import DispatchBook
from dercp.headend.fleet.feed import ChangeFeed
from dercp.headend.fleet.reader import RosterReader
from dercp.headend.fleet.roster import Roster
from dercp.headend.fleet.twin import Arrival, Link
from dercp.headend.messages import SessionRef
from dercp.headend.settings import HeadendSettings
from dercp.model.asset import AssetSpec, PointSpec, Registration
from dercp.model.points import Kind
from dercp.wire.payload import PayloadSchema, RowDraft, encode_payload

SITES, ASSETS_PER_SITE = 40, 250
POINTS = tuple(PointSpec(name=f"point_{n}_mw", unit="MW") for n in range(10))
# Snapshots are read meanwhile.
WARM_UP_S = 5.0

# Reads as fast as it can and looks at nothing.
READERS = """
import selectors, socket, sys
port, clients, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
request = f"GET {path} HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n".encode()
selector = selectors.DefaultSelector()
for _ in range(clients):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    selector.register(connection, selectors.EVENT_READ)
into = bytearray(1 << 20)
while selector.get_map():
    for key, _ in selector.select():
        if not key.fileobj.recv_into(into):
            selector.unregister(key.fileobj)
"""


def now_us() -> int:
    """The wall clock."""
    return time_ns() // 1_000


class Plant:
    """A headend's twins without their agents."""

    def __init__(self) -> None:
        self.roster = Roster(sessions_remembered_max=1)
        self._sites: list[tuple[Registration, PayloadSchema, bytes]] = []
        luck = random.Random(1)
        for number in range(SITES):
            registration = Registration(
                site_id=f"site-{number:02}",
                site_name=f"Site {number}",
                assets=tuple(_asset(f"asset-{number:02}-{n:03}") for n in range(ASSETS_PER_SITE)),
            )
            self.roster.enter(f"edge-{number:02}", registration)
            drafts = [
                RowDraft(index, 0, [round(luck.uniform(-100, 100), 4) for _ in POINTS])
                for index in range(ASSETS_PER_SITE)
            ]
            payload = encode_payload(0, drafts)
            self._sites.append((registration, PayloadSchema(registration), payload))
        for twin in self.roster.twins.values():
            twin.link = Link(cast("SessionRef", None), twin.agent_id, 1)

    def sample(self) -> None:
        """A new sample of every asset."""
        at_us, at_s = now_us(), trio.current_time()
        for registration, schema, payload in self._sites:
            arrival = Arrival(schema, at_us - 200_000, at_us, at_s, 0)
            contents = schema.decode(payload).contents
            for spec, content in zip(registration.assets, contents, strict=True):
                twin = self.roster.twins[spec.asset_id]
                twin.latest.put((content, arrival), at_us - 200_000)


def _asset(asset_id: str) -> AssetSpec:
    return AssetSpec(
        asset_id=asset_id,
        name=asset_id,
        kind=Kind.STORAGE,
        p_min_mw=-200.0,
        p_max_mw=200.0,
        sample_interval_s=1.0,
        points=POINTS,
    )


async def _sampling(plant: Plant) -> None:
    while True:
        plant.sample()
        await trio.sleep(1.0)


@asynccontextmanager
async def _served(app: QuartTrio) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        serve = partial(serve_api, app, ["127.0.0.1:0"], settings=ApiSettings(stop_within_s=0.2))
        stop = trio.Event()
        [url] = await nursery.start(partial(serve, shutdown_trigger=stop.wait))
        yield int(url.rpartition(":")[2])
        stop.set()


async def _load(app: QuartTrio, clients: int, seconds: float) -> float:
    """The share of a core that readers of `/stream` cost."""
    async with _served(app) as port:
        command = [sys.executable, "-c", READERS, str(port), str(clients), "/stream"]
        readers = await trio.to_thread.run_sync(partial(subprocess.Popen, command))
        try:
            await trio.sleep(WARM_UP_S)
            began, began_s = process_time(), trio.current_time()
            await trio.sleep(seconds)
            return (process_time() - began) / (trio.current_time() - began_s)
        finally:
            readers.kill()
            readers.wait()


async def _pieces(live: LiveStream, plant: Plant) -> list[bytes]:
    """What one tick sends to a reader of everything."""
    query = StreamQuery()
    pieces: list[bytes] = []
    with following(live, query, "") as follower:
        while (event := await follower.next()) is not None and event.kind != "live":
            pass
        plant.sample()
        left = 1
        while left:
            event = await follower.next()
            assert event is not None
            pieces.append(event.sse)
            left = live.round.changes_count(query.scope) - len(pieces)
    return pieces


def _bare(pieces: list[bytes]) -> QuartTrio:
    """Sends these to whoever asks, once a second."""
    app = QuartTrio(__name__)

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            for piece in pieces:
                yield piece
            await trio.sleep(1.0)

    async def stream() -> TrioResponse:
        response = TrioResponse(chunks(), content_type="text/event-stream")
        response.timeout = None
        return response

    app.add_url_rule("/stream", "stream", cast("Callable[[], Awaitable[TrioResponse]]", stream))
    return app


async def _measure(seconds: float, clients: int) -> None:
    plant, settings = Plant(), ApiSettings()
    book = DispatchBook(ended_max=1, grace_s=1.0)
    feed = ChangeFeed(plant.roster, book, now_us)
    reader = RosterReader(plant.roster, book, settings=HeadendSettings(), clock=now_us)
    plant.sample()
    calm_the_collector()  # as `dercp headend` does
    async with open_live_stream(feed, reader, now_us, settings) as live:
        pieces = await _pieces(live, plant)
        app = create_app(
            reader,
            cast("HistoryReader", None),  # nothing here asks these
            cast("DispatchDesk", None),
            cast("Portfolios", None),
            cast("Operations", None),
            live,
            now_us,
            settings,
        )
        size = sum(map(len, pieces))
        assets = len(plant.roster.twins)
        print(f"{assets:,} assets, {size / 1e6:.2f} MB a tick in {len(pieces)} events")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sampling, plant)
            began, began_s = process_time(), trio.current_time()
            await trio.sleep(seconds)
            idle = (process_time() - began) / (trio.current_time() - began_s)
            alone = await _load(app, 1, seconds) - idle
            many = await _load(app, clients, seconds) - idle
            bare = await _load(_bare(pieces), clients, seconds) - idle
            nursery.cancel_scope.cancel()
    print(f"{'readers':>8} {'dercp':>8} {'bare':>8} {'ratio':>6}")
    print(f"{1:>8} {alone:>8.1%}")
    print(f"{clients:>8} {many:>8.1%} {bare:>8.1%} {many / bare:>6.2f}")
    print(f"lagged {live.counts['lagged']}, cut {live.counts['cut']}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few seconds only")
    parser.add_argument("--clients", type=int, default=100, help="how many read at once")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("info"))
    trio.run(_measure, 2.0 if asked.short else 20.0, asked.clients)


if __name__ == "__main__":
    main()
