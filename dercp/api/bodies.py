"""Request bodies: JSON into a typed shape, with all that is wrong told at once."""

import re
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import NODEFAULT

from dercp.api.problems import INVALID_BODY, MALFORMED_JSON, Fault, Refusal
from dercp.api.queries import unknown_name

S = TypeVar("S", bound=msgspec.Struct)

# As msgspec tells it: " - at `$[3].until`".
_INSIDE = re.compile(r" - at `\$((?:\.\w+|\[\d+\])+)`$")


def read_body(shape: type[S], content: bytes) -> S:
    """Parse a JSON object whose members are the fields of `shape`.

    A body of which every member may be left out may be left out itself.

    Raises:
        Refusal: `malformed-json` with the position; `invalid-body` with a fault for each
            member that is unknown, missing or wrong.
    """
    members = _read_object(content) if content or is_required(shape) else {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    faults = [
        Fault(pointer=_pointer(name), detail=unknown_name("member", name, fields))
        for name in members
        if name not in fields
    ]
    values = {}
    for name, field in fields.items():
        if name not in members:
            if field.default is NODEFAULT:
                faults.append(Fault(pointer=_pointer(name), detail=f"{name}: is required"))
            continue
        try:
            values[field.name] = msgspec.convert(members[name], field.type)
        except msgspec.ValidationError as error:
            faults.append(_fault(name, error))
    if faults:
        raise Refusal(INVALID_BODY, "; ".join(f.detail for f in faults), faults=faults)
    return shape(**values)


def is_required(shape: type[msgspec.Struct]) -> bool:
    """Whether there must be a body of this shape."""
    return any(
        field.default is NODEFAULT and field.default_factory is NODEFAULT
        for field in msgspec.structs.fields(shape)
    )


def _read_object(content: bytes) -> dict[str, object]:
    try:
        members = msgspec.json.decode(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refusal(MALFORMED_JSON, f"byte {error.start} of the body is not UTF-8") from None
    except msgspec.DecodeError as error:
        position = "" if "byte" in str(error) else f" (of {len(content)} bytes)"
        raise Refusal(MALFORMED_JSON, f"the body cannot be read: {error}{position}") from None
    except RecursionError:
        raise Refusal(MALFORMED_JSON, "the body is nested too deeply to be read") from None
    if not isinstance(members, dict):
        detail = "the body must be a JSON object"
        raise Refusal(INVALID_BODY, detail, faults=[Fault(pointer="#", detail=detail)])
    return members


def _fault(name: str, error: msgspec.ValidationError) -> Fault:
    """What is wrong with a member, and where inside of it: "blocks[3].until: expected ..."."""
    text, place = str(error), ""
    inside = _INSIDE.search(text)
    if inside is not None:
        text, place = text[: inside.start()], inside[1]
    return Fault(
        pointer=_pointer(name) + re.sub(r"[.\[]", "/", place).replace("]", ""),
        detail=f"{name}{place}: {text[0].lower() + text[1:]}",
    )


def _pointer(name: str) -> str:
    """A JSON pointer to a member of the body, as a URI fragment (RFC 6901, sections 3 and 6)."""
    return "#/" + quote(name[:80].replace("~", "~0").replace("/", "~1"))
