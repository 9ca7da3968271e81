"""How a dispatch is planned, and handed in as planned."""

import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend

BODY = {"portfolio_id": "both", "setpoint_mw": 3.0}


async def test_a_plan_of_a_portfolio(client: CheckedClient, headend: FakeHeadend) -> None:
    """Who gets what at each level, what binds him, who is left out; and nothing is done."""
    answer = await client.send("POST", "/dispatch/preview", {**BODY, "setpoint_mw": 4.5})
    assert answer.status == 200
    plan = answer.json
    assert plan.pop("token")
    assert plan == {
        "target": {"portfolio_id": "both"},
        "setpoint_mw": 4.5,
        "placed_mw": 4.0,
        "unplaced_mw": 0.5,
        "allocations": [
            {"id": "north", "setpoint_mw": 2.0, "limit": "nameplate"},
            {"id": "south", "setpoint_mw": 2.0, "limit": "nameplate"},
        ],
        "excluded": [],
        "sites": {
            "north": {
                "setpoint_mw": 2.0,
                "placed_mw": 2.0,
                "unplaced_mw": 0.0,
                "allocations": [{"id": "bess-1", "setpoint_mw": 2.0, "limit": "nameplate"}],
                "excluded": [{"id": "bess-2", "reason": "offline"}],
            },
            "south": {
                "setpoint_mw": 2.0,
                "placed_mw": 2.0,
                "unplaced_mw": 0.0,
                "allocations": [{"id": "pv-1", "setpoint_mw": 2.0, "limit": "nameplate"}],
                "excluded": [],
            },
        },
        "issued": "2026-11-23T14:00:00Z",
        "expires": "2026-11-23T14:02:00Z",
    }
    assert headend.desk.requests == []


async def test_a_plan_of_an_asset_needs_no_key(client: CheckedClient) -> None:
    """A setpoint for one asset is a split among one."""
    plan = await client.send("POST", "/dispatch/preview", {"asset_id": "pv-1", "setpoint_mw": 1})
    assert plan.json["allocations"] == [{"id": "pv-1", "setpoint_mw": 1.0}]
    assert plan.json["sites"] == {}


async def test_what_cannot_be_dispatched_cannot_be_planned(client: CheckedClient) -> None:
    """The same refusals, with the same pointers."""
    for body, problem in (
        ({**BODY, "setpoint_mw": 99}, "dispatch-refused"),
        ({"site_id": "nix", "setpoint_mw": 1}, "unknown-target"),
        ({"setpoint_mw": 1}, "invalid-body"),
    ):
        answer = await client.send("POST", "/dispatch/preview", body)
        assert (answer.status, answer.problem) == (422, problem)


async def test_a_dispatch_as_planned(client: CheckedClient) -> None:
    """While the fleet stands, the token changes nothing."""
    plan = (await client.send("POST", "/dispatch/preview", BODY)).json
    answer = await client.dispatch({**BODY, "plan_token": plan["token"]})
    assert answer.status == 202


async def test_a_fleet_that_has_moved(client: CheckedClient, headend: FakeHeadend) -> None:
    """409 lists the shares that are others now, and why; the key stays unused."""
    plan = (await client.send("POST", "/dispatch/preview", BODY)).json
    headend.desk.offline.add("pv-1")
    answer = await client.dispatch({**BODY, "plan_token": plan["token"]}, key="k")
    assert (answer.status, answer.problem) == (409, "fleet-moved")
    assert answer.json["moved"] == [
        {"id": "bess-1", "planned_mw": 1.5, "now_mw": 2.0, "reason": "nameplate"},
        {"id": "pv-1", "planned_mw": 1.5, "now_mw": 0.0},
        {"id": None, "planned_mw": 0.0, "now_mw": 1.0},
    ]
    assert headend.desk.requests == []
    assert (await client.dispatch(BODY, key="k")).status == 202


async def test_a_plan_that_is_too_old(client: CheckedClient, headend: FakeHeadend) -> None:
    """409: ask again."""
    plan = (await client.send("POST", "/dispatch/preview", BODY)).json
    headend.desk.now_us = NOW_US + 120_000_000
    answer = await client.dispatch({**BODY, "plan_token": plan["token"]})
    assert (answer.status, answer.problem) == (409, "plan-expired")
    assert answer.json["errors"][0]["reason"] == "token_expired"


@pytest.mark.parametrize("other", [{"setpoint_mw": 2.5}, {"site_id": "north", "setpoint_mw": 2.0}])
async def test_a_plan_of_another_dispatch(client: CheckedClient, other: dict[str, object]) -> None:
    """A token is of one target and one setpoint."""
    plan = (await client.send("POST", "/dispatch/preview", BODY)).json
    answer = await client.dispatch({**BODY, **other, "plan_token": plan["token"]})
    assert (answer.status, answer.problem) == (422, "plan-not-for-this")
    [fault] = answer.json["errors"]
    assert (fault["pointer"], fault["reason"]) == ("#/plan_token", "token_for_another")


async def test_a_repeat_is_answered_though_the_plan_is_old(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """What was taken was taken: the key answers, not the plan."""
    plan = (await client.send("POST", "/dispatch/preview", BODY)).json
    body = {**BODY, "plan_token": plan["token"]}
    first = await client.dispatch(body, key="k")
    headend.desk.offline.add("pv-1")
    headend.desk.now_us = NOW_US + 999_000_000
    again = await client.dispatch(body, key="k")
    assert again.json == first.json
