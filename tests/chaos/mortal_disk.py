"""A disk whose machine dies at one of its writes, and what the next life finds of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import apsw
from chaos_plan import Death
from faulty_disk import Disk, File


class MortalDisk(Disk):
    """The disk of one life of an agent; as a VFS it bears the name of its directory.

    It counts SQLite's writes, cuts and syncs alike. What is written beside SQLite (the
    spool's mark) is always found as it was last.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.directory = directory
        self.is_dead = False
        self._writes_left = 0
        self._on_death: Callable[[], None] | None = None
        # What the life before left is on the disk for good.
        for path in directory.iterdir():
            self.durable[str(path)] = bytearray(path.read_bytes())

    def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802  # SQLite's name
        """Open a file whose writes pass through here."""
        return _File(self, name, flags)

    def die_at(self, writes: int, on_death: Callable[[], None]) -> None:
        """Die at the write of this number from now on, before it is done."""
        self._writes_left = writes
        self._on_death = on_death

    def check(self, operation: str, path: str) -> None:
        """Nobody writes to the disk of the dead."""
        if self._on_death is not None:
            self._writes_left -= 1
            if self._writes_left == 0:
                self.die()
        if self.is_dead:
            raise apsw.exception_for(apsw.SQLITE_IOERR_WRITE)

    def die(self) -> None:
        """Now, and once."""
        if not self.is_dead:
            self.is_dead = True
            if self._on_death is not None:
                self._on_death()

    def leave(self, heir: Path, how: Death, chance: Random) -> None:
        """Put into an empty directory what this death leaves; to be called as it dies."""
        for path in sorted(self.directory.iterdir()):
            # The index of the WAL is memory shared among processes: none outlives the last.
            if not path.name.endswith("-shm"):
                shutil.copy(path, heir)
        if how is Death.POWER_CUT:
            for name, content in self.without_power(chance).items():
                if name.startswith(str(self.directory)) and not name.endswith(".mark"):
                    (heir / Path(name).name).write_bytes(content)


class _File(File):
    def synced(self, flags: int) -> None:
        """The real disk is not asked: what it would lose is kept in memory."""
