"""What is read of assets, telemetry, sites and agents."""

import msgspec
import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend, asset, session
from msgspec.structs import replace

from dercp.api.fleet import ASSETS_PER_CHUNK
from dercp.headend.views import ControlView
from dercp.model.asset import Fallback, FallbackValue
from dercp.model.dispatch import Authority, DispatchState

ALL = ["bess-1", "bess-2", "pv-1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ALL),
        ("?site_id=north", ["bess-1", "bess-2"]),
        ("?kind=pv", ["pv-1"]),
        ("?online=true", ["bess-1", "pv-1"]),
        ("?online=false", ["bess-2"]),
        ("?stale=true&site_id=north", ["bess-2"]),
        ("?stale=false&kind=wind", []),
        ("?site_id=nowhere", []),
    ],
)
async def test_filters_choose_assets(client: CheckedClient, query: str, ids: list[str]) -> None:
    """The same filters hold for the list of assets and for their telemetry."""
    assets = (await client.get(f"/assets{query}")).json
    samples = (await client.get(f"/telemetry{query}")).json
    assert [item["id"] for item in assets["items"]] == ids
    assert [item["asset_id"] for item in samples["items"]] == ids
    assert assets["next"] is samples["next"] is None


@pytest.mark.parametrize("path", ["/assets", "/telemetry", "/sites", "/agents"])
async def test_pages_join_up(client: CheckedClient, path: str) -> None:
    """Following `next` gives what one long page gives."""
    whole = (await client.get(path)).json["items"]
    items = []
    page = (await client.get(f"{path}?limit=1")).json
    for _ in whole:
        items += page["items"]
        if page["next"] is None:
            break
        page = (await client.get(f"{path}?limit=1&cursor={page['next']}")).json
    assert items == whole
    assert page["next"] is None


async def test_a_page_survives_changes(client: CheckedClient, headend: FakeHeadend) -> None:
    """An asset that leaves between two pages neither repeats another nor hides it."""
    cursor = (await client.get("/assets?limit=1")).json["next"]
    del headend.reader.by_id["bess-1"]
    rest = (await client.get(f"/assets?cursor={cursor}")).json["items"]
    assert [item["id"] for item in rest] == ["bess-2", "pv-1"]


async def test_an_asset_in_full(client: CheckedClient) -> None:
    """The detail names points, limits and who holds it; the list leaves them out."""
    detail = (await client.get("/assets/bess-1")).json
    assert detail == {
        "id": "bess-1",
        "site_id": "north",
        "agent_id": "north-edge",
        "kind": "storage",
        "name": "Asset bess-1",
        "p_min_mw": -2.0,
        "p_max_mw": 2.0,
        "energy_capacity_mwh": 4.0,
        "online": True,
        "stale": False,
        "age_s": 0.25,
        "points": [
            {"name": "active_power_mw", "unit": "MW"},
            {"name": "soc_pct", "unit": "%"},
        ],
        "limits": {
            "p_min_mw": None,
            "p_max_mw": None,
            "soc_min_pct": None,
            "soc_max_pct": None,
            "dead_band_mw": 0.0,
        },
        "fallback": None,
        "tolerance_mw": None,
        "settling_s": None,
        "control": None,
        "complete_until": "2026-11-23T13:59:59Z",
        "retained_from": None,
    }
    in_detail = set(list(detail)[list(detail).index("points") :])
    [first, *_] = (await client.get("/assets")).json["items"]
    assert first == {name: value for name, value in detail.items() if name not in in_detail}


@pytest.mark.parametrize(
    ("fallback", "told"), [("release", "release"), (FallbackValue(-0.5), {"value_mw": -0.5})]
)
async def test_who_holds_an_asset(
    client: CheckedClient, headend: FakeHeadend, fallback: Fallback, told: object
) -> None:
    """Which dispatch, until when, what happens then; and what the site allows."""
    view = headend.reader.by_id["bess-1"]
    control = ControlView(
        dispatch_id="d1",
        setpoint_mw=1.5,
        until_us=NOW_US + 60_000_000,
        fallback=fallback,
        authority=Authority.HEADEND,
        state=DispatchState.FOLLOWING,
    )
    spec = replace(
        view.spec, fallback=fallback, limit_max_mw=1.8, soc_min_pct=10.0, settling_s=20.0
    )
    headend.reader.by_id["bess-1"] = replace(view, spec=spec, control=control)
    detail = (await client.get("/assets/bess-1")).json
    assert detail["control"] == {
        "dispatch_id": "d1",
        "setpoint_mw": 1.5,
        "until": "2026-11-23T14:01:00Z",
        "then": told,
        "authority": "headend",
        "state": "following",
    }
    assert detail["fallback"] == told
    assert detail["limits"]["p_max_mw"] == 1.8
    assert detail["limits"]["soc_min_pct"] == 10.0
    assert detail["settling_s"] == 20.0


async def test_telemetry_of_one_asset(client: CheckedClient) -> None:
    """Each value has its unit and worth; doubt has reasons, knowledge has none."""
    assert (await client.get("/assets/bess-1/telemetry")).json == {
        "asset_id": "bess-1",
        "site_id": "north",
        "source_time": "2026-11-23T13:59:59.750000Z",
        "ingest_time": "2026-11-23T13:59:59.800000Z",
        "age_s": 0.25,
        "stale": False,
        "points": {
            "active_power_mw": {"value": 1.25, "unit": "MW", "quality": "good"},
            "soc_pct": {
                "value": None,
                "unit": "%",
                "quality": "bad",
                "reasons": ["stale", "out_of_range"],
            },
        },
    }


async def test_telemetry_before_the_first_sample(client: CheckedClient) -> None:
    """What never reported has no times, no age and no values."""
    sample = (await client.get("/assets/bess-2/telemetry")).json
    assert sample["source_time"] is sample["ingest_time"] is sample["age_s"] is None
    assert sample["stale"] is True
    assert sample["points"] == {}


async def test_telemetry_over_many_chunks(client: CheckedClient, headend: FakeHeadend) -> None:
    """A page longer than a chunk is one JSON document, without the assets that have gone."""
    count = 2 * ASSETS_PER_CHUNK + 1
    for number in range(count):
        view = asset(f"a{number:04}")
        headend.reader.by_id[view.spec.asset_id] = view
        if number % 2:
            headend.reader.samples[view.spec.asset_id] = headend.reader.samples["pv-1"]
    answer = await client.get(f"/telemetry?limit={count}")
    assert len(answer.json["items"]) == count // 2
    assert answer.json["next"] is not None


async def test_sites_tell_their_sums(client: CheckedClient) -> None:
    """A site names its agents and assets, and what its sums stand on."""
    site = (await client.get("/sites/north")).json
    assert site["assets"] == ["bess-1", "bess-2"]
    assert site["agents"] == ["north-edge"]
    assert site["aggregate"]["active_power_mw"] == 1.25
    assert site["aggregate"]["available_min_mw"] is None
    assert site["aggregate"]["worst_quality"] == "good"


async def test_agents_tell_their_sessions(client: CheckedClient, headend: FakeHeadend) -> None:
    """The list has the sessions at hand, the detail all that are kept."""
    headend.reader.history += [session(n, ended=True) for n in range(10)]
    [north, south] = (await client.get("/agents")).json["items"]
    assert north["status"] == "connected"
    assert north["peer"] == north["session"]["peer"] == "192.0.2.7:40001"
    assert north["session"]["disconnected_time"] is None
    assert [past["reason"] for past in north["recent_sessions"]] == ["link_lost"]
    assert south["status"] == "disconnected"
    assert south["peer"] is south["session"] is south["clock_offset_s"] is None
    assert south["spool"] is None
    detail = (await client.get("/agents/north-edge")).json
    assert (
        north["spool"]
        == detail["spool"]
        == {
            "batches": 12,
            "bytes": 3400,
            "bytes_max": 1000000,
            "oldest": "2026-11-23T13:59:48Z",
            "oldest_age_s": 12.0,
            "dropped_samples": 3,
            "trouble": None,
            "reported_at": "2026-11-23T13:59:59Z",
        }
    )
    assert len(detail["recent_sessions"]) == 12


@pytest.mark.parametrize(
    ("query", "ids"),
    [("?status=disconnected", ["south-edge"]), ("?site_id=north", ["north-edge"])],
)
async def test_filters_choose_agents(client: CheckedClient, query: str, ids: list[str]) -> None:
    """By state of the session and by site."""
    items = (await client.get(f"/agents{query}")).json["items"]
    assert [item["id"] for item in items] == ids


@pytest.mark.parametrize(
    "path", ["/assets/x", "/assets/x/telemetry", "/sites/x", "/agents/x", "/dispatches/x"]
)
async def test_what_nobody_knows(client: CheckedClient, path: str) -> None:
    """An unknown id is a 404 that names it."""
    answer = await client.get(path)
    assert answer.problem == "not-found"
    assert "'x'" in answer.json["detail"]


async def test_a_tag_changes_with_the_content(client: CheckedClient, headend: FakeHeadend) -> None:
    """If-None-Match gives 304 while nothing but ages changed, and the news afterwards."""
    tag = (await client.get("/assets/bess-1")).headers["etag"]
    assert tag.startswith("W/")
    view = headend.reader.by_id["bess-1"]
    headend.reader.by_id["bess-1"] = msgspec.structs.replace(view, age_s=1.5)
    again = await client.get("/assets/bess-1", if_none_match=f'"other", {tag}')
    assert again.status == 304
    assert again.headers["etag"] == tag
    headend.reader.by_id["bess-1"] = msgspec.structs.replace(view, stale=True)
    changed = await client.get("/assets/bess-1", if_none_match=tag)
    assert changed.status == 200
    assert changed.headers["etag"] != tag
