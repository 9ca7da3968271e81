"""How a plan of blocks is handed in, told, and ended."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from api_client import Answer, CheckedClient
from api_fakes import NOW_US, FakeHeadend
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strange_json import ANY_JSON, ANY_TIME

from dercp.api.bodies import read_body
from dercp.api.problems import Refusal
from dercp.api.schedules import ScheduleBody, schedule_of
from dercp.model.dispatch import Rejected, Sent, SiteTarget, Source, submit
from dercp.model.schedule import Schedule

NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)


def block(number: int, setpoint_mw: float = 1.0, **changes: object) -> dict[str, object]:
    """A quarter of an hour, the first from 14:15 on."""
    start = NOW + timedelta(minutes=15 * (number + 1))
    until = start + timedelta(minutes=15)
    whole = {"start": start.isoformat(), "until": until.isoformat(), "setpoint_mw": setpoint_mw}
    return whole | changes


BODY = {"site_id": "north", "blocks": [block(0), block(1, -0.5)], "reason": "day ahead"}


async def post(client: CheckedClient, body: object, key: str | None = "k") -> Answer:
    """Hand a schedule in."""
    return await client.send("POST", "/schedules", body, idempotency_key=key)


async def test_a_schedule_is_accepted(client: CheckedClient, headend: FakeHeadend) -> None:
    """202 with all blocks, each a dispatch, and where to follow them."""
    answer = await post(client, BODY)
    assert answer.status == 202
    assert answer.headers["location"] == "/schedules/s1"
    told = answer.json
    assert told["id"] == "s1"
    assert told["target"] == {"site_id": "north"}
    assert told["reason"] == "day ahead"
    assert [(each["id"], each["setpoint_mw"]) for each in told["blocks"]] == [
        ("d1", 1.0),
        ("d2", -0.5),
    ]
    assert told["blocks"][1]["schedule"] == {"id": "s1", "block": 1}
    assert told["blocks"][1]["start"] == "2026-11-23T14:30:00Z"
    assert (await client.get("/schedules/s1")).json == told


@pytest.mark.parametrize(
    ("more", "deliver_by"),
    [
        ({}, "2026-11-23T14:15:00Z"),
        ({"deliver_by": "2026-11-23T14:05:00Z"}, "2026-11-23T14:05:00Z"),
        ({"blocks": [block(0, start="2026-11-23T13:59:00Z")]}, "2026-11-23T14:00:30Z"),
    ],
)
async def test_a_schedule_may_wait_for_its_site_until_it_begins(
    client: CheckedClient, more: dict[str, object], deliver_by: str
) -> None:
    """Unless it says otherwise; one that has begun has 30 s, as a dispatch has."""
    assert (await post(client, {**BODY, **more})).json["deliver_by"] == deliver_by


@pytest.mark.parametrize(
    ("change", "problem", "pointer"),
    [
        ({"blocks": []}, "invalid-body", "#/blocks"),
        ({"blocks": [block(0)] * 289}, "invalid-body", "#/blocks"),
        ({"blocks": [block(0), block(1, until="14:00")]}, "invalid-body", "#/blocks/1/until"),
        ({"blocks": [block(0, setpoint="1")]}, "invalid-body", "#/blocks/0"),
        ({"blocks": [block(0), block(0)]}, "dispatch-refused", "#/blocks/1/start"),
        ({"blocks": [block(0), block(1, 9.0)]}, "dispatch-refused", "#/blocks/1/setpoint_mw"),
        ({"blocks": [block(300)]}, "dispatch-refused", "#/blocks/0/until"),
        ({"deliver_by": "2026-11-23T13:00:00Z"}, "dispatch-refused", "#/deliver_by"),
        ({"site_id": "nix"}, "unknown-target", "#/site_id"),
        ({"site_id": None}, "invalid-body", "#/asset_id"),
        ({"setpoint_mw": 1}, "invalid-body", "#/setpoint_mw"),
    ],
)
async def test_refusals_point_into_the_block(
    client: CheckedClient,
    headend: FakeHeadend,
    change: dict[str, object],
    problem: str,
    pointer: str,
) -> None:
    """All blocks are taken or none."""
    answer = await post(client, {**BODY, **change})
    assert (answer.status, answer.problem) == (422, problem)
    assert answer.json["errors"][0]["pointer"] == pointer
    assert headend.desk.requests == []


async def test_a_repeat_is_no_second_schedule(client: CheckedClient, headend: FakeHeadend) -> None:
    """The same key and body, another way written; with another body it is refused."""
    first = await post(client, BODY)
    again = await post(client, {"priority": None, **BODY})
    assert again.json == first.json
    assert len(headend.desk.requests) == 2
    other = await post(client, {**BODY, "reason": "another day"})
    assert other.problem == "idempotency-key-reused"
    assert (await client.dispatch({"asset_id": "pv-1", "setpoint_mw": 1}, key="k")).status == 422
    assert (await post(client, BODY, key=None)).problem == "missing-idempotency-key"


async def test_a_schedule_is_found_by_a_part_of_it(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """Parts that the headend made of a block are none of its blocks."""
    await post(client, {**BODY, "site_id": None, "portfolio_id": "both"})
    of_site = replace(headend.desk.requests[1], target=SiteTarget("north"))
    headend.desk.dispatches["d3"] = submit("d3", "default", of_site, NOW_US, parent_id="d2")
    told = (await client.get("/schedules/s1")).json
    assert [each["id"] for each in told["blocks"]] == ["d1", "d2"]


async def test_a_schedule_is_cancelled(client: CheckedClient, headend: FakeHeadend) -> None:
    """What has ended stays as it ended; repeating it does no harm."""
    await post(client, BODY)
    headend.desk.advance("d1", Sent(), Rejected(source=Source.EDGE, reason="clock_suspect"))
    ended = await client.send("POST", "/schedules/s1/cancel", {"reason": "storm"})
    assert ended.status == 202
    assert [each["state"] for each in ended.json["blocks"]] == ["rejected", "cancelled"]
    assert ended.json["blocks"][1]["last"]["detail"] == "storm"
    assert (await client.ask("POST", "/schedules/s1/cancel")).json == ended.json


async def test_a_schedule_that_is_over_is_not_cancelled(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """409; one that nobody made is 404."""
    await post(client, BODY)
    for each in ("d1", "d2"):
        headend.desk.advance(each, Sent(), Rejected(source=Source.EDGE, reason="local_lockout"))
    answer = await client.ask("POST", "/schedules/s1/cancel")
    assert (answer.status, answer.problem) == (409, "dispatch-ended")
    assert (await client.ask("POST", "/schedules/nix/cancel")).status == 404
    assert (await client.get("/schedules/nix")).status == 404


async def test_a_store_that_is_away(client: CheckedClient, headend: FakeHeadend) -> None:
    """503 for who hands in, looks up or cancels."""
    headend.desk.store_away = True
    for answer in (
        await post(client, BODY),
        await client.get("/schedules/s0"),
        await client.ask("POST", "/schedules/s0/cancel"),
    ):
        assert (answer.status, answer.problem) == (503, "store-unavailable")


BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"start": ANY_TIME, "until": ANY_TIME, "setpoint_mw": st.floats(allow_nan=False) | ANY_JSON}
    ),
    min_size=1,
)


@given(
    st.fixed_dictionaries(
        {"asset_id": st.text(), "blocks": BLOCKS | ANY_JSON}, optional={"x": ANY_JSON}
    )
)
def test_no_schedule_is_too_strange(value: object) -> None:
    """Any ANY_JSON becomes a schedule or a refusal, never another error."""
    try:
        schedule = schedule_of(read_body(ScheduleBody, msgspec.json.encode(value)), NOW_US)
    except Refusal as refusal:
        assert refusal.kind.status in {400, 422}  # noqa: PT017 - both ends are right
    else:
        assert isinstance(schedule, Schedule)
