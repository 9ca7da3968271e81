"""A disk under SQLite that fails on demand, or loses its power."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import apsw


class Write(NamedTuple):
    """Bytes for a file at an offset; None cuts it off there."""

    offset: int
    data: bytes | None


class Disk(apsw.VFS):
    """A disk that fails on demand and knows what it would still hold without power.

    Attributes:
        faults: SQLite's error code for each operation that is to fail.
        faulty: How the paths end where it fails.
        durable: Content by path that was synced.
        pending: Writes by path, not synced: each may or may not survive.
        unreadable: Offsets from which nothing can be read, where paths end as `faulty` says.
        before_sync: Called while the disk still holds what it held before.
    """

    def __init__(self, name: str) -> None:
        self.faults: dict[str, int] = {}
        self.faulty = ""
        self.durable: dict[str, bytearray] = {}
        self.pending: dict[str, list[Write]] = {}
        self.before_sync: Callable[[], None] = lambda: None
        self.unreadable = range(0)
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> "File":  # noqa: N802  # SQLite's name
        """Open a file whose writes pass through here."""
        return File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802  # SQLite's
        """Delete a file; at once and for good, which is the worst that can happen."""
        super().xDelete(filename, syncdir)
        self.durable.pop(filename, None)
        self.pending.pop(filename, None)

    def check(self, operation: str, path: str) -> None:
        """Fail if this operation is to fail."""
        if operation in self.faults and path.endswith(self.faulty):
            raise apsw.exception_for(self.faults[operation])

    def without_power(self, chance: random.Random) -> dict[str, bytes]:
        """What a power cut leaves: all that was synced, and of the rest what chance says."""
        found = {}
        for path in {**self.durable, **self.pending}:
            content = bytearray(self.durable.get(path, b""))
            for write in self.pending.get(path, ()):
                if chance.random() < 0.5:
                    apply(content, write)
            found[path] = bytes(content)
        return found


class File(apsw.VFSFile):
    """A file of a `Disk`."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  # SQLite's name
        """Read, unless a bad sector is in the way."""
        bad = self._disk.unreadable
        if (
            offset < bad.stop
            and bad.start < offset + amount
            and self._path.endswith(self._disk.faulty)
        ):
            raise apsw.exception_for(apsw.SQLITE_IOERR_READ)
        return bytes(super().xRead(amount, offset))

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  # SQLite's name
        """Write, pending until the next sync."""
        self._disk.check("write", self._path)
        super().xWrite(data, offset)
        self._disk.pending.setdefault(self._path, []).append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  # SQLite's name
        """Cut off, pending until the next sync."""
        self._disk.check("write", self._path)
        super().xTruncate(newsize)
        self._disk.pending.setdefault(self._path, []).append(Write(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        """Make durable what is pending."""
        self._disk.check("sync", self._path)
        self.synced(flags)
        self._disk.before_sync()
        content = self._disk.durable.setdefault(self._path, bytearray())
        for write in self._disk.pending.pop(self._path, ()):
            apply(content, write)

    def synced(self, flags: int) -> None:
        """Ask the real disk."""
        super().xSync(flags)


def apply(content: bytearray, write: Write) -> None:
    """Change the content as the write says."""
    if write.data is None:
        del content[write.offset :]
        return
    content.extend(bytes(max(0, write.offset - len(content))))
    content[write.offset : write.offset + len(write.data)] = write.data
