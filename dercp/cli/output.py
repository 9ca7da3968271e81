"""Where a command's answer goes: tables to a terminal, JSON elsewhere."""

import sys
from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec
from rich.console import Console, RenderableType

from dercp.cli.client import read

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class TableMaker(Protocol[T_contra]):
    """Makes a table that fits a terminal."""

    def __call__(self, items: Iterable[T_contra], /, *, width: int) -> RenderableType:
        """The table, for a terminal of so many columns."""


def show(
    found: Iterable[msgspec.Raw],
    shape: type[T],
    table: TableMaker[T],
    *,
    nothing: str,
    json: bool,
) -> None:
    """Show a list in the way that fits who reads it; `nothing` tells people that it is empty."""
    console = Console(highlight=False)
    if wants_json(asked=json, console=console):
        write_json_list(found)
        return
    items = [read(raw, shape) for raw in found]
    console.print(table(items, width=console.width) if items else nothing)


def wants_json(*, asked: bool, console: Console) -> bool:
    """Whether programs read the answer: they asked, or there is no terminal."""
    return asked or not console.is_terminal


def write_json(document: msgspec.Raw) -> None:
    """One JSON document on a line, as the API gave it."""
    _write(bytes(document) + b"\n")


def write_json_list(items: Iterable[msgspec.Raw]) -> None:
    """One JSON list, written as its items come."""
    comma = b"["
    for item in items:
        _write(comma + bytes(item))
        comma = b","
    _write(b"]\n" if comma == b"," else b"[]\n")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things: 1 asset, 1,000 assets."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _write(text: bytes) -> None:
    sys.stdout.write(text.decode())
    sys.stdout.flush()
