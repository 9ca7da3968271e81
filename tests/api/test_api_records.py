"""How the record of a dispatch is told."""

import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend, gap
from msgspec.structs import replace

from dercp.api.record_resources import SAMPLES_PER_CHUNK
from dercp.headend.dispatching.record_views import AssetRecord, DispatchRecord
from dercp.headend.history.views import HistorySample, SampleKey
from dercp.model.asset import standard_point
from dercp.model.reading import Reading


def asset_record(asset_id: str = "pv-1", *, samples: int = 2) -> AssetRecord:
    """A sample each second of the minute before now, and nothing missing."""
    keys = (
        SampleKey(NOW_US - 60_000_000 + second * 1_000_000, NOW_US, "spool-1", second, 0)
        for second in range(samples)
    )
    return AssetRecord(
        asset_id=asset_id,
        agent_id="south-edge",
        points=(standard_point("active_power_mw"),),
        samples=tuple(
            HistorySample(key=key, readings=(Reading("active_power_mw", 0.5),)) for key in keys
        ),
        samples_end_us=None,
        bad_batches=0,
        complete_until_us=NOW_US,
        gaps=(),
    )


def record(headend: FakeHeadend, *assets: AssetRecord) -> DispatchRecord:
    """Of the dispatch that every fake desk has."""
    dispatch = headend.desk.dispatches["d0"]
    return DispatchRecord(
        dispatch=dispatch,
        parts=(dispatch,),
        from_us=NOW_US - 60_000_000,
        to_us=NOW_US,
        assets=assets,
        assets_left_out=3,
    )


async def test_a_record_is_one_document(client: CheckedClient, headend: FakeHeadend) -> None:
    """The dispatch in full, its parts, and what its assets did meanwhile."""
    headend.desk.recorded = record(headend, asset_record(), asset_record("pv-2", samples=0))
    told = (await client.get("/dispatches/d0/record")).json
    assert told["dispatch"] == (await client.get("/dispatches/d0")).json
    assert [part["id"] for part in told["parts"]] == ["d0"]
    assert (told["from"], told["to"]) == ("2026-11-23T13:59:00Z", "2026-11-23T14:00:00Z")
    assert told["assets_left_out"] == 3
    first, second = told["assets"]
    assert first == {
        "asset_id": "pv-1",
        "agent_id": "south-edge",
        "complete": True,
        "complete_until": "2026-11-23T14:00:00Z",
        "samples_end": None,
        "bad_batches": 0,
        "gaps": [],
        "points": [{"name": "active_power_mw", "unit": "MW"}],
        "samples": [
            {
                "source_time": f"2026-11-23T13:59:0{second}Z",
                "ingest_time": "2026-11-23T14:00:00Z",
                "values": {"active_power_mw": 0.5},
            }
            for second in range(2)
        ],
    }
    assert (second["asset_id"], second["samples"]) == ("pv-2", [])


@pytest.mark.parametrize("samples", [SAMPLES_PER_CHUNK, SAMPLES_PER_CHUNK + 1])
async def test_a_long_record_comes_in_pieces(
    client: CheckedClient, headend: FakeHeadend, samples: int
) -> None:
    """Which are one document all the same."""
    headend.desk.recorded = record(headend, asset_record(samples=samples), asset_record())
    told = (await client.get("/dispatches/d0/record")).json
    assert [len(asset["samples"]) for asset in told["assets"]] == [samples, 2]


@pytest.mark.parametrize(
    "missing",
    [
        {"complete_until_us": None},
        {"complete_until_us": NOW_US - 1},
        {"samples_end_us": NOW_US - 1},
        {"bad_batches": 1},
        {"gaps": (gap(1),)},
    ],
)
async def test_what_is_missing_is_said(
    client: CheckedClient, headend: FakeHeadend, missing: dict[str, object]
) -> None:
    """A record is complete only where nothing can be missing."""
    headend.desk.recorded = record(headend, replace(asset_record(), **missing))
    [told] = (await client.get("/dispatches/d0/record")).json["assets"]
    assert told["complete"] is False


async def test_a_record_that_cannot_be_made(client: CheckedClient, headend: FakeHeadend) -> None:
    """404 of what was never there, 503 while the store is away."""
    assert (await client.get("/dispatches/nix/record")).status == 404
    headend.desk.store_away = True
    assert (await client.get("/dispatches/d0/record")).problem == "store-unavailable"
