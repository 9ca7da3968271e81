"""Finds a living actor by its path."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from actors._errors import NameTaken
from actors._ref import Ref, SupervisorRef

if TYPE_CHECKING:
    from actors._ref import AnyRef


class Registry:
    """The paths of one system's actors and supervisors, "headend/sites/site-1/bess-1".

    A path is taken from the start of its cell to its end, through all restarts.
    """

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[str, AnyRef] = {}

    def whereis(self, path: str) -> Ref[Any] | None:
        """The actor at `path`. What it understands the caller must know: a name has no type."""
        ref = self._refs.get(path)
        return ref if isinstance(ref, Ref) else None

    def supervisor(self, path: str) -> SupervisorRef | None:
        """The supervisor at `path`."""
        ref = self._refs.get(path)
        return ref if isinstance(ref, SupervisorRef) else None

    def __contains__(self, path: str) -> bool:
        return path in self._refs

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._refs))

    def __len__(self) -> int:
        return len(self._refs)

    def add(self, ref: "AnyRef") -> None:
        """Take the path of a new cell."""
        if ref.path in self._refs:
            raise NameTaken(f"{ref.path}: this path is taken; stop {self._refs[ref.path]} first")
        self._refs[ref.path] = ref

    def remove(self, path: str) -> None:
        """Free the path of a cell that ended."""
        del self._refs[path]
