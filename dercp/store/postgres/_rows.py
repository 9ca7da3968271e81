"""Records and rows: a column is named as its field."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from dercp.store.postgres._bridge import Row
from dercp.store.records import Record

R = TypeVar("R", bound=Record)


def select(kind: type[Record], table: str) -> str:
    """The beginning of a SELECT whose rows `records` understands."""
    return f"SELECT {columns(kind)} FROM {table}"  # noqa: S608  # names from our own code


def insert(kind: type[Record], table: str) -> str:
    """An INSERT of one record, to be bound to its `values_of`."""
    marks = ", ".join(f"${number}" for number in range(1, len(kind.__struct_fields__) + 1))
    return f"INSERT INTO {table} AS old ({columns(kind)}) VALUES ({marks})"  # noqa: S608  # the same


def columns(kind: type[Record]) -> str:
    """Its fields, as a list of columns."""
    return ", ".join(kind.__struct_fields__)


def values_of(record: Record) -> tuple[Any, ...]:
    """The record's values in the order of its columns."""
    return msgspec.structs.astuple(record)


def records(kind: type[R], rows: Iterable[Row]) -> tuple[R, ...]:
    """The records of rows that came from `select`."""
    return tuple(kind(**dict(row.items())) for row in rows)
