"""What people type becomes a value, or a sentence that names the option."""

import math

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

from dercp.cli.parse import (
    DURATION_S_MAX,
    Address,
    Duration,
    parse_address,
    parse_duration,
    parse_megawatts,
    parse_moment,
    parse_resolution,
    parse_url,
)
from dercp.model.time import parse_rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("45", 45), ("0.5s", 0.5), ("2d", 172_800)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Hours, minutes and seconds, together or alone; a plain number is seconds."""
    assert parse_duration(text) == Duration(seconds)


@pytest.mark.parametrize("text", ["", "10x", "m", "-5s", "0", "0s", "1e9", "1h30", "400d", "1,5h"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    """Zero, negative, endless and misspelt ones are told, not guessed."""
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


@given(st.text())
@example("9" * 500)
@example("٣s")
@example("1" * 5_000 + ":80")
def test_a_duration_is_a_finite_value_or_a_usage_error(text: str) -> None:
    """Nothing that can be typed gives a traceback, or a wait without end."""
    try:
        duration = parse_duration(text)
    except typer.BadParameter:
        return
    assert 0 < duration.seconds <= DURATION_S_MAX


@given(st.integers(1, int(DURATION_S_MAX)))
def test_a_duration_is_shown_as_it_can_be_typed(seconds: int) -> None:
    """The defaults in the help are input too."""
    assert parse_duration(Duration(seconds)) == Duration(seconds)


@given(st.text() | st.from_regex(r"\[?[0-9a-f.:a-z]{0,20}\]?:[0-9]{0,6}", fullmatch=True))
@example("x:" + "9" * 5_000)
@example("a\x00b:80")
@example("[::1%eth0]:80")
def test_an_address_is_a_value_or_a_usage_error(text: str) -> None:
    """And a value is shown as it can be typed again."""
    try:
        address = parse_address(text)
    except typer.BadParameter:
        return
    assert 0 <= address.port <= 65_535
    assert address.host
    assert parse_address(address) == address


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("localhost:0", Address("localhost", 0), True),
        ("[::1]:80", Address("::1", 80), True),
        ("192.0.2.1:80", Address("192.0.2.1", 80), False),
        ("headend.example:443", Address("headend.example", 443), False),
    ],
)
def test_loopback_is_known(text: str, address: Address, *, loopback: bool) -> None:
    """What only this machine can reach may be without authentication."""
    assert parse_address(text) == address
    assert address.is_loopback is loopback
    assert str(address) == text


@pytest.mark.parametrize("text", ["", ":80", "host", "host:", "host:65536", "::1:80", "a b:80"])
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    """An IPv6 address without brackets could be two things, so it is refused."""
    with pytest.raises(typer.BadParameter, match="host:port"):
        parse_address(text)


@given(st.text() | st.floats().map(str))
def test_megawatts_are_finite_or_a_usage_error(text: str) -> None:
    """Neither nan nor inf reaches a battery."""
    try:
        assert math.isfinite(parse_megawatts(text))
    except typer.BadParameter:
        return


def test_a_decimal_comma_and_a_misspelt_option_are_told_apart() -> None:
    """The sentence names the mend."""
    with pytest.raises(typer.BadParameter, match="point as decimal mark"):
        parse_megawatts("1,5")
    with pytest.raises(typer.BadParameter, match="nor an option"):
        parse_megawatts("--fro")


@given(st.text() | st.text().map("http://".__add__))
def test_a_url_is_whole_or_a_usage_error(text: str) -> None:
    """What is left can be asked; a slash at the end is dropped."""
    try:
        url = parse_url(text)
    except typer.BadParameter:
        return
    assert url.startswith(("http://", "https://", "HTTP", "Http"))
    assert not url.endswith("/")


@pytest.mark.parametrize(
    "text", ["localhost:8080", "ftp://x", "http://", "http://a:b", "http://[x"]
)
def test_what_is_no_url_is_a_usage_error(text: str) -> None:
    """The most usual slip is a URL without http://."""
    with pytest.raises(typer.BadParameter, match="write http://"):
        parse_url(text)


NOW_US = parse_rfc3339("2026-11-23T14:00:00Z")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", "2026-11-23T14:00:00Z"),
        ("-2h", "2026-11-23T12:00:00Z"),
        ("-1d30m", "2026-11-22T13:30:00Z"),
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-11-23T13:00:00.25Z", "2026-11-23T13:00:00.25Z"),
        ("2026-11-23t14:00:00+01:00", "2026-11-23T13:00:00Z"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, instant: str) -> None:
    """Of the calendar, or so long ago; a day begins at midnight in UTC."""
    assert parse_moment(text).resolve(NOW_US) == parse_rfc3339(instant)
    assert parse_moment(parse_moment(text)) == parse_moment(text)


def test_a_time_without_its_zone_is_told_apart() -> None:
    """The sentence has what was meant."""
    with pytest.raises(typer.BadParameter, match="write 2026-11-23T14:00:00Z for UTC"):
        parse_moment("2026-11-23T14:00:00")


@given(st.text() | st.from_regex(r"-?[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{8})?Z?", fullmatch=True))
@example("-" + "9" * 5_000)
@example("2026-02-30")
@example("0000-01-01")
@example("9999-12-31T23:59:59-23:00")
def test_a_time_is_a_value_or_a_usage_error(text: str) -> None:
    """Nothing that can be typed gives a traceback."""
    try:
        moment = parse_moment(text)
    except typer.BadParameter:
        return
    assert isinstance(moment.resolve(NOW_US), int)


def test_a_resolution_is_of_whole_seconds() -> None:
    """As the API has them."""
    assert parse_resolution("1m30s") == Duration(90)
    with pytest.raises(typer.BadParameter, match="whole number of seconds"):
        parse_resolution("1.5s")
