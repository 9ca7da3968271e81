"""kill -9 of agents and headend as processes, at random moments under load; then the audit."""

import multiprocessing
import os
import socket
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import trio
from chaos_ends import agent_config, be_agent, be_headend, clock, serving

from dercp.edge.agent import Agent, run_agent
from dercp.store import FrameRecord, Historian, open_history
from dercp.wire.v1 import edge_link_pb2 as upb
from sim.audit import Held, Ledger, audit

KILLS = int(os.environ.get("DERCP_CHAOS_KILLS", "40"))
SEED = int(os.environ.get("DERCP_CHAOS_SEED", "7"))
# Between two kills; the long ones let agents find their headend.
PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.3, 1.0)
LAST_LIFE = 0
AGENTS = ("edge-1", "edge-2")
# Read and not yet in the spool when the kill came: one in the collector, one being polled.
IN_HAND = 2
CATCH_UP_WITHIN_S = 90.0


class Ends:
    """The processes at both ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._forking = multiprocessing.get_context("forkserver")
        self._forking.set_forkserver_preload(["chaos_ends"])
        self._lives = count(1)
        self._running: dict[str, multiprocessing.process.BaseProcess] = {}
        self.port = free_port()

    def begin(self, name: str) -> None:
        """Let one live (again)."""
        if name == "headend":
            process = self._forking.Process(target=be_headend, args=(self._directory, self.port))
        else:
            life = next(self._lives)
            arguments = (self._directory, name, life, self.port)
            process = self._forking.Process(target=be_agent, args=arguments)
        process.start()
        self._running[name] = process

    def kill(self, name: str) -> None:
        """End it in whatever it is doing."""
        process = self._running.pop(name)
        assert process.is_alive(), f"{name} has ended by itself, with {process.exitcode}"
        process.kill()
        process.join()

    def kill_all(self) -> None:
        """End what runs still."""
        for name in list(self._running):
            self.kill(name)


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def ledger_of(directory: Path, agent_id: str) -> Ledger:
    """What the file of a spool says, read without the spool's code."""
    with closing(sqlite3.connect(directory / f"{agent_id}.spool")) as db:
        ((spool_id, sequence, samples),) = db.execute(
            "SELECT spool_id, sequence, samples FROM spool"
        ).fetchall()
        waiting = db.execute("SELECT first, last, samples FROM parcel ORDER BY first").fetchall()
    return Ledger(
        agent_id=agent_id,
        spool_id=spool_id,
        sequences=sequence,
        samples=samples,
        waiting=tuple(Held(*each) for each in waiting),
    )


async def catch_up(directory: Path, port: int, name: str) -> None:
    """Run the agent in peace until nothing waits that is older than this life; then stop it."""
    config = agent_config(directory, name, LAST_LIFE, port)
    began_us = clock()
    async with trio.open_nursery() as nursery:
        agent: Agent = await nursery.start(partial(run_agent, config, clock=clock))
        while is_behind(agent, began_us):  # noqa: ASYNC110 - an agent tells nobody what waits
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel("all is delivered")


def is_behind(agent: Agent, began_us: int) -> bool:
    """Whether there is something still to come of the lives before."""
    status = agent.status()
    oldest_us = status.outbox.oldest_us
    return status.uplink.session is None or (oldest_us is not None and oldest_us < began_us)


async def numbers_stored(history: Historian, agent_id: str) -> dict[int, list[int]]:
    """By life of the agent, the numbers of its samples in the order of the sequences."""
    frames: list[FrameRecord] = []
    after = None
    while True:
        page = await history.frames("default", agent_id, 0, 2**62, after)
        frames += page.frames
        after = page.next_after
        if after is None:
            break
    found: dict[int, list[int]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: frame.sequence):
        for row in upb.TelemetryPayload.FromString(frame.payload).rows:
            found[int(row.values[0])].append(int(row.values[1]))
    return found


def test_kills_at_both_ends_lose_nothing(tmp_path: Path) -> None:
    """Every sample that reached the spool is in the history once, in order."""
    sys.stdout.write(f"DERCP_CHAOS_SEED={SEED}\n")
    moments = Random(SEED)
    ends = Ends(tmp_path)
    try:
        for name in ("headend", *AGENTS):
            ends.begin(name)
        trio.run(_kill, ends, moments)
    finally:
        ends.kill_all()
    trio.run(_audit, tmp_path, ends.port)


async def _kill(ends: Ends, moments: Random) -> None:
    for _ in range(KILLS):
        await trio.sleep(moments.choice(PAUSES_S) * moments.uniform(0.5, 1.5))
        name = moments.choice(("headend", *AGENTS))
        ends.kill(name)
        ends.begin(name)


async def _audit(directory: Path, port: int) -> None:
    with trio.fail_after(CATCH_UP_WITHIN_S):
        async with serving(directory, port), trio.open_nursery() as nursery:
            for name in AGENTS:
                nursery.start_soon(catch_up, directory, port, name)
    ledgers = [ledger_of(directory, name) for name in AGENTS]
    async with open_history(directory) as history:
        verdict = await audit(history, ledgers)
        sys.stdout.write(f"{verdict}\n")
        assert verdict.exit_code == 0, str(verdict)
        assert history.statistics().set_aside == ()
        for spool in verdict.spools:
            # Only a batch that was being put when the kill came: one a kill.
            assert spool.declared_samples <= KILLS
            _check_devices(directory, spool.agent_id, await numbers_stored(history, spool.agent_id))


def _check_devices(directory: Path, agent_id: str, stored: dict[int, list[int]]) -> None:
    """What the devices counted is what is stored, but for the last reads before a kill."""
    for notes in directory.glob(f"{agent_id}.*.reads"):
        life = int(notes.suffixes[-2][1:])
        read = int(notes.read_text(encoding="utf-8") or "0")
        numbers = stored.get(life, [])
        assert numbers == list(range(1, len(numbers) + 1)), f"life {life}"
        if life != LAST_LIFE:
            # A kill may have come between note and spool.
            assert len(numbers) >= read - IN_HAND, f"life {life} read {read}"
