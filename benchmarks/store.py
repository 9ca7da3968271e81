"""What a durable dispatch costs, beside apsw alone doing the same to the same disk.

    python benchmarks/store.py [--short] [--directory PATH]

The store commits for n callers at once with one dispatch each, and for one caller with n
in a call. The peer stays in one thread, its bodies encoded beforehand, in transactions of n:
SQLite's own price (WAL, synchronous=FULL) for the same rows and indexes. A commit is an fsync
first of all, so look at the ratios, and give --directory on the disk that counts. Figures are
dispatches a second, the best of a few rounds, each on a new file.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import apsw
import msgspec
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest, submit
from dercp.store import Store, open_sqlite
from dercp.store.sqlite import FILE_NAME


class Figures(NamedTuple):
    """Of all dispatches: seconds, or how many a second."""

    written: float
    read_back: float


GROUPS = (1, 10, 100, 1_000)
ROUNDS = 3

REQUEST = DispatchRequest(
    target=AssetTarget("bess-1"),
    setpoint_mw=2.0,
    start_us=1_000_000,
    until_us=901_000_000,
    deliver_by_us=31_000_000,
    reason="evening peak",
    requested_by="operator@example.org",
)
PUT = """
INSERT INTO dispatch
  (dispatch_id, tenant_id, asset_id, site_id, state, final, created_us, until_us, body)
VALUES (?, 'default', 'bess-1', NULL, 'submitted', 0, 1000000, 901000000, ?)
ON CONFLICT (dispatch_id) DO UPDATE SET state = excluded.state, body = excluded.body
"""


def with_apsw(directory: Path, items: Sequence[Dispatch], group: int) -> Figures:
    """One transaction per group, in this thread."""
    rows = [(item.dispatch_id, msgspec.json.encode(item).decode()) for item in items]
    db = apsw.Connection(str(directory / FILE_NAME))
    db.pragma("synchronous", "full")
    begin = perf_counter()
    for start in range(0, len(rows), group):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(PUT, rows[start : start + group])
        db.execute("COMMIT")
    written = perf_counter()
    for name, _ in rows:
        body = db.execute("SELECT body FROM dispatch WHERE dispatch_id = ?", (name,)).get
        msgspec.json.decode(body, type=Dispatch)
    read = perf_counter()
    db.close()
    return Figures(written - begin, read - written)


async def with_store(store: Store, items: Sequence[Dispatch], callers: int, call: int) -> Figures:
    """So many tasks, each with calls of so many dispatches; then each reads them one by one."""

    async def write(own: Sequence[Dispatch]) -> None:
        for start in range(0, len(own), call):
            await store.dispatches.commit(own[start : start + call])

    async def read(own: Sequence[Dispatch]) -> None:
        for item in own:
            await store.dispatches.get(item.dispatch_id)

    times = [perf_counter()]
    for work in (write, read):
        async with trio.open_nursery() as nursery:
            for caller in range(callers):
                nursery.start_soon(work, items[caller::callers])
        times.append(perf_counter())
    return Figures(times[1] - times[0], times[2] - times[1])


async def measure(root: Path | None, count: int, group: int) -> list[Figures]:
    """The group as many callers, as one call, and with apsw alone; each on a new file."""
    items = [submit(f"d-{n:06}", "default", REQUEST, 1_000_000) for n in range(count)]
    times = []
    for callers, call in ((group, 1), (1, group)):
        with tempfile.TemporaryDirectory(dir=root) as directory:
            async with open_sqlite(Path(directory)) as store:
                times.append(await with_store(store, items, callers, call))
    with tempfile.TemporaryDirectory(dir=root) as directory:
        async with open_sqlite(Path(directory)):
            pass  # makes the schema
        times.append(with_apsw(Path(directory), items, group))
    return times


async def main(root: Path | None, scale: int) -> None:
    """Print a line per group size: dispatches a second."""
    titles = ("n callers", "one call", "apsw alone", "ratios", "n reading", "apsw alone", "ratio")
    print(f"{'n':>6}" + "".join(f"{title:>13}" for title in titles))
    for group in GROUPS:
        count = max(2 * group, min(20 * scale, scale * group))
        rounds = [await measure(root, count, group) for _ in range(ROUNDS)]
        callers, call, alone = (
            Figures(count / min(t.written for t in each), count / min(t.read_back for t in each))
            for each in zip(*rounds, strict=True)
        )
        ratios = f"{callers.written / alone.written:.2f} {call.written / alone.written:.2f}"
        print(
            f"{group:>6,}{callers.written:>13,.0f}{call.written:>13,.0f}{alone.written:>13,.0f}"
            f"{ratios:>13}{callers.read_back:>13,.0f}{alone.read_back:>13,.0f}"
            f"{callers.read_back / alone.read_back:>13.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the work")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    trio.run(main, arguments.directory, 100 if arguments.short else 1_000)
