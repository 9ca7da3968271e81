"""What columns are written to: a table of some form, and CSV as the form that needs nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import RawIOBase, StringIO
from typing import BinaryIO, Protocol

from dercp.cli.columns import Cell, Cells, Column


class TableFile(Protocol):
    """Takes columns piece by piece."""

    def add(self, cells: Cells) -> None:
        """More rows: for each column its cells."""

    def finish(self, notes: bytes) -> None:
        """Write what is still in hand; `notes` is JSON about the whole, for where it fits."""

    def close(self) -> None:
        """No more will be written, finished or not."""


class CsvFile:
    """Comma-separated values (RFC 4180) in UTF-8; what is not known is empty."""

    def __init__(self, file: Counted, columns: Sequence[Column]) -> None:
        self._file = file
        self._write([[column.name for column in columns]])

    def add(self, cells: Cells) -> None:
        """More rows."""
        self._write(zip(*cells, strict=True))

    def finish(self, notes: bytes) -> None:
        """All is written, and notes have no place in it."""

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, rows: Iterable[Sequence[Cell]]) -> None:
        text = StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())


class Counted(RawIOBase):
    """A file that is only written to, as a pipe, how much that was, and when it is enough."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._ended = False
        self.count = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer, as the file below takes it
        """Write all of it."""
        if not self._ended:
            self._file.write(data)
        size = memoryview(data).nbytes
        self.count += size
        return size

    def end(self) -> None:
        """What is written from now on goes nowhere."""
        self._ended = True

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.count
