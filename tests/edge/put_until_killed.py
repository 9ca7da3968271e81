"""An agent's spool in little: puts batches, names those that were kept, and is acknowledged.

Arguments: the data directory. It prints "kept N" when a put has returned, and "held N" when
a headend would hold a batch or a declaration. It never ends by itself.
"""

import os
import sys
from pathlib import Path

import structlog
import trio
from outbox_plant import draft

from dercp.edge.spool.outbox import Batch
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.spool.spool import Spool, open_spool


async def main(directory: Path) -> None:
    """Produce as fast as it goes, and acknowledge behind."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    log = structlog.get_logger()
    settings = SpoolSettings(bytes_max=1_000_000)
    async with open_spool(directory, "edge-1", settings, lambda: None, log) as spool:
        say(f"spool {spool.spool_id}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.run)
            nursery.start_soon(produce, spool)
            spool.begin_session()
            await deliver(spool)


async def produce(spool: Spool) -> None:
    """One batch after the other."""
    number = spool.statistics().last_sequence
    while True:
        number += 1
        await spool.put(draft(number))
        say(f"kept {number}")


async def deliver(spool: Spool) -> None:
    """Take three of four parcels, acknowledge every other one."""
    taken = 0
    while True:
        await trio.sleep(0.001)
        while (outgoing := spool.next_unsent()) is not None:
            taken += 1
            parcel = outgoing.parcel
            first, last = parcel.sequences.first, parcel.sequences.last
            if taken % 4:
                samples = parcel.frame.samples if isinstance(parcel, Batch) else parcel.samples
                kind = "held" if isinstance(parcel, Batch) else "gap"
                say(f"{kind} {first} {last} {samples}")
            spool.sent(outgoing)
            if taken % 4 in (1, 3):
                spool.acknowledged(spool.spool_id, [parcel.sequences])


def say(line: str) -> None:
    """One write, so that a kill cuts no line but the last."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
