"""What the outbox's tests share: drafts, places to keep them, and an auditor at the other end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog
import trio

from dercp.edge.spool.outbox import Batch, Draft, Gap, Lane, Outbox, Outgoing, Sequences
from dercp.edge.spool.settings import SpoolSettings
from dercp.edge.spool.spool import Spool, in_line, open_memory_outbox, open_spool

LOG = structlog.get_logger()
REGISTRATION_ID = bytes(16)


def draft(
    number: int, size: int = 100, samples: int = 1, registration_id: bytes = REGISTRATION_ID
) -> Draft:
    """A frame whose content and times tell its number."""
    payload = number.to_bytes(8, "big").ljust(size, b".")
    return Draft(
        registration_id=registration_id,
        payload=payload,
        from_us=number * 1_000_000,
        to_us=number * 1_000_000 + 1,
        samples=samples,
    )


@asynccontextmanager
async def working(opening: AbstractAsyncContextManager[Spool]) -> AsyncIterator[Spool]:
    """An outbox whose own work is being done."""
    async with opening as outbox, trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        yield outbox
        nursery.cancel_scope.cancel("the test is over")


class OpenOutbox(Protocol):
    """Opens the same place at each call."""

    def __call__(self, bytes_max: int = ...) -> AbstractAsyncContextManager[Spool]:
        """Open it."""
        ...


def in_memory(bytes_max: int = 1_000_000) -> AbstractAsyncContextManager[Spool]:
    """An outbox that is new each time."""
    return working(open_memory_outbox(lambda: None, LOG, bytes_max))


def on_disk(
    directory: Path,
    settings: SpoolSettings | None = None,
    vfs: str | None = None,
    registration: bytes = b"",
) -> AbstractAsyncContextManager[Spool]:
    """The spool in a directory, its disk's work done in line."""
    settings = settings or SpoolSettings(bytes_max=1_000_000)
    return working(
        open_spool(
            directory,
            "edge-1",
            settings,
            lambda: None,
            LOG,
            registration=registration,
            runner=in_line,
            vfs=vfs,
        )
    )


class Auditor:
    """A headend that holds what came, acknowledges when told to, and counts.

    What it holds outlives sessions and restarts of the edge, as the real one's log does.
    """

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.gaps: dict[tuple[int, int], int] = {}
        self.unacknowledged: list[Sequences] = []
        self.order: list[tuple[int, Lane]] = []

    def take(self, outbox: Outbox) -> Outgoing | None:
        """Take the next parcel, if there is one."""
        outgoing = outbox.next_unsent()
        if outgoing is None:
            return None
        parcel = outgoing.parcel
        self.order.append((parcel.sequences.first, outgoing.lane))
        self.unacknowledged.append(parcel.sequences)
        match parcel:
            case Batch(sequence, frame):
                before = self.held.setdefault(sequence, frame.samples)
                assert before == frame.samples, "a number was used twice"
            case Gap():
                key = (parcel.sequences.first, parcel.sequences.last)
                assert self.gaps.setdefault(key, parcel.samples) == parcel.samples
        outbox.sent(outgoing)
        return outgoing

    def acknowledge(self, outbox: Outbox, count: int | None = None) -> None:
        """Acknowledge the oldest of what was not, or all."""
        count = len(self.unacknowledged) if count is None else count
        ranges, self.unacknowledged = self.unacknowledged[:count], self.unacknowledged[count:]
        if ranges:
            outbox.acknowledged(outbox.spool_id, ranges)

    async def take_all(self, outbox: Outbox) -> None:
        """Take and acknowledge until nothing waits."""
        with trio.fail_after(100_000):
            while outbox.statistics().waiting:
                while self.take(outbox) is not None:
                    pass
                self.acknowledge(outbox)
                await trio.sleep(2)

    @property
    def declared(self) -> dict[int, int]:
        """How often each number was declared that is not held."""
        counts: dict[int, int] = {}
        for first, last in self.gaps:
            for number in range(first, last + 1):
                counts[number] = counts.get(number, 0) + 1
        return counts

    def missing_samples(self) -> int:
        """What the gaps say is lost, less what of it is held after all."""
        return sum(
            samples - sum(self.held.get(number, 0) for number in range(first, last + 1))
            for (first, last), samples in self.gaps.items()
        )

    def check(self, last: int, produced: int) -> None:
        """Every number is held or declared, no gap overlaps another, and every sample counts."""
        assert set(self.held) | set(self.declared) == set(range(1, last + 1))
        assert set(self.declared.values()) <= {1}
        assert sum(self.held.values()) + self.missing_samples() == produced


Opening = Callable[[int], AbstractAsyncContextManager[Spool]]
