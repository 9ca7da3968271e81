"""What an operation is made of: the words in which the route table is written."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum, auto
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from dercp.api.ports import DispatchDesk, FleetReader, HistoryReader, Operations, Portfolios
from dercp.api.problems import ProblemType
from dercp.api.queries import Query
from dercp.model.time import Clock

if TYPE_CHECKING:
    from dercp.api.live.stream import LiveStream

JSON = "application/json"

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=msgspec.Struct)
T = TypeVar("T")


class Services(msgspec.Struct, frozen=True):
    """What the handlers work with."""

    reader: FleetReader
    history: HistoryReader
    desk: DispatchDesk
    portfolios: Portfolios
    operations: Operations
    # Its own shapes stand on these words.
    live: "LiveStream"
    clock: Clock
    # The description of the API, encoded.
    openapi: bytes


class Call(msgspec.Struct, Generic[Q], frozen=True, kw_only=True):
    """One request, its parameters already checked."""

    services: Services
    query: Q
    # What stands for `{id}` in the path; empty where the path has none.
    id: str
    # Those the route asks for, as far as they were sent.
    headers: Mapping[str, str]
    # Of those that the route can answer in, the one that is wanted most.
    media_type: str = JSON


class BodyCall(Call[Query], Generic[B], frozen=True, kw_only=True):
    """One request with a body, already checked."""

    body: B


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An answer that is encoded already; `T` is the shape of its content."""

    content: bytes
    headers: Mapping[str, str] = {}
    # One of the route's `also_statuses`; None: its usual one.
    status: int | None = None


class Stream(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An answer that is encoded while it is sent; `T` is the shape of its content."""

    chunks: AsyncIterator[bytes]


class Endless(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An answer that goes on until one of the two ends has enough."""

    chunks: AsyncIterator[bytes]
    headers: Mapping[str, str] = {}


Result: TypeAlias = msgspec.Struct | Reply[Any] | Stream[Any] | Endless[Any]


class Tagging(Enum):
    """Whether an answer carries an ETag, and so may become a 304."""

    NONE = auto()
    # Weak: answers with one tag tell the same, but for how old it has become since.
    BUT_FOR_AGES = auto()


class Route(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One operation. The application serves, and OpenAPI tells, what stands here.

    The parameters, the body and the answer are those of the handler's annotations, so
    the type checker holds the description to the code.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    handler: Callable[[Any], Awaitable[Result]]
    tag: str
    status: int = 200
    # Others that a `Reply` may have, in the same shape.
    also_statuses: tuple[int, ...] = ()
    media_type: str = JSON
    # Others that it answers in when Accept prefers them; told without a shape.
    also: tuple[str, ...] = ()
    tagging: Tagging = Tagging.NONE
    # Headers that must be sent, and that will be answered: name -> what it says.
    asks_headers: Mapping[str, str] = {}
    tells_headers: Mapping[str, str] = {}
    # Those that may be sent.
    takes_headers: Mapping[str, str] = {}
    # Beyond those that any operation, any with an id, or any with a body may answer.
    problems: tuple[ProblemType, ...] = ()

    @cached_property
    def query(self) -> type[Query]:
        """The parameters."""
        call = self._hints[0]
        return Query if get_origin(call) is BodyCall else get_args(call)[0]

    @cached_property
    def body(self) -> type[msgspec.Struct] | None:
        """The shape of the body; None for an operation without one."""
        call = self._hints[0]
        return get_args(call)[0] if get_origin(call) is BodyCall else None

    @cached_property
    def answer(self) -> Any:
        """The shape of the answer."""
        shape = self._hints[1]
        return get_args(shape)[0] if get_origin(shape) in {Reply, Stream, Endless} else shape

    @cached_property
    def _hints(self) -> tuple[Any, Any]:
        """Of the handler: what it takes, what it gives."""
        takes, gives = get_type_hints(self.handler).values()
        return takes, gives
