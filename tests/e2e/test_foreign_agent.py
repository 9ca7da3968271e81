"""The wire contract is the .proto, not our code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio
from processes import Api, eventually, open_api, running

HERE = Path(__file__).parent
PROTO = HERE.parent.parent / "proto"


async def test_a_client_written_from_the_proto_alone_is_served(tmp_path: Path) -> None:
    """It registers, streams, is dispatched to, and its end is seen."""
    await trio.run_process(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTO / 'dercp/v1'}",
            f"--python_out={tmp_path}",
            "edge_link.proto",
        ]
    )
    async with running(
        "headend", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data-dir", str(tmp_path)
    ) as headend:
        ready = await headend.wait_logged("headend_ready")
        async with open_api(ready["url"]) as api:
            agent = await trio.lowlevel.open_process(
                [sys.executable, "-P", str(HERE / "foreign_agent.py"), ready["grpc"]],
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
            )
            try:
                await api.wait_agent("foreign", "connected", within_s=20)
                taken = await api.dispatch(
                    "k", asset_id="foreign-bess", setpoint_mw=-0.5, duration_s=60
                )
                applied = await api.wait_state(taken["id"], "applied", within_s=5)
                assert applied["readback_mw"] == -0.5
                await eventually(lambda: _measured(api), within_s=5, what="-0.5 MW measured")
            finally:
                agent.kill()
                await agent.wait()
            gone = await api.wait_agent("foreign", "disconnected", within_s=5)
            assert gone["recent_sessions"][0]["frames"] > 0


async def _measured(api: Api) -> dict[str, Any] | None:
    latest = await api.get("/assets/foreign-bess/telemetry")
    power = latest["points"]["active_power_mw"]
    return latest if power == {"value": -0.5, "unit": "MW", "quality": "good"} else None
