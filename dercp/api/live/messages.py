"""What is said over a WebSocket, both ways; all of it JSON text."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dercp.api.bodies import read_body
from dercp.api.live.events import Event, encoder
from dercp.api.live.selection import StreamQuery
from dercp.api.problems import INVALID_BODY, Fault, Problem, Refusal

SubscriptionId = Annotated[str, Meta(min_length=1, max_length=64)]


class Wanted(StreamQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a subscription is to tell: the parameters of `GET /stream`, and where to resume."""

    last_event_id: Annotated[str, Meta(max_length=64)] = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say: subscribe with an id of its own, or unsubscribe that id."""

    subscribe: Wanted | None = None
    unsubscribe: SubscriptionId | None = None
    id: SubscriptionId | None = None


class Subscribe(msgspec.Struct, frozen=True):
    """Begin to tell."""

    id: str
    wanted: Wanted


class Unsubscribe(msgspec.Struct, frozen=True):
    """Tell no more."""

    id: str


class _Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    error: Problem
    id: str | None = None


def read_message(text: str | bytes) -> Subscribe | Unsubscribe:
    """What a client says.

    Raises:
        Refusal: `malformed-json`, or `invalid-body` with what is wrong.
    """
    if isinstance(text, bytes):
        raise _invalid("#", "expected text, got a binary message")
    request = read_body(Request, text.encode())
    match request:
        case Request(subscribe=Wanted() as wanted, unsubscribe=None, id=str(name)):
            return Subscribe(name, wanted)
        case Request(subscribe=Wanted(), unsubscribe=None):
            raise _invalid("#/id", "id: is required; the events of the subscription bear it")
        case Request(subscribe=None, unsubscribe=str(name), id=None):
            return Unsubscribe(name)
        case _:
            raise _invalid("#", "expected either subscribe with an id, or unsubscribe")


def event_text(name: str, event: Event) -> str:
    """An event of a subscription."""
    return f'{{"id":{encoder.encode(name).decode()},{event.text}}}'


def refusal_text(refusal: Refusal) -> str:
    """That a message was refused, and why."""
    return encoder.encode(_Failure(refusal.problem)).decode()


def _invalid(pointer: str, detail: str) -> Refusal:
    return Refusal(INVALID_BODY, detail, faults=[Fault(pointer=pointer, detail=detail)])
