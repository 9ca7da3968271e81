"""kill -9 at any moment: every batch that was acknowledged is there, and none twice."""

import random
from pathlib import Path

import trio
from history_samples import frame, read_all
from killing import acknowledged_before_the_kill

from dercp.store import open_history

KILLS = 20
CHILD = Path(__file__).with_name("append_until_killed.py")


async def test_a_killed_log_has_what_it_acknowledged_once(tmp_path: Path) -> None:
    """Twenty kills at random moments, all on one data directory."""
    moments = random.Random(7)
    acknowledged: dict[str, int] = {}
    with trio.fail_after(120):
        for kill in range(KILLS):
            lines = await acknowledged_before_the_kill(
                CHILD, tmp_path, f"run{kill}", moments.randrange(1, 200)
            )
            for line in lines:
                agent, number = line.split("/")
                acknowledged[agent] = int(number)
            async with open_history(tmp_path) as history:
                for agent, promised in acknowledged.items():
                    there = await read_all(history, agent)
                    assert there == [frame(n, agent=agent) for n in range(1, len(there) + 1)]
                    # One batch of each agent may have been on its way.
                    assert promised <= len(there) <= promised + 1
                    (spool,) = await history.sequences("default", agent)
                    assert [(each.first, each.last) for each in spool.stored] == [(1, len(there))]
                assert history.statistics().set_aside == ()
