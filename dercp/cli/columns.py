"""History as columns: which there are for these assets, and what stands in them."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import chain
from typing import Protocol, TypeAlias

import msgspec

from dercp.cli.exits import CommandError
from dercp.cli.shapes import AssetPoints, Bucket, Doubt, HistoryPart, Sample, Summary

Cell: TypeAlias = str | float | int | None
Cells: TypeAlias = Sequence[Sequence[Cell]]

_NOTHING = Summary(None, None, None, 0, 0)


class Holds(Enum):
    """What stands in a column."""

    WORD = auto()
    """One of a few texts."""
    TEXT = auto()
    TIME = auto()
    NUMBER = auto()
    COUNT = auto()


class Column(msgspec.Struct, frozen=True):
    """A column; `unit` is empty where there is none."""

    name: str
    holds: Holds
    unit: str = ""


class Layout(Protocol):
    """How parts of history become columns."""

    @property
    def columns(self) -> Sequence[Column]:
        """All of them, in order."""
        ...

    def cells(self, asset: AssetPoints, part: HistoryPart) -> Cells:
        """For each column as many cells as the part has rows."""
        ...


class SampleLayout:
    """A row for each sample: its times, and two columns for each point.

    A value that is not known is empty, and its quality `bad`; where the asset has no such
    point both are empty. `reasons` is empty when all values are good.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        self._points = tuple(units)
        points = (
            (Column(name, Holds.NUMBER, unit), Column(f"{name}_quality", Holds.WORD))
            for name, unit in units.items()
        )
        self.columns: Sequence[Column] = _distinct(
            Column("asset_id", Holds.WORD),
            Column("site_id", Holds.WORD),
            Column("source_time", Holds.TIME),
            Column("ingest_time", Holds.TIME),
            *chain.from_iterable(points),
            Column("reasons", Holds.TEXT),
        )

    def cells(self, asset: AssetPoints, part: HistoryPart) -> Cells:
        """For each column as many cells as there are samples."""
        rows = part.samples
        empty: Sequence[Cell] = [None] * len(rows)
        values = [row.values for row in rows]
        doubts = [row.doubts for row in rows]
        cells: list[Sequence[Cell]] = [
            [asset.id] * len(rows),
            [asset.site_id] * len(rows),
            [row.source_time for row in rows],
            [row.ingest_time for row in rows],
        ]
        names = {point.name for point in asset.points}
        doubtful = set(chain.from_iterable(filter(None, doubts)))
        for name in self._points:
            if name not in names:
                cells += [empty, empty]
                continue
            numbers = [each.get(name) for each in values]
            cells.append(numbers)
            if name not in doubtful and None not in numbers:
                cells.append(["good"] * len(rows))
                continue
            cells.append(
                [
                    _quality(name, doubt) if name in value else None
                    for value, doubt in zip(values, doubts, strict=True)
                ]
            )
        cells.append([None if doubt is None else _reasons(doubt) for doubt in doubts])
        return cells


class BucketLayout:
    """A row for each bucket: its start, how many samples, and five columns for each point."""

    def __init__(self, units: Mapping[str, str]) -> None:
        self._points = tuple(units)
        self.columns: Sequence[Column] = _distinct(
            Column("asset_id", Holds.WORD),
            Column("site_id", Holds.WORD),
            Column("start", Holds.TIME),
            Column("samples", Holds.COUNT),
            *chain.from_iterable(_summary_columns(name, unit) for name, unit in units.items()),
        )

    def cells(self, asset: AssetPoints, part: HistoryPart) -> Cells:
        """For each column as many cells as there are buckets."""
        rows = part.buckets
        cells: list[Sequence[Cell]] = [
            [asset.id] * len(rows),
            [asset.site_id] * len(rows),
            [row.start for row in rows],
            [row.samples for row in rows],
        ]
        for name in self._points:
            found = [row.points.get(name, _NOTHING) for row in rows]
            cells.append([each.min for each in found])
            cells.append([each.mean for each in found])
            cells.append([each.max for each in found])
            cells.append([each.count for each in found])
            cells.append([each.good for each in found])
        return cells


def units_of(assets: Iterable[AssetPoints]) -> dict[str, str]:
    """The points of all these assets with their units, in the order in which they come.

    Raises:
        CommandError: A column would hold two units.
    """
    units: dict[str, str] = {}
    for asset in assets:
        for point in asset.points:
            if units.setdefault(point.name, point.unit) != point.unit:
                raise CommandError(
                    f"{point.name} is in {point.unit} at {asset.id} and in {units[point.name]} "
                    "at another asset: export them apart, with --asset, or leave it out, "
                    "with --points"
                )
    return units


def rows_of(part: HistoryPart) -> Sequence[Sample] | Sequence[Bucket]:
    """Whichever the part has."""
    return part.samples or part.buckets


def time_of(row: Sample | Bucket) -> str:
    """When it was, or began."""
    return row.source_time if isinstance(row, Sample) else row.start


def _summary_columns(name: str, unit: str) -> Iterable[Column]:
    for part in ("min", "mean", "max"):
        yield Column(f"{name}_{part}", Holds.NUMBER, unit)
    for part in ("count", "good"):
        yield Column(f"{name}_{part}", Holds.COUNT)


def _quality(name: str, doubts: Mapping[str, Doubt] | None) -> str:
    if doubts is None or name not in doubts:
        return "good"
    return doubts[name].quality


def _reasons(doubts: Mapping[str, Doubt]) -> str | None:
    """As "soc_pct: stale, clock_suspect; setpoint_mw: out_of_range"."""
    told = (
        f"{name}: {', '.join(doubt.reasons)}" for name, doubt in doubts.items() if doubt.reasons
    )
    return "; ".join(told) or None


def _distinct(*columns: Column) -> Sequence[Column]:
    names = [column.name for column in columns]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CommandError(
            f"two columns would be called {min(twice)}: choose other points with --points"
        )
    return columns
