"""Brings the file to the schema this release knows."""

from importlib import resources
from pathlib import Path

import apsw

from dercp.store.errors import StoreNewer
from dercp.store.records import Purpose
from dercp.store.sqlite._connection import transaction
from dercp.store.sqlite._purpose import note_purpose

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT
"""


def migrate(db: apsw.Connection, path: Path, kind: str, purpose: Purpose) -> None:
    """Apply the steps for this kind of file that it has not seen, each in a transaction.

    A step that was released is never edited: a new one follows it.

    Args:
        db: The writing connection, on its thread.
        path: Of the file, for messages.
        kind: The folder of the steps.
        purpose: Noted in a file that is new.

    Raises:
        StoreNewer: The file has seen steps that this release does not know.
    """
    db.execute(_VERSIONS)
    reached: int = db.execute("SELECT coalesce(max(version), 0) FROM schema_version").get
    steps = _steps(kind)
    if reached > len(steps):
        raise StoreNewer(
            f"{path}: written by a newer release (schema {reached}, this one knows {len(steps)}); "
            "install that release, or restore the backup made before the upgrade"
        )
    for version, (name, sql) in enumerate(steps[reached:], start=reached + 1):
        with transaction(db):
            db.execute(sql)
            db.execute("INSERT INTO schema_version (version, name) VALUES (?, ?)", (version, name))
    if not reached:
        note_purpose(db, purpose)


def _steps(kind: str) -> list[tuple[str, str]]:
    """Name and text of each step, in the order of the numbers their names begin with."""
    folder = resources.files(__package__) / "migrations" / kind
    files = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(name.removesuffix(".sql"), file.read_text("utf-8")) for name, file in files]
