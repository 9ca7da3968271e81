"""`dercp history`: the history of one asset, as lines for programs or rows for people."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec
from rich.console import Console
from rich.text import Text

from dercp.cli.client import ApiClient
from dercp.cli.columns import rows_of, time_of
from dercp.cli.completeness import Completeness
from dercp.cli.output import counted
from dercp.cli.shapes import AssetPoints, Bucket, HistoryPart, Point, Sample
from dercp.cli.span import Span
from dercp.cli.tables import value

ROWS_PER_PART = 1_000
TIME_WIDTH = len("2026-11-23T14:00:00.250000Z")
NUMBER_WIDTH = 10


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What of which asset."""

    asset: str
    span: Span
    points: str | None
    resolution_s: int | None

    @property
    def path(self) -> str:
        """Where it is asked."""
        return f"/assets/{self.asset}/history"

    @property
    def query(self) -> dict[str, str | int | None]:
        """As the API wants it."""
        return {**self.span.query, "points": self.points, "resolution": self.resolution_s}


class History:
    """Asks for it, and shows it as it comes; no length of it is too much.

    Attributes:
        missing: What is not there, once the rest was shown.
    """

    def __init__(self, client: ApiClient, question: Question) -> None:
        self._client = client
        self._question = question
        self._agent_id = client.get(f"/assets/{question.asset}", AssetPoints).agent_id
        self.missing = Completeness(question.span)

    def stream(self, media_type: str) -> None:
        """As the API writes it in this form, to standard output."""
        # What that form does not tell: how complete it is, before it is read.
        self._part(limit=1, cursor=None)
        question = self._question
        for piece in self._client.stream(question.path, media_type, **question.query):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        self.missing.look_for_gaps(self._client)

    def table(self, console: Console) -> None:
        """In columns, as many as the terminal has room for."""
        part = self._part(limit=ROWS_PER_PART, cursor=None)
        names = [point.name for point in part.points]
        columns = Columns(names, console.width, buckets=self._question.resolution_s is not None)
        console.print(columns.header())
        count = 0
        while True:
            for row in rows_of(part):
                console.print(columns.line(row))
                count += 1
            cursor = part.next
            if cursor is None:
                break
            part = self._part(limit=ROWS_PER_PART, cursor=cursor)
            # A cursor that does not move would never end.
            if part.next == cursor:
                break
        console.print(Text(f"{counted(count, 'row')}{columns.left_out()}", "dim"))
        self.missing.look_for_gaps(self._client)

    def _part(self, *, limit: int, cursor: str | None) -> HistoryPart:
        question = self._question
        part = self._client.get(
            question.path, HistoryPart, **question.query, limit=limit, cursor=cursor
        )
        self.missing.saw(self._agent_id, part)
        return part


class Columns:
    """Lines of a time and then numbers, as many as there is room for, one at least."""

    def __init__(self, names: Sequence[str], width: int, *, buckets: bool) -> None:
        self._first = "start" if buckets else "time"
        parts = ("min", "mean", "max") if buckets else ("",)
        columns = [(name, part) for name in names for part in parts]
        ends = accumulate((_width(*column) for column in columns), initial=TIME_WIDTH)
        self._columns = columns[: max(1, bisect_right(list(ends), width) - 1)]
        self._more = len(columns) - len(self._columns)

    def header(self) -> Text:
        """The names."""
        names = (
            f"{name} {part}".rstrip().rjust(_width(name, part)) for name, part in self._columns
        )
        return Text(self._first.ljust(TIME_WIDTH) + "".join(names), "dim")

    def line(self, row: Sample | Bucket) -> Text:
        """One row."""
        line = Text(time_of(row).ljust(TIME_WIDTH))
        for name, part in self._columns:
            point = _value(row, name) if isinstance(row, Sample) else _summary(row, name, part)
            cell = (
                Text("") if point is None else value(name, "z.3f", points={name: point}, old=False)
            )
            line.append(" " * (_width(name, part) - len(cell))).append_text(cell)
        return line

    def left_out(self) -> str:
        """What is said of the columns that do not fit."""
        if not self._more:
            return ""
        return f"; no room for {counted(self._more, 'column')}, choose with --points"


def _width(name: str, part: str) -> int:
    """With the space before."""
    return max(len(f"{name} {part}".rstrip()), NUMBER_WIDTH) + 2


def _value(row: Sample, name: str) -> Point | None:
    if name not in row.values:
        return None
    doubt = row.doubts.get(name) if row.doubts else None
    if doubt is None:
        return Point(row.values[name], "good")
    return Point(row.values[name], doubt.quality, doubt.reasons)


def _summary(row: Bucket, name: str, part: str) -> Point | None:
    summary = row.points.get(name)
    if summary is None:
        return None
    number: float | None = getattr(summary, part)
    return Point(number, "good" if summary.good == summary.count else "uncertain")
