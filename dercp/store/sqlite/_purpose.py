"""What a file was made for, and the end of those that were made to be thrown away."""

from pathlib import Path

import apsw

from dercp.store.errors import StoreUnusable
from dercp.store.records import Purpose
from dercp.store.sqlite._connection import transaction
from dercp.store.sqlite._lock import hold_directory

_READ = "SELECT purpose FROM purpose"
_WRITE = "UPDATE purpose SET purpose = ?"
_BUSY_TIMEOUT_MS = 5_000


def note_purpose(db: apsw.Connection, purpose: Purpose) -> None:
    """Write into a new file what it is made for."""
    with transaction(db):
        db.execute(_WRITE, (purpose,))


def purpose_of(path: Path) -> Purpose | None:
    """What a file was made for; None: there is no file.

    One that says nothing, or cannot be read, may be somebody's only copy.
    """
    if not path.exists():
        return None
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error:
        return Purpose.PRODUCTION
    try:
        db.set_busy_timeout(_BUSY_TIMEOUT_MS)
        return Purpose(db.execute(_READ).get)
    except (apsw.Error, ValueError):
        return Purpose.PRODUCTION
    finally:
        # Closed by the last one, the WAL is in the file: what is removed then is one thing.
        db.close()


def wipe(directory: Path, name: str, lock_name: str) -> None:
    """Remove a file, what SQLite keeps beside it, and what was set aside of it.

    Raises:
        StoreBusy: A headend works in the directory.
        StoreUnusable: The file was not made for development, or cannot be removed.
    """
    path = directory / name
    with hold_directory(directory, lock_name):
        if purpose_of(path) is Purpose.PRODUCTION:
            raise StoreUnusable(f"{path}: was not made for development, so it is not wiped")
        try:
            # The marked file last: killed in between, this can be done again.
            for beside in directory.glob(f"{name}?*"):
                beside.unlink()
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnusable(f"{path}: cannot be removed ({error.strerror})") from error
