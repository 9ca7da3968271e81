"""Which assets the people at the site have locked: no setpoint reaches them.

A lock is a line in a small file in the agent's data directory, which outlives every
process, works while the agent is down, and can be seen and removed with nothing but an
editor. `dercp edge lock` and `unlock` write it; the agent looks at it twice a second.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

__all__ = ["Lock", "LockoutError", "LockoutFile", "Lockouts", "Stamp"]

Stamp: TypeAlias = tuple[int, int, int] | None

# Some 200 bytes a lock.
BYTES_MAX: Final = 4 * 1024 * 1024


class LockoutError(Exception):
    """The file of locks cannot be read or written; the sentence says why."""


class Lock(msgspec.Struct, frozen=True):
    """Why an asset is locked, and since when (Unix microseconds)."""

    reason: str
    since_us: int


class Lockouts(msgspec.Struct, frozen=True):
    """The locks that are set, by asset. `all_locked` names why every asset counts as locked."""

    locks: Mapping[str, Lock] = MappingProxyType({})
    all_locked: str = ""

    def of(self, asset_id: str) -> str | None:
        """Why this asset is locked; None if it is not."""
        if self.all_locked:
            return self.all_locked
        lock = self.locks.get(asset_id)
        return None if lock is None else lock.reason


class LockoutFile:
    """The file `<agent id>.locks` in an agent's data directory."""

    def __init__(self, directory: Path, agent_id: str) -> None:
        self.path = directory / f"{agent_id}.locks"

    def stamp(self) -> Stamp:
        """What changes whenever the locks do; None while there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> Lockouts:
        """The locks that are set. What cannot be understood locks everything.

        Raises:
            LockoutError: The disk does not give the file away; nothing is known then.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(BYTES_MAX)
        except FileNotFoundError:
            return Lockouts()
        except OSError as error:
            raise LockoutError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            return Lockouts(_DECODER.decode(content))
        except msgspec.MsgspecError as error:
            return Lockouts(all_locked=f"{self.path.name} cannot be understood: {error}")

    def lock(self, asset_id: str, lock: Lock) -> None:
        """Lock an asset, or give its lock another reason.

        Raises:
            LockoutError: The file cannot be read or written.
        """
        self._write({**self._known(), asset_id: lock})

    def unlock(self, asset_id: str) -> Lock | None:
        """Take a lock away and return it; None if there was none.

        Raises:
            LockoutError: The file cannot be read or written.
        """
        locks = self._known()
        gone = locks.pop(asset_id, None)
        if gone is not None:
            self._write(locks)
        return gone

    def _known(self) -> dict[str, Lock]:
        lockouts = self.read()
        if lockouts.all_locked:
            raise LockoutError(f"{lockouts.all_locked}; mend or delete it")
        return dict(lockouts.locks)

    def _write(self, locks: Mapping[str, Lock]) -> None:
        """Whole or not at all, also in a power cut."""
        fresh = self.path.with_suffix(".locks.new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(dict(locks))) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise LockoutError(f"{self.path} cannot be written: {error.strerror}") from error


_DECODER = msgspec.json.Decoder(dict[str, Lock])
