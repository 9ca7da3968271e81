"""What a process of the load runs: edge agents, or gateways with frames prepared ahead."""

from collections.abc import Iterator
from typing import Protocol

import trio

from sim.load.accounts import SpoolLedger
from sim.load.latency import Latencies
from sim.load.words import Counts

__all__ = ["Load"]


class Load(Protocol):
    """A fleet that produces.

    Attributes:
        latencies: From the sending of a batch to its acknowledgement, since `measure`.
    """

    latencies: Latencies

    async def start(self, nursery: trio.Nursery) -> None:
        """Start all agents, no faster than the plan says."""

    def measure(self) -> None:
        """All are connected, or waited for no longer: what is timed begins now."""

    async def drain(self, within_s: float) -> None:
        """Wait until next to nothing waits any more, at most so long."""

    async def stop(self) -> None:
        """End all agents in order; their last batches are still acknowledged."""

    def counts(self) -> Counts:
        """Where it stands."""
        ...

    def ledgers(self) -> Iterator[SpoolLedger]:
        """What all agents say they have produced, once they are stopped."""
        ...
