"""Finds a living actor by its path."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from actors._errors import NameTaken

if TYPE_CHECKING:
    from actors._cell import Cell
    from actors._ref import Ref
    from actors._supervisor import SupervisorRef


class Registry:
    """The paths of one system's actors and supervisors, "headend/sites/site-1/bess-1".

    A path is taken from the start of its cell to its end, through all restarts.
    """

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}

    def whereis(self, path: str) -> "Ref[Any] | None":
        """The actor at `path`. What it understands the caller must know: a name has no type."""
        from actors._actor import ActorCell

        cell = self._cells.get(path)
        return cell.ref if isinstance(cell, ActorCell) else None

    def supervisor(self, path: str) -> "SupervisorRef | None":
        """The supervisor at `path`."""
        from actors._supervisor import SupervisorCell

        cell = self._cells.get(path)
        return cell.ref if isinstance(cell, SupervisorCell) else None

    def __contains__(self, path: str) -> bool:
        return path in self._cells

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._cells))

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, cell: "Cell") -> None:
        """Take the path of a new cell."""
        if cell.path in self._cells:
            raise NameTaken(f"{cell.path}: this path is taken by a living {cell.kind}")
        self._cells[cell.path] = cell

    def remove(self, cell: "Cell") -> None:
        """Free the path of a cell that ended."""
        del self._cells[cell.path]
