"""Parquet, through pyarrow (the extra `export`)."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from dercp.cli.columns import Cells, Column, Holds
from dercp.cli.table_files import Counted

# Rows in hand at a time: so many that a group is worth it, and no more than some 30 MB.
CELLS_PER_GROUP = 4_000_000
ROWS_PER_GROUP = 120_000

_TIME = pa.timestamp("us", tz="UTC")
# What a column is in memory, from Python's values, and in the file.
_TYPES = {
    Holds.WORD: (pa.string(), pa.dictionary(pa.int32(), pa.string())),
    Holds.TEXT: (pa.string(), pa.string()),
    Holds.TIME: (pa.string(), _TIME),
    Holds.NUMBER: (pa.float64(), pa.float64()),
    Holds.COUNT: (pa.int64(), pa.int64()),
}
NOTES = b"dercp"


class ParquetFile:
    """A Parquet file in row groups.

    Characteristics:
        Times: microseconds in UTC. Words: dictionaries, so categories where they are read.
        Metadata: `unit` of each column that has one; of the file the notes, under `dercp`.
        Memory: one row group.
    """

    def __init__(self, file: Counted, columns: Sequence[Column]) -> None:
        self._file = file
        self._plain = [_TYPES[column.holds][0] for column in columns]
        self._schema = pa.schema([_field(column) for column in columns])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows_max = min(ROWS_PER_GROUP, max(1, CELLS_PER_GROUP // len(columns)))
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, cells: Cells) -> None:
        """More rows."""
        arrays = map(pa.array, cells, self._plain)
        batch = pa.RecordBatch.from_arrays(
            [
                array if array.type == field.type else array.cast(field.type)
                for array, field in zip(arrays, self._schema, strict=True)
            ],
            schema=self._schema,
        )
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= self._rows_max:
            self._write_group()

    def finish(self, notes: bytes) -> None:
        """The rest, the notes, and the footer."""
        self._write_group()
        self._writer.add_key_value_metadata({NOTES: notes})
        self._writer.close()

    def close(self) -> None:
        """Without the footer, if it is not finished: a part must not look whole."""
        self._file.end()
        self._writer.close()

    def _write_group(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._batches).unify_dictionaries().combine_chunks()
            self._writer.write_table(table, row_group_size=self._rows)
        self._batches, self._rows = [], 0


def _field(column: Column) -> pa.Field:
    metadata = {"unit": column.unit} if column.unit else None
    return pa.field(column.name, _TYPES[column.holds][1], metadata=metadata)
