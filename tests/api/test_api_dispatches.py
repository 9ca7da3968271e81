"""How a dispatch is handed in and told."""

import msgspec
import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend
from hypothesis import given
from hypothesis import strategies as st

from dercp.api.bodies import read_body
from dercp.api.dispatches import DispatchBody, dispatch_resource, request_of
from dercp.api.problems import Refusal
from dercp.model.dispatch import (
    Applied,
    DispatchRequest,
    Sent,
    SiteTarget,
    advance,
    submit,
)

BODY = {"asset_id": "bess-1", "setpoint_mw": 1.5}


async def test_a_dispatch_is_accepted(client: CheckedClient, headend: FakeHeadend) -> None:
    """202 with the whole dispatch, and where to follow it; what was left out is filled in."""
    answer = await client.dispatch({**BODY, "reason": "test"})
    assert answer.status == 202
    assert answer.headers["location"] == "/dispatches/d1"
    assert answer.json == {
        "id": "d1",
        "state": "submitted",
        "revision": 1,
        "target": {"asset_id": "bess-1"},
        "setpoint_mw": 1.5,
        "start": "2026-11-23T14:00:00Z",
        "until": "2026-11-23T14:15:00Z",
        "deliver_by": "2026-11-23T14:00:30Z",
        "priority": 0,
        "reason": "test",
        "requested_by": "rest",
        "readback_mw": None,
        "withdrawn_as": None,
        "superseded_by": None,
        "timeline": [{"state": "submitted", "time": "2026-11-23T14:00:00Z", "source": "operator"}],
    }
    assert (await client.get("/dispatches/d1")).json == answer.json
    assert len(headend.desk.requests) == 1


@pytest.mark.parametrize(
    ("more", "until_s", "deliver_by_s"),
    [
        ({}, 900, 30),
        ({"duration_s": 10}, 10, 10),
        ({"until": "2026-11-23T15:00:00+01:00", "duration_s": None}, 0, 0),
        ({"until": "2026-11-23T14:01:00Z"}, 60, 30),
        ({"duration_s": 60, "deliver_by": "2026-11-23T14:00:45.5Z"}, 60, 45.5),
    ],
)
def test_ends_and_defaults(more: dict[str, object], until_s: float, deliver_by_s: float) -> None:
    """`until` wins nothing by its offset; `deliver_by` is 30 s from now, never after the end."""
    body = read_body(DispatchBody, msgspec.json.encode({**BODY, **more}))
    request = request_of(body, NOW_US)
    assert request.start_us == NOW_US
    assert request.until_us == NOW_US + until_s * 1e6
    assert request.deliver_by_us == NOW_US + deliver_by_s * 1e6


async def test_the_asset_wins_over_the_site(client: CheckedClient, headend: FakeHeadend) -> None:
    """With both given, the dispatch is for the asset alone."""
    answer = await client.dispatch({**BODY, "site_id": "south"})
    assert answer.json["target"] == {"asset_id": "bess-1"}


@pytest.mark.parametrize(
    ("body", "problem", "pointer"),
    [
        ({"site_id": "north", "setpoint_mw": 1}, "unsupported-target", "#/site_id"),
        ({"asset_id": "nope", "setpoint_mw": 1}, "unknown-target", "#/asset_id"),
        ({"setpoint_mw": 1}, "invalid-body", "#/asset_id"),
        ({"asset_id": "bess-1"}, "invalid-body", "#/setpoint_mw"),
        ({**BODY, "setpoint_mw": "1"}, "invalid-body", "#/setpoint_mw"),
        ({**BODY, "setpoint_mw": None}, "invalid-body", "#/setpoint_mw"),
        ({**BODY, "setpoint_mw": True}, "invalid-body", "#/setpoint_mw"),
        ({**BODY, "setpoint_mw": 2.1}, "dispatch-refused", "#/setpoint_mw"),
        ({**BODY, "duration_s": 0}, "invalid-body", "#/duration_s"),
        ({**BODY, "duration_s": 1e300}, "invalid-body", "#/duration_s"),
        ({**BODY, "until": "14:00"}, "invalid-body", "#/until"),
        ({**BODY, "until": "2026-11-23T15:00:00"}, "invalid-body", "#/until"),
        ({**BODY, "until": "2026-11-23T13:00:00Z"}, "dispatch-refused", "#/until"),
        ({**BODY, "until": "9999-12-31T23:59:59-23:59"}, "dispatch-refused", "#/until"),
        ({**BODY, "deliver_by": "2026-11-23T13:00:00Z"}, "dispatch-refused", "#/deliver_by"),
        (
            {**BODY, "until": "2026-11-23T15:00:00Z", "duration_s": 1},
            "invalid-body",
            "#/duration_s",
        ),
        ({**BODY, "priority": 10_000}, "dispatch-refused", "#/priority"),
        ({**BODY, "reason": "x" * 501}, "invalid-body", "#/reason"),
        ({**BODY, "setpoint": 1}, "invalid-body", "#/setpoint"),
        ({**BODY, "a/b~ü": 1}, "invalid-body", "#/a~1b~0%C3%BC"),
        ([], "invalid-body", "#"),
    ],
)
async def test_refusals_point_at_the_member(
    client: CheckedClient, headend: FakeHeadend, body: object, problem: str, pointer: str
) -> None:
    """What is wrong with a body is told with a pointer and a sentence, and nothing is done."""
    answer = await client.dispatch(body)
    assert answer.status == 422
    assert answer.problem == problem
    [fault] = answer.json["errors"]
    assert fault["pointer"] == pointer
    assert headend.desk.requests == []


async def test_all_faults_at_once(client: CheckedClient) -> None:
    """Who wrote three mistakes hears of three; an unknown name comes with the known ones."""
    answer = await client.dispatch({"asset_id": 7, "set_point_mw": 1})
    details = [fault["detail"] for fault in answer.json["errors"]]
    assert details == [
        (
            "unknown member 'set_point_mw'; did you mean 'setpoint_mw'? (known: asset_id, "
            "deliver_by, duration_s, priority, reason, setpoint_mw, site_id, until)"
        ),
        "asset_id: expected `str | null`, got `int`",
        "setpoint_mw: is required",
    ]


@pytest.mark.parametrize(
    ("content", "position"),
    [
        (b'{"asset_id": "bess-1",}', "(byte 22)"),
        (b'{"asset_id": "bess-1"', "(of 21 bytes)"),
        (b"", "(of 0 bytes)"),
        (b'{"asset_id": "b\xff"}', "byte 15 "),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"setpoint_mw": 1e999}', "out of range"),
        (b'{"setpoint_mw": NaN}', "(byte 16)"),
    ],
)
async def test_what_is_no_json(client: CheckedClient, content: bytes, position: str) -> None:
    """Malformed JSON is a 400 that says where."""
    answer = await client.dispatch(content)
    assert answer.status == 400
    assert answer.problem == "malformed-json"
    assert position in answer.json["detail"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        field.name: JSON | st.datetimes().map(lambda time: time.isoformat() + "Z")
        for field in msgspec.structs.fields(DispatchBody)
    },
)


@given(LIKELY | JSON)
def test_no_json_is_too_strange(value: object) -> None:
    """Any JSON becomes a request or a refusal, never another error."""
    try:
        request = request_of(read_body(DispatchBody, msgspec.json.encode(value)), NOW_US)
    except Refusal as refusal:
        assert refusal.kind.status in {400, 422}  # noqa: PT017 - both ends are right
    else:
        assert isinstance(request, DispatchRequest)


@given(st.binary())
def test_no_bytes_are_too_strange(content: bytes) -> None:
    """Any bytes become a request or a refusal, never another error."""
    try:
        request_of(read_body(DispatchBody, content), NOW_US)
    except Refusal as refusal:
        assert refusal.kind.status in {400, 422}  # noqa: PT017 - both ends are right


async def test_a_repeat_is_no_second_dispatch(client: CheckedClient, headend: FakeHeadend) -> None:
    """The same key and body, written another way, answer with the same dispatch."""
    first = await client.dispatch({"asset_id": "bess-1", "setpoint_mw": 1}, key="k")
    again = await client.dispatch(
        b'{ "setpoint_mw":1.0, "asset_id":"bess-1", "until":null }', key='"k"'
    )
    assert again.status == 202
    assert again.json == first.json
    assert len(headend.desk.requests) == 1


async def test_a_key_belongs_to_one_body(client: CheckedClient, headend: FakeHeadend) -> None:
    """The same key with another body is refused."""
    await client.dispatch(BODY, key="k")
    answer = await client.dispatch({**BODY, "setpoint_mw": 1.6}, key="k")
    assert answer.status == 422
    assert answer.problem == "idempotency-key-reused"
    assert len(headend.desk.requests) == 1


async def test_a_refused_dispatch_leaves_its_key(client: CheckedClient) -> None:
    """After a refusal the mistake can be mended under the same key."""
    assert (await client.dispatch({**BODY, "setpoint_mw": 9}, key="k")).status == 422
    assert (await client.dispatch(BODY, key="k")).status == 202


async def test_a_busy_desk(client: CheckedClient, headend: FakeHeadend) -> None:
    """429 says when to come back, in whole seconds and never at once."""
    headend.desk.busy_for_s = 0.2
    answer = await client.dispatch(BODY)
    assert answer.status == 429
    assert answer.problem == "too-many-dispatches"
    assert answer.headers["retry-after"] == "1"


async def test_a_store_that_is_away(client: CheckedClient, headend: FakeHeadend) -> None:
    """503 says when to come back, to who hands in and to who looks up."""
    headend.desk.store_away = True
    for answer in (await client.dispatch(BODY), await client.get("/dispatches/d0")):
        assert answer.status == 503
        assert answer.problem == "store-unavailable"
        assert answer.headers["retry-after"] == "1"


async def test_a_timeline_is_told(client: CheckedClient, headend: FakeHeadend) -> None:
    """States with their times and sources, the edge's own clock where it spoke."""
    await client.dispatch(BODY)
    dispatch = advance(headend.desk.dispatches["d1"], Sent(), NOW_US + 1_000_000).dispatch
    applied = Applied(readback_mw=1.5, source_time_us=NOW_US + 1_900_000)
    headend.desk.dispatches["d1"] = advance(dispatch, applied, NOW_US + 2_000_000).dispatch
    told = (await client.get("/dispatches/d1")).json
    assert told["state"] == "applied"
    assert told["readback_mw"] == 1.5
    assert [line["state"] for line in told["timeline"]] == ["submitted", "sent", "applied"]
    assert told["timeline"][-1] == {
        "state": "applied",
        "time": "2026-11-23T14:00:02Z",
        "source": "edge",
        "source_time": "2026-11-23T14:00:01.900000Z",
    }


def test_a_site_dispatch_can_be_told() -> None:
    """What an earlier or later headend took for a site is shown as one."""
    request = DispatchRequest(
        target=SiteTarget(site_id="north"),
        setpoint_mw=1.0,
        start_us=NOW_US,
        until_us=NOW_US + 1,
        deliver_by_us=NOW_US + 1,
    )
    told = dispatch_resource(submit("d1", "default", request, NOW_US))
    assert msgspec.to_builtins(told.target) == {"site_id": "north"}
