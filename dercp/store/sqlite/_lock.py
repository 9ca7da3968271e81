"""One headend per data directory."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dercp.store.errors import StoreBusy, StoreUnusable

_LOCK_NAME = "headend.lock"


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Keep every other process out of the data directory for the length of the block.

    The kernel holds the lock and drops it when the process ends, however it ends; the
    file stays, and holds the process id for the message to the one who comes second.

    Raises:
        StoreBusy: Another process (or this one, elsewhere) has the directory.
        StoreUnusable: The directory is missing or not writable.
    """
    path = directory / _LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _not_opened(directory, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StoreBusy(
                f"{directory}: another headend (process {holder}) works in this data directory; "
                "stop it, or give this one a directory of its own"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _not_opened(directory: Path, error: OSError) -> StoreUnusable:
    match error.errno:
        case errno.ENOENT:
            mend = "create it, or correct the data directory in the configuration"
        case errno.ENOTDIR:
            mend = "name a directory, not a file"
        case _:
            mend = "the user the headend runs as must be able to write there"
    return StoreUnusable(f"{directory}: cannot be the data directory ({error.strerror}); {mend}")
