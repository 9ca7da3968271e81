"""kill -9 at any moment: what was acknowledged is there, and the directory is free."""

import random
from pathlib import Path

import trio
from killing import acknowledged_before_the_kill

from dercp.store import open_sqlite

KILLS = 20
CHILD = Path(__file__).with_name("commit_until_killed.py")


async def test_a_killed_headend_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Twenty kills at random moments, all on one data directory."""
    moments = random.Random(7)
    acknowledged: list[str] = []
    with trio.fail_after(120):
        for kill in range(KILLS):
            word = f"run{kill}"
            acknowledged += await acknowledged_before_the_kill(
                CHILD, tmp_path, word, moments.randrange(1, 300)
            )
            async with open_sqlite(tmp_path) as store:
                there = {dispatch.dispatch_id for dispatch in await store.dispatches.open()}
                assert there.issuperset(acknowledged)
                # Three writers, each with at most one commit on its way.
                assert len(there) <= len(acknowledged) + 3 * (kill + 1)
                for name in there.difference(acknowledged):
                    assert await store.dispatches.find_key("default", name) is not None
