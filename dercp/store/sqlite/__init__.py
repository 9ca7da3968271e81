"""The store in SQLite files: WAL, synchronous=FULL, one process, on Trio through apsw."""

from dercp.store.sqlite._history import (
    HISTORY_NAME,
    open_history,
    purpose_of_history,
    wipe_history,
)
from dercp.store.sqlite._store import FILE_NAME, open_sqlite, purpose_of_sqlite, wipe_sqlite

__all__ = [
    "FILE_NAME",
    "HISTORY_NAME",
    "open_history",
    "open_sqlite",
    "purpose_of_history",
    "purpose_of_sqlite",
    "wipe_history",
    "wipe_sqlite",
]
