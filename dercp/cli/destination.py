"""Where an export goes: a file that has its name when it is whole, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, assert_never

from dercp.cli.columns import Column
from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Form
from dercp.cli.table_files import Counted, CsvFile, TableFile


class Destination:
    """A file, or standard output, and the form of what is written there.

    Raises:
        CommandError: The form cannot be had here.
    """

    def __init__(self, output: Path | None, form: Form) -> None:
        self._output = output
        self._form = form
        if form is Form.PARQUET:
            if output is None and sys.stdout.isatty():
                raise CommandError("--output: Parquet is not for a terminal", code=Exit.USAGE)
            _require_pyarrow()

    @property
    def unfinished(self) -> str:
        """What there is after an export that was cut short."""
        return f"{self._output} was not written" if self._output else "what was written is a part"

    @contextmanager
    def opened(self, columns: Sequence[Column]) -> Iterator[tuple[TableFile, Counted]]:
        """A table of these columns, and the file below it.

        Raises:
            CommandError: It cannot be written.
        """
        with new_file(self._output) if self._output else _standard_output() as raw:
            file = Counted(raw)
            with closing(self._table(file, columns)) as table:
                yield table, file

    def _table(self, file: Counted, columns: Sequence[Column]) -> TableFile:
        match self._form:
            case Form.CSV:
                return CsvFile(file, columns)
            case Form.PARQUET:
                from dercp.cli.parquet import ParquetFile

                return ParquetFile(file, columns)
            case _:
                assert_never(self._form)


def form_of(output: Path | None) -> Form:
    """The form that the name of a file asks for."""
    if output is not None and output.suffix.lower() in {".parquet", ".pq"}:
        return Form.PARQUET
    return Form.CSV


@contextmanager
def new_file(path: Path, option: str = "--output") -> Iterator[BinaryIO]:
    """A file that has its name only when the block is through; before, and else, it has none.

    Args:
        path: Where; what was there is replaced.
        option: That named it.

    Raises:
        CommandError: It cannot be written.
    """
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():
            raise CommandError(f"{option}: {path} is no file", code=Exit.UNAVAILABLE)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise CommandError(
            f"{option}: {path} cannot be written: {(error.strerror or str(error)).lower()}",
            code=Exit.UNAVAILABLE,
        ) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - whether it is there
    except ImportError:
        raise CommandError(
            "Parquet needs the package pyarrow: pip install 'dercp[export]'",
            "or write CSV: --format csv",
            code=Exit.UNAVAILABLE,
        ) from None
