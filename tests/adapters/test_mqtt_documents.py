"""What a JSON message says, and what it does not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt._documents import NOTHING, Pointer, document_of, quality_of, time_us_of
from dercp.model.quality import Quality

DOCUMENT = {"p": 1.5, "meter": [{"kw": 2}, {"a/b": 3, "m~n": 4}], "none": None}


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("p", 1.5),
        ("/p", 1.5),
        ("/meter/0/kw", 2),
        ("/meter/1/a~1b", 3),
        ("/meter/1/m~0n", 4),
        ("none", None),
        ("", DOCUMENT),
        ("q", NOTHING),
        ("/meter/2/kw", NOTHING),
        ("/meter/-1/kw", NOTHING),
        ("/meter/x", NOTHING),
        ("/p/deeper", NOTHING),
        ("/meter/" + "9" * 5000, NOTHING),
    ],
)
def test_a_pointer_leads_to_a_place(pointer: str, found: object) -> None:
    """Keys, list indexes, the two escapes of RFC 6901; all else is not there."""
    assert Pointer.parse(pointer).look_up(DOCUMENT) is found or found == Pointer.parse(
        pointer
    ).look_up(DOCUMENT)


def test_a_pointer_with_a_wrong_escape_is_refused() -> None:
    """At load, with what to write instead."""
    with pytest.raises(ValueError, match='is written "~0"'):
        Pointer.parse("/a~2")


@pytest.mark.parametrize(
    ("payload", "document"),
    [
        (b'{"p": 1}', {"p": 1}),
        (b"12.5", 12.5),
        (b"RUNNING", "RUNNING"),
        (b'{"p": 1', '{"p": 1'),
        (b"\xff\xfe", NOTHING),
        (b"", ""),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_a_message_is_json_or_text_or_nothing(payload: bytes, document: object) -> None:
    """Truncated and nested beyond measure it is just a text, in which no key is found."""
    assert document_of(payload) == document


@pytest.mark.parametrize(
    ("raw", "time_us"),
    [
        ("2026-11-23T14:00:00.5Z", 1_795_442_400_500_000),
        (1_795_442_400, 1_795_442_400_000_000),
        (1_795_442_400.25, 1_795_442_400_250_000),
        (1_795_442_400_123, 1_795_442_400_123_000),
        (1_795_442_400_123_456, 1_795_442_400_123_456),
        ("yesterday", None),
        (12, None),
        (True, None),
        (math.nan, None),
        (10**400, None),
        (None, None),
        ([], None),
    ],
)
def test_a_time_is_read_in_the_ways_that_devices_write_it(raw: object, time_us: int | None) -> None:
    """RFC 3339, Unix seconds, milliseconds or microseconds, told apart by their size."""
    assert time_us_of(raw) == time_us


@pytest.mark.parametrize(
    ("raw", "quality"),
    [
        (True, Quality.GOOD),
        (False, Quality.BAD),
        (192, Quality.GOOD),
        (64, Quality.UNCERTAIN),
        (0, Quality.BAD),
        ("Good", Quality.GOOD),
        ("uncertain", Quality.UNCERTAIN),
        ("sensor failure", Quality.BAD),
        (None, Quality.UNCERTAIN),
        (NOTHING, Quality.UNCERTAIN),
    ],
)
def test_a_quality_is_read_in_the_ways_that_devices_write_it(raw: object, quality: Quality) -> None:
    """What nobody understands is uncertain."""
    assert quality_of(raw) is quality


@given(st.binary(max_size=200), st.text(max_size=20))
def test_nonsense_never_raises(payload: bytes, key: str) -> None:
    """Whatever comes."""
    document = document_of(payload)
    found = Pointer((key, "0")).look_up(document)
    time_us_of(found)
    quality_of(document)
