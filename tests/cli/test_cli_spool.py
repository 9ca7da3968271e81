"""`dercp edge spool`."""

from pathlib import Path

import msgspec
from typer.testing import CliRunner

from dercp.cli import app
from dercp.cli.exits import Exit
from dercp.cli.spool import spool_table
from dercp.edge.spool.inspecting import ReasonSummary, SpoolSummary

SITE = """
[agent]
id = "north"
[headend]
address = "127.0.0.1:50051"
[site]
id = "north"
[[assets]]
id = "north-1"
kind = "storage"
p_min_mw = -2.0
p_max_mw = 2.0
adapter = "simulated"
"""


def test_an_agent_that_has_kept_nothing_is_a_sentence(tmp_path: Path) -> None:
    """It names the file that is not there."""
    site = tmp_path / "site.toml"
    site.write_text(SITE, encoding="utf-8")
    done = CliRunner().invoke(app, ["edge", "spool", "--config", str(site)])
    assert done.exit_code == Exit.UNAVAILABLE
    assert "north.spool" in done.stderr


def test_people_see_what_waits_and_what_was_dropped() -> None:
    """Numbers with their units; a torn end is told."""
    gap = ReasonSummary(reason="spool_full", gaps=1, batches=7, samples=70, from_us=1, to_us=2)
    summary = SpoolSummary(
        file="north.spool",
        file_bytes=4096,
        spool_id="s",
        last_sequence=12,
        batches=3,
        batch_bytes=300,
        samples=30,
        first_sequence=10,
        oldest_us=1_000_000,
        newest_us=2_000_000,
        gaps=(gap,),
        dropped_batches=7,
        dropped_samples=70,
        dispatches=1,
        corrupt_dispatches=0,
        torn_sequences=2,
    )
    rows = [list(column.cells) for column in spool_table(summary).columns]
    told = dict(zip(*rows, strict=True))
    assert told["waiting"] == "3 batches, 30 samples"
    assert told["gap: spool_full"] == "7 batches, 70 samples to declare"
    assert "2 batches" in str(told["torn"])
    assert msgspec.json.encode(summary)
