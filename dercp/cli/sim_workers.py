"""The processes of a load, as the one who starts them sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

import msgspec
import trio
from msgspec.structs import replace

from dercp.cli.exits import CommandError
from sim.load.accounts import SpoolLedger
from sim.load.latency import Latencies
from sim.load.plan import Plan
from sim.load.words import LINE_BYTES_MAX, Counts, Done, Failed, Ledgers, Order, Progress, decode

_COMMAND: Final = (sys.executable, "-m", "sim.load.worker")
# The log levels of the processes; their lines go to standard error.
QUIET: Final = "ERROR"
TALKATIVE: Final = "INFO"


def shares(plan: Plan, processes: int) -> Iterator[Plan]:
    """The plan in parts, the sites dealt out evenly; no more parts than sites."""
    fleet, first = plan.fleet, plan.fleet.first_site
    processes = min(processes, fleet.sites)
    for number in range(processes):
        sites = fleet.sites // processes + (number < fleet.sites % processes)
        share = replace(fleet, first_site=first, sites=sites)
        yield replace(plan, fleet=share, starts_per_s=plan.starts_per_s / processes)
        first += sites


class Workers:
    """All processes of a load.

    Characteristics:
        Bound: a line of `LINE_BYTES_MAX` bytes each; what is not read waits in its pipe, and
            its writer with it.
        End: they end when told, when this process ends, and at the latest with the block.
    """

    def __init__(self, plans: Sequence[Plan], log_level: str) -> None:
        self._workers = [_Worker(plan, log_level) for plan in plans]

    async def run(self) -> None:
        """Until all have told everything.

        Raises:
            CommandError: One cannot go on.
        """
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(worker.run)

    async def order(self, order: Order) -> None:
        """Tell all."""
        for worker in self._workers:
            await worker.order(order)

    def counts(self) -> Counts:
        """Where they stand, all in all."""
        sums = Counts()
        for worker in self._workers:
            sums += worker.progress.counts
        return sums

    def ack_latencies(self) -> Latencies:
        """Since they were told to measure."""
        sums = Latencies()
        for worker in self._workers:
            sums.add(worker.progress.ack_counts)
        return sums

    @property
    def cpu_s(self) -> float:
        """What they have cost, in seconds of a core."""
        return sum(worker.progress.cpu_s for worker in self._workers)

    def ledgers(self) -> list[SpoolLedger]:
        """Once they have ended."""
        return [ledger for worker in self._workers for ledger in worker.ledgers]


class _Worker:
    """One process."""

    def __init__(self, plan: Plan, log_level: str) -> None:
        agents = Counts(agents=plan.fleet.agents)
        self.progress = Progress(counts=agents, ack_counts={}, cpu_s=0.0)
        self.ledgers: list[SpoolLedger] = []
        self._plan = plan
        self._log_level = log_level
        self._process: trio.Process | None = None

    async def run(self) -> None:
        process = await trio.lowlevel.open_process(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "DERCP_SIM_LOG": self._log_level},
            # Ctrl-C is for this process alone, which then tells the others what to do.
            start_new_session=True,
        )
        self._process = process
        try:
            await self._say(msgspec.json.encode(self._plan))
            if not await self._hear(process):
                raise CommandError("a process of the load has died; its last words stand above")
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def order(self, order: Order) -> None:
        await self._say(order.value.encode())

    async def _say(self, line: bytes) -> None:
        assert self._process is not None  # noqa: S101 - it is said after the start
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            await self._process.stdin.send_all(line + b"\n")
        except trio.BrokenResourceError:
            return  # it has ended, and `run` says how

    async def _hear(self, process: trio.Process) -> bool:
        """Until the last word; False if that never came."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        rest = bytearray()
        async for chunk in process.stdout:
            *lines, tail = (bytes(rest) + chunk).split(b"\n")
            rest[:] = tail
            if any(map(self._take, lines)):
                return True
            if len(rest) > LINE_BYTES_MAX:
                raise CommandError("a process of the load talks without end")
        return False

    def _take(self, line: bytes) -> bool:
        """Take a word in; whether it was the last."""
        match word := decode(line):
            case Progress():
                self.progress = word
            case Ledgers(ledgers):
                self.ledgers += ledgers
            case Done():
                return True
            case Failed(why):
                raise CommandError(why)
            case _:
                assert_never(word)
        return False
