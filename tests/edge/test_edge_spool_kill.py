"""kill -9 at any moment: what was kept is there, and no number is used twice."""

import os
import random
import subprocess
import sys
from pathlib import Path

import trio
from outbox_plant import on_disk

import dercp
from dercp.edge.spool.outbox import Batch
from dercp.edge.spool.spool import Spool

KILLS = 20
CHILD = Path(__file__).with_name("put_until_killed.py")
ROOT = Path(dercp.__file__).parents[1]


class Account:
    """What the children said before they were killed."""

    def __init__(self) -> None:
        self.spools: set[str] = set()
        self.kept: list[int] = []
        self.known: set[int] = set()

    def read(self, lines: list[str]) -> None:
        """Take in what one child said."""
        for line in lines:
            word, *rest = line.split()
            if word == "spool":
                self.spools.add(rest[0])
            elif word == "kept":
                self.kept.append(int(rest[0]))
            else:
                self.known.update(range(int(rest[0]), int(rest[1]) + 1))


async def killed_after(directory: Path, lines: int) -> list[str]:
    """Let a child work until it has said so much; then kill it."""
    child = await trio.lowlevel.open_process(
        [sys.executable, str(CHILD), str(directory)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{CHILD.parent}"},
    )
    assert child.stdout is not None
    said = b""
    try:
        while said.count(b"\n") < lines:
            received = await child.stdout.receive_some()
            assert received, "the child ended by itself"
            said += received
    finally:
        child.kill()
    async for received in child.stdout:
        said += received
    await child.wait()
    # A line cut off by the kill says nothing.
    return said.decode().split("\n")[:-1]


async def test_a_killed_agent_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """Twenty kills at random moments, all on one spool.

    Afterwards every number that was ever given is held by the headend, waits, or is declared.
    """
    moments = random.Random(7)
    account = Account()
    with trio.fail_after(120):
        for _ in range(KILLS):
            account.read(await killed_after(tmp_path, moments.randrange(2, 600)))
        async with on_disk(tmp_path) as spool:
            spool.begin_session()
            account.spools.add(spool.spool_id)
            last = spool.statistics().last_sequence
            waiting, declared = await everything(spool)
    assert len(account.spools) == 1
    assert len(set(account.kept)) == len(account.kept), "a number was used twice"
    assert waiting | account.known | declared == set(range(1, last + 1))
    # Only a batch whose `put` had not returned may be declared: at most one a kill.
    assert declared.isdisjoint(account.kept)
    assert len(declared - account.known) <= KILLS


async def everything(spool: Spool) -> tuple[set[int], set[int]]:
    """What waits in a spool, and what it declares."""
    waiting: set[int] = set()
    declared: set[int] = set()
    while spool.statistics().waiting:
        while (outgoing := spool.next_unsent()) is not None:
            parcel = outgoing.parcel
            numbers = range(parcel.sequences.first, parcel.sequences.last + 1)
            (waiting if isinstance(parcel, Batch) else declared).update(numbers)
            spool.sent(outgoing)
            spool.acknowledged(spool.spool_id, [parcel.sequences])
        await trio.sleep(0.01)
    return waiting, declared
