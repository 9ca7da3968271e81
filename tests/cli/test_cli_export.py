"""What an export writes: the API's values, in CSV and in Parquet, and in bounded memory."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_api import FakePause, problem
from fake_past import BEGIN, END, HOUR, POINTS, FakePast, gap, sample, samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dercp.cli import parquet
from dercp.cli.client import ApiClient, Unavailable
from dercp.cli.completeness import Completeness
from dercp.cli.destination import Destination
from dercp.cli.exits import CommandError, Exit
from dercp.cli.export_progress import Shown, Silence
from dercp.cli.exporting import Order, find_assets, write_out
from dercp.cli.parse import Form
from dercp.cli.patience import PATIENCE_S, PatientClient

URL = "http://headend.example"


def export(
    past: FakePast,
    output: Path,
    form: Form = Form.CSV,
    *,
    pause: FakePause | None = None,
    shown: Shown | None = None,
    **order: Any,
) -> Completeness:
    """One export of the hour."""
    wanted = Order(span=HOUR, **order)
    return write_out(
        PatientClient(URL, pause or FakePause(), past.transport),
        wanted,
        find_assets(ApiClient(URL, past.transport), wanted),
        destination=Destination(output, form),
        shown=shown or Silence(),
    )


def csv_rows(path: Path) -> list[dict[str, str]]:
    """What stands in a file, by the names in its first line."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def from_csv(row: dict[str, str]) -> dict[str, Any]:
    """The values that stand for the texts of a row."""
    kinds: dict[str, Callable[[str], Any]] = dict.fromkeys(POINTS, float)
    kinds |= {"source_time": instant, "ingest_time": instant}
    return {name: kinds.get(name, str)(text) if text else None for name, text in row.items()}


def instant(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text).astimezone(UTC)


# What the API may say of a point: not there, not known, doubtful, good.
doubts = st.fixed_dictionaries(
    {
        "quality": st.sampled_from(["uncertain", "bad"]),
        "reasons": st.lists(st.sampled_from(["stale", "out_of_range"]), unique=True),
    }
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.none()


@st.composite
def api_samples(draw: st.DrawFn) -> dict[str, Any]:
    """A sample as the API may give it."""
    values = draw(st.dictionaries(st.sampled_from(list(POINTS)), numbers))
    found = sample(draw(st.integers(0, 3_599))) | {"values": values}
    told = {name: draw(doubts) for name in values if draw(st.booleans())}
    return found | ({"doubts": told} if told else {})


def expected(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """What has to stand in the file for a sample."""
    told = row.get("doubts", {})
    cells: dict[str, Any] = {"asset_id": name, "site_id": "north"}
    cells |= {key: instant(row[key]) for key in ("source_time", "ingest_time")}
    for point in POINTS:
        there = point in row["values"]
        cells[point] = row["values"].get(point)
        cells[f"{point}_quality"] = (
            told.get(point, {"quality": "good"})["quality"] if there else None
        )
    reasons = [
        f"{point}: {', '.join(told[point]['reasons'])}" for point in told if told[point]["reasons"]
    ]
    return cells | {"reasons": "; ".join(reasons) or None}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(api_samples(), max_size=12), limit=st.integers(1, 5))
def test_a_file_holds_what_the_api_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: list[dict[str, Any]], limit: int
) -> None:
    """Every value, time, quality and reason, whatever the parts and the groups of rows."""
    monkeypatch.setattr("dercp.cli.exporting.ROWS_PER_PART", limit)
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", limit)
    past = FakePast({"bess-1": history, "bess-2": history[::2]})
    wanted = [expected("bess-1", row) for row in history]
    wanted += [expected("bess-2", row) for row in history[::2]]

    export(past, tmp_path / "h.parquet", Form.PARQUET)
    assert pq.read_table(tmp_path / "h.parquet").to_pylist() == wanted

    export(past, tmp_path / "h.csv")
    assert [from_csv(row) for row in csv_rows(tmp_path / "h.csv")] == wanted


def test_parquet_says_what_its_columns_are(tmp_path: Path) -> None:
    """Times are times, words are categories, and each number has its unit beside it."""
    file = tmp_path / "h.parquet"
    export(FakePast({"bess-1": samples(3)}, gaps=[gap()]), file, Form.PARQUET)
    schema = pq.read_schema(file)
    assert schema.field("source_time").type == pa.timestamp("us", tz="UTC")
    assert schema.field("active_power_mw").type == pa.float64()
    assert schema.field("soc_pct").metadata == {b"unit": b"%"}
    assert pa.types.is_dictionary(schema.field("asset_id").type)
    assert pa.types.is_dictionary(schema.field("soc_pct_quality").type)
    notes = json.loads(pq.read_metadata(file).metadata[b"dercp"])
    assert notes["complete_until"] == {"north-edge": END}
    assert notes["gaps"] == [gap()]
    assert (notes["gaps_count"], notes["samples_lost"]) == (1, 30)


def test_buckets_have_five_columns_a_point(tmp_path: Path) -> None:
    """And a point that nobody knew has none of the three numbers."""
    summary = {"min": 1.0, "mean": 2.0, "max": 3.0, "count": 60, "good": 59}
    nothing = {"min": None, "mean": None, "max": None, "count": 0, "good": 0}
    bucket = {
        "start": BEGIN,
        "samples": 60,
        "points": {"active_power_mw": summary, "soc_pct": nothing},
    }
    past = FakePast({"bess-1": [bucket]})
    export(past, tmp_path / "h.parquet", Form.PARQUET, resolution_s=60)
    [row] = pq.read_table(tmp_path / "h.parquet").to_pylist()
    assert row == {
        "asset_id": "bess-1",
        "site_id": "north",
        "start": instant(BEGIN),
        "samples": 60,
        **{f"active_power_mw_{part}": value for part, value in summary.items()},
        **{f"soc_pct_{part}": value for part, value in nothing.items()},
    }
    # Six hours of what an agent sent are read by the headend for one part, no more.
    assert past.limits() == [360]


def test_points_are_chosen_and_ordered(tmp_path: Path) -> None:
    """Assets that have none of them are left out, and not asked."""
    past = FakePast({"bess-1": samples(1), "pv-1": samples(1)})
    past.points["pv-1"] = {"active_power_mw": "MW"}
    export(past, tmp_path / "h.csv", points=("soc_pct",))
    [row] = csv_rows(tmp_path / "h.csv")
    assert list(row)[4:] == ["soc_pct", "soc_pct_quality", "reasons"]
    assert {request.url.params.get("points") for request in past.asked} == {None, "soc_pct"}


def test_points_that_nobody_has_are_told(tmp_path: Path) -> None:
    """With those that there are; no file is begun."""
    with pytest.raises(CommandError, match="none of these assets has soc; they have active") as no:
        export(FakePast({"bess-1": []}), tmp_path / "h.csv", points=("soc", "soc_pct"))
    assert no.value.code is Exit.USAGE
    assert not list(tmp_path.iterdir())


def test_a_column_never_holds_two_units(tmp_path: Path) -> None:
    """The sentence says which assets to part."""
    past = FakePast({"bess-1": [], "bess-2": []})
    past.points["bess-2"] = {"soc_pct": "kWh"}
    with pytest.raises(CommandError, match=r"soc_pct is in kWh at bess-2 and in % at another"):
        export(past, tmp_path / "h.csv")


def test_two_columns_never_have_one_name(tmp_path: Path) -> None:
    """A custom point may be called anything."""
    past = FakePast({"bess-1": []}, points={"x": "", "x_quality": ""})
    with pytest.raises(CommandError, match="two columns would be called x_quality"):
        export(past, tmp_path / "h.csv")


def test_nothing_to_export_is_an_error(tmp_path: Path) -> None:
    """Rather than an empty file."""
    with pytest.raises(CommandError, match="no assets to export at site north"):
        export(FakePast({}), tmp_path / "h.csv", site="north")


@pytest.mark.parametrize("form", Form)
def test_no_samples_are_a_file_without_rows(tmp_path: Path, form: Form) -> None:
    """The columns are there, so programs that read it go on."""
    file = tmp_path / "h"
    export(FakePast({"bess-1": []}), file, form)
    if form is Form.CSV:
        assert file.read_text(encoding="utf-8").startswith("asset_id,site_id,source_time,")
    else:
        assert pq.read_table(file).num_rows == 0


class Endless(FakePast):
    """Serves one part again and again, each time with another cursor, and notes nothing."""

    def __init__(self, parts: int) -> None:
        super().__init__({"bess-1": samples(1_000)})
        self._last = parts - 1
        self._body = json.loads(self._part("bess-1", httpx.Request("GET", URL)).content)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/history"):
            return self._answer(request)
        number = int(request.url.params.get("cursor", "0"))
        following = None if number == self._last else str(number + 1)
        return httpx.Response(200, json=self._body | {"next": following})


@pytest.mark.parametrize("form", Form)
def test_memory_does_not_grow_with_the_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    """Eight times the history costs not a tenth more, in Python and in Arrow."""
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 2_000)

    def peaks(parts: int) -> tuple[int, int]:
        past = Endless(parts)
        tracemalloc.start()
        export(past, tmp_path / "h", form)
        _, python = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return python, pa.default_memory_pool().max_memory()

    short, long = peaks(4), peaks(32)
    assert long[0] < short[0] * 1.1
    assert long[1] <= short[1] * 1.1


def test_a_headend_that_cannot_now_is_asked_again_for_less(tmp_path: Path) -> None:
    """As late as it says, and nothing is twice or missing."""
    past = FakePast({"bess-1": samples(3_600)})
    pause = FakePause()
    busy = problem(503, "too slow")
    busy.headers["Retry-After"] = "5"
    refusals = iter([None, busy, busy, httpx.ReadTimeout("timed out"), None])

    def trouble(request: httpx.Request) -> httpx.Response | Exception | None:
        return next(refusals, None) if request.url.path.endswith("/history") else None

    past.trouble = trouble
    past.history["bess-2"] = past.history["bess-1"]
    past.points["bess-2"] = POINTS
    export(past, tmp_path / "h.csv", pause=pause)
    assert pause.clock_s == 1_000 + 5 + 5 + 2
    assert past.limits() == [10_000, 10_000, 5_000, 2_500, 1_250, 2_500]
    rows = csv_rows(tmp_path / "h.csv")
    assert len({(row["asset_id"], row["source_time"]) for row in rows}) == len(rows) == 7_200


def test_patience_ends(tmp_path: Path) -> None:
    """With the headend's own words, and no file."""
    past = FakePast({"bess-1": samples(10)})
    pause = FakePause()

    def trouble(request: httpx.Request) -> httpx.Response | None:
        return problem(503, "disk full") if request.url.path.endswith("/history") else None

    past.trouble = trouble
    with pytest.raises(Unavailable, match="disk full"):
        export(past, tmp_path / "h.csv", pause=pause)
    assert PATIENCE_S - 30 < pause.clock_s - 1_000 <= PATIENCE_S
    assert not list(tmp_path.iterdir())


def test_an_asset_that_goes_away_meanwhile_ends_there(tmp_path: Path) -> None:
    """What was read of it stays, the others follow, and it is told."""
    past = FakePast({"bess-1": samples(20_000), "bess-2": samples(5)})
    past.trouble = lambda request: (
        problem(404, "there is no asset 'bess-1'") if "cursor" in request.url.params else None
    )
    missing = export(past, tmp_path / "h.csv")
    assert len(csv_rows(tmp_path / "h.csv")) == 10_005
    assert list(missing.sentences()) == ["asset bess-1 is gone since; what came before is here"]


def test_history_that_ages_out_between_parts_is_told(tmp_path: Path) -> None:
    """A part may be empty and yet not the last; what is gone is no failure."""
    past = FakePast({"bess-1": samples(20_001)})
    empty: dict[str, Any] = {
        "points": [],
        "complete_until": None,
        "retained_from": "2026-11-23T13:30:00Z",
        "bad_batches": 2,
        "next": "20000",
        "samples": [],
    }
    past.trouble = lambda request: (
        httpx.Response(200, json=empty) if request.url.params.get("cursor") == "10000" else None
    )
    missing = export(past, tmp_path / "h.csv")
    assert len(csv_rows(tmp_path / "h.csv")) == 10_001
    assert list(missing.sentences()) == [
        "what is older than 2026-11-23 13:30:00Z was let go by the headend, at least in part",
        "2 batches could not be read",
    ]


@pytest.mark.parametrize("form", Form)
def test_an_export_that_is_cut_short_leaves_nothing(tmp_path: Path, form: Form) -> None:
    """Neither half a file nor its beginnings; the one that was there before stays."""
    file = tmp_path / "h"
    file.write_text("before", encoding="utf-8")
    past = FakePast({"bess-1": samples(20_000)})

    def trouble(request: httpx.Request) -> None:
        if "cursor" in request.url.params:
            assert len(list(tmp_path.iterdir())) == 2
            raise KeyboardInterrupt

    past.trouble = trouble
    with pytest.raises(KeyboardInterrupt):
        export(past, file, form)
    assert [each.name for each in tmp_path.iterdir()] == ["h"]
    assert file.read_text(encoding="utf-8") == "before"
