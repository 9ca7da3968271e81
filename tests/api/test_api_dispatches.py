"""How a dispatch is handed in and told."""

import msgspec
import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strange_json import ANY_JSON, ANY_TIME

from dercp.api.bodies import read_body
from dercp.api.dispatch_bodies import DispatchBody, request_of
from dercp.api.dispatch_resources import dispatch_resource
from dercp.api.problems import Refusal
from dercp.api.queries import encode_cursor
from dercp.model.dispatch import (
    Applied,
    AssetTarget,
    Completed,
    DispatchRequest,
    Rejected,
    Sent,
    Share,
    ShareState,
    SiteTarget,
    Source,
    placement,
    submit,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp, OnLimit

BODY = {"asset_id": "bess-1", "setpoint_mw": 1.5}
SUBMITTED = {"state": "submitted", "time": "2026-11-23T14:00:00Z", "source": "operator"}


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
        "authority": "headend",
        "on_limit": "clamp",
        "schedule": None,
        "parent_id": None,
        "applied_mw": None,
        "readback_mw": None,
        "withdrawn_as": None,
        "superseded_by": None,
        "placement": None,
        "outcome": None,
        "last": SUBMITTED,
        "children": [],
        "clamps": [],
        "timeline": [SUBMITTED],
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
        ({"start": "2026-11-23T14:01:00Z", "duration_s": 60}, 120, 30),
        ({"start": "2026-11-23T14:01:00Z"}, 960, 30),
    ],
)
def test_ends_and_defaults(more: dict[str, object], until_s: float, deliver_by_s: float) -> None:
    """`until` wins nothing by its offset; `deliver_by` is 30 s from now, never after the end.

    A duration counts from the start.
    """
    body = read_body(DispatchBody, msgspec.json.encode({**BODY, **more}))
    request = request_of(body, NOW_US)
    assert request.start_us == NOW_US + 60e6 * ("start" in more)
    assert request.until_us == NOW_US + until_s * 1e6
    assert request.deliver_by_us == NOW_US + deliver_by_s * 1e6


@pytest.mark.parametrize(
    ("members", "target"),
    [
        ({"asset_id": "bess-1", "site_id": "south", "portfolio_id": "both"}, "asset_id"),
        ({"asset_id": "bess-1", "portfolio_id": "both"}, "asset_id"),
        ({"site_id": "north", "portfolio_id": "both"}, "site_id"),
        ({"asset_id": None, "site_id": None, "portfolio_id": "both"}, "portfolio_id"),
    ],
)
async def test_the_asset_wins_then_the_site(
    client: CheckedClient, members: dict[str, str], target: str
) -> None:
    """With several given, the dispatch is for the narrowest alone."""
    answer = await client.dispatch({"setpoint_mw": 1.5, **members})
    assert answer.json["target"] == {target: members[target]}


@pytest.mark.parametrize(
    ("body", "problem", "pointer"),
    [
        ({"site_id": "nope", "setpoint_mw": 1}, "unknown-target", "#/site_id"),
        ({"portfolio_id": "nope", "setpoint_mw": 1}, "unknown-target", "#/portfolio_id"),
        ({"asset_id": "nope", "setpoint_mw": 1}, "unknown-target", "#/asset_id"),
        (
            {"asset_id": "nope", "site_id": "north", "setpoint_mw": 1},
            "unknown-target",
            "#/asset_id",
        ),
        ({"site_id": "north", "setpoint_mw": 4.1}, "dispatch-refused", "#/setpoint_mw"),
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
        (
            {**BODY, "start": "2026-11-23T15:00:00Z", "until": "2026-11-23T14:30:00Z"},
            "dispatch-refused",
            "#/start",
        ),
        ({**BODY, "on_limit": "widen"}, "invalid-body", "#/on_limit"),
        ({**BODY, "plan_token": "x"}, "plan-not-for-this", "#/plan_token"),
        ({**BODY, "plan_token": ""}, "invalid-body", "#/plan_token"),
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
            "deliver_by, duration_s, on_limit, plan_token, portfolio_id, priority, reason, "
            "setpoint_mw, site_id, start, until)"
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
    """Malformed ANY_JSON is a 400 that says where."""
    answer = await client.dispatch(content)
    assert answer.status == 400
    assert answer.problem == "malformed-json"
    assert position in answer.json["detail"]


LIKELY = st.fixed_dictionaries(
    {},
    optional={field.name: ANY_JSON | ANY_TIME for field in msgspec.structs.fields(DispatchBody)},
)


@given(LIKELY | ANY_JSON)
def test_no_json_is_too_strange(value: object) -> None:
    """Any ANY_JSON becomes a request or a refusal, never another error."""
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
    headend.desk.advance("d1", Sent(), Applied(readback_mw=1.5, source_time_us=NOW_US + 1_900_000))
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


@pytest.mark.parametrize("also", [{}, {"site_id": "north"}])
async def test_an_asset_command_never_fans_out(
    client: CheckedClient, headend: FakeHeadend, also: dict[str, str]
) -> None:
    """What reaches the desk is one request for one asset, whatever else was named."""
    await client.dispatch({**BODY, **also})
    assert [request.target for request in headend.desk.requests] == [AssetTarget("bess-1")]


async def test_all_or_nothing_reaches_the_desk(client: CheckedClient, headend: FakeHeadend) -> None:
    """`on_limit` is what the edge does where a limit stands against the setpoint."""
    answer = await client.dispatch({**BODY, "on_limit": "reject"})
    assert answer.json["on_limit"] == "reject"
    assert headend.desk.requests[0].on_limit is OnLimit.REJECT


async def test_a_shared_dispatch_is_told_with_its_shares(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """Placed, pending, failed and unplaced megawatts, and how it stands with each asset."""
    await client.dispatch({"site_id": "north", "setpoint_mw": 3.0})
    shares = (
        Share(id="bess-1", setpoint_mw=2.0, state=ShareState.APPLIED, limit="nameplate"),
        Share(id="bess-2", state=ShareState.EXCLUDED, reason="offline"),
    )
    taken = headend.desk.dispatches["d1"]
    headend.desk.dispatches["d1"] = replace(taken, placement=placement(3.0, shares))
    told = (await client.get("/dispatches/d1")).json
    assert told["target"] == {"site_id": "north"}
    assert told["placement"] == {
        "placed_mw": 2.0,
        "pending_mw": 0.0,
        "failed_mw": 0.0,
        "unplaced_mw": 1.0,
        "round": 1,
        "shares": [
            {"id": "bess-1", "state": "applied", "setpoint_mw": 2.0, "limit": "nameplate"},
            {"id": "bess-2", "state": "excluded", "setpoint_mw": 0.0, "reason": "offline"},
        ],
    }
    [listed, _] = (await client.get("/dispatches")).json["items"]
    assert listed["placement"]["unplaced_mw"] == 1.0
    assert "shares" not in listed["placement"]


async def test_limits_and_what_was_measured_are_told(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """Each clamp with its reason, what was applied of it, and what it came to in the end."""
    await client.dispatch(BODY)
    measured = Outcome(
        setpoint_mw=1.2,
        from_us=NOW_US,
        until_us=NOW_US + 900_000_000,
        energy_asked_mwh=0.3,
        energy_delivered_mwh=0.29,
        followed_pct=98.5,
        known_pct=100.0,
        samples_good=890,
        samples_expected=900,
    )
    headend.desk.advance(
        "d1",
        Sent(),
        Applied(
            readback_mw=1.2,
            clamps=(Clamp("configured_limit", 1.5, 1.2),),
            source_time_us=NOW_US,
        ),
        Completed(outcome=measured, source_time_us=NOW_US),
    )
    told = (await client.get("/dispatches/d1")).json
    assert told["applied_mw"] == 1.2
    assert told["clamps"] == [{"reason": "configured_limit", "from_mw": 1.5, "to_mw": 1.2}]
    assert told["outcome"] == {
        "setpoint_mw": 1.2,
        "from": "2026-11-23T14:00:00Z",
        "until": "2026-11-23T14:15:00Z",
        "energy_asked_mwh": 0.3,
        "energy_delivered_mwh": 0.29,
        "followed_pct": 98.5,
        "known_pct": 100.0,
        "samples_good": 890,
        "samples_expected": 900,
        "complete_pct": 100.0 * 890 / 900,
    }


async def test_dispatches_are_listed_newest_first(client: CheckedClient) -> None:
    """Page after page, without the timelines; the newest entry tells why it stands there."""
    for number in range(3):
        await client.dispatch(BODY, key=f"k{number}")
    first = (await client.get("/dispatches?limit=3")).json
    assert [each["id"] for each in first["items"]] == ["d3", "d2", "d1"]
    assert first["items"][0]["last"] == SUBMITTED
    assert not {"timeline", "clamps", "children"} & first["items"][0].keys()
    rest = (await client.get(f"/dispatches?limit=3&cursor={first['next']}")).json
    assert [each["id"] for each in rest["items"]] == ["d0"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("asset_id=pv-1", ["d0"]),
        ("site_id=north", ["d2"]),
        ("portfolio_id=both", ["d3"]),
        ("schedule_id=s0", ["d0"]),
        ("parent_id=d3", []),
        ("state=cancelled", ["d1"]),
        ("state=cancelled&state=submitted&asset_id=bess-1", ["d1"]),
        ("open=true", ["d3", "d2", "d0"]),
        ("open=false", ["d1"]),
    ],
)
async def test_dispatches_can_be_filtered(
    client: CheckedClient, query: str, found: list[str]
) -> None:
    """By target, schedule, parent and state; all that are given must pass."""
    await client.dispatch(BODY, key="1")
    await client.dispatch({"site_id": "north", "setpoint_mw": 1}, key="2")
    await client.dispatch({"portfolio_id": "both", "setpoint_mw": 1}, key="3")
    await client.ask("POST", "/dispatches/d1/cancel")
    listed = (await client.get(f"/dispatches?{query}")).json
    assert [each["id"] for each in listed["items"]] == found


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("state=done", "state"),
        ("open=true&state=sent", "open"),
        ("cursor=x", "cursor"),
        (f"cursor={encode_cursor('bess-1')}", "cursor"),
        (f"cursor={encode_cursor('9' * 19)}", "cursor"),
    ],
)
async def test_filters_that_cannot_be(client: CheckedClient, query: str, parameter: str) -> None:
    """A cursor of another list is none of this one."""
    answer = await client.get(f"/dispatches?{query}")
    assert answer.problem == "invalid-parameters"
    assert answer.json["errors"][0]["parameter"] == parameter


async def test_a_dispatch_is_cancelled(client: CheckedClient) -> None:
    """Without a body or with a reason; repeating it does no harm."""
    await client.dispatch(BODY)
    ended = await client.send("POST", "/dispatches/d1/cancel", {"reason": "storm"})
    assert ended.status == 202
    assert ended.json["state"] == "cancelled"
    assert ended.json["last"]["detail"] == "storm"
    again = await client.ask("POST", "/dispatches/d1/cancel")
    assert again.json == ended.json


async def test_what_an_edge_may_have_is_withdrawn(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """The wish is shown; `cancelled` only the edge can say."""
    await client.dispatch(BODY)
    headend.desk.advance("d1", Sent())
    answer = await client.ask("POST", "/dispatches/d1/cancel")
    assert (answer.json["state"], answer.json["withdrawn_as"]) == ("sent", "cancelled")


async def test_what_has_ended_is_not_cancelled(client: CheckedClient, headend: FakeHeadend) -> None:
    """409 says how it ended; a dispatch that nobody made is 404."""
    await client.dispatch(BODY)
    headend.desk.advance("d1", Sent(), Rejected(source=Source.EDGE, reason="local_lockout"))
    answer = await client.ask("POST", "/dispatches/d1/cancel")
    assert (answer.status, answer.problem) == (409, "dispatch-ended")
    assert "has ended: rejected" in answer.json["detail"]
    assert (await client.ask("POST", "/dispatches/nix/cancel")).status == 404


@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (b"storm", {}, "unsupported-media-type"),
        (b"{", {"Content-Type": "application/json"}, "malformed-json"),
        (b'{"why": 1}', {"Content-Type": "application/json"}, "invalid-body"),
    ],
)
async def test_a_body_that_may_be_left_out_may_not_be_wrong(
    client: CheckedClient, content: bytes, headers: dict[str, str], problem: str
) -> None:
    """Whoever sends one is held to it."""
    path = "/dispatches/d0/cancel"
    answer = await client.ask("POST", path, headers=headers, content=content)
    assert answer.problem == problem


def test_a_part_of_a_site_can_be_told() -> None:
    """Who it is a part of, and of which schedule."""
    request = DispatchRequest(
        target=SiteTarget(site_id="north"),
        setpoint_mw=1.0,
        start_us=NOW_US,
        until_us=NOW_US + 1,
        deliver_by_us=NOW_US + 1,
        schedule_id="s1",
        block=3,
    )
    told = dispatch_resource(submit("d1", "default", request, NOW_US, parent_id="d0"))
    assert msgspec.to_builtins(told.target) == {"site_id": "north"}
    assert told.parent_id == "d0"
    assert msgspec.to_builtins(told.schedule) == {"id": "s1", "block": 3}
