"""`dercp export` against a real headend."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import trio
from processes import Api, eventually, open_api, running

BATTERY = "demo-01-bess-1"
WANTED_S = 2


async def complete(api: Api, until: datetime) -> bool:
    """Whether all that was sampled before that time is in the history."""
    told = (await api.get(f"/assets/{BATTERY}"))["complete_until"]
    return told is not None and datetime.fromisoformat(told) > until


async def test_an_export_holds_what_the_api_tells(tmp_path: Path) -> None:
    """Every sample of a few seconds of a demo, once, in Parquet, with nothing missing."""
    file = tmp_path / "demo.parquet"
    async with running(
        "demo", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--no-auth"
    ) as demo:
        greeting = await demo.wait_printed("Ctrl-C ends it.")
        url = re.search(r"API +(http://\S+)/docs", greeting)
        assert url is not None
        begin = datetime.now(UTC)
        end = begin + timedelta(seconds=WANTED_S)
        async with open_api(url[1]) as api:
            await eventually(lambda: complete(api, end), within_s=20, what="a complete range")
            span = f"from={begin:%FT%TZ}&to={end:%FT%TZ}"
            told = await api.get(f"/assets/{BATTERY}/history?{span}&points=active_power_mw")
            options = ("--from", f"{begin:%FT%TZ}", "--to", f"{end:%FT%TZ}", "--output", str(file))
            async with running("export", *options, "--site", "demo-01", "--url", url[1]) as export:
                with trio.fail_after(20):
                    assert await export.process.wait() == 0
                said = " ".join(str(line["event"]) for line in export.log)
                assert "4 of 4 assets" in said
                assert "not complete" not in said
                assert export.printed == ""
    found = pq.read_table(file, filters=[("asset_id", "==", BATTERY)]).to_pylist()
    assert [(row["source_time"], row["active_power_mw"]) for row in found] == [
        (datetime.fromisoformat(each["source_time"]), each["values"]["active_power_mw"])
        for each in told["samples"]
    ]
    assert found
