"""`dercp sim` against a real headend, and against one that loses what it has acknowledged."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from lossy_headend import open_lossy_headend
from processes import Dercp, open_api, running

ANY = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--no-auth")
ENDS_WITHIN_S = 60.0


@asynccontextmanager
async def a_headend(directory: Path) -> AsyncIterator[tuple[str, str]]:
    """Where its API and its gRPC are."""
    async with running("headend", *ANY, "--data-dir", str(directory / "data")) as headend:
        ready = await headend.wait_logged("headend_ready")
        yield ready["url"], ready["grpc"]


def simulation(grpc: str, url: str, report: Path, *options: str) -> tuple[str, ...]:
    """The command."""
    return ("sim", "--headend", grpc, "--api", url, "--report", str(report), *options)


async def ended(sim: Dercp) -> int:
    """Its exit code."""
    with trio.fail_after(ENDS_WITHIN_S):
        return await sim.process.wait()


def read(report: Path) -> dict[str, Any]:
    """What it came to."""
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


async def test_nothing_of_a_fleet_behind_bad_links_is_lost(tmp_path: Path) -> None:
    """Three sites of four assets in two processes; the API says what the report says."""
    scenario = tmp_path / "cut.toml"
    scenario.write_text(
        "[[link_outages]]\nat_s = 0.5\n[[dispatch_storms]]\nat_s = 1.5\nfor_s = 30\n",
        encoding="utf-8",
    )
    async with a_headend(tmp_path) as (url, grpc):
        report = tmp_path / "sim.json"
        size = ("--sites", "3", "--assets-per-site", "4", "--rate", "5", "--duration", "3")
        trouble = ("--chaos", "calm", "--seed", "3", "--scenario", str(scenario))
        command = simulation(grpc, url, report, *size, *trouble, "--processes", "2")
        async with running(*command) as sim:
            assert await ended(sim) == 0, sim.printed
        assert "seed 3" in sim.printed
        assert "nothing lost" in sim.printed
        found = read(report)
        assert found["samples_produced"] == found["samples_stored"] > 100
        for name in ("samples_in_gaps", "samples_waiting", "duplicates", "lost"):
            assert found[name] == 0, name
        assert found["findings"] == []
        assert found["reconnects"] >= 3
        assert found["dispatches"]["submitted"] == 3
        assert 0 < found["age_p50_s"] <= found["age_p99_s"] < 5
        assert found["ack_p99_s"] > 0
        assert found["headend_cpu_s"] > 0
        assert found["headend_rss_mb"] > 10
        async with open_api(url) as api:
            held = 0
            for number in (1, 2, 3):
                account = await api.get(f"/agents/sim-0000{number}/spools")
                held += sum(spool["stored_samples"] for spool in account["spools"])
            assert held == found["samples_stored"]


async def test_frames_prepared_ahead_are_audited_as_well(tmp_path: Path) -> None:
    """Until Ctrl-C; every sample is in the history, with the time at which it was sent."""
    async with a_headend(tmp_path) as (url, grpc):
        report = tmp_path / "sim.json"
        size = ("--pre-encoded", "--sites", "5", "--assets-per-site", "20", "--rate", "4")
        async with running(*simulation(grpc, url, report, *size)) as sim:
            await sim.wait_printed("measuring")
            await trio.sleep(1.5)
            sim.process.send_signal(signal.SIGINT)
            assert await ended(sim) == 0, sim.printed
        found = read(report)
        assert found["ended_by"] == "SIGINT"
        assert found["samples_produced"] == found["samples_stored"] >= 5 * 20 * 4
        assert found["age_p50_s"] < 5
        async with open_api(url) as api:
            latest = await api.get("/assets/sim-00003-bess-007/telemetry")
            assert latest["points"]["soc_pct"]["quality"] == "good"
            history = await api.get("/assets/sim-00003-bess-007/history?limit=1000")
            (spool,) = (await api.get("/agents/sim-00003/spools"))["spools"]
            assert len(history["samples"]) == spool["stored_batches"]


async def test_a_headend_that_loses_what_it_acknowledged_is_found_out(tmp_path: Path) -> None:
    """Exit code 1, and sentences that say which batches of whom."""
    report = tmp_path / "sim.json"
    async with open_lossy_headend() as (url, grpc):
        size = ("--sites", "2", "--assets-per-site", "3", "--rate", "5", "--duration", "1")
        async with running(*simulation(grpc, url, report, *size)) as sim:
            assert await ended(sim) == 1, sim.printed
    assert "sim-00002: batch 3 is lost: neither stored nor declared" in sim.printed
    found = read(report)
    assert found["lost"] == found["samples_produced"] - found["samples_stored"] > 0
