"""A headend in little: logs batches and names each one that was acknowledged.

Arguments: the data directory, and a word that no earlier run used. It never ends by itself.
"""

import itertools
import os
import sys
from pathlib import Path

import trio
from history_samples import frame, small

from dercp.store import History, open_history
from dercp.store.sqlite import _history, _segments
from dercp.store.sqlite._writer import GroupLimits


async def main(directory: Path, word: str) -> None:
    """Three agents, so that commits are shared, and somebody who ages history out."""
    limits = small(retained_s=float(2**40))
    async with open_history(directory, limits) as history, trio.open_nursery() as nursery:
        for writer in range(3):
            nursery.start_soon(append_for_ever, history, f"{word}-{writer}")
        while True:
            await history.prune(0)


async def append_for_ever(history: History, agent: str) -> None:
    """One batch after the other, and each once more."""
    for number in itertools.count(1):
        await history.append([frame(number, agent=agent)])
        os.write(1, f"{agent}/{number}\n".encode())
        await history.append([frame(number, agent=agent)])


if __name__ == "__main__":
    # Kills are to meet the ends of segments, and not the pause between commits.
    _segments.SEGMENT_FRAMES = 10
    _history._GROUPS = GroupLimits(checkpoint_pages=50)
    trio.run(main, Path(sys.argv[1]), sys.argv[2])
