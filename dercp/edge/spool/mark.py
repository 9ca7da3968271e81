"""A few numbers beside the spool, so that no number is used twice whatever happens to it.

The headend takes a number that it has seen for a repetition. If a disk loses the end of
the spool's log, the spool has forgotten its last numbers; given to new batches, those
would be lost in silence. So each number is also written here, before its batch is written
there: without an fsync, into a block that exists, which costs some microseconds and needs
no room. A killed process leaves both whole. What a power cut leaves is compared:

    the mark is ahead of the spool   the difference is lost, and exactly known
    they agree                       nothing is lost, or (sync = "normal") both ends are;
                                     the mark is then from another boot and not closed, and
                                     the numbers up to `reserved` are passed over
    the spool is gone                what waited in it is lost, and nearly known
"""

import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

__all__ = ["RESERVED", "Mark", "MarkFile", "boot_id", "read_mark"]

MARK_BYTES: Final = 512
# With sync = "normal": one fsync of the mark for so many numbers.
RESERVED: Final = 1000


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a spool has come. `samples` counts those of all batches it ever numbered."""

    spool_id: str
    sequence: int
    samples: int
    to_us: int
    # Synced; no number beyond it was used.
    reserved: int = 0
    # Of what waited when this was written.
    waiting_first: int = 0
    waiting_samples: int = 0
    waiting_from_us: int = 0
    boot: str = ""
    closed: bool = False


class MarkFile:
    """The file that a mark is kept in."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> Self:
        """Use it in a `with` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def write(self, mark: Mark) -> None:
        """Replace the mark. A killed process has it written."""
        os.pwrite(self._descriptor, _encoded(mark), 0)

    def sync(self) -> None:
        """Make it survive a power cut."""
        os.fsync(self._descriptor)


def read_mark(path: Path) -> Mark | None:
    """The mark in a file; None if there is none that can be trusted."""
    try:
        content = path.read_bytes()
        crc, _, text = content.rstrip(b" ").partition(b" ")
        if int(crc, 16) == zlib.crc32(text):
            return msgspec.json.decode(text, type=Mark)
    except (OSError, ValueError):
        pass
    return None


def boot_id() -> str:
    """Names the time since the machine was started; "" where that is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _encoded(mark: Mark) -> bytes:
    text = msgspec.json.encode(mark)
    return b"%08x %s" % (zlib.crc32(text), text) + b" " * max(0, MARK_BYTES - 9 - len(text))
