"""What an error of SQLite means for the one who must act, and for the work after it."""

from pathlib import Path

import apsw

from dercp.store.errors import (
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreUnusable,
)


class Fuse:
    """Lets work pass until the disk fails once, and nothing after that.

    A full disk and another program's lock do not blow it: SQLite has undone the
    transaction, and the next one may succeed. Every other failure does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blown: StoreError | None = None

    @property
    def failure(self) -> str | None:
        """Why nothing passes; None while work does."""
        return None if self._blown is None else str(self._blown)

    def check(self) -> None:
        """Raise what blew the fuse, if something did."""
        if self._blown is not None:
            raise type(self._blown)(str(self._blown)) from self._blown

    def close(self) -> None:
        """Let nothing pass any more: the store is being closed."""
        if self._blown is None:
            self._blown = StoreClosed(f"{self._path}: the store is closed; open it anew")

    def judge(self, error: apsw.Error) -> StoreError:
        """What the error is called outside, remembered when it is final."""
        match error:
            case apsw.FullError():
                return StoreFull(
                    f"{self._path}: no room on the disk, nothing was written; "
                    "free some and writes work again"
                )
            case apsw.BusyError() | apsw.LockedError():
                return StoreBusy(
                    f"{self._path}: another program keeps the file locked; "
                    "end what works on it (a backup, an sqlite3 shell)"
                )
            case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
                self._blown = StoreUnusable(
                    f"{self._path}: cannot be opened for writing ({_code(error)}); the user the "
                    "headend runs as must be able to write this file and its directory"
                )
            case apsw.CorruptError() | apsw.NotADBError():
                self._blown = StoreDamaged(
                    f"{self._path}: damaged ({_code(error)}); "
                    "stop the headend, keep the file for inspection, restore a backup"
                )
            case _:
                self._blown = StoreFailed(
                    f"{self._path}: the disk failed ({_code(error)}: {error}); nothing more is "
                    "written or read until the headend is restarted: check the disk first"
                )
        return self._blown


def _code(error: apsw.Error) -> str:
    """The error by SQLite's own name, such as SQLITE_IOERR_FSYNC."""
    code: int = getattr(error, "extendedresult", -1)
    name = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code)
    return str(name or type(error).__name__)
