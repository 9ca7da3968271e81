"""Where the points of a SunSpec model stand: its definition, as pysunspec2 ships it.

The definitions are read from the package itself. Its own loader looks into the working
directory first, where any file named model_701.json would redefine what a device says.
"""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

__all__ = ["Field", "Layout", "layout_of"]

HEADER: Final = 2
"""Registers of a model's id and length, which its length does not count."""


class Field(msgspec.Struct, frozen=True):
    """One point of a model: `offset` in registers from the model's id.

    `scale` names the point that holds the power of ten, or is that power itself.
    """

    name: str
    type: str
    offset: int
    size: int
    scale: str | int | None = None


class Layout(msgspec.Struct, frozen=True, eq=False):
    """The points of a model, and those of the group that it repeats, if it does.

    Offsets in the group are those of its first repetition.
    """

    model_id: int
    fields: dict[str, Field]
    group: dict[str, Field]
    group_size: int

    def repetitions(self, length: int) -> int:
        """How often the group stands in a model of this length."""
        if not self.group_size:
            return 0
        first = min(field.offset for field in self.group.values())
        return max(0, (HEADER + length - first) // self.group_size)


@cache
def layout_of(model_id: int) -> Layout | None:
    """The layout of a model; None when it is not one of SunSpec's."""
    file = files("sunspec2") / "models" / "json" / f"model_{model_id}.json"
    if not file.is_file():
        return None
    top = msgspec.json.decode(file.read_bytes(), type=_Model).group
    fields, end = _placed(top.points, 0)
    group: dict[str, Field] = {}
    group_size = 0
    for inner in top.groups:
        placed, inner_end = _placed(inner.points, end)
        if inner.count is None:  # stands there once; its names are its own
            fields |= {f"{inner.name}.{name}": field for name, field in placed.items()}
        elif not group:
            group, group_size = placed, inner_end - end
        end = inner_end
    return Layout(model_id, fields, group, group_size)


class _Point(msgspec.Struct):
    name: str
    type: str
    size: int = 1
    sf: str | int | None = None


class _Group(msgspec.Struct):
    name: str
    points: list[_Point] = []
    groups: list["_Group"] = []
    count: str | int | None = None


class _Model(msgspec.Struct):
    group: _Group


def _placed(points: list[_Point], offset: int) -> tuple[dict[str, Field], int]:
    placed = {}
    for point in points:
        placed[point.name] = Field(point.name, point.type, offset, point.size, point.sf)
        offset += point.size
    return placed, offset
