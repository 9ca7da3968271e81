"""One headend per data directory."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dercp.store.errors import StoreBusy, StoreUnusable


@contextmanager
def hold_directory(directory: Path, name: str) -> Iterator[None]:
    """Keep every other process out of the data directory for the length of the block.

    The kernel holds the lock and drops it when the process ends, however it ends; the
    file `name` stays, and holds the process id for the message to the one who comes second.

    Raises:
        StoreBusy: Another process (or this one, elsewhere) has the directory.
        StoreUnusable: The directory is missing or not writable.
    """
    try:
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        _lock(directory, descriptor)
        with suppress(OSError):  # only for the message: a full disk may refuse even this
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(directory: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise StoreBusy(
            f"{directory}: another headend (process {holder}) works in this data directory; "
            "stop it, or give this one a directory of its own"
        ) from None
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> StoreUnusable:
    match error.errno:
        case errno.ENOENT:
            mend = "create it, or correct the data directory in the configuration"
        case errno.ENOTDIR:
            mend = "name a directory, not a file"
        case errno.ENOLCK | errno.EOPNOTSUPP:
            mend = "its file system has no locks: use a local disk"
        case errno.ENOSPC:
            mend = "free some room on its disk"
        case _:
            mend = "the user the headend runs as must be able to write there"
    return StoreUnusable(f"{directory}: cannot be the data directory ({error.strerror}); {mend}")
