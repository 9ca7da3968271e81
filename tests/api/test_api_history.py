"""History in parts and whole, as JSON, NDJSON and CSV; gaps."""

import csv
from io import StringIO
from typing import Any

import msgspec
import pytest
from api_client import CheckedClient
from api_fakes import NOW_US, FakeHeadend

HISTORY = "/assets/bess-1/history"
MINUTE = "from=2026-11-23T13:59:00Z&to=2026-11-23T14:00:00Z"


async def follow(client: CheckedClient, path: str, member: str) -> list[Any]:
    """All rows, part by part."""
    rows: list[Any] = []
    cursor = ""
    while True:
        part = (await client.get(path + cursor)).json
        rows += part[member]
        if part["next"] is None:
            return rows
        cursor = f"&cursor={part['next']}"


async def test_a_part_of_samples(client: CheckedClient) -> None:
    """Values by point, the doubtful ones with their reasons, and what is known around them."""
    part = (await client.get(f"{HISTORY}?{MINUTE}&limit=2")).json
    assert part["next"]
    assert {name: value for name, value in part.items() if name not in {"next", "gaps"}} == {
        "asset_id": "bess-1",
        "from": "2026-11-23T13:59:00Z",
        "to": "2026-11-23T14:00:00Z",
        "resolution_s": None,
        "points": [
            {"name": "active_power_mw", "unit": "MW"},
            {"name": "soc_pct", "unit": "%"},
        ],
        "complete_until": "2026-11-23T13:59:59Z",
        "retained_from": None,
        "next_gap": None,
        "bad_batches": 1,
        "samples": [
            {
                "source_time": "2026-11-23T13:59:00Z",
                "ingest_time": "2026-11-23T13:59:00.050000Z",
                "values": {"active_power_mw": 0.06, "soc_pct": None},
                "doubts": {"soc_pct": {"quality": "bad", "reasons": ["device_comms_lost"]}},
            },
            {
                "source_time": "2026-11-23T13:59:01Z",
                "ingest_time": "2026-11-23T13:59:01.050000Z",
                "values": {"active_power_mw": 0.059, "soc_pct": 50.0},
            },
        ],
    }
    assert [gap["first_sequence"] for gap in part["gaps"]] == [7]


async def test_without_a_range_it_is_the_last_hour(client: CheckedClient) -> None:
    """As many samples as it has, part by part."""
    part = (await client.get(HISTORY)).json
    assert (part["from"], part["to"]) == ("2026-11-23T13:00:00Z", "2026-11-23T14:00:00Z")
    assert len(part["samples"]) == 1_000
    rows = await follow(client, f"{HISTORY}?limit=999", "samples")
    assert len(rows) == len({row["source_time"] for row in rows}) == 3_600


async def test_buckets(client: CheckedClient) -> None:
    """Least, mean, greatest, how many and how many good; a point nobody knew has nulls."""
    path = f"{HISTORY}?{MINUTE}&resolution=20&points=soc_pct"
    part = (await client.get(path)).json
    assert "samples" not in part
    assert part["resolution_s"] == 20
    assert [row["start"][17:19] for row in part["buckets"]] == ["00", "20", "40"]
    assert part["buckets"][0] == {
        "start": "2026-11-23T13:59:00Z",
        "samples": 20,
        "points": {"soc_pct": {"min": 50.0, "mean": 50.0, "max": 50.0, "count": 18, "good": 18}},
    }
    assert await follow(client, f"{path}&limit=1", "buckets") == part["buckets"]


@pytest.mark.parametrize("query", ["", "&resolution=7", "&points=soc_pct"])
async def test_ndjson_is_the_whole_range(
    client: CheckedClient, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Line by line what JSON has part by part, however many reads it takes."""
    # The client takes no more than ten pieces.
    monkeypatch.setattr("dercp.api.history.ROWS_PER_READ", 50)
    whole = "from=2026-11-23T13:55:00Z"
    answer = await client.get(f"{HISTORY}?{whole}{query}", accept="application/x-ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    member = "buckets" if "resolution" in query else "samples"
    assert lines == await follow(client, f"{HISTORY}?{whole}{query}&limit=70", member)


async def test_csv_has_a_line_of_names(client: CheckedClient) -> None:
    """What is not known is empty; qualities stand beside the values."""
    answer = await client.get(f"{HISTORY}?{MINUTE}", accept="text/csv, application/json;q=0.5")
    assert answer.headers["content-type"] == "text/csv"
    names, first, second, *rest = csv.reader(StringIO(answer.content.decode(), newline=""))
    assert ",".join(names) == (
        "source_time,ingest_time,active_power_mw,active_power_mw.quality,soc_pct,soc_pct.quality"
    )
    assert first == [
        "2026-11-23T13:59:00Z",
        "2026-11-23T13:59:00.050000Z",
        "0.06",
        "good",
        "",
        "bad",
    ]
    assert second[4:] == ["50.0", "good"]
    assert len(rest) == 58


async def test_csv_of_buckets(client: CheckedClient) -> None:
    """Five columns a point."""
    path = f"{HISTORY}?{MINUTE}&resolution=60&points=soc_pct"
    answer = await client.get(path, accept="text/csv")
    assert answer.content.decode().splitlines() == [
        "start,samples,soc_pct.min,soc_pct.mean,soc_pct.max,soc_pct.count,soc_pct.good",
        "2026-11-23T13:59:00Z,60,50.0,50.0,50.0,54,54",
    ]


async def test_an_empty_range(client: CheckedClient) -> None:
    """No rows is an answer, in every form."""
    path = f"{HISTORY}?from=2025-01-01T00:00:00Z&to=2025-01-02T00:00:00%2B01:00"
    assert (await client.get(path)).json["samples"] == []
    assert (await client.get(f"{path}&resolution=3600")).json["buckets"] == []
    assert (await client.get(path, accept="application/x-ndjson")).content == b""
    assert (await client.get(path, accept="text/csv")).content.count(b"\n") == 1


@pytest.mark.parametrize("accept", ["*/*", "text/html,*/*;q=0.8", "image/png", ""])
async def test_json_is_for_everybody_else(client: CheckedClient, accept: str) -> None:
    """Whoever asks for nothing that there is is given JSON."""
    answer = await client.get(f"{HISTORY}?limit=1", accept=accept)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=2026-11-23T14:00:00Z&to=2026-11-23T14:00:00Z", "from"),
        ("from=2027-01-01T00:00:00Z", "from"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("from=yesterday", "from"),
        ("to=2026-11-23T14:00:00", "to"),
        ("points=soc", "points"),
        ("resolution=0", "resolution"),
        ("resolution=0.5", "resolution"),
        ("limit=10001", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=YWZ0ZXI6MQ", "cursor"),
        ("cursor=YWZ0ZXI6eA&resolution=1", "cursor"),
        ("cursor=YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk&resolution=1", "cursor"),
        ("from_=2026-11-23T14:00:00Z", "from_"),
    ],
)
async def test_what_cannot_be_asked(client: CheckedClient, query: str, parameter: str) -> None:
    """The parameter is named."""
    answer = await client.get(f"{HISTORY}?{query}")
    assert answer.problem == "invalid-parameters"
    assert [fault["parameter"] for fault in answer.json["errors"]] == [parameter]


async def test_a_misspelt_point_is_helped(client: CheckedClient) -> None:
    """With the names that there are."""
    [fault] = (await client.get(f"{HISTORY}?points=active_power")).json["errors"]
    assert "did you mean 'active_power_mw'" in fault["detail"]


async def test_what_is_whole_has_no_parts(client: CheckedClient) -> None:
    """A limit that is not kept must not be taken for one that is."""
    answer = await client.get(f"{HISTORY}?limit=5&cursor=x", accept="text/csv")
    assert answer.problem == "invalid-parameters"
    assert [fault["parameter"] for fault in answer.json["errors"]] == ["limit", "cursor"]


async def test_gaps(client: CheckedClient) -> None:
    """Of all agents or one, in the order of declaration, part by part, those of the range."""
    whole = (await client.get("/gaps")).json
    assert [gap["first_sequence"] for gap in whole["items"]] == [7, 9, 8]
    assert whole["next"] is None
    assert whole["items"][0] == {
        "agent_id": "north-edge",
        "spool_id": "spool-1",
        "first_sequence": 7,
        "last_sequence": 7,
        "from": "2026-11-23T13:59:00Z",
        "to": "2026-11-23T13:59:00.999999Z",
        "samples": 3,
        "reason": "spool_full",
        "declared_time": "2026-11-23T14:00:00Z",
    }
    assert await follow(client, "/gaps?limit=1", "items") == whole["items"]
    ours = (await client.get(f"/gaps?agent_id=north-edge&{MINUTE}")).json
    assert [gap["first_sequence"] for gap in ours["items"]] == [7]
    assert (await client.get("/gaps?agent_id=nobody")).json["items"] == []


async def test_history_that_cannot_be_read(client: CheckedClient, headend: FakeHeadend) -> None:
    """A refusal with the words of the store, before any part of an answer; assets live on."""
    headend.history.failure = "input/output error"
    for path, accept in (
        (HISTORY, "application/json"),
        (f"{HISTORY}?resolution=60", "text/csv"),
        (HISTORY, "application/x-ndjson"),
        ("/gaps", "application/json"),
    ):
        answer = await client.get(path, accept=accept)
        assert answer.problem == "history-unavailable"
        assert answer.json["detail"] == "input/output error"
        assert answer.headers["retry-after"] == "5"
    assert (await client.get("/assets/bess-1")).json["complete_until"] is None


async def test_nobody_has_a_history(client: CheckedClient) -> None:
    """An unknown asset is a 404, not an empty history."""
    assert (await client.get("/assets/x/history")).problem == "not-found"


async def test_how_far_it_is_complete_is_asked_before_the_part_is_read(
    client: CheckedClient, headend: FakeHeadend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in between is not promised to be in the part."""
    real, asked = headend.history.samples, []

    async def samples(*args: Any, **kwargs: Any) -> Any:
        asked.append("part")
        return await real(*args, **kwargs)

    async def complete_until(_agent_id: str) -> None:
        asked.append("complete_until")

    monkeypatch.setattr(headend.history, "samples", samples)
    monkeypatch.setattr(headend.history, "complete_until", complete_until)
    await client.get(f"{HISTORY}?{MINUTE}")
    assert asked == ["complete_until", "part"]


async def test_an_answer_says_what_was_aged_out(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """With the history and with the asset: what is older may be gone."""
    headend.history.retained_from_us = NOW_US - 3_600_000_000
    for path in ("/assets/bess-1/history", "/assets/bess-1"):
        assert (await client.get(path)).json["retained_from"] == "2026-11-23T13:00:00Z"


async def test_what_is_held_of_an_agents_spools(client: CheckedClient) -> None:
    """Which batches are there or declared, and how many samples that is."""
    (spool,) = (await client.get("/agents/north-edge/spools")).json["spools"]
    assert spool == {
        "spool_id": "spool-1",
        "stored": [[1, 6], [8, 12]],
        "declared": [[7, 7]],
        "stored_batches": 11,
        "stored_samples": 22,
        "declared_samples": 2,
    }
    assert (await client.get("/agents/nobody/spools")).status == 404


async def test_spools_of_a_store_that_cannot_read(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """Not now, and when to ask again."""
    headend.history.failure = "the disk is away"
    answer = await client.get("/agents/north-edge/spools")
    assert answer.status == 503
    assert "the disk is away" in answer.json["detail"]
