"""kill -9, as a power cut does it: what was promised is still known afterwards."""

from pathlib import Path
from typing import Any

from processes import Api, eventually, open_api, running, site_toml

AGENT = "north"
ASSET = "north-bess-1"


async def _stale(api: Api, asset_id: str) -> dict[str, Any] | None:
    asset = await api.get(f"/assets/{asset_id}")
    return asset if asset["stale"] and not asset["online"] else None


async def test_a_killed_agent_is_seen_and_comes_back_by_itself(tmp_path: Path) -> None:
    """Disconnected with the reason, its assets stale; then both sessions are on record."""
    async with running(
        "headend", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data-dir", str(tmp_path)
    ) as headend:
        ready = await headend.wait_logged("headend_ready")
        site = site_toml(tmp_path, agent_id=AGENT, grpc=ready["grpc"])
        async with open_api(ready["url"]) as api:
            async with running("edge", "--config", str(site)) as edge:
                await api.wait_agent(AGENT, "connected", within_s=20)
                await edge.kill()
                gone = await api.wait_agent(AGENT, "disconnected", within_s=5)
                assert gone["recent_sessions"][0]["reason"] == "link_lost"
                await eventually(lambda: _stale(api, ASSET), within_s=5, what="stale asset")
            async with running("edge", "--config", str(site)):
                back = await api.wait_agent(AGENT, "connected", within_s=20)
        assert [back["session"]["epoch"], back["recent_sessions"][0]["epoch"]] == [2, 1]


async def test_a_killed_headend_knows_its_sites_and_what_it_promised(tmp_path: Path) -> None:
    """The registry, the dispatch and its key survive; the agent reconnects by itself."""
    data = tmp_path / "data"
    command = ["headend", "--data-dir", str(data), "--http", "127.0.0.1:0"]
    async with running(*command, "--grpc", "127.0.0.1:0") as headend:
        ready = await headend.wait_logged("headend_ready")
        site = site_toml(tmp_path, agent_id=AGENT, grpc=ready["grpc"])
        async with running("edge", "--config", str(site)):
            async with open_api(ready["url"]) as api:
                await api.wait_agent(AGENT, "connected", within_s=20)
                taken = await api.dispatch("k1", asset_id=ASSET, setpoint_mw=1, duration_s=300)
                await api.wait_state(taken["id"], "applied", within_s=5)
            await headend.kill()
            async with running(*command, "--grpc", ready["grpc"]) as second:
                ready = await second.wait_logged("headend_ready")
                async with open_api(ready["url"]) as api:
                    known = await api.get(f"/dispatches/{taken['id']}")
                    assert known["state"] == "applied"
                    assert (await api.get(f"/assets/{ASSET}"))["id"] == ASSET
                    again = await api.dispatch("k1", asset_id=ASSET, setpoint_mw=1, duration_s=300)
                    assert again["id"] == taken["id"]
                    back = await api.wait_agent(AGENT, "connected", within_s=30)
                    assert back["recent_sessions"][0]["reason"] == "headend_restarted"
                assert await second.stop() == 0
