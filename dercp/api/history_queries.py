"""Of which time, of which points, from where on: what is asked of history."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from dercp.api.problems import INVALID_PARAMETERS, Fault, Refusal
from dercp.api.queries import (
    Cursor,
    PageQuery,
    Query,
    bad_cursor,
    decode_cursor,
    encode_cursor,
    unknown_name,
)
from dercp.api.resources import micros, moment_or_none
from dercp.headend.history.views import SampleKey
from dercp.model.asset import PointSpec

DEFAULT_RANGE_US = 3_600_000_000
DEFAULT_ROWS = 1_000
# The numbers of a cursor are the store's: 64 bits with a sign.
_LARGEST = 2**63

Begin = Annotated[
    datetime,
    Meta(tz=True, description="Begin, RFC 3339, itself included; an hour before `to` if left out"),
]
End = Annotated[
    datetime, Meta(tz=True, description="End, RFC 3339, itself excluded; now if left out")
]


class HistoryQuery(Query, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which part of an asset's history is wanted."""

    from_: Begin | None = None
    to: End | None = None
    points: (
        Annotated[str, Meta(max_length=4000, description="Names with commas; all if left out")]
        | None
    ) = None
    resolution: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=31_622_400,
                description="Length of a bucket in s; samples as they came if left out",
            ),
        ]
        | None
    ) = None
    limit: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000,
                description="Rows in one JSON answer, at most; 1,000 if left out. "
                "NDJSON and CSV are of the whole range",
            ),
        ]
        | None
    ) = None
    cursor: Cursor | None = None

    def choose(self, known: tuple[PointSpec, ...]) -> tuple[PointSpec, ...]:
        """The points asked for, in the order of the asset.

        Raises:
            Refusal: `invalid-parameters`, one fault for each name the asset does not have.
        """
        if self.points is None:
            return known
        names = self.points.split(",")
        unknown = set(names).difference(point.name for point in known)
        if unknown:
            raise _refused(
                *(
                    Fault(
                        parameter="points",
                        detail=unknown_name("point", name, [point.name for point in known]),
                    )
                    for name in sorted(unknown)
                )
            )
        return tuple(point for point in known if point.name in names)

    def must_be_whole(self) -> None:
        """Refuse what parts an answer that is whole.

        Raises:
            Refusal: `invalid-parameters`, for `limit` and `cursor`.
        """
        given = [name for name in ("limit", "cursor") if getattr(self, name) is not None]
        if given:
            detail = "of JSON answers only; leave it out for NDJSON and CSV, which are whole"
            raise _refused(*(Fault(parameter=name, detail=f"{name}: {detail}") for name in given))


class GapQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which gaps are wanted."""

    agent_id: Annotated[str, Meta(max_length=64, description="Only those of this agent")] | None = (
        None
    )
    from_: Begin | None = None
    to: End | None = None


def read_range(query: HistoryQuery | GapQuery, now_us: int) -> tuple[int, int]:
    """From when (in) to when (out), in microseconds.

    Raises:
        Refusal: `invalid-parameters`, when nothing lies between.
    """
    to_us = now_us if query.to is None else micros(query.to)
    from_us = to_us - DEFAULT_RANGE_US if query.from_ is None else micros(query.from_)
    if from_us >= to_us:
        detail = "from: expected a time before `to` (which is now if left out)"
        raise _refused(Fault(parameter="from", detail=detail))
    if moment_or_none(from_us) is None or moment_or_none(to_us) is None:
        raise _refused(Fault(parameter="from", detail="from: expected the years 1 to 9999 in UTC"))
    return from_us, to_us


def sample_cursor(key: SampleKey | None) -> str | None:
    """The cursor of a page that ended with this sample."""
    if key is None:
        return None
    numbers = (key.source_time_us, key.ingest_time_us, key.sequence, key.row)
    return encode_cursor(f"{','.join(map(str, numbers))},{key.spool_id}")


def read_sample_cursor(cursor: str | None) -> SampleKey | None:
    """The inverse of `sample_cursor`.

    Raises:
        Refusal: `invalid-parameters`.
    """
    if cursor is None:
        return None
    *numbers, spool_id = decode_cursor(cursor).split(",", 4)
    if len(numbers) != 4:
        raise bad_cursor()
    source_time_us, ingest_time_us, sequence, row = map(_number, numbers)
    return SampleKey(source_time_us, ingest_time_us, spool_id, sequence, row)


def number_cursor(number: int | None) -> str | None:
    """The cursor of a page after which things go on at this number."""
    return None if number is None else encode_cursor(str(number))


def read_number_cursor(cursor: str | None) -> int | None:
    """The inverse of `number_cursor`.

    Raises:
        Refusal: `invalid-parameters`.
    """
    return None if cursor is None else _number(decode_cursor(cursor))


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise bad_cursor() from None
    if not -_LARGEST <= number < _LARGEST:
        raise bad_cursor()
    return number


def _refused(*faults: Fault) -> Refusal:
    detail = "; ".join(fault.detail for fault in faults)
    return Refusal(INVALID_PARAMETERS, detail, faults=faults)
