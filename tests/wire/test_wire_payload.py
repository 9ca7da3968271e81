"""The telemetry payload: rows of values, and what is read out of them."""

import math
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.asset import AssetSpec, PointSpec, Registration, standard_point
from dercp.model.points import POINTS, Kind
from dercp.model.quality import Quality, Reason, judge, worst
from dercp.model.reading import Reading
from dercp.wire import v1
from dercp.wire.errors import WireError
from dercp.wire.payload import DeclaredQuality, PayloadSchema, RowDraft, encode_payload
from dercp.wire.v1 import edge_link_pb2

NOON_US = 1_790_000_000_000_000
YEAR_10000_US = 253_402_300_800_000_000


def asset(asset_id: str, *points: PointSpec) -> AssetSpec:
    """An asset with these points."""
    return AssetSpec(
        asset_id=asset_id, name="", kind=Kind.STORAGE, p_min_mw=-1, p_max_mw=1, points=points
    )


SITE = Registration(
    site_id="site",
    site_name="",
    assets=(
        asset("all", *(standard_point(point.name) for point in POINTS)),
        asset("battery", standard_point("soc_pct"), PointSpec("humidity", "%")),
        asset("mute"),
    ),
)
SCHEMA = PayloadSchema(SITE)

values = st.floats() | st.floats(0, 100) | st.none()
readings = st.builds(
    Reading,
    point=st.just(""),
    value=values,
    quality=st.sampled_from(Quality),
    reasons=st.integers(0, 31).map(Reason),
)


@st.composite
def rows(draw: st.DrawFn) -> tuple[int, int, list[Reading]]:
    """An asset by its index, a source time, and what the asset said."""
    index = draw(st.integers(0, len(SITE.assets) - 1))
    said = [
        Reading(point.name, reading.value, reading.quality, reading.reasons)
        for point in SITE.assets[index].points
        for reading in [draw(readings)]
    ]
    return index, draw(st.integers(0, YEAR_10000_US - 1)), said


def expected(index: int, said: Sequence[Reading]) -> list[Reading]:
    """What is to be read of these readings, in the words of the model."""
    return [
        as_read(reading, point)
        for reading, point in zip(said, SITE.assets[index].points, strict=True)
    ]


def as_read(reading: Reading, point: PointSpec) -> Reading:
    """The worse of the quality declared and the quality seen; a bad value is none."""
    value, quality, reasons = judge(reading.value, point.low, point.high)
    quality = worst([quality, reading.quality])
    known = value if quality is not Quality.BAD else None
    return Reading(point.name, known, quality, reasons | reading.reasons)


@given(st.integers(0, YEAR_10000_US - 1), st.lists(rows(), max_size=6))
def test_what_was_measured_is_read(
    base_time_us: int, frame: list[tuple[int, int, list[Reading]]]
) -> None:
    """Rows, their order, their times, values and qualities go over, many of an asset too."""
    payload = encode_payload(
        base_time_us, [SCHEMA.draft(index, time_us, said) for index, time_us, said in frame]
    )
    decoded = SCHEMA.decode(payload).rows
    assert [(row.asset_index, row.source_time_us) for row in decoded] == [
        (index, time_us) for index, time_us, _ in frame
    ]
    for row, (index, _, said) in zip(decoded, frame, strict=True):
        assert list(SCHEMA.readings(row)) == expected(index, said)


@given(st.lists(rows(), max_size=6))
def test_both_libraries_agree_on_a_payload(frame: list[tuple[int, int, list[Reading]]]) -> None:
    """An edge may be built with any protobuf."""
    payload = encode_payload(NOON_US, [SCHEMA.draft(*row) for row in frame])
    again = SCHEMA.decode(bytes(v1.TelemetryPayload.parse(payload)))
    assert [SCHEMA.readings(row) for row in again.rows] == [
        tuple(expected(index, said)) for index, _, said in frame
    ]


@given(rows())
def test_oddities_are_counted(row: tuple[int, int, list[Reading]]) -> None:
    """Infinite or out of range; what is unknown is not odd."""
    index, _, said = row
    odd = [
        judge(reading.value, point.low, point.high)[2] is Reason.OUT_OF_RANGE
        for reading, point in zip(said, SITE.assets[index].points, strict=True)
    ]
    decoded = SCHEMA.decode(encode_payload(NOON_US, [SCHEMA.draft(*row)]))
    assert SCHEMA.oddities(decoded) == sum(odd)


def survives(payload: bytes) -> None:
    """Rows that can be read to the last value, or a WireError."""
    try:
        frame = SCHEMA.decode(payload)
    except WireError:
        return
    values = 0
    for row in frame.rows:
        points = SITE.assets[row.asset_index].points
        assert [reading.point for reading in SCHEMA.readings(row)] == [p.name for p in points]
        values += len(points)
    assert 0 <= SCHEMA.oddities(frame) <= values


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    """Whatever a batch carries, it is rows or a WireError."""
    survives(payload)


@given(st.lists(rows(), min_size=1, max_size=4), st.data())
def test_spoiled_payloads_are_read_or_refused(
    frame: list[tuple[int, int, list[Reading]]], data: st.DataObject
) -> None:
    """Damage is never more than a WireError, now or when values are read."""
    payload = encode_payload(NOON_US, [SCHEMA.draft(*row) for row in frame])
    start = data.draw(st.integers(0, len(payload)))
    end = data.draw(st.integers(start, min(start + 3, len(payload))))
    survives(payload[:start] + data.draw(st.binary(max_size=4)) + payload[end:])


BATTERY = RowDraft(1, NOON_US, [50.0, 40.0])


def refusal(*drafts: RowDraft) -> WireError:
    """What is said of a payload with these rows."""
    with pytest.raises(WireError) as caught:
        SCHEMA.decode(encode_payload(NOON_US, drafts))
    return caught.value


@pytest.mark.parametrize(
    ("draft", "sentence"),
    [
        (RowDraft(3, NOON_US, []), "rows[1]: asset 3, but the registration has 3"),
        (RowDraft(2**32 - 1, NOON_US, []), "rows[1]: asset 4294967295, but the registration has 3"),
        (RowDraft(1, NOON_US, [1.0]), "rows[1]: 1 values of asset 1, which has 2 points"),
        (RowDraft(2, NOON_US, [1.0]), "rows[1]: 1 values of asset 2, which has 0 points"),
        (RowDraft(1, -1, [1.0, 1.0]), "rows[1]: taken at -1 µs of Unix time"),
        (RowDraft(2, YEAR_10000_US, []), f"rows[1]: taken at {YEAR_10000_US} µs of Unix time"),
    ],
)
def test_a_row_that_the_registration_does_not_explain_is_refused(
    draft: RowDraft, sentence: str
) -> None:
    """The whole payload is refused, and the sentence says for which row."""
    error = refusal(BATTERY, draft)
    assert error.code is v1.RejectCode.BAD_PAYLOAD
    assert error.detail.startswith(sentence)


def test_bytes_that_are_no_payload_are_refused() -> None:
    """One byte less is no payload any more."""
    with pytest.raises(WireError, match="are no TelemetryPayload") as caught:
        SCHEMA.decode(encode_payload(NOON_US, [BATTERY])[:-1])
    assert caught.value.code is v1.RejectCode.BAD_PAYLOAD


def test_too_many_rows_are_refused_by_their_count() -> None:
    """None of them is looked at."""
    schema = PayloadSchema(SITE, rows_max=2)
    assert len(schema.decode(encode_payload(NOON_US, [BATTERY] * 2)).rows) == 2
    with pytest.raises(WireError, match="3 rows, at most 2") as caught:
        schema.decode(encode_payload(NOON_US, [BATTERY] * 3))
    assert caught.value.code is v1.RejectCode.TOO_LARGE


def test_a_payload_that_is_too_long_is_not_parsed() -> None:
    """Its size is enough to refuse it."""
    schema = PayloadSchema(SITE, bytes_max=10)
    with pytest.raises(WireError, match="11 bytes, at most 10") as caught:
        schema.decode(bytes(11))
    assert caught.value.code is v1.RejectCode.TOO_LARGE


def test_an_empty_payload_has_no_rows() -> None:
    """Nothing to say is no fault."""
    assert list(SCHEMA.decode(b"").rows) == []


def test_a_value_that_nobody_knows_is_none() -> None:
    """Neither 0 nor NaN."""
    (row,) = SCHEMA.decode(encode_payload(NOON_US, [RowDraft(1, NOON_US, [None, math.nan])])).rows
    assert [(r.value, r.quality, r.reasons) for r in SCHEMA.readings(row)] == [
        (None, Quality.BAD, Reason.NONE)
    ] * 2


@pytest.mark.parametrize("value", [5e-324, -5e-324, -0.0, 1.7976931348623157e308, 0.1])
def test_a_value_keeps_every_bit(value: float) -> None:
    """Denormals, the negative zero and the largest number go over."""
    (row,) = SCHEMA.decode(encode_payload(NOON_US, [RowDraft(1, NOON_US, [0.0, value])])).rows
    arrived = SCHEMA.readings(row)[1].value
    assert arrived is not None
    assert struct.pack("<d", arrived) == struct.pack("<d", value)


def test_a_row_outlives_its_frame() -> None:
    """Latest known is a row that was put aside."""
    row = SCHEMA.decode(encode_payload(NOON_US, [BATTERY] * 100)).rows[50]
    assert [reading.value for reading in SCHEMA.readings(row)] == [50.0, 40.0]


def test_a_draft_takes_readings_in_any_order() -> None:
    """What none of them speaks of is not known; what is good needs no declaration."""
    said = [Reading("humidity", 40.0, Quality.UNCERTAIN, Reason.SUBSTITUTED)]
    assert SCHEMA.draft(1, NOON_US, said) == RowDraft(
        1, NOON_US, [None, 40.0], [DeclaredQuality(1, Quality.UNCERTAIN, Reason.SUBSTITUTED)]
    )


def test_a_draft_of_a_point_that_is_not_registered_is_a_mistake() -> None:
    """The device and the registration disagree: found before it leaves."""
    with pytest.raises(KeyError, match="mood"):
        SCHEMA.draft(1, NOON_US, [Reading("mood", 1.0)])


def test_declarations_of_a_later_version_are_read_with_care() -> None:
    """An unknown quality is bad, unknown reasons and points are passed over."""
    payload = edge_link_pb2.TelemetryPayload(base_time_us=NOON_US)
    row = payload.rows.add(asset_index=1, values=[50.0, 40.0])
    row.qualities.add(point_index=9, quality=2)
    row.qualities.add(point_index=0, quality=7, reasons=1024 | Reason.STALE)
    (decoded,) = SCHEMA.decode(payload.SerializeToString()).rows
    assert SCHEMA.readings(decoded) == (
        Reading("soc_pct", None, Quality.BAD, Reason.STALE),
        Reading("humidity", 40.0),
    )


def test_no_more_declarations_than_points_are_read() -> None:
    """A row of two values cannot make its reader walk through a million declarations."""
    payload = edge_link_pb2.TelemetryPayload(base_time_us=NOON_US)
    row = payload.rows.add(asset_index=1, values=[50.0, 40.0])
    for quality in (0, 0, 2):
        row.qualities.add(point_index=0, quality=quality)
    (decoded,) = SCHEMA.decode(payload.SerializeToString()).rows
    assert SCHEMA.readings(decoded)[0] == Reading("soc_pct", 50.0)
