"""Query parameters: typed, bounded, and refused by name when nobody knows them."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from dercp.api.problems import INVALID_PARAMETERS, Fault, Refusal
from dercp.headend.views import AgentStatus, AgentView, AssetView
from dercp.model.dispatch import FINAL, DispatchState
from dercp.model.points import Kind

Q = TypeVar("Q", bound="Query")
V = TypeVar("V")

Cursor = Annotated[str, Meta(max_length=200, description="`next` of the page before this one")]
SiteFilter = Annotated[str, Meta(max_length=64, description="Only what belongs to this site")]
TargetFilter = Annotated[str, Meta(max_length=64, description="Only those for it as a whole")]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of an operation that takes none; base of all others."""


class PageQuery(Query, frozen=True, kw_only=True):
    """Which part of a list is wanted."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Items in one answer, at most")] = 100
    cursor: Cursor | None = None


class SiteQuery(PageQuery, frozen=True, kw_only=True):
    """Which sites are wanted."""


class AgentQuery(PageQuery, frozen=True, kw_only=True):
    """Which agents are wanted."""

    site_id: SiteFilter | None = None
    status: AgentStatus | None = None

    def takes(self, agent: AgentView) -> bool:
        """Whether the agent passes all filters that were given."""
        return self.site_id in (None, agent.site_id) and self.status in (None, agent.status)


class AssetFilter(PageQuery, frozen=True, kw_only=True):
    """Which assets are wanted."""

    site_id: SiteFilter | None = None
    kind: Kind | None = None
    online: Annotated[bool, Meta(description="Whether its agent's session is up")] | None = None
    stale: Annotated[bool, Meta(description="Whether its values are too old")] | None = None

    @property
    def takes_all(self) -> bool:
        """Whether no filter was given."""
        return {self.site_id, self.kind, self.online, self.stale} == {None}

    def takes(self, asset: AssetView) -> bool:
        """Whether the asset passes all filters that were given."""
        return (
            self.site_id in (None, asset.site_id)
            and self.kind in (None, asset.spec.kind)
            and self.online in (None, asset.online)
            and self.stale in (None, asset.stale)
        )


class FleetQuery(AssetFilter, frozen=True, kw_only=True):
    """Of which assets the telemetry is wanted."""

    limit: Annotated[int, Meta(ge=1, le=10_000, description="Items in one answer, at most")] = 100


class DispatchQuery(PageQuery, frozen=True, kw_only=True):
    """Which dispatches are wanted."""

    asset_id: TargetFilter | None = None
    site_id: TargetFilter | None = None
    portfolio_id: TargetFilter | None = None
    schedule_id: (
        Annotated[str, Meta(max_length=64, description="Only the blocks of this schedule")] | None
    ) = None
    parent_id: (
        Annotated[str, Meta(max_length=64, description="Only the parts of this dispatch")] | None
    ) = None
    state: (
        Annotated[
            tuple[DispatchState, ...], Meta(description="Only those that stand there; repeatable")
        ]
        | None
    ) = None
    open: (
        Annotated[bool, Meta(description="Only those that have not ended, or only those that have")]
        | None
    ) = None

    def states(self) -> tuple[DispatchState, ...] | None:
        """Those that are wanted; None: any.

        Raises:
            Refusal: `invalid-parameters`, when both parameters say so.
        """
        if self.open is None:
            return self.state
        if self.state is not None:
            detail = "open: give either this or state, not both"
            raise Refusal(
                INVALID_PARAMETERS, detail, faults=[Fault(parameter="open", detail=detail)]
            )
        return tuple(state for state in DispatchState if (state in FINAL) is not self.open)


def read_query(shape: type[Q], parameters: Iterable[tuple[str, str]]) -> Q:
    """Parse the parameters of a request.

    Raises:
        Refusal: `invalid-parameters`, with one fault for each that is wrong.
    """
    known = msgspec.structs.fields(shape)
    fields = {field.encode_name: when_given(field.type) for field in known}
    members = {field.encode_name: field.name for field in known}
    given: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in parameters:
        given[name].append(text)
    values: dict[str, object] = {}
    faults = []
    for name, texts in given.items():
        if name not in fields:
            faults.append(Fault(parameter=name, detail=unknown_name("parameter", name, fields)))
            continue
        repeatable = _is_repeatable(fields[name])
        if len(texts) > 1 and not repeatable:
            faults.append(Fault(parameter=name, detail=f"{name}: given more than once"))
            continue
        try:
            value = texts if repeatable else texts[0]
            values[members[name]] = msgspec.convert(value, fields[name], strict=False)
        except msgspec.ValidationError as error:
            got = ", ".join(repr(text[:80]) for text in texts[:5])
            sentence = f"{name}: {_expectation(fields[name], error)}, got {got}"
            faults.append(Fault(parameter=name, detail=sentence))
    if faults:
        detail = "; ".join(fault.detail for fault in faults)
        raise Refusal(INVALID_PARAMETERS, detail, faults=faults)
    return shape(**values)


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence for somebody who used a name that does not exist."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(names) if names else "none"
    return f"unknown {what} {name[:80]!r}{hint} (known: {listed})"


def when_given(kind: Any) -> Any:
    """The type of an optional parameter that is not left out: `str` of `str | None`."""
    if get_origin(kind) in {Union, UnionType}:
        return next(option for option in get_args(kind) if option is not NoneType)
    return kind


def _is_repeatable(kind: Any) -> bool:
    """Whether a parameter may be given more than once: its value is a tuple."""
    return get_origin(get_args(kind)[0] if get_origin(kind) is Annotated else kind) is tuple


def _expectation(kind: Any, error: msgspec.ValidationError) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"expected one of {', '.join(kind)}"
    sentence = str(error).partition(", got")[0]
    return sentence[0].lower() + sentence[1:]


def encode_cursor(last_id: str) -> str:
    """The cursor of a page that ended with this id."""
    return urlsafe_b64encode(f"after:{last_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id after which the next page begins.

    Raises:
        Refusal: `invalid-parameters`, when it is no cursor of ours.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        label, _, last_id = urlsafe_b64decode(padded).decode("ascii").partition(":")
    except ValueError:
        label, last_id = "", ""
    if label != "after" or encode_cursor(last_id) != cursor:
        raise bad_cursor()
    return last_id


def decode_position(cursor: str) -> int:
    """The position before which the next page begins.

    Raises:
        Refusal: `invalid-parameters`, when it is no cursor of ours.
    """
    text = decode_cursor(cursor)
    if not re.fullmatch("[0-9]{1,18}", text):
        raise bad_cursor()
    return int(text)


def bad_cursor() -> Refusal:
    """The refusal of a cursor that is none of ours, or another list's."""
    detail = "cursor: use the `next` of the page before, unchanged, or leave it out"
    return Refusal(INVALID_PARAMETERS, detail, faults=[Fault(parameter="cursor", detail=detail)])


def cut_page(
    rows: Sequence[V],
    query: PageQuery,
    *,
    id_of: Callable[[V], str],
    takes: Callable[[V], bool],
) -> tuple[list[V], str | None]:
    """One page of rows sorted by id, and the cursor of the page after it.

    The cursor is the last id given out, so rows that come and go between two pages are
    neither repeated nor make others be missed.
    """
    begin = 0
    if query.cursor is not None:
        begin = bisect_right(rows, decode_cursor(query.cursor), key=id_of)
    found = list(islice(filter(takes, islice(rows, begin, None)), query.limit + 1))
    page = found[: query.limit]
    return page, encode_cursor(id_of(page[-1])) if len(found) > query.limit else None
