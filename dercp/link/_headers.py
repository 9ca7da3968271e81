"""What gRPC says in HTTP/2 headers: pure decisions, no I/O."""

import binascii
from collections.abc import Container, Mapping

import msgspec
from grpclib.const import Status
from grpclib.metadata import (
    decode_grpc_message,
    decode_metadata,
    decode_timeout,
    encode_grpc_message,
    encode_metadata,
)

from ._errors import LinkError, LinkRefused

Headers = list[tuple[str, str]]
Metadata = Mapping[str, str | bytes]

RESPONSE: Headers = [(":status", "200"), ("content-type", "application/grpc")]

# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_STATUS_OF_HTTP = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    "429": Status.UNAVAILABLE,
    "502": Status.UNAVAILABLE,
    "503": Status.UNAVAILABLE,
    "504": Status.UNAVAILABLE,
}


class Request(msgspec.Struct, frozen=True):
    """A call that may begin."""

    path: str
    metadata: Metadata
    timeout_s: float | None


class Refusal(msgspec.Struct, frozen=True):
    """A call that may not begin, and what its caller is told."""

    http_status: int
    status: Status
    message: str

    def headers(self) -> Headers:
        """The whole response."""
        return [
            (":status", str(self.http_status)),
            ("content-type", "application/grpc"),
            *trailers_for(self.status, self.message),
        ]


def request_headers(path: str, authority: str, scheme: str, metadata: Metadata) -> Headers:
    """The headers that open a call; raises ValueError for metadata gRPC cannot carry."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "dercp-link"),
        *encode_metadata(metadata),
    ]


def judged(headers: Headers, paths: Container[str]) -> Request | Refusal:
    """Whether a call may begin, from the headers that ask for it."""
    fields = dict(headers)
    path = fields.get(":path", "")
    if fields.get(":method") != "POST":
        return Refusal(405, Status.INTERNAL, "gRPC calls are POST requests")
    if not _is_grpc(fields.get("content-type")):
        return Refusal(415, Status.INTERNAL, "expected content-type: application/grpc")
    if fields.get("te") != "trailers":
        return Refusal(400, Status.INTERNAL, "expected the header te: trailers")
    if path not in paths:
        return Refusal(200, Status.UNIMPLEMENTED, f"nothing is served at {path}")
    try:
        timeout = fields.get("grpc-timeout")
        timeout_s = None if timeout is None else decode_timeout(timeout)
        return Request(path, decode_metadata(headers), timeout_s)
    except (ValueError, binascii.Error):
        return Refusal(200, Status.INVALID_ARGUMENT, "grpc-timeout or metadata is malformed")


def trailers_for(status: Status, message: str) -> Headers:
    """What ends a call."""
    trailers = [("grpc-status", str(status.value))]
    if message:
        trailers.append(("grpc-message", encode_grpc_message(message)))
    return trailers


def refusal_in(response: Headers) -> LinkError | None:
    """Why a response is no gRPC response, None for one that is."""
    fields = dict(response)
    if "grpc-status" in fields:
        return None  # says more than the HTTP status; read as trailers
    http_status = fields.get(":status", "")
    if http_status != "200":
        return LinkRefused(
            _STATUS_OF_HTTP.get(http_status, Status.UNKNOWN),
            f"the other end answered HTTP {http_status}: is a proxy in between, or no gRPC there?",
        )
    content_type = fields.get("content-type")
    if not _is_grpc(content_type):
        return LinkRefused(
            Status.UNKNOWN, f"the other end answered {content_type}, not application/grpc"
        )
    return None


def outcome_in(trailers: Headers) -> LinkError | None:
    """The error a call ended with, None for status OK."""
    fields = dict(trailers)
    try:
        status = Status(int(fields["grpc-status"]))
    except (KeyError, ValueError):
        return LinkRefused(Status.UNKNOWN, "the other end ended the call without a gRPC status")
    if status is Status.OK:
        return None
    message = decode_grpc_message(fields.get("grpc-message", ""))
    return LinkRefused(status, message or "the other end ended the call, and gives no reason")


def _is_grpc(content_type: str | None) -> bool:
    return content_type in {"application/grpc", "application/grpc+proto"}
