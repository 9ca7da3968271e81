"""A headend under load whose Postgres is killed for a while, and what came of it."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
from postgres_server import PostgresServer
from processes import Api, Dercp, eventually, open_api, running
from steady_load import Gateway, Sent, asset_id, gateway_id

LOOK_EVERY_S = 0.2
CATCH_UP_WITHIN_S = 120.0
# Behind by less than the batches of this time, a drain has caught up.
CAUGHT_UP_S = 1.0
# What a rate "at best" is measured over.
WINDOW_S = 0.5
STORED = """
SELECT s.agent_id, count(*), count(DISTINCT f.sequence), min(f.sequence), max(f.sequence),
  sum(f.samples)
FROM dercp.frame AS f JOIN dercp.spool AS s USING (spool_key) GROUP BY s.agent_id
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, and when Postgres is killed and for how long."""

    gateways: int
    assets_each: int
    before_s: float
    away_s: float
    after_s: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the gateways know beside what is in Postgres, in samples.

    Attributes:
        acknowledged: By the headend, to the gateways.
        unanswered: Sent and never acknowledged.
        stored: In Postgres at the end.
        projected: Of these, rows of `dercp.samples`.
        lost: Acknowledged and not in Postgres.
        twice: In Postgres more than once.
    """

    acknowledged: int
    unanswered: int
    stored: int
    projected: int
    lost: int
    twice: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an operator meets in the middle of it."""

    history_status: int
    dispatch_status: int
    degraded_because: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        slowest_ack_s: The longest wait of a gateway for an acknowledgement.
        lag_samples_max: Waiting in the log at most.
        caught_up_in_s: From the server's return to a lag below a second.
        catch_up_rate: Samples drained a second on that whole way.
        catch_up_rate_best: The same, in the best half second of it.
        latest_age_s_max: The oldest latest value that the API gave.
        latest_reads: How often it was asked.
        latest_failures: How often it gave none, or a stale one.
    """

    audit: Audit
    seen: Seen
    slowest_ack_s: float
    lag_samples_max: int
    caught_up_in_s: float
    catch_up_rate: float
    catch_up_rate_best: float
    latest_age_s_max: float
    latest_reads: int
    latest_failures: int


class Watch:
    """Looks at the headend while it goes on."""

    def __init__(self, api: Api, plan: Plan, until_s: float) -> None:
        self._api = api
        self._plan = plan
        self._until_s = until_s
        self.drained: list[tuple[float, int, int]] = []
        self.age_s_max = 0.0
        self.reads = 0
        self.failures = 0

    async def look(self) -> None:
        """Again and again: how far the drain is, and how old the latest."""
        while True:
            ready = await self._api.get("/readyz")
            drain = ready["drain"]
            self.drained.append((trio.current_time(), drain["position"], drain["lag_frames"]))
            if trio.current_time() < self._until_s:
                await self._see_latest()
            await trio.sleep(LOOK_EVERY_S)

    async def _see_latest(self) -> None:
        response = await self._api.http.get(f"/assets/{asset_id(0, 0)}/telemetry")
        self.reads += 1
        if response.is_success and not response.json()["stale"]:
            self.age_s_max = max(self.age_s_max, response.json()["age_s"])
        else:
            self.failures += 1

    def caught_up(self) -> bool:
        """Whether the log has little more than what has just come."""
        return self.drained[-1][2] <= self._plan.gateways * CAUGHT_UP_S


async def run_outage(server: PostgresServer, directory: Path, plan: Plan) -> Outcome:
    """Run the plan against a `dercp headend` of its own."""
    database = server.create_database()
    arguments = ("--data-dir", str(directory), "--store-url", server.url(database))
    async with running(
        "headend", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--no-auth", *arguments
    ) as headend:
        ready = await headend.wait_logged("headend_ready")
        async with open_api(ready["url"]) as api:
            port = int(re.findall(r":(\d+)$", ready["grpc"])[0])
            return await _run(server, database, headend, api, port, plan)


async def _run(
    server: PostgresServer, database: str, headend: Dercp, api: Api, port: int, plan: Plan
) -> Outcome:
    began = trio.current_time()
    until_s = began + plan.before_s + plan.away_s + plan.after_s
    # A gateway hangs up once its last batch is acknowledged, within the last second.
    sent, watch = Sent(), Watch(api, plan, until_s - 1.0)
    async with trio.open_nursery() as watching:
        async with trio.open_nursery() as load:
            for number in range(plan.gateways):
                gateway = Gateway(number, plan.assets_each, sent)
                spread_s = number / plan.gateways
                load.start_soon(partial(gateway.run, port, until_s=until_s, first_after_s=spread_s))
            await api.wait_agent(gateway_id(plan.gateways - 1), "connected", within_s=10)
            await trio.sleep(1.0)
            watching.start_soon(watch.look)
            await trio.sleep_until(began + plan.before_s)
            await trio.to_thread.run_sync(server.kill)
            away_until = trio.current_time() + plan.away_s
            await trio.sleep(plan.away_s / 2)
            seen = await _seen_while_away(api)
            await trio.sleep_until(away_until)
            await trio.to_thread.run_sync(server.start)
            back_at = trio.current_time()
            await eventually(
                partial(_is_caught_up, watch), within_s=CATCH_UP_WITHIN_S, what="caught up"
            )
            caught_up_at = trio.current_time()
        await eventually(partial(_is_drained, api), within_s=30, what="drained")
        watching.cancel_scope.cancel()
    assert not [line for line in headend.log if line["event"] == "actor_crashed"]
    rate, best = _rates(watch.drained, back_at, caught_up_at)
    return Outcome(
        audit=await trio.to_thread.run_sync(_audit, server, database, sent, plan),
        seen=seen,
        slowest_ack_s=sent.slowest_s,
        lag_samples_max=max(lag for _, _, lag in watch.drained) * plan.assets_each,
        caught_up_in_s=caught_up_at - back_at,
        catch_up_rate=rate * plan.assets_each,
        catch_up_rate_best=best * plan.assets_each,
        latest_age_s_max=watch.age_s_max,
        latest_reads=watch.reads,
        latest_failures=watch.failures,
    )


async def _seen_while_away(api: Api) -> Seen:
    history = await api.http.get(f"/assets/{asset_id(0, 0)}/history")
    dispatch = await api.http.post(
        "/dispatch",
        json={"asset_id": asset_id(0, 0), "setpoint_mw": 1.0},
        headers={"Idempotency-Key": "during-the-outage"},
    )
    assert "Retry-After" in dispatch.headers, dispatch.text
    assert "Retry-After" in history.headers, history.text
    return Seen(
        history_status=history.status_code,
        dispatch_status=dispatch.status_code,
        degraded_because=(await api.get("/readyz"))["degraded_because"] or "",
    )


async def _is_caught_up(watch: Watch) -> bool:
    await trio.lowlevel.checkpoint()
    return watch.caught_up()


async def _is_drained(api: Api) -> bool:
    drain = (await api.get("/readyz"))["drain"]
    return bool(drain["state"] == "drained" and drain["lag_frames"] == 0)


def _rates(drained: list[tuple[float, int, int]], begin: float, end: float) -> tuple[float, float]:
    """Batches a second: from the server's return to the end, and at best."""
    way = [(at, position) for at, position, _ in drained if begin <= at <= end + LOOK_EVERY_S]
    before = max((position for at, position, _ in drained if at < begin), default=0)
    rate = (way[-1][1] - before) / (end - begin)
    windows = (
        (later - position) / (then - at)
        for index, (at, position) in enumerate(way)
        for then, later in way[index + 1 :]
        if then - at >= WINDOW_S
    )
    return rate, max(windows, default=rate)


def _audit(server: PostgresServer, database: str, sent: Sent, plan: Plan) -> Audit:
    """Compare what was acknowledged with what is in Postgres, by the names of the batches."""
    stored: dict[str, tuple[int, ...]] = {}
    for line in server.sql(STORED, database=database).splitlines():
        agent_id, *counts = line.split("|")
        stored[agent_id] = tuple(map(int, counts))
    lost = twice = count = acknowledged = unanswered = 0
    for number, last_sent in sent.batches.items():
        frames, distinct, first, last, samples = stored.get(gateway_id(number), (0, 0, 1, 0, 0))
        # All numbers from the first to the last are there, or some between are not.
        missing = set(range(1, last_sent + 1)) - set(range(first, last + 1))
        holes = last - first + 1 - distinct
        lost += len(missing & sent.acknowledged[number]) + holes
        twice += frames - distinct
        count += samples
        acknowledged += len(sent.acknowledged[number])
        unanswered += last_sent - len(sent.acknowledged[number])
    projected = int(server.sql("SELECT count(*) FROM dercp.samples", database=database))
    each = plan.assets_each
    return Audit(
        acknowledged=acknowledged * each,
        unanswered=unanswered * each,
        stored=count,
        projected=projected,
        lost=lost * each,
        twice=twice * each,
    )
