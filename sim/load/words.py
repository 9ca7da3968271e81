"""What a process of the load and the one who started it say to each other, a line each.

plan ▶              the one line of JSON on standard input
measure ▶           all are connected: count from now on, and let the faults begin
stop ▶              heal the links, let the spools run empty, end; so does the end of input
◀ Progress          each second
◀ Ledgers           in the end, some at a time
◀ Done | Failed     the last line
"""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from sim.load.accounts import SpoolLedger

__all__ = [
    "LEDGERS_PER_LINE",
    "LINE_BYTES_MAX",
    "Counts",
    "Done",
    "Failed",
    "Ledgers",
    "Order",
    "Progress",
    "Word",
    "decode",
    "encode",
]

LINE_BYTES_MAX: Final = 1024 * 1024
LEDGERS_PER_LINE: Final = 200


class Order(StrEnum):
    """What a process is told after its plan."""

    MEASURE = "measure"
    STOP = "stop"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a load stands; counts since its start."""

    agents: int = 0
    # With a session.
    up: int = 0
    # Samples.
    produced: int = 0
    waiting: int = 0
    # Polls that came to nothing, in samples: the process or the headend was too slow.
    missed: int = 0
    # Batches that the headend acknowledged, as far as calls have heard.
    frames: int = 0
    # Sessions that were welcomed.
    sessions: int = 0

    @property
    def acknowledged(self) -> int:
        """Samples that the headend holds, or holds the declaration of."""
        return self.produced - self.waiting

    def __add__(self, other: "Counts") -> "Counts":
        """Of two processes together."""
        mine, others = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        names = self.__struct_fields__
        return Counts(**{n: a + b for n, a, b in zip(names, mine, others, strict=True)})


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How it goes. `ack_counts` are of `Latencies`, since `measure`."""

    counts: Counts
    ack_counts: dict[int, int]
    cpu_s: float


class Ledgers(msgspec.Struct, frozen=True, tag="ledgers"):
    """What some agents say they have produced."""

    ledgers: list[SpoolLedger]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All was told."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It cannot go on; a sentence says why."""

    why: str


Word: TypeAlias = Progress | Ledgers | Done | Failed

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def encode(word: Word) -> bytes:
    """A line."""
    return _encoder.encode(word) + b"\n"


def decode(line: bytes) -> Word:
    """The word on a line.

    Raises:
        msgspec.MsgspecError: It is none.
    """
    return _decoder.decode(line)
