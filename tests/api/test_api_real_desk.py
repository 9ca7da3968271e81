"""The API over a real headend, on a virtual clock and a disk in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from api_client import Answer, CheckedClient
from headend_plant import Plant, open_plant
from trio.testing import MockClock

from dercp.api import ApiSettings, create_app, open_live_stream

BODY = {"site_id": "site-1", "setpoint_mw": 2.0}
REPEATS = 1_000


@asynccontextmanager
async def asked(plant: Plant) -> AsyncIterator[CheckedClient]:
    """The API of a plant, for so many requests at once."""
    headend, settings = plant.headend, ApiSettings(requests_max=REPEATS)
    async with open_live_stream(headend.feed, headend.reader, plant.clock, settings) as live:
        app = create_app(
            headend.reader,
            headend.history,
            headend.desk,
            headend.portfolios,
            headend.operations,
            live,
            plant.clock,
            settings,
        )
        yield CheckedClient(app)


async def test_a_thousand_repeats_of_one_post_make_one_dispatch(
    autojump_clock: MockClock,
) -> None:
    """At the same time, on a slow disk: all are answered with the same one, sent once."""
    async with open_plant() as plant, plant.agent() as agent, asked(plant) as client:
        plant.disk.write_takes_s = 0.1
        answers: list[Answer] = []

        async def post() -> None:
            answers.append(await client.dispatch({"asset_id": "bess-1", "setpoint_mw": 1}))

        async with trio.open_nursery() as nursery:
            for _ in range(REPEATS):
                nursery.start_soon(post)
        assert [answer.status for answer in answers] == [202] * REPEATS
        assert {answer.json["id"] for answer in answers} == {"d-1"}
        assert len(plant.disk.dispatches) == 1
        assert (await agent.expect_dispatch()).dispatch_id == "d-1"


async def test_many_repeats_of_one_schedule_make_one_schedule(
    autojump_clock: MockClock,
) -> None:
    """All blocks, once."""
    body = {
        "asset_id": "bess-1",
        "blocks": [
            {
                "start": f"2027-01-15T08:{minute}:00Z",
                "until": f"2027-01-15T08:{minute + 1}:00Z",
                "setpoint_mw": 1.0,
            }
            for minute in (10, 11, 12)
        ],
    }
    async with open_plant() as plant, plant.agent(), asked(plant) as client:
        plant.disk.write_takes_s = 0.1
        answers: list[Answer] = []

        async def post() -> None:
            answers.append(await client.send("POST", "/schedules", body, idempotency_key="k"))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(post)
        assert [answer.status for answer in answers] == [202] * 100
        assert {answer.headers["location"] for answer in answers} == {
            answers[0].headers["location"]
        }
        assert len(plant.disk.dispatches) == 3


async def test_a_portfolio_is_made_planned_dispatched_and_kept(
    autojump_clock: MockClock,
) -> None:
    """From its name to the setpoints of its assets; no deletion while it is dispatched."""
    async with (
        open_plant() as plant,
        plant.agent("edge-1", "site-1", assets=("a", "b")) as one,
        plant.agent("edge-2", "site-2", assets=("c",)) as two,
        asked(plant) as client,
    ):
        for agent in (one, two):
            await agent.sample()
        await plant.settle()
        members = {"sites": ["site-1"], "assets": ["c"]}
        assert (await client.send("PUT", "/portfolios/east", members)).status == 201
        body = {"portfolio_id": "east", "setpoint_mw": 3.0}
        plan = (await client.send("POST", "/dispatch/preview", body)).json
        assert plan["placed_mw"] == 3.0
        taken = await client.dispatch({**body, "plan_token": plan["token"]})
        assert taken.status == 202
        shares = {share["id"]: share["setpoint_mw"] for share in taken.json["placement"]["shares"]}
        assert shares == {"c": 1.0, "site-1": 2.0}
        assert (await one.expect_dispatch()).setpoint_mw == 2.0
        assert (await two.expect_dispatch()).setpoint_mw == 1.0
        parts = (await client.get(f"/dispatches?parent_id={taken.json['id']}")).json["items"]
        assert {part["id"] for part in parts} == set(taken.json["children"])
        kept = await client.ask("DELETE", "/portfolios/east", headers={"If-Match": "*"})
        assert kept.problem == "portfolio-in-use"
        record = (await client.get(f"/dispatches/{taken.json['id']}/record")).json
        assert {part["id"] for part in record["parts"]} == set(taken.json["children"])


async def test_a_site_is_cancelled_before_anybody_has_it(autojump_clock: MockClock) -> None:
    """Nobody has it, so the headend itself can say that it is over."""
    async with open_plant() as plant, asked(plant) as client:
        async with plant.agent():
            await plant.settle()
        await plant.settle()
        taken = await client.dispatch(BODY)
        ended = await client.ask("POST", f"/dispatches/{taken.json['id']}/cancel")
        assert ended.json["state"] == "cancelled"
