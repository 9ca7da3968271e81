"""gRPC's headers, as pure decisions."""

import pytest
from link_ends import PATH, REQUEST

from dercp.link import LinkRefused, Status
from dercp.link._headers import (
    Headers,
    Refusal,
    Request,
    judged,
    outcome_in,
    refusal_in,
    request_headers,
    trailers_for,
)


def changed(name: str, value: str | None) -> Headers:
    """A good request with one header changed, or left out."""
    rest = [field for field in REQUEST if field[0] != name]
    return rest if value is None else [*rest, (name, value)]


def test_a_good_request_is_taken() -> None:
    """With its metadata, binary values decoded, and its time."""
    headers = [*REQUEST, ("agent-id", "a-7"), ("token-bin", "AAEC"), ("grpc-timeout", "250m")]
    request = judged(headers, {PATH})
    assert isinstance(request, Request)
    assert dict(request.metadata) == {"agent-id": "a-7", "token-bin": b"\0\1\2"}
    assert request.timeout_s == pytest.approx(0.25)


def test_our_own_request_is_a_good_one() -> None:
    """What the client sends is what the server asks for."""
    request = judged(request_headers(PATH, "host", "https", {"k": "v"}), {PATH})
    assert isinstance(request, Request)
    assert dict(request.metadata) == {"k": "v"}


@pytest.mark.parametrize(
    ("name", "value", "http_status", "status"),
    [
        (":method", "GET", 405, Status.INTERNAL),
        ("content-type", None, 415, Status.INTERNAL),
        ("content-type", "application/json", 415, Status.INTERNAL),
        ("te", None, 400, Status.INTERNAL),
        (":path", "/other", 200, Status.UNIMPLEMENTED),
        ("grpc-timeout", "soon", 200, Status.INVALID_ARGUMENT),
        ("token-bin", "A", 200, Status.INVALID_ARGUMENT),
    ],
)
def test_a_bad_request_is_refused(
    name: str, value: str | None, http_status: int, status: Status
) -> None:
    """Each with the HTTP and gRPC status a client understands."""
    refusal = judged(changed(name, value), {PATH})
    assert isinstance(refusal, Refusal)
    assert (refusal.http_status, refusal.status) == (http_status, status)
    assert refusal.headers()[0] == (":status", str(http_status))


def test_trailers_carry_any_sentence() -> None:
    """A message with umlauts and line breaks arrives as it was."""
    error = outcome_in(trailers_for(Status.ABORTED, "Übertragung\nabgebrochen, 100 %"))
    assert isinstance(error, LinkRefused)
    assert error.status is Status.ABORTED
    assert error.message == "Übertragung\nabgebrochen, 100 %"
    assert outcome_in(trailers_for(Status.OK, "")) is None


@pytest.mark.parametrize("trailers", [[], [("grpc-status", "x")], [("grpc-status", "99")]])
def test_trailers_without_a_status_are_no_success(trailers: Headers) -> None:
    """A proxy which cuts the trailers must not look like an orderly end."""
    error = outcome_in(trailers)
    assert error is not None
    assert error.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("http_status", "status"), [("503", Status.UNAVAILABLE), ("404", Status.UNIMPLEMENTED)]
)
def test_an_http_error_becomes_a_status(http_status: str, status: Status) -> None:
    """As gRPC maps them, for the proxies in between."""
    error = refusal_in([(":status", http_status), ("content-type", "text/html")])
    assert error is not None
    assert error.status is status
    assert http_status in error.message


def test_a_web_page_is_no_response() -> None:
    """HTTP 200 alone does not make gRPC."""
    error = refusal_in([(":status", "200"), ("content-type", "text/html")])
    assert error is not None
    assert "text/html" in error.message
