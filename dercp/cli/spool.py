"""`dercp edge spool`: what an agent keeps for the headend, and what it had to drop."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from dercp.cli.edge import load_config
from dercp.cli.exits import CommandError, Exit
from dercp.edge.spool.inspecting import SpoolSummary, inspect_spool
from dercp.edge.spool.opening import SpoolUnusable
from dercp.model.time import format_rfc3339


def look_into_spool(file: Path) -> SpoolSummary:
    """The spool of the agent that this `site.toml` describes.

    Raises:
        CommandError: The file is wrong, or there is no spool to read.
    """
    config = load_config(file)
    if config.data_dir is None:
        raise CommandError(f"{file}: the agent has no data directory", code=Exit.CONFIG)
    try:
        return inspect_spool(config.data_dir, config.agent_id)
    except SpoolUnusable as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None


def spool_table(summary: SpoolSummary) -> Table:
    """The summary for people."""
    table = Table(box=None, show_header=False)
    for row in _rows(summary):
        table.add_row(*row)
    return table


def _rows(summary: SpoolSummary) -> Iterator[tuple[str, str]]:
    yield "file", f"{summary.file} ({summary.file_bytes:,} bytes)"
    yield "spool", f"{summary.spool_id}, numbered up to {summary.last_sequence:,}"
    yield "waiting", f"{summary.batches:,} batches, {summary.samples:,} samples"
    if summary.oldest_us is not None and summary.newest_us is not None:
        oldest, newest = format_rfc3339(summary.oldest_us), format_rfc3339(summary.newest_us)
        yield "", f"{summary.batch_bytes:,} bytes, from {oldest} to {newest}"
    yield "dropped", f"{summary.dropped_batches:,} batches, {summary.dropped_samples:,} samples"
    for gap in summary.gaps:
        yield f"gap: {gap.reason}", f"{gap.batches:,} batches, {gap.samples:,} samples to declare"
    yield "dispatches", f"{summary.dispatches:,} in the journal"
    if summary.torn_sequences:
        yield "torn", f"{summary.torn_sequences:,} batches lost at the end; the next start declares"
