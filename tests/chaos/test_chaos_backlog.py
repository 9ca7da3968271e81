"""An hour of a hundred assets behind the reconnect, over a thin link: is the present on time?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles

import pytest
import structlog
import trio
import trio.testing
from chaos_headend import MortalHeadend
from chaos_plan import Plan, StoreTrouble
from chaos_site import now_us
from edge_plant import FakeDevice, asset_config
from headend_plant import START_US, Plant
from trio.testing import MockClock

from actors import open_system
from dercp.edge.agent import Agent
from dercp.edge.config.settings import Config, Headend
from dercp.edge.spool.outbox import Draft
from dercp.edge.spool.spool import Spool, open_memory_outbox
from dercp.edge.uplink.bell import Bell
from dercp.link import ClientCall, open_call_over
from dercp.wire import CONNECT_PATH
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id
from sim.faulty_link import FaultyLink
from sim.link_faults import Throttle

ASSETS = 100
HOUR_S = 3_600
# What the devices of a site take to answer, the slowest of them: a Modbus bus is no faster.
SLOWEST_S = 0.09
# Until the session is up and has found its pace; then so long is measured.
SETTLE_S = 5.0
MEASURED_S = 30.0
LOOK_S = 0.005
WATCHED = range(0, ASSETS, 10)
QUIET = Plan(seed=1, sites=(), kills=(), store=StoreTrouble.NONE, store_from_s=0.0, store_to_s=0.0)
LOG = structlog.get_logger()


class SlowDevice(FakeDevice):
    """Answers after as long as it takes."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.read_takes_s = SLOWEST_S * number / ASSETS


def config() -> Config:
    """A site of a hundred batteries, sampled every second."""
    names = [f"asset-{number}" for number in range(ASSETS)]
    devices = [SlowDevice(number) for number in range(ASSETS)]
    return Config(
        agent_id="edge-1",
        data_dir=None,
        headend=Headend("memory", 1, None),
        site_id="site-1",
        site_name="Site 1",
        assets=tuple(map(asset_config, names, devices)),
    )


async def fill(spool: Spool, content_id: bytes, seconds: int) -> None:
    """So many batches, produced while the headend was away."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.run)
        for second in range(seconds):
            at_us = START_US - (seconds - second) * 1_000_000
            rows = [RowDraft(index, at_us, [1.0, 50.0]) for index in range(ASSETS)]
            payload = encode_payload(at_us, rows)
            await spool.put(
                Draft(
                    registration_id=content_id,
                    payload=payload,
                    from_us=at_us,
                    to_us=at_us,
                    samples=ASSETS,
                )
            )
        nursery.cancel_scope.cancel("filled")


@asynccontextmanager
async def connected(bytes_per_s: float, backlog_s: int) -> AsyncIterator[tuple[Plant, Spool]]:
    """The site and a headend, over a link of this width, with so long a backlog."""
    headend, bell, settings = MortalHeadend(QUIET), Bell(), config()
    thin = Throttle(from_s=0.0, to_s=1e9, bytes_per_s=bytes_per_s)
    link = FaultyLink(headend.open_far, [thin], seed=1)
    async with (
        open_memory_outbox(bell.ring, LOG) as spool,
        trio.open_nursery() as nursery,
    ):

        @asynccontextmanager
        async def dial() -> AsyncIterator[ClientCall]:
            near, carried = trio.testing.memory_stream_pair()
            nursery.start_soon(link.carry, carried)
            async with open_call_over(near, CONNECT_PATH) as call:
                yield call

        content_id = registration_id(encode_registration(settings.registration))
        await fill(spool, content_id, backlog_s)
        nursery.start_soon(link.run)
        nursery.start_soon(headend.run)
        await trio.sleep(1.0)
        agent = Agent(settings, clock=now_us, dial=dial, bell=bell, spool=spool)
        async with open_system("edge-1", seed=1, grace_s=15.0) as system:
            nursery.start_soon(agent.run, system, trio.Event(), lambda: None)
            await trio.sleep(SETTLE_S)
            assert headend.plant is not None
            yield headend.plant, spool
            nursery.cancel_scope.cancel("the test is over")


async def ages_s(plant: Plant) -> list[float]:
    """How old each live sample of some assets was when it could first be read."""
    seen_us: dict[str, int] = {}
    ages: list[float] = []
    until_s = trio.current_time() + MEASURED_S
    while trio.current_time() < until_s:
        await trio.sleep(LOOK_S)
        for number in WATCHED:
            asset_id = f"asset-{number}"
            shown = plant.headend.reader.telemetry(asset_id)
            if shown is None or shown.source_time_us is None:
                continue
            if asset_id in seen_us and shown.source_time_us > seen_us[asset_id]:
                ages.append((now_us() - shown.source_time_us) / 1_000_000)
            seen_us[asset_id] = shown.source_time_us
    assert len(ages) > 0.9 * MEASURED_S * len(WATCHED)
    return ages


def p95(ages: list[float]) -> float:
    """What 95 of 100 are below."""
    return quantiles(ages, n=20)[-1]


@pytest.mark.parametrize("bytes_per_s", [50_000.0, 250_000.0])
async def test_an_hour_of_backlog_does_not_double_the_age_of_the_present(
    autojump_clock: MockClock, bytes_per_s: float
) -> None:
    """p95 from source to readable, while the backlog goes; and it does go."""
    async with connected(bytes_per_s, backlog_s=0) as (plant, _):
        usual_s = p95(await ages_s(plant))
    async with connected(bytes_per_s, backlog_s=HOUR_S) as (plant, spool):
        before = spool.statistics().waiting
        behind_s = p95(await ages_s(plant))
        after = spool.statistics().waiting
    assert before > after > 0
    assert behind_s <= 2 * usual_s
