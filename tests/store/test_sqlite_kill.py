"""kill -9 at any moment: what was acknowledged is there, and the directory is free."""

import os
import random
import subprocess
import sys
from pathlib import Path

import trio

import dercp
from dercp.store import open_sqlite

KILLS = 20
CHILD = Path(__file__).with_name("commit_until_killed.py")
ROOT = Path(dercp.__file__).parents[1]


async def acknowledged_before_the_kill(directory: Path, word: str, lines: int) -> list[str]:
    """Let a headend commit until so many acknowledgements were seen; then kill it."""
    child = await trio.lowlevel.open_process(
        [sys.executable, str(CHILD), str(directory), word],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    seen = b""
    try:
        while seen.count(b"\n") < lines:
            received = await child.stdout.receive_some()
            assert received, "the child ended by itself"
            seen += received
    finally:
        child.kill()
    async for received in child.stdout:
        seen += received
    await child.wait()
    # A line cut off by the kill is no acknowledgement.
    return seen.decode().split("\n")[:-1]


async def test_a_killed_headend_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Twenty kills at random moments, all on one data directory."""
    moments = random.Random(7)
    acknowledged: list[str] = []
    with trio.fail_after(120):
        for kill in range(KILLS):
            word = f"run{kill}"
            acknowledged += await acknowledged_before_the_kill(
                tmp_path, word, moments.randrange(1, 300)
            )
            async with open_sqlite(tmp_path) as store:
                there = {dispatch.dispatch_id for dispatch in await store.dispatches.open()}
                assert there.issuperset(acknowledged)
                # Three writers, each with at most one commit on its way.
                assert len(there) <= len(acknowledged) + 3 * (kill + 1)
                for name in there.difference(acknowledged):
                    assert await store.dispatches.find_key("default", name) is not None
