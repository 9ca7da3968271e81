"""Dispatches for whole sites on `dercp demo`, with agents of their own processes beside it."""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio
from processes import Api, Dercp, eventually, open_api, running

# The demo's own site: one agent for a battery and for sun. (Wind that falls below its share is
# told of, and not chased.)
DEMO_SITE = "demo-01"
# A site with two agents of their own processes; one battery at the first is full.
SITE = "north"
FULL = "north-a-2"
SHARE = 0.6
# Of what was asked, in sum.
WITHIN = 0.02
LEASE_S = 12


def write_site(directory: Path, grpc: str, agent_id: str, charges_pct: list[float]) -> Path:
    """The file of an agent at the site, with a battery for each state of charge."""
    lines = [
        f'[agent]\nid = "{agent_id}"\n[headend]\naddress = "{grpc}"',
        f'[site]\nid = "{SITE}"\nname = "North"',
    ]
    lines += [
        f'[[assets]]\nid = "{agent_id}-{number}"\nkind = "storage"\np_min_mw = -2.0\n'
        f'p_max_mw = 2.0\nenergy_capacity_mwh = 4.0\nsample_interval_s = 0.5\nfallback = "zero"\n'
        f'adapter = "simulated"\n[assets.options]\ninitial_soc_pct = {charge_pct}\n'
        f"[assets.limits]\nsoc_max_pct = 95.0"
        for number, charge_pct in enumerate(charges_pct, 1)
    ]
    path = directory / f"{agent_id}.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class Plant:
    """The demo, and beside it the site's two agents."""

    def __init__(self, demo: Dercp, agents: dict[str, Dercp], api: Api) -> None:
        self.demo = demo
        self.agents = agents
        self.api = api

    async def power_mw(self, site_id: str) -> float:
        """What a site gives, by all of its assets that report."""
        aggregate = (await self.api.get(f"/sites/{site_id}"))["aggregate"]
        return float(aggregate["active_power_mw"])

    async def wait_power(self, site_id: str, power_mw: float, within_s: float) -> None:
        """Until the site gives this power, in sum."""

        async def look() -> bool | None:
            off_mw = await self.power_mw(site_id) - power_mw
            return abs(off_mw) <= WITHIN * abs(power_mw) or None

        await eventually(look, within_s=within_s, what=f"{power_mw:.2f} MW at {site_id}")

    async def placement(self, dispatch_id: str) -> dict[str, Any]:
        """How a dispatch stands, each share by its id."""
        found = (await self.api.get(f"/dispatches/{dispatch_id}"))["placement"]
        return {**found, "shares": {share["id"]: share for share in found["shares"]}}


@asynccontextmanager
async def open_plant(directory: Path, grpc: str) -> AsyncIterator[Plant]:
    """All of it, connected."""
    async with AsyncExitStack() as held:
        demo = await held.enter_async_context(
            running(
                *("demo", "--http", "127.0.0.1:0", "--grpc", grpc, "--assets-per-site", "2"),
                *("--data-dir", str(directory / "data"), "--no-auth"),
            )
        )
        url = (await demo.wait_printed("Ctrl-C ends it.")).split("API")[1].split()[0]
        api = await held.enter_async_context(open_api(url.removesuffix("/docs")))
        agents = {}
        for agent_id, charges_pct in (("north-a", [50.0, 100.0, 50.0]), ("north-b", [50.0])):
            path = write_site(directory, grpc, agent_id, charges_pct)
            agents[agent_id] = await held.enter_async_context(
                running("edge", "--config", str(path))
            )
            await api.wait_agent(agent_id, "connected", within_s=20)
        yield Plant(demo, agents, api)


async def test_a_site_follows_what_is_missing_is_said_and_all_ends_without_a_headend(
    tmp_path: Path,
) -> None:
    """One demo, three chapters: a whole site, one that is not whole, and nobody above it."""
    grpc = f"127.0.0.1:{free_port()}"
    async with open_plant(tmp_path, grpc) as plant:
        await follow_a_whole_site(plant)
        await say_what_is_missing(plant)
        ends, taken = await leave_it_alone(plant)
        await find_it_ended(tmp_path, grpc, ends, taken)


async def follow_a_whole_site(plant: Plant) -> None:
    """60 % of what the site can give, within 2 % in sum, and it stays so."""
    able_mw = (await plant.api.get(f"/sites/{DEMO_SITE}"))["aggregate"]["available_max_mw"]
    asked_mw = round(SHARE * able_mw, 3)
    taken = await plant.api.dispatch(
        "whole", site_id=DEMO_SITE, setpoint_mw=asked_mw, duration_s=120
    )
    await plant.api.wait_state(taken["id"], "following", within_s=30)
    await plant.wait_power(DEMO_SITE, asked_mw, within_s=10)
    for _ in range(5):
        await trio.sleep(1)
        assert abs(await plant.power_mw(DEMO_SITE) - asked_mw) <= WITHIN * asked_mw
    stands = await plant.placement(taken["id"])
    assert abs(stands["placed_mw"] - asked_mw) <= WITHIN * asked_mw
    assert abs(stands["failed_mw"]) + abs(stands["unplaced_mw"]) <= WITHIN * asked_mw
    cancelled = await plant.api.http.post(f"/dispatches/{taken['id']}/cancel", json={})
    assert cancelled.is_success, cancelled.text
    await plant.api.wait_state(taken["id"], "cancelled", within_s=10)


async def say_what_is_missing(plant: Plant) -> None:
    """One battery is full and one agent dead: both are named, and the others do what is asked."""
    await plant.agents["north-b"].kill()
    await plant.api.wait_agent("north-b", "disconnected", within_s=10)
    able_mw = -4.0  # the two batteries that are left
    asked_mw = SHARE * able_mw
    taken = await plant.api.dispatch("part", site_id=SITE, setpoint_mw=asked_mw, duration_s=120)
    await plant.api.wait_state(taken["id"], "following", within_s=20)
    await plant.wait_power(SITE, asked_mw, within_s=10)
    stands = await plant.placement(taken["id"])
    shares = stands["shares"]
    assert (shares["north-b-1"]["state"], shares["north-b-1"]["reason"]) == ("excluded", "offline")
    assert (shares[FULL]["setpoint_mw"], shares[FULL]["limit"]) == (0.0, "available")
    assert [shares[f"north-a-{number}"]["setpoint_mw"] for number in (1, 3)] == [asked_mw / 2] * 2
    assert (stands["placed_mw"], stands["failed_mw"], stands["unplaced_mw"]) == (asked_mw, 0, 0)
    # And more than is left is not made up.
    more = await plant.api.dispatch("more", site_id=SITE, setpoint_mw=-6.0, duration_s=120)
    await plant.api.wait_state(more["id"], "following", within_s=20)
    stands = await plant.placement(more["id"])
    assert (stands["placed_mw"], stands["unplaced_mw"]) == (able_mw, -6.0 - able_mw)


async def leave_it_alone(plant: Plant) -> tuple[datetime, str]:
    """Stop the headend in the middle of a lease, and let that run out."""
    taken = await plant.api.dispatch("last", site_id=SITE, setpoint_mw=-1.5, duration_s=LEASE_S)
    await plant.api.wait_state(taken["id"], "applied", within_s=5)
    ends = datetime.fromisoformat(taken["until"])
    assert await plant.demo.stop(signal.SIGINT) == 0
    assert datetime.now(UTC) < ends
    await trio.sleep((ends - datetime.now(UTC)).total_seconds() + 4)
    return ends, taken["id"]


async def find_it_ended(directory: Path, grpc: str, ends: datetime, taken: str) -> None:
    """The assets went to their fallback in time, and the headend learns that when it is back."""
    command = ("headend", "--data-dir", str(directory / "data"), "--grpc", grpc)
    async with running(*command, "--http", "127.0.0.1:0") as headend:
        ready = await headend.wait_logged("headend_ready")
        async with open_api(ready["url"]) as api:
            await api.wait_agent("north-a", "connected", within_s=70)
            dispatch = await api.wait_state(taken, "completed", within_s=10)
            assert dispatch["timeline"][-1]["state"] == "completed"
            for number in (1, 3):
                before, after = await powers_mw(api, f"north-a-{number}", ends)
                assert abs(before + 0.75) <= WITHIN
                assert abs(after) <= WITHIN


async def powers_mw(api: Api, asset_id: str, ends: datetime) -> tuple[float, float]:
    """What an asset gave a second before a moment, and two seconds after it."""
    settled = ends + timedelta(seconds=2)

    async def look() -> tuple[float, float] | None:
        span = (
            f"from={stamp(ends - timedelta(seconds=1.5))}&to={stamp(ends + timedelta(seconds=3))}"
        )
        told = await api.get(f"/assets/{asset_id}/history?{span}&points=active_power_mw")
        samples = told["samples"]
        if not samples or datetime.fromisoformat(samples[-1]["source_time"]) < settled:
            return None
        powers = [float(sample["values"]["active_power_mw"]) for sample in samples]
        return powers[0], powers[-1]

    return await eventually(look, within_s=20, what=f"the history of {asset_id}")


def stamp(when: datetime) -> str:
    """As the API reads it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
