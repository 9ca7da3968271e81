"""Damaged files, kept beside the new one for whoever can still read them."""

from contextlib import suppress
from itertools import count
from pathlib import Path

_MARK = ".damaged-"
_WAL = "-wal"
_SHARED_MEMORY = "-shm"
_SUSPECT = ".suspect"
_SQLITE_BYTES_MIN = 512


def suspect(path: Path) -> None:
    """Leave word for the next opening that the file cannot be written any more."""
    with suppress(OSError):  # on a full disk the damage is found again instead
        Path(f"{path}{_SUSPECT}").touch()


def is_suspect(path: Path) -> bool:
    """Whether somebody left that word, or the file is too short for a database.

    SQLite would take a few bytes for an empty one and write over them.
    """
    size = path.stat().st_size if path.exists() else 0
    return 0 < size < _SQLITE_BYTES_MIN or Path(f"{path}{_SUSPECT}").exists()


def set_aside(path: Path) -> None:
    """Give the file and its WAL another name, under which SQLite finds them together."""
    aside = next(
        name for number in count(1) if not (name := Path(f"{path}{_MARK}{number}")).exists()
    )
    # The WAL first and the word last: killed in between, we come here again.
    wal = Path(f"{path}{_WAL}")
    if wal.exists():
        wal.rename(f"{aside}{_WAL}")
    Path(f"{path}{_SHARED_MEMORY}").unlink(missing_ok=True)
    path.rename(aside)
    Path(f"{path}{_SUSPECT}").unlink(missing_ok=True)


def found_aside(path: Path) -> tuple[str, ...]:
    """The names of the files that were set aside and are still there."""
    found = path.parent.glob(f"{path.name}{_MARK}*")
    return tuple(sorted(each.name for each in found if each.suffix.removeprefix(_MARK).isdigit()))
