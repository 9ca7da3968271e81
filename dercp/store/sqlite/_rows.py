"""Records and rows: a column is named as its field, and stands in the same order."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

import apsw
import msgspec

from dercp.store.records import Record
from dercp.store.sqlite._connection import Row

R = TypeVar("R", bound=Record)

_ROWS_AT_ONCE = (256, 16, 1)


def select(kind: type[Record], table: str) -> str:
    """The beginning of a SELECT whose rows `records` understands."""
    return f"SELECT {_columns(kind)} FROM {table}"  # noqa: S608  # names from our own code


def insert(kind: type[Record], table: str) -> str:
    """An INSERT of one record, to be bound to its `row_of`."""
    marks = ", ".join("?" for _ in kind.__struct_fields__)
    return f"{insert_into(kind, table)} VALUES ({marks})"


def insert_into(kind: type[Record], table: str) -> str:
    """The beginning of an INSERT, up to VALUES, of what `row_of` gives."""
    return f"INSERT INTO {table} ({_columns(kind)})"


def put_many(db: apsw.Connection, begin: str, rows: Sequence[Row], end: str = "") -> None:
    """Insert many rows in few steps of SQLite.

    Between two steps the thread gives the interpreter away, and a busy event loop gives it
    back after milliseconds: row by row, a large group took half a second.

    Args:
        db: The connection, on its thread.
        begin: The statement up to VALUES.
        rows: All of one width.
        end: What follows the values.
    """
    done = 0
    for count in _ROWS_AT_ONCE:
        while len(rows) - done >= count:
            group = rows[done : done + count]
            mark = f"({', '.join('?' * len(group[0]))})"
            marks = ", ".join([mark] * count)
            db.execute(f"{begin} VALUES {marks} {end}", tuple(chain(*group)))
            done += count


def row_of(record: Record) -> Row:
    """The record's values in the order of its columns."""
    return msgspec.structs.astuple(record)


def records(kind: type[R], rows: Iterable[Row]) -> tuple[R, ...]:
    """The records of rows that came from `select`."""
    fields = kind.__struct_fields__
    return tuple(kind(**dict(zip(fields, row, strict=True))) for row in rows)


def _columns(kind: type[Record]) -> str:
    return ", ".join(kind.__struct_fields__)
