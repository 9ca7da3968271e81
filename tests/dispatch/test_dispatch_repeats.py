"""A thousand concurrent repeats of one POST, through the API and over a real disk.

Over a store in memory, in virtual time: see tests/api/test_api_real_desk.py.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from api_client import Answer, CheckedClient
from headend_plant import Plant, open_plant, site_of

from dercp.api import ApiSettings, create_app, open_live_stream
from dercp.store import open_sqlite

REPEATS = 1_000
BODY = {"asset_id": "bess-1", "setpoint_mw": 1.0, "duration_s": 300}


@asynccontextmanager
async def asked(directory: Path) -> AsyncIterator[tuple[Plant, CheckedClient]]:
    """A headend on SQLite and its API, in real time: a disk knows no other."""
    settings = ApiSettings(requests_max=REPEATS)
    store: Any = open_sqlite(directory)  # it keeps the contract of the one in memory
    async with open_plant(opened=lambda _: store) as plant:
        headend = plant.headend
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
            yield plant, CheckedClient(app)


async def post(client: CheckedClient, answers: list[Answer]) -> None:
    """The one POST."""
    answers.append(await client.dispatch(BODY, key="one"))


async def test_a_thousand_repeats_over_sqlite_make_one_dispatch(tmp_path: Path) -> None:
    """All at once, and once more after a restart; the agent is told once."""
    answers: list[Answer] = []
    with trio.fail_after(60.0):
        async with asked(tmp_path) as (plant, client):
            # Not `plant.agent`: in real time nobody waits until all is still.
            async with plant.caller("edge-1", site_of("site-1", "bess-1")) as agent:
                await agent.hello()
                async with trio.open_nursery() as nursery:
                    for _ in range(REPEATS):
                        nursery.start_soon(post, client, answers)
                assert (await agent.expect_dispatch()).dispatch_id == "d-1"
            page = await plant.headend.desk.page(None, 100)
            assert [each.dispatch_id for each in page.dispatches] == ["d-1"]
        async with asked(tmp_path) as (_, client):
            await post(client, answers)
    assert [answer.status for answer in answers] == [202] * (REPEATS + 1)
    assert {answer.json["id"] for answer in answers} == {"d-1"}
