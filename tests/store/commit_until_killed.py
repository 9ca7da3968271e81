"""A headend in little: commits dispatches and names each one that was acknowledged.

Arguments: the data directory, and a word that no earlier run used. It never ends by itself.
"""

import itertools
import os
import sys
from pathlib import Path

import trio

from dercp.model.dispatch import AssetTarget, DispatchRequest, submit
from dercp.store import IdempotencyRecord, Store, open_sqlite

REQUEST = DispatchRequest(
    target=AssetTarget("bess-1"),
    setpoint_mw=2.0,
    start_us=1_000_000,
    until_us=901_000_000,
    deliver_by_us=31_000_000,
)


async def main(directory: Path, word: str) -> None:
    """Three writers, so that commits are shared."""
    async with open_sqlite(directory) as store, trio.open_nursery() as nursery:
        for writer in range(3):
            nursery.start_soon(commit_for_ever, store, f"{word}-{writer}")


async def commit_for_ever(store: Store, prefix: str) -> None:
    """One commit after the other, each with its key."""
    for number in itertools.count():
        name = f"{prefix}-{number}"
        key = IdempotencyRecord(
            tenant_id="default", key=name, fingerprint="f", dispatch_id=name, created_us=1
        )
        await store.dispatches.commit([submit(name, "default", REQUEST, 1_000_000)], [key])
        os.write(1, f"{name}\n".encode())


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2])
