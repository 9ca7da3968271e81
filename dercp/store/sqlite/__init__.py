"""The store in one SQLite file: WAL, synchronous=FULL, one process, on Trio through apsw."""

from dercp.store.sqlite._store import FILE_NAME, open_sqlite

__all__ = ["FILE_NAME", "open_sqlite"]
