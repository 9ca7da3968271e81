"""The Idempotency-Key header and the fingerprint of a request."""

import msgspec
import pytest

from dercp.api.idempotency import fingerprint, read_key
from dercp.api.problems import Refusal


class Body(msgspec.Struct):
    """A body of two members."""

    first: float
    second: str | None = None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e", "8e03978e"),
        ('"8e03978e"', "8e03978e"),
        ("  8e03978e ", "8e03978e"),
        (r'"a\"b\\c"', r"a\"b\c".replace(r"\"", '"')),
        ("x" * 128, "x" * 128),
        ('a"b', 'a"b'),
    ],
)
def test_a_key_is_read(header: str, key: str) -> None:
    """Bare or as the structured string of the draft, it is the same key."""
    assert read_key(header) == key


@pytest.mark.parametrize("header", [None, "", "  "])
def test_a_key_is_missing(header: str | None) -> None:
    """Without a key there is no dispatch."""
    with pytest.raises(Refusal) as refused:
        read_key(header)
    assert refused.value.kind.slug == "missing-idempotency-key"


@pytest.mark.parametrize(
    "header", ["a b", "ä", "x" * 129, '"open', '""', '"a b"', r'"a\x"', '"a", "b"', "a, b", "\x7f"]
)
def test_a_key_is_malformed(header: str) -> None:
    """1 to 128 visible characters, nothing else."""
    with pytest.raises(Refusal) as refused:
        read_key(header)
    assert refused.value.kind.slug == "malformed-idempotency-key"


def test_a_fingerprint_tells_requests_apart() -> None:
    """By method, path and what the body means; not by how the body is written."""
    one = fingerprint("POST", "/dispatch", Body(first=1.0))
    assert one == fingerprint("POST", "/dispatch", Body(second=None, first=1.0))
    others = [
        fingerprint("PUT", "/dispatch", Body(first=1.0)),
        fingerprint("POST", "/other", Body(first=1.0)),
        fingerprint("POST", "/dispatch", Body(first=2.0)),
        fingerprint("POST", "/dispatch", Body(first=1.0, second="")),
    ]
    assert len({one, *others}) == 5


def test_a_fingerprint_outlives_a_release() -> None:
    """Keys are kept on disk: the fingerprint of a body must not change between versions."""
    assert fingerprint("POST", "/dispatch", Body(first=1.5, second="x")) == (
        "c8a416e00fe826f83a320042b0e804b479064a7f1ec8f2a4e8d4435f2e8a3a05"
    )
